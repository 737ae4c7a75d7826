//! Appends of producers: validated, appended, and waited for.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::config::TopicConfig;
use ottla_core::partition::{Acks, Appended, Input};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset};
use ottla_protocol::record;
use ottla_protocol::record_batch::{self, Compression, Header, RecordBatch};

use super::index::TopicKey;
use super::partition::{AtHand, Replica, Waiter};
use super::pending::{Answer, Pending, Waiting};
use super::ready::Wakes;
use super::{Replicas, Shared, producer_state};

/// The first version of Produce whose clients know Zstandard.
const ZSTD_VERSION_MIN: i16 = 7;

/// How many records of a batch are named in an answer that refuses it.
const RECORD_ERRORS_MAX: usize = 100;

/// One batch for one partition.
#[derive(Debug)]
pub struct ProduceItem {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: i32,
    /// The batch; owned alone, so that it can be stamped in place.
    pub records: Option<BytesMut>,
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

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Kafka's error.
    pub error: ErrorCode,
    /// One sentence, where there is more to say.
    pub message: Option<String>,
    /// Which records are wrong, and in what.
    pub records: Vec<(i32, String)>,
    /// Who leads instead, as far as is known here.
    pub leader: Option<(NodeId, LeaderEpoch)>,
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self {
            error,
            message: None,
            records: Vec::new(),
            leader: None,
        }
    }
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
        let found = self.find(&item.topic, item.partition);
        let refused = match found {
            // the ISR vouches for acks=all; else another may lead by now, whatever is known here
            Ok(_) if acks != Acks::All && !self.shared.controller.has_lease() => {
                Refused::from(ErrorCode::NotLeaderOrFollower)
            }
            Err(error) => Refused {
                leader: self.leader_elsewhere(&item.topic, item.partition),
                ..Refused::from(error)
            },
            Ok(replica) => {
                let replica = begun.replica.insert(replica);
                let mut batch = item.records.unwrap_or_default();
                let config = Arc::clone(&replica.lock().config);
                let now_ms = self.shared.env.unix_ms();
                match validate(&mut batch, &config, api_version, now_ms) {
                    Ok(header) => {
                        begun.log_append_time_ms = config.is_log_append_time.then_some(now_ms);
                        replica.produce((batch, frame_bytes), &header, acks, answer, wakes);
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

impl Replica {
    fn produce(
        self: &Arc<Self>,
        (batch, frame_bytes): (BytesMut, usize),
        header: &Header,
        acks: Acks,
        answer: Answer<Appended>,
        wakes: &mut Wakes,
    ) {
        let mut state = self.lock();
        state.follower_wakes = Some(std::mem::take(wakes));
        let token = state.add_waiter(Waiter::Produce(answer));
        let input = Input::Produce {
            batch: producer_state::batch(header),
            acks,
            token,
        };
        let at_hand = AtHand::Produced { batch, frame_bytes };
        let appended = self.step(&mut state, input, at_hand);
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
        let mut answers = self.waiting.answers(timeout).await;
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
                Refused {
                    leader,
                    ..Refused::from(error)
                }
            })),
        };
        self.begun.into_iter().zip(answers).map(finish).collect()
    }
}

/// Checks what Kafka checks before an append; sets the append's time where the topic wants it.
fn validate(
    batch: &mut BytesMut,
    config: &TopicConfig,
    api_version: i16,
    now_ms: i64,
) -> Result<Header, Refused> {
    let header = record_batch::validate_produced(batch).map_err(|error| Refused {
        message: Some(error.to_string()),
        ..Refused::from(error.code())
    })?;
    if batch.len() > config.max_message_bytes {
        let (bytes, limit) = (batch.len(), config.max_message_bytes);
        return Err(Refused {
            message: Some(format!(
                "the batch has {bytes} bytes, and max.message.bytes is {limit}"
            )),
            ..Refused::from(ErrorCode::MessageTooLarge)
        });
    }
    if api_version < ZSTD_VERSION_MIN && header.compression() == Ok(Compression::Zstd) {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    if config.is_compacted {
        check_keys(batch)?;
    }
    if config.is_log_append_time {
        record_batch::set_log_append_time(batch, now_ms);
        return Header::read(batch).map_err(|error| Refused::from(error.code()));
    }
    check_timestamps(batch, &header, config, now_ms)?;
    Ok(header)
}

/// Records of a compacted topic need a key: without one there is nothing to compact by (KIP-467).
fn check_keys(batch: &[u8]) -> Result<(), Refused> {
    let keyless = wrong_records(batch, |record| {
        record
            .key
            .is_none()
            .then(|| "a compacted topic takes no record without a key".to_owned())
    })?;
    refuse(ErrorCode::InvalidRecord, keyless)
}

/// The header's timestamps stand for the records': only where they are out of bounds, or the lower
/// bound is set, does it need a look inside.
fn check_timestamps(
    batch: &[u8],
    header: &Header,
    config: &TopicConfig,
    now_ms: i64,
) -> Result<(), Refused> {
    let latest = now_ms.saturating_add(config.message_timestamp_after_max_ms);
    let earliest = now_ms.saturating_sub(config.message_timestamp_before_max_ms);
    if header.max_timestamp <= latest && earliest <= 0 {
        return Ok(());
    }
    let is_wrong = |timestamp: i64| timestamp >= 0 && !(earliest..=latest).contains(&timestamp);
    let wrong = wrong_records(batch, |record| {
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        is_wrong(timestamp)
            .then(|| format!("timestamp {timestamp} is not between {earliest} and {latest}"))
    })?;
    refuse(ErrorCode::InvalidTimestamp, wrong)
}

fn refuse(error: ErrorCode, records: Vec<(i32, String)>) -> Result<(), Refused> {
    if records.is_empty() {
        return Ok(());
    }
    Err(Refused {
        message: Some("one or more records have been rejected".to_owned()),
        records,
        ..Refused::from(error)
    })
}

fn wrong_records(
    batch: &[u8],
    mut judge: impl FnMut(&record::Record<'_>) -> Option<String>,
) -> Result<Vec<(i32, String)>, Refused> {
    let corrupt = |_| Refused::from(ErrorCode::CorruptMessage);
    let unreadable = |error: record_batch::Error| Refused {
        message: Some(error.to_string()),
        ..Refused::from(error.code())
    };
    let batch = RecordBatch::first(batch).map_err(unreadable)?;
    let body = batch
        .decompressed(record_batch::DECOMPRESSED_BYTES_MAX)
        .map_err(unreadable)?;
    let mut wrong = Vec::new();
    for (place, found) in record::iterate(&body, batch.header.records_count).enumerate() {
        if let Some(message) = judge(&found.map_err(corrupt)?) {
            wrong.push((place as i32, message));
            if wrong.len() == RECORD_ERRORS_MAX {
                break;
            }
        }
    }
    Ok(wrong)
}
