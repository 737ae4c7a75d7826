//! Appends of producers: validated, appended, and waited for.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::partition::{Acks, Appended, Membership};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex};
use ottla_protocol::record_batch::{self, Header};

use super::admission::{Refused, Terms};
use super::partition::Replica;
use super::pending::{Answer, Answered, Pending, Source, Waiting};
use super::place::{Place, TopicKey};
use super::ready::Wakes;
use super::sent::Sent;
use super::{Replicas, Shared, producer_state};
use crate::controller::service::Series;

/// One batch for one partition.
#[derive(Debug)]
pub struct ProduceItem {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: i32,
    /// The batch; owned alone, so that it can be stamped in place.
    pub records: Option<BytesMut>,
    /// How it takes part in a transaction.
    pub membership: Membership,
    /// Why it is not to be appended.
    pub refusal: Option<ErrorCode>,
}

/// A batch that was appended, or was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The time of the append, where the topic's timestamps are of that kind.
    pub log_append_time_ms: Option<i64>,
    /// The first offset of the log.
    pub log_start_offset: Offset,
    /// Who leads by now, where the batch was sent on.
    pub leader: Option<(NodeId, LeaderEpoch)>,
}

/// What is known of an item before it is acknowledged.
struct Begun {
    replica: Option<Arc<Replica>>,
    log_append_time_ms: Option<i64>,
    refused: Option<Refused>,
    /// It came while the leadership was being handed over, or after that.
    is_moved: bool,
}

impl Begun {
    /// Who leads by now, where the batch was sent on.
    fn leader_elsewhere(&self, here: NodeId) -> Option<(NodeId, LeaderEpoch)> {
        let replica = self.replica.as_ref().filter(|_| self.is_moved)?;
        replica.known_leader().filter(|(leader, _)| *leader != here)
    }
}

/// Items that are appended; their acknowledgements are still to come.
pub struct Produces {
    shared: Arc<Shared>,
    acks: Acks,
    begun: Vec<Begun>,
    waiting: Waiting<Appended>,
}

impl Replicas {
    /// Appends the items that may be appended, now; what it returns waits for acknowledgements.
    #[must_use]
    pub fn produce(&self, items: Vec<ProduceItem>, acks: Acks, api_version: i16) -> Produces {
        let pending = Pending::new(items.len());
        let frame_bytes = items
            .iter()
            .map(|item| item.records.as_ref().map_or(0, BytesMut::len))
            .sum();
        let mut wakes = Wakes::default();
        let begin = |(slot, item): (usize, ProduceItem)| {
            let answer = pending.answer(slot);
            let terms = (acks, api_version, frame_bytes);
            self.produce_one(item, terms, answer, &mut wakes)
        };
        let hold = self.shared.store.hold();
        let begun = items.into_iter().enumerate().map(begin).collect();
        drop(hold);
        wakes.wake();
        Produces {
            shared: Arc::clone(&self.shared),
            acks,
            begun,
            waiting: Waiting(pending),
        }
    }

    fn produce_one(
        &self,
        item: ProduceItem,
        (acks, api_version, frame_bytes): (Acks, i16, usize),
        answer: Answer<Appended>,
        wakes: &mut Wakes,
    ) -> Begun {
        let mut begun = Begun {
            replica: None,
            log_append_time_ms: None,
            refused: None,
            is_moved: false,
        };
        let place = (item.topic, item.partition);
        let found = self.find(&place.0, place.1);
        let mut batch = item.records.unwrap_or_default();
        let refused = match (found, item.refusal) {
            (_, Some(error)) => {
                self.shared.refused_unseen(&place, &batch);
                let is_elsewhere = error == ErrorCode::NotLeaderOrFollower;
                Refused {
                    leader: is_elsewhere
                        .then(|| self.leader_elsewhere(&place.0, place.1))
                        .flatten(),
                    ..Refused::from(error)
                }
            }
            (Ok(_), None) if !self.may_append(acks) => {
                self.shared.refused_unseen(&place, &batch);
                Refused::from(ErrorCode::NotLeaderOrFollower)
            }
            (Err(error), None) => {
                self.shared.refused_unseen(&place, &batch);
                Refused {
                    leader: self.leader_elsewhere(&place.0, place.1),
                    ..Refused::from(error)
                }
            }
            (Ok(replica), None) => {
                let replica = begun.replica.insert(replica);
                let config = Arc::clone(&replica.lock().config);
                let now_ms = self.shared.env.unix_ms();
                let terms = Terms {
                    config: &config,
                    api_version,
                    now_ms,
                    is_serving: !self.shared.inline,
                };
                match terms.admit(&mut batch) {
                    Ok(header) => {
                        begun.log_append_time_ms = config.is_log_append_time.then_some(now_ms);
                        let sent = Sent {
                            place,
                            membership: item.membership,
                            batch,
                            header,
                            frame_bytes,
                            acks,
                            answer,
                            series: None,
                            share: None,
                        };
                        begun.is_moved = !replica.produce(sent, wakes);
                        return begun;
                    }
                    Err(refused) => refused,
                }
            }
        };
        answer.send(Err(refused.error));
        begun.refused = Some(refused);
        begun
    }

