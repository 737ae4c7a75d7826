//! Batches that Apache Kafka made, in all its compressions, and what can go wrong with them.

use std::collections::BTreeMap;

use ottla_protocol::compression::decompress;
use ottla_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::record::{self, Error};
use ottla_protocol::record_batch::{self, Compression, RecordBatch, validate_produced};

use crate::allocations;

const BATCHES: &str = include_str!("../data/kafka_batches.txt");

/// Enough for the batches here.
const BYTES_MAX: usize = 1000;

fn batches() -> BTreeMap<String, Vec<u8>> {
    let mut batches: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut name = String::new();
    for line in BATCHES.lines().filter(|line| !line.starts_with('#')) {
        if let Some(next) = line.strip_suffix(':') {
            name = next.to_owned();
            continue;
        }
        let digits = line.trim();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes = (0..digits.len()).step_by(2).map(byte);
        batches.entry(name.clone()).or_default().extend(bytes);
    }
    assert_eq!(batches.len(), 5);
    batches
}

#[test]
fn kafkas_batches_are_read_in_every_compression() {
    for (name, bytes) in batches() {
        let header = validate_produced(&bytes).unwrap();
        let producer = (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        );
        assert_eq!(
            producer,
            (ProducerId(4000), ProducerEpoch(2), Sequence(5)),
            "{name}"
        );
        assert_eq!(header.partition_leader_epoch, LeaderEpoch(7));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1030));
        let batch = RecordBatch::first(&bytes).unwrap();
        let body = batch.decompressed(BYTES_MAX).unwrap();
        let records: Vec<_> = record::iterate(&body, 4).map(Result::unwrap).collect();
        for (index, record) in records.iter().enumerate() {
            assert_eq!(
                record.key,
                Some(format!("key-{index}").as_bytes()),
                "{name}"
            );
            assert_eq!(record.timestamp_delta, 10 * index as i64);
            let value = (index > 0).then_some(&b"x"[..]);
            let headers: Vec<_> = record.headers().map(Result::unwrap).collect();
            assert_eq!(headers, [(&b"h"[..], value)]);
        }
    }
}

#[test]
fn a_timestamp_is_found_in_every_compression() {
    for (name, bytes) in batches() {
        let batch = RecordBatch::first(&bytes).unwrap();
        let find = |timestamp| batch.first_at_or_after(timestamp, BYTES_MAX).unwrap();
        assert_eq!(find(0), Some((Offset(0), 1000)), "{name}");
        assert_eq!(find(1001), Some((Offset(1), 1010)), "{name}");
        assert_eq!(find(1030), Some((Offset(3), 1030)), "{name}");
        assert_eq!(find(1031), None, "{name}");
    }
}

#[test]
fn the_limit_holds_in_every_compression() {
    for (name, bytes) in batches().into_iter().filter(|(name, _)| name != "none") {
        let batch = RecordBatch::first(&bytes).unwrap();
        let error = record_batch::Error::Records(Error::TooLarge { bytes_max: 100 });
        assert_eq!(batch.decompressed(100), Err(error), "{name}");
    }
}

#[test]
fn damaged_bytes_are_an_error_or_other_records_and_cost_little() {
    // LZ4 sets aside two of the blocks that the frame declares, Zstandard no more than its window
    let allowed = 16 * 1024 * 1024;
    for (name, bytes) in batches().into_iter().filter(|(name, _)| name != "none") {
        let batch = RecordBatch::first(&bytes).unwrap();
        let compression = batch.header.compression().unwrap();
        for at in 0..batch.body().len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut body = batch.body().to_vec();
                body[at] = value;
                let work = || decompress(compression, &body, BYTES_MAX).map(|bytes| bytes.len());
                let (_, allocated) = allocations::during(work);
                assert!(
                    allocated <= allowed,
                    "{name}: {allocated} for {value} at {at}"
                );
            }
        }
    }
}

#[test]
fn raw_snappy_is_read_as_librdkafka_writes_it() {
    let raw = b"\x05\x10hello";
    let bytes = decompress(Compression::Snappy, raw, BYTES_MAX).unwrap();
    assert_eq!(&*bytes, b"hello");
}
