//! A batch with only some of its records: what compaction writes in place of the one it read.
//!
//! Base and last offset, leader epoch, producer, epoch, sequence and flags stay as they were, so
//! that followers, consumers and the state of producers see no difference but the records that
//! are gone. A batch may end up without any record.

use std::io::Write;

use bytes::{BufMut, BytesMut};

use super::{
    ATTRIBUTES_AT, CRC_AT, Compression, Error, HEADER_BYTES, Header, LENGTH_END_BYTES, RecordBatch,
    TimestampType,
};
use crate::record::{self, Record};

/// How much of a snappy stream is compressed at a time, as snappy-java does it.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// The magic of such a stream, its version, and the oldest version that reads it.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";

impl RecordBatch<'_> {
    /// The batch with those of its records that `keep` says, out of its decompressed `body`.
    /// With a delete horizon (KIP-534), which takes the place of the base timestamp.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn compacted(
        &self,
        body: &[u8],
        delete_horizon: Option<i64>,
        keep: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<BytesMut, Error> {
        let mut header = self.header;
        let old_base = header.base_timestamp;
        if let Some(horizon) = delete_horizon {
            header.attributes |= Header::DELETE_HORIZON;
            header.base_timestamp = horizon;
        }
        let is_create_time = header.timestamp_type() == TimestampType::CreateTime;
        let mut records = BytesMut::new();
        header.records_count = 0;
        let mut max_timestamp = None;
        for found in record::iterate(body, self.header.records_count) {
            let found = found?;
            if !keep(&found) {
                continue;
            }
            let timestamp = old_base.wrapping_add(found.timestamp_delta);
            max_timestamp = max_timestamp.max(Some(timestamp));
            let delta = timestamp.wrapping_sub(header.base_timestamp);
            record::write_again(&mut records, delta, &found);
            header.records_count += 1;
        }
        if let (true, Some(max_timestamp)) = (is_create_time, max_timestamp) {
            header.max_timestamp = max_timestamp;
        }
        let compression = header.compression()?;
        if header.records_count == 0 {
            // nothing is left to decompress
            header.attributes &= !Compression::MASK;
            return Ok(finish(header, &[]));
        }
        Ok(finish(header, &compress(compression, &records)?))
    }
}

