//! The producers of a partition as bytes, and back: what a checkpoint keeps, so that a start
//! replays only the batches after it.
//!
//! ```text
//! version u8 = 2 | count u32 | count × producer
//!                | count u32 | count × unreplicated | count u32 | count × aborted
//! producer: id i64 | epoch i16 | last timestamp i64 | transaction start i64 (-1: none) |
//!           coordinator epoch i32 | batches u8 |
//!           batches × (first sequence i32, last i32, base offset i64, last i64,
//!                      max timestamp i64)
//! unreplicated, a transaction whose marker not all in-sync replicas had:
//!           producer id i64 | first offset i64 | last offset i64
//! aborted:  producer id i64 | first offset i64 | last offset i64 | last stable offset i64
//! ```
//! All numbers are big-endian. Storage keeps a checksum over it. Version 1, from before there were
//! transactions, has no coordinator epochs and ends after the producers.

use std::collections::VecDeque;

use bytes::{Buf, BufMut};
use ottla_core::partition::producers::{
    Aborted, AppendedBatch, BATCHES_PER_PRODUCER_MAX, Producer, Unreplicated,
};
use ottla_core::partition::{Batch, Producers};
use ottla_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::record::{self, ControlRecord};
use ottla_protocol::record_batch::{self, Header, RecordBatch};
use ottla_storage::{Error, LogReader};

const VERSION: u8 = 2;

/// How much is read at a time when batches are replayed.
const REPLAY_BYTES: usize = 1 << 20;

/// What the core wants to know of a batch.
pub(super) fn batch(batch: &RecordBatch<'_>) -> Batch {
    Batch {
        marker: batch.header.is_control().then(|| marker(batch)).flatten(),
        ..data(&batch.header)
    }
}

/// What the core wants to know of a batch that is no control batch.
pub(super) fn data(header: &Header) -> Batch {
    Batch {
        base_offset: header.base_offset,
        last_offset_delta: header.last_offset_delta,
        leader_epoch: header.partition_leader_epoch,
        producer_id: if header.has_producer_id() {
            header.producer_id
        } else {
            ProducerId::NONE
        },
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        max_timestamp: header.max_timestamp,
        is_transactional: header.is_transactional(),
        is_control: header.is_control(),
        marker: None,
    }
}

/// The marker in a control batch; none where compaction has taken it out.
fn marker(batch: &RecordBatch<'_>) -> Option<ControlRecord> {
    let found = record::iterate(batch.body(), batch.header.records_count).next();
    let record = found?.ok()?;
    ControlRecord::read(record.key?, record.value?)
}

/// The state as bytes.
pub(super) fn encode(producers: &Producers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + producers.len() * 64);
    bytes.put_u8(VERSION);
    bytes.put_u32(producers.len() as u32);
    for (id, producer) in producers.iter() {
        bytes.put_i64(id.0);
        bytes.put_i16(producer.producer_epoch.0);
        bytes.put_i64(producer.last_timestamp);
        bytes.put_i64(producer.transaction_start.map_or(-1, |offset| offset.0));
        bytes.put_i32(producer.coordinator_epoch);
        bytes.put_u8(producer.batches.len() as u8);
        for batch in &producer.batches {
            bytes.put_i32(batch.first_sequence.0);
            bytes.put_i32(batch.last_sequence.0);
            bytes.put_i64(batch.base_offset.0);
            bytes.put_i64(batch.last_offset.0);
            bytes.put_i64(batch.max_timestamp);
        }
    }
    let transactions = producers.transactions();
    bytes.put_u32(transactions.unreplicated().len() as u32);
    for ended in transactions.unreplicated() {
        bytes.put_i64(ended.producer_id.0);
        bytes.put_i64(ended.first_offset.0);
        bytes.put_i64(ended.last_offset.0);
    }
    bytes.put_u32(transactions.all_aborted().len() as u32);
    for aborted in transactions.all_aborted() {
        bytes.put_i64(aborted.producer_id.0);
        bytes.put_i64(aborted.first_offset.0);
        bytes.put_i64(aborted.last_offset.0);
        bytes.put_i64(aborted.last_stable_offset.0);
    }
    bytes
}

