//! Walks over records: what one takes, every reader can read, in whatever way it is compressed.

use std::time::Instant;

use bytes::BytesMut;
use ottla_protocol::record::{self, Error, NewRecord};
use ottla_protocol::record_batch::{self, Builder, HEADER_BYTES, RecordBatch, set_max_timestamp};
use proptest::prelude::*;

use crate::allocations;

const BYTES_MAX: usize = 1 << 22;
const COMPRESSIONS: i16 = 5;

/// A batch of records with values of these sizes.
fn batch(sizes: &[usize], headers: usize) -> BytesMut {
    let header = ("name", Some(&b"value"[..]));
    let headers = vec![header; headers];
    let value = vec![b'v'; sizes.iter().copied().max().unwrap_or(0)];
    let mut builder = Builder::new();
    for (place, size) in sizes.iter().enumerate() {
        builder.push(&NewRecord {
            timestamp_ms: 1000 + place as i64 * 7,
            key: (place % 3 > 0).then_some(b"key"),
            value: Some(&value[..*size]),
            headers: &headers,
        });
    }
    builder.build()
}

/// The same records with a compression.
fn compressed(batch: &[u8], compression: i16) -> BytesMut {
    let plain = RecordBatch::first(batch).unwrap();
    let mut asked = plain;
    asked.header.attributes |= compression;
    asked.compacted(plain.body(), None, &mut |_| true).unwrap()
}

/// The batch with other bytes for its records, which are not compressed.
fn with_body(batch: &[u8], body: &[u8]) -> BytesMut {
    let mut batch = BytesMut::from(&batch[..HEADER_BYTES]);
    batch.extend_from_slice(body);
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let max = RecordBatch::first(&batch).unwrap().header.max_timestamp;
    set_max_timestamp(&mut batch, max);
    batch
}

/// The timestamps and keys that a walk tells of.
fn walked(batch: &[u8]) -> Result<Vec<(i64, bool)>, record_batch::Error> {
    let mut seen = Vec::new();
    let batch = RecordBatch::first(batch)?;
    batch.walk(BYTES_MAX, |record| {
        assert_eq!(record.place as usize, seen.len());
        seen.push((record.timestamp_delta, record.has_key));
    })?;
    Ok(seen)
}

/// The same by reading all records; none where they cannot be read, or have other offsets.
fn read(batch: &[u8]) -> Option<Vec<(i64, bool)>> {
    let batch = RecordBatch::first(batch).ok()?;
    let body = batch.decompressed(BYTES_MAX).ok()?;
    let records = record::iterate(&body, batch.header.records_count);
    let mut seen = Vec::new();
    for (place, found) in records.enumerate() {
        let found = found.ok()?;
        let mut bytes = 0;
        for header in found.headers() {
            let (name, value) = header.ok()?;
            bytes += name.len() + value.map_or(0, <[u8]>::len);
        }
        let _ = bytes;
        if found.offset_delta != place as i32 {
            return None;
        }
        seen.push((found.timestamp_delta, found.key.is_some()));
    }
    Some(seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_walk_sees_what_reading_sees(
        sizes in proptest::collection::vec(prop_oneof![0..100usize, 0..40_000usize], 1..20),
        headers in 0..4usize,
    ) {
        let plain = batch(&sizes, headers);
        let expected = read(&plain).unwrap();
        prop_assert_eq!(expected.len(), sizes.len());
        for compression in 0..COMPRESSIONS {
            let bytes = compressed(&plain, compression);
            prop_assert_eq!(walked(&bytes), Ok(expected.clone()), "{}", compression);
        }
    }

    #[test]
    fn a_walk_takes_nothing_that_cannot_be_read(
        sizes in proptest::collection::vec(0..200usize, 1..6),
        headers in 0..3usize,
        at: prop::sample::Index,
        byte: u8,
        change in 0..4,
    ) {
        let plain = batch(&sizes, headers);
        let mut body = plain[HEADER_BYTES..].to_vec();
        let at = at.index(body.len());
        match change {
            0 => body.truncate(at),
            1 => body.insert(at, byte),
            2 => drop(body.remove(at)),
            _ => body[at] = byte,
        }
        let changed = with_body(&plain, &body);
        if let Ok(seen) = walked(&changed) {
            prop_assert_eq!(Some(seen), read(&changed));
        }
    }
}

/// What a compressed batch may become when its bytes are damaged: an error, or other records.
#[test]
fn damaged_compressed_bytes_are_taken_only_where_they_can_be_read() {
    let plain = batch(&[10, 300, 0, 5000], 1);
    for compression in 1..COMPRESSIONS {
        let good = compressed(&plain, compression);
        for at in HEADER_BYTES..good.len() {
            let mut body = good[HEADER_BYTES..].to_vec();
            body[at - HEADER_BYTES] ^= 0x11;
            let damaged = with_body(&good, &body);
            if let Ok(seen) = walked(&damaged) {
                assert_eq!(Some(seen), read(&damaged), "{compression} at {at}");
            }
        }
        let longer = with_body(&good, &[&good[HEADER_BYTES..], b"more"].concat());
        assert!(
            walked(&longer).is_err(),
            "{compression} with more behind it"
        );
    }
}

#[test]
fn records_far_larger_than_their_batch_cost_little_and_end_at_the_limit() {
    let huge = batch(&[64 << 20], 0);
    for compression in 1..COMPRESSIONS {
        let bytes = compressed(&huge, compression);
        let batch = RecordBatch::first(&bytes).unwrap();
        let (begin, limit) = (Instant::now(), 32 << 20);
        let work = || batch.walk(limit, |_| ());
        let (outcome, allocated) = allocations::during(work);
        let error = record_batch::Error::Records(Error::TooLarge { bytes_max: limit });
        assert_eq!(outcome, Err(error), "{compression}");
        let spent = begin.elapsed();
        println!("{compression}: {allocated} bytes, {spent:?}");
        // Zstandard's decoder keeps the window that its frame asks for
        assert!(allocated < 20 << 20, "{compression}: {allocated}");
    }
}
