//! Appends of producers: validated, appended, and waited for.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::partition::{Acks, Appended, Input, Membership, Origin};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch::Header;

use super::admission::{Refused, Terms};
use super::index::TopicKey;
use super::partition::{AtHand, Replica, Waiter};
use super::pending::{Answer, Pending, Waiting};
use super::ready::Wakes;
use super::refused::Place;
use super::{Replicas, Shared, producer_state};

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
}

/// What is known of an item before it is acknowledged.
struct Begun {
    replica: Option<Arc<Replica>>,
    log_append_time_ms: Option<i64>,
    refused: Option<Refused>,
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
            // the ISR vouches for acks=all; else another may lead by now, whatever is known here
            (Ok(_), None) if acks != Acks::All && !self.shared.controller.has_lease() => {
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
                            batch,
                            frame_bytes,
                        };
                        let terms = (Origin::Client(item.membership), acks);
                        replica.produce(sent, &header, terms, answer, wakes);
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

/// A batch as it came.
struct Sent {
    place: Place,
    batch: BytesMut,
    /// Of the frame whose memory it holds.
    frame_bytes: usize,
}

impl Replica {
    fn produce(
        self: &Arc<Self>,
        sent: Sent,
        header: &Header,
        (origin, acks): (Origin, Acks),
        answer: Answer<Appended>,
        wakes: &mut Wakes,
    ) {
        let (refused, now) = (&self.shared.refused, self.shared.env.now());
        let batch = producer_state::data(header);
        let mut state = self.lock();
        if refused.is_out_of_turn(now, &sent.place, &batch, state.partition.producers()) {
            return answer.send(Err(ErrorCode::OutOfOrderSequenceNumber));
        }
        state.follower_wakes = Some(std::mem::take(wakes));
        let token = state.add_waiter(Waiter::Produce(answer));
        let input = Input::Produce {
            batch,
            origin,
            acks,
            token,
        };
        let at_hand = AtHand::Produced {
            batch: sent.batch,
            frame_bytes: sent.frame_bytes,
        };
        let appended = self.step(&mut state, input, at_hand);
        match state.partition.producers().knows(batch.producer_id) {
            true => refused.appended(&sent.place, &batch),
            false => refused.refused(now, &sent.place, &batch),
        }
        *wakes = state.follower_wakes.take().unwrap_or_default();
        if let Some(Waiter::Produce(answer)) = state.waiter(token) {
            answer.waiting(Arc::<Self>::clone(self), token);
        }
        if let Err(error) = appended
            && let Some(waiter) = state.take_waiter(token)
        {
            waiter.fail(error);
        }
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
            let is_vouched = |answer: &Result<_, _>| self.acks == Acks::All && answer.is_ok();
            for answer in answers.iter_mut().filter(|answer| !is_vouched(answer)) {
                *answer = Err(ErrorCode::NotLeaderOrFollower);
            }
        }
        let finish = |(begun, answer): (Begun, Result<Appended, ErrorCode>)| match answer {
            Ok(appended) => Ok(Produced {
                base_offset: appended.base_offset,
                log_append_time_ms: begun.log_append_time_ms,
                log_start_offset: begun
                    .replica
                    .map_or(Offset(-1), |replica| replica.reader.log_start_offset()),
            }),
            Err(error) => Err(begun.refused.unwrap_or_else(|| {
                let leader = begun.replica.and_then(|replica| replica.known_leader());
                // without a lease this broker is no leader to name
                let here = self.shared.settings.node_id;
                let has_lease = self.shared.controller.has_lease();
                let leader = leader.filter(|(leader, _)| *leader != here || has_lease);
                Refused {
                    leader,
                    ..Refused::from(error)
                }
            })),
        };
        self.begun.into_iter().zip(answers).map(finish).collect()
    }
}
