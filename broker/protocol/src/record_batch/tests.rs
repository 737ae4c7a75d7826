//! Batches built, read, stamped, damaged and refused.

use bytes::{BufMut, BytesMut};

use super::{
    Builder, Compression, Error, HEADER_BYTES, Header, RecordBatch, TimestampType, check_crc,
    iterate, set_log_append_time, stamp, validate_produced,
};
use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::{self, ControlRecord, NewRecord};

fn batch(values: &[&[u8]]) -> BytesMut {
    let mut builder = Builder::new().producer(ProducerId(7), ProducerEpoch(1), Sequence(3));
    for (index, value) in values.iter().enumerate() {
        builder.push(&NewRecord {
            timestamp_ms: 1000 + index as i64,
            value: Some(value),
            ..NewRecord::default()
        });
    }
    builder.build()
}

/// What is said about a produced batch in which `change` was made and the CRC set right again.
fn refusal(change: impl FnOnce(&mut BytesMut)) -> Result<Header, Error> {
    let mut bytes = batch(&[b"a", b"b"]);
    change(&mut bytes);
    if bytes.len() > HEADER_BYTES {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    validate_produced(&bytes)
}

#[test]
fn a_built_batch_is_valid_and_says_what_it_holds() {
    let bytes = batch(&[b"a", b"b", b"c"]);
    let header = validate_produced(&bytes).unwrap();
    assert_eq!(header.bytes(), bytes.len());
    assert_eq!((header.records_count, header.last_offset_delta), (3, 2));
    assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1002));
    assert_eq!(
        (header.producer_id, header.last_sequence()),
        (ProducerId(7), Sequence(5))
    );
    assert_eq!(header.compression(), Ok(Compression::None));
    let batch = RecordBatch::first(&bytes).unwrap();
    let values: Vec<_> = record::iterate(batch.body(), 3)
        .map(|r| r.unwrap().value)
        .collect();
    assert_eq!(values, [Some(&b"a"[..]), Some(b"b"), Some(b"c")]);
}

#[test]
fn a_stamp_leaves_the_crc_right() {
    let mut bytes = batch(&[b"a", b"b"]);
    stamp(&mut bytes, Offset(41), LeaderEpoch(6));
    let batch = RecordBatch::first(&bytes).unwrap();
    assert_eq!(check_crc(&batch), Ok(()));
    assert_eq!(batch.header.base_offset, Offset(41));
    assert_eq!(batch.header.next_offset(), Offset(43));
    assert_eq!(batch.header.partition_leader_epoch, LeaderEpoch(6));
}

#[test]
fn the_time_of_appending_holds_for_the_batch() {
    let mut bytes = batch(&[b"a"]);
    set_log_append_time(&mut bytes, 5555);
    let batch = RecordBatch::first(&bytes).unwrap();
    assert_eq!(check_crc(&batch), Ok(()));
    assert_eq!(batch.header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.header.max_timestamp, 5555);
}

#[test]
fn batches_follow_each_other_and_a_partial_one_ends_them() {
    let mut bytes = batch(&[b"a"]);
    let one = bytes.len();
    bytes.extend_from_slice(&batch(&[b"b", b"c"]));
    let two = bytes.len();
    bytes.put_slice(&batch(&[b"d"])[..30]);
    let mut batches = iterate(&bytes);
    let lengths: Vec<_> = batches
        .by_ref()
        .map(|batch| batch.unwrap().bytes.len())
        .collect();
    assert_eq!(lengths, [one, two - one]);
    assert_eq!(batches.rest().len(), 30);
}

#[test]
fn what_kafka_refuses_is_refused_with_its_code() {
    let code = |result: Result<Header, Error>| result.map_err(|error| error.code());
    let put = |at: usize, value: &'static [u8]| {
        move |bytes: &mut BytesMut| bytes[at..at + value.len()].copy_from_slice(value)
    };
    assert!(refusal(|_| {}).is_ok());
    for magic in [&[0][..], &[1]] {
        assert_eq!(code(refusal(put(16, magic))), Err(ErrorCode::InvalidRecord));
    }
    assert_eq!(code(refusal(put(16, &[3]))), Err(ErrorCode::CorruptMessage));
    assert_eq!(
        code(refusal(put(8, &[0, 0, 0, 48]))),
        Err(ErrorCode::CorruptMessage)
    );
    assert_eq!(
        code(refusal(put(8, &[255, 0, 0, 0]))),
        Err(ErrorCode::CorruptMessage)
    );
    assert_eq!(
        code(refusal(put(8, &[127, 0, 0, 0]))),
        Err(ErrorCode::InvalidRecord)
    );
    assert_eq!(code(refusal(put(7, &[1]))), Err(ErrorCode::InvalidRecord));
    assert_eq!(
        code(refusal(put(57, &[0, 0, 0, 3]))),
        Err(ErrorCode::InvalidRecord)
    );
    assert_eq!(
        code(refusal(put(57, &[0, 0, 0, 0]))),
        Err(ErrorCode::InvalidRecord)
    );
    assert_eq!(
        code(refusal(put(23, &[255; 4]))),
        Err(ErrorCode::InvalidRecord)
    );
    assert_eq!(
        code(refusal(put(22, &[0x20]))),
        Err(ErrorCode::InvalidRecord)
    );
    assert_eq!(
        code(refusal(put(53, &[255; 4]))),
        Err(ErrorCode::InvalidRecord)
    );
    assert_eq!(
        code(refusal(put(22, &[5]))),
        Err(ErrorCode::UnsupportedCompressionType)
    );
    assert_eq!(
        code(refusal(|bytes| bytes.clear())),
        Err(ErrorCode::InvalidRecord)
    );
    let second = batch(&[b"x"]);
    let two = |bytes: &mut BytesMut| bytes.extend_from_slice(&second);
    assert_eq!(refusal(two), Err(Error::NotOneBatch));
}

#[test]
fn a_flipped_bit_is_noticed() {
    let whole = batch(&[b"abc", b"def"]);
    for at in 21..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(
            validate_produced(&bytes).unwrap_err().code(),
            ErrorCode::CorruptMessage
        );
    }
}

#[test]
fn a_marker_reads_back() {
    let marker = ControlRecord::Commit {
        coordinator_epoch: 12,
    };
    let bytes = Builder::control(marker, 1, ProducerId(4), ProducerEpoch(2)).build();
    let batch = RecordBatch::first(&bytes).unwrap();
    assert!(batch.header.is_control() && batch.header.is_transactional());
    let record = record::iterate(batch.body(), 1).next().unwrap().unwrap();
    let read = ControlRecord::read(record.key.unwrap(), record.value.unwrap());
    assert_eq!(read, Some(marker));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut bytes = batch(&[b"a", b"b"]);
    bytes[53..57].copy_from_slice(&i32::MAX.to_be_bytes());
    let header = Header::read(&bytes).unwrap();
    assert_eq!(header.last_sequence(), Sequence(0));
}