fn finish(mut header: Header, body: &[u8]) -> BytesMut {
    header.batch_length = (HEADER_BYTES - LENGTH_END_BYTES + body.len()) as i32;
    let mut buffer = BytesMut::with_capacity(HEADER_BYTES + body.len());
    buffer.put_slice(&header.to_array());
    buffer.put_slice(body);
    let crc = crc32c::crc32c(&buffer[ATTRIBUTES_AT..]);
    buffer[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    buffer
}

/// The records compressed, in the framing that Kafka's clients read.
fn compress(compression: Compression, records: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |_| Error::Records(record::Error::Compression);
    match compression {
        Compression::None => Ok(records.to_vec()),
        Compression::Gzip => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(records).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        Compression::Snappy => {
            let mut bytes = XERIAL_HEADER.to_vec();
            for block in records.chunks(XERIAL_BLOCK_BYTES) {
                let block = snap::raw::Encoder::new().compress_vec(block);
                let block = block.map_err(|_| Error::Records(record::Error::Compression))?;
                bytes.extend_from_slice(&(block.len() as i32).to_be_bytes());
                bytes.extend_from_slice(&block);
            }
            Ok(bytes)
        }
        Compression::Lz4 => {
            // Java's reader knows independent blocks only
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(records).map_err(failed)?;
            let finished = encoder.finish();
            finished.map_err(|_| Error::Records(record::Error::Compression))
        }
        Compression::Zstd => Ok(ruzstd::encoding::compress_to_vec(
            records,
            ruzstd::encoding::CompressionLevel::Fastest,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
    use crate::record::NewRecord;
    use crate::record_batch::{Builder, check_crc, stamp};

    const COMPRESSIONS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    fn values(count: i32) -> Vec<String> {
        (0..count)
            .map(|n| format!("value {n} ").repeat(2000))
            .collect()
    }

    fn batch(count: i32) -> BytesMut {
        let producer = (ProducerId(7), ProducerEpoch(2), Sequence(100));
        let mut builder = Builder::new().producer(producer.0, producer.1, producer.2);
        for (n, value) in values(count).iter().enumerate() {
            builder.push(&NewRecord {
                timestamp_ms: 5000 + n as i64,
                key: Some(format!("k{n}").as_bytes()),
                value: (n % 3 != 2).then_some(value.as_bytes()),
                headers: &[("h", Some(b"x")), ("null", None)],
            });
        }
        let mut bytes = builder.build();
        stamp(&mut bytes, Offset(40), LeaderEpoch(3));
        bytes
    }

    /// The batch with its records compressed.
    fn compressed(bytes: &[u8], compression: Compression) -> BytesMut {
        let batch = RecordBatch::first(bytes).unwrap();
        let mut header = batch.header;
        header.attributes |= compression as i16;
        finish(header, &compress(compression, batch.body()).unwrap())
    }

    #[test]
    fn what_is_kept_reads_back_with_every_compression() {
        for compression in COMPRESSIONS {
            let original = compressed(&batch(9), compression);
            let read = RecordBatch::first(&original).unwrap();
            let body = read.decompressed(1 << 20).unwrap();
            let mut keep = |record: &Record<'_>| record.offset_delta % 2 == 1;
            let kept = read.compacted(&body, Some(9_000_000), &mut keep).unwrap();
            let kept = RecordBatch::first(&kept).unwrap();
            check_crc(&kept).unwrap();
            let (old, new) = (read.header, kept.header);
            assert_eq!(new.base_offset, old.base_offset);
            assert_eq!(new.last_offset(), old.last_offset());
            assert_eq!(new.partition_leader_epoch, LeaderEpoch(3));
            assert_eq!(
                (new.producer_id, new.base_sequence),
                (ProducerId(7), Sequence(100))
            );
            assert_eq!(new.compression(), Ok(compression));
            assert_eq!(
                (new.max_timestamp, new.delete_horizon()),
                (5007, Some(9_000_000))
            );
            let body = kept.decompressed(1 << 20).unwrap();
            let found: Vec<_> = record::iterate(&body, new.records_count)
                .map(Result::unwrap)
                .collect();
            assert_eq!(found.len(), 4);
            for (record, n) in found.iter().zip([1, 3, 5, 7]) {
                assert_eq!(record.offset_delta, n);
                assert_eq!(record.key, Some(format!("k{n}").as_bytes()));
                let timestamp = new.base_timestamp + record.timestamp_delta;
                assert_eq!(timestamp, 5000 + i64::from(n));
                let value = values(9).swap_remove(n as usize);
                assert_eq!(record.value, (n % 3 != 2).then_some(value.as_bytes()));
                let headers: Vec<_> = record.headers().map(Result::unwrap).collect();
                assert_eq!(headers, [(&b"h"[..], Some(&b"x"[..])), (b"null", None)]);
            }
        }
    }

    #[test]
    fn a_batch_without_records_keeps_its_place_and_producer() {
        for compression in COMPRESSIONS {
            let original = compressed(&batch(3), compression);
            let read = RecordBatch::first(&original).unwrap();
            let body = read.decompressed(1 << 20).unwrap();
            let empty = read.compacted(&body, None, &mut |_| false).unwrap();
            check_crc(&RecordBatch::first(&empty).unwrap()).unwrap();
            assert_eq!(empty.len(), HEADER_BYTES);
            let header = Header::read(&empty).unwrap();
            assert_eq!(header.last_offset(), Offset(42));
            assert_eq!(header.last_sequence(), Sequence(102));
            assert_eq!(header.compression(), Ok(Compression::None));
            assert_eq!((header.records_count, header.max_timestamp), (0, 5002));
        }
    }

    #[test]
    fn damaged_records_are_an_error() {
        let original = batch(3);
        let read = RecordBatch::first(&original).unwrap();
        let cut = &read.body()[..read.body().len() - 1];
        assert!(read.compacted(cut, None, &mut |_| true).is_err());
    }
}