/// The bytes as state; `None` where they are none of ours.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Producers> {
    let mut producers = Producers::default();
    let version = bytes.try_get_u8().ok()?;
    if !(1..=VERSION).contains(&version) {
        return None;
    }
    for _ in 0..bytes.try_get_u32().ok()? {
        let id = ProducerId(bytes.try_get_i64().ok()?);
        let producer_epoch = ProducerEpoch(bytes.try_get_i16().ok()?);
        let last_timestamp = bytes.try_get_i64().ok()?;
        let transaction_start = bytes.try_get_i64().ok()?;
        let coordinator_epoch = match version {
            1 => -1,
            _ => bytes.try_get_i32().ok()?,
        };
        let count = usize::from(bytes.try_get_u8().ok()?);
        if count > BATCHES_PER_PRODUCER_MAX {
            return None;
        }
        let mut batches = VecDeque::with_capacity(count);
        for _ in 0..count {
            batches.push_back(AppendedBatch {
                first_sequence: Sequence(bytes.try_get_i32().ok()?),
                last_sequence: Sequence(bytes.try_get_i32().ok()?),
                base_offset: Offset(bytes.try_get_i64().ok()?),
                last_offset: Offset(bytes.try_get_i64().ok()?),
                max_timestamp: bytes.try_get_i64().ok()?,
            });
        }
        let producer = Producer {
            producer_epoch,
            batches,
            last_timestamp,
            transaction_start: (transaction_start >= 0).then_some(Offset(transaction_start)),
            coordinator_epoch,
        };
        producers.restore(id, producer);
    }
    if version >= 2 {
        let (unreplicated, aborted) = decode_ended(&mut bytes)?;
        producers.restore_ended(unreplicated, aborted);
    }
    bytes.is_empty().then_some(producers)
}

fn decode_ended(bytes: &mut &[u8]) -> Option<(Vec<Unreplicated>, Vec<Aborted>)> {
    // a count is not believed before the bytes are there
    let mut unreplicated = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        unreplicated.push(Unreplicated {
            producer_id: ProducerId(bytes.try_get_i64().ok()?),
            first_offset: Offset(bytes.try_get_i64().ok()?),
            last_offset: Offset(bytes.try_get_i64().ok()?),
        });
    }
    let mut aborted = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        aborted.push(Aborted {
            producer_id: ProducerId(bytes.try_get_i64().ok()?),
            first_offset: Offset(bytes.try_get_i64().ok()?),
            last_offset: Offset(bytes.try_get_i64().ok()?),
            last_stable_offset: Offset(bytes.try_get_i64().ok()?),
        });
    }
    Some((unreplicated, aborted))
}

/// The producers of what a log has before `end`: its newest snapshot, and the batches after it.
/// Reads the disk.
pub(super) fn load(reader: &LogReader, end: Offset) -> Result<Producers, Error> {
    let snapshot = reader.producer_snapshot(end)?;
    let kept = snapshot.state.as_deref().and_then(decode);
    let mut next = if kept.is_some() || snapshot.state.is_none() {
        snapshot.replay_from
    } else {
        reader.log_start_offset()
    };
    let mut producers = kept.unwrap_or_default();
    next = next.max(reader.log_start_offset());
    while next < end {
        let before = next;
        for chunk in reader.read(next, REPLAY_BYTES, end)?.perform()? {
            for batch_at in record_batch::iterate(&chunk).flatten() {
                if batch_at.header.next_offset() > next {
                    let _ = producers.appended(&batch(&batch_at));
                    next = batch_at.header.next_offset();
                }
            }
        }
        if next == before {
            break; // it was cut where compaction has left a gap: damage is an error
        }
    }
    Ok(producers)
}

#[cfg(test)]
mod tests {
    use ottla_protocol::ids::LeaderEpoch;

    use super::*;

    #[test]
    fn producers_read_back_as_they_were() {
        let mut producers = Producers::default();
        for n in 0..20 {
            let _ = producers.appended(&Batch {
                base_offset: Offset(n * 3),
                last_offset_delta: 2,
                leader_epoch: LeaderEpoch(1),
                producer_id: ProducerId(n % 3),
                producer_epoch: ProducerEpoch(4),
                base_sequence: Sequence(n as i32 * 3),
                max_timestamp: n,
                is_transactional: n % 2 == 0,
                is_control: false,
                marker: None,
            });
        }
        for (n, aborts) in [true, false].into_iter().enumerate() {
            let coordinator_epoch = n as i32;
            let _ = producers.appended(&Batch {
                base_offset: Offset(60 + n as i64),
                last_offset_delta: 0,
                leader_epoch: LeaderEpoch(1),
                producer_id: ProducerId(n as i64),
                producer_epoch: ProducerEpoch(4),
                base_sequence: Sequence(-1),
                max_timestamp: 60,
                is_transactional: true,
                is_control: true,
                marker: Some(match aborts {
                    true => ControlRecord::Abort { coordinator_epoch },
                    false => ControlRecord::Commit { coordinator_epoch },
                }),
            });
        }
        assert_eq!(producers.transactions().all_aborted().len(), 1);
        assert_eq!(producers.transactions().unreplicated().len(), 2);
        let bytes = encode(&producers);
        assert_eq!(decode(&bytes), Some(producers));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[9; 40]), None);
    }
}
