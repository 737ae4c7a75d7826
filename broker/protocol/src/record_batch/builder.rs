//! Makes batches: for the records of internal topics, control records, and tests.

use bytes::{BufMut, BytesMut};

use super::{ATTRIBUTES_AT, CRC_AT, HEADER_BYTES, Header, LENGTH_END_BYTES};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::{self, ControlRecord, NewRecord};

/// Collects records into one uncompressed batch.
#[derive(Debug)]
pub struct Builder {
    header: Header,
    buffer: BytesMut,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// An empty batch at offset 0, of no producer and no leader.
    #[must_use]
    pub fn new() -> Self {
        let header = Header {
            base_offset: Offset::ZERO,
            batch_length: 0,
            partition_leader_epoch: LeaderEpoch::NONE,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch(-1),
            base_sequence: Sequence(-1),
            records_count: 0,
        };
        let mut buffer = BytesMut::with_capacity(2 * HEADER_BYTES);
        buffer.put_bytes(0, HEADER_BYTES);
        Self { header, buffer }
    }

    /// The marker that ends a transaction of this producer.
    #[must_use]
    pub fn control(
        record: ControlRecord,
        timestamp_ms: i64,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Self {
        let mut builder = Self::new().producer(producer_id, producer_epoch, Sequence(-1));
        builder.header.attributes = Header::flags(true, true);
        builder.push(&NewRecord {
            timestamp_ms,
            key: Some(&record.key()),
            value: Some(&record.value()),
            headers: &[],
        });
        builder
    }

    /// Sets the producer and its first sequence.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base: Sequence) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base;
        self
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= Header::flags(true, false);
        self
    }

    /// Adds a record.
    pub fn push(&mut self, record: &NewRecord<'_>) {
        let header = &mut self.header;
        if header.records_count == 0 {
            header.base_timestamp = record.timestamp_ms;
        }
        header.max_timestamp = header.max_timestamp.max(record.timestamp_ms);
        header.last_offset_delta += 1;
        header.records_count += 1;
        let timestamp_delta = record.timestamp_ms.wrapping_sub(header.base_timestamp);
        record::write(
            &mut self.buffer,
            header.last_offset_delta,
            timestamp_delta,
            record,
        );
    }

    /// How many records it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.header.records_count).unwrap_or_default()
    }

    /// The bytes of the batch so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The finished batch.
    #[must_use]
    pub fn build(self) -> BytesMut {
        let Self {
            mut header,
            mut buffer,
        } = self;
        assert!(
            header.records_count > 0,
            "a batch holds at least one record"
        );
        header.batch_length = (buffer.len() - LENGTH_END_BYTES) as i32;
        buffer[..HEADER_BYTES].copy_from_slice(&header.to_array());
        let crc = crc32c::crc32c(&buffer[ATTRIBUTES_AT..]);
        buffer[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        buffer
    }
}