    /// The ISR vouches for acks=all; else another may lead by now, whatever is known here.
    pub(super) fn may_append(&self, acks: Acks) -> bool {
        acks == Acks::All || self.shared.controller.has_lease()
    }

    /// Appends a batch that another broker has judged by the topic's configs.
    pub(super) fn produce_judged(
        &self,
        topic: TopicKey,
        partition: PartitionIndex,
        batch: BytesMut,
        acks: Acks,
        series: &Series,
    ) -> Produces {
        let pending = Pending::new(1);
        let answer = pending.answer(0);
        let mut begun = Begun {
            replica: None,
            log_append_time_ms: None,
            refused: None,
            is_moved: false,
        };
        let judged = record_batch::validate_produced(&batch).map_err(|error| error.code());
        let judged = judged.and_then(|header| match self.may_append(acks) {
            true => Ok((header, self.find(&topic, partition.0)?)),
            false => Err(ErrorCode::NotLeaderOrFollower),
        });
        match judged {
            Ok((header, replica)) => {
                let mut wakes = Wakes::default();
                let sent = Sent {
                    place: (topic, partition.0),
                    membership: Membership::default(),
                    frame_bytes: batch.len(),
                    batch,
                    header,
                    acks,
                    answer,
                    series: Some(series.clone()),
                    share: None,
                };
                replica.produce(sent, &mut wakes);
                begun.replica = Some(replica);
                wakes.wake();
            }
            Err(ErrorCode::NotLeaderOrFollower) => {
                series.break_off();
                answer.untaken();
            }
            Err(error) => answer.send(Err(error)),
        }
        Produces {
            shared: Arc::clone(&self.shared),
            acks,
            begun: vec![begun],
            waiting: Waiting(pending),
        }
    }
}

impl Shared {
    /// A batch is refused without a look at its partition.
    fn refused_unseen(&self, place: &Place, batch: &[u8]) {
        if let Ok(header) = Header::read(batch) {
            let batch = producer_state::data(&header);
            self.refused.refused(self.env.now(), place, &batch);
        }
    }
}

impl Replica {
    /// Says whether the batch was appended or refused here.
    fn produce(self: &Arc<Self>, sent: Sent, wakes: &mut Wakes) -> bool {
        let mut state = self.lock();
        state.follower_wakes = Some(std::mem::take(wakes));
        let is_settled = self.receive(&mut state, sent);
        *wakes = state.follower_wakes.take().unwrap_or_default();
        is_settled
    }
}

impl Produces {
    /// Waits for all acknowledgements, by the end of `timeout` at the latest.
    pub async fn acknowledged(self, timeout: Duration) -> Vec<Result<Produced, Refused>> {
        let waits = !self.waiting.is_done();
        let since = self.shared.env.now();
        let mut answers = self.waiting.answers(timeout).await;
        if waits {
            let waited = self.shared.env.now().saturating_sub(since);
            self.shared.metrics.produce_wait.observe(waited);
        }
        // The lease may have run out while the record went to the disk. With acks=all the ISR
        // vouches for what is acknowledged, but not for what is refused: another may lead by now,
        // and have seen sequences that are out of order here.
        if !self.shared.controller.has_lease() {
            let is_vouched = |answer: &Answered<_>| {
                answer.source == Source::Relayed || self.acks == Acks::All && answer.result.is_ok()
            };
            for answer in answers.iter_mut().filter(|answer| !is_vouched(answer)) {
                answer.result = Err(ErrorCode::NotLeaderOrFollower);
            }
        }
        let finish = |(begun, answer): (Begun, Answered<Appended>)| match answer.result {
            Ok(appended) => Ok(Produced {
                base_offset: appended.base_offset,
                log_append_time_ms: begun.log_append_time_ms,
                leader: begun.leader_elsewhere(self.shared.settings.node_id),
                log_start_offset: begun
                    .replica
                    .map_or(Offset(-1), |replica| replica.reader.log_start_offset()),
            }),
            Err(error) => Err(begun.refused.unwrap_or_else(|| {
                let leader = begun.replica.and_then(|replica| replica.known_leader());
                Refused {
                    leader,
                    is_untaken: answer.source == Source::Untaken,
                    ..Refused::from(error)
                }
            })),
        };
        self.begun.into_iter().zip(answers).map(finish).collect()
    }
}
