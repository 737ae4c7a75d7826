//! Records byte by byte.

use bytes::BytesMut;

use super::{Error, NewRecord, iterate, write};

fn two_records() -> BytesMut {
    let mut buffer = BytesMut::new();
    let first = NewRecord {
        key: Some(b"k"),
        value: Some(b"vv"),
        ..NewRecord::default()
    };
    write(&mut buffer, 0, 0, &first);
    let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"b")), ("c", None)];
    write(
        &mut buffer,
        1,
        5,
        &NewRecord {
            headers,
            ..NewRecord::default()
        },
    );
    buffer
}

#[test]
fn records_read_back_what_was_written() {
    let buffer = two_records();
    let records: Vec<_> = iterate(&buffer, 2).map(Result::unwrap).collect();
    assert_eq!(records[0].key, Some(&b"k"[..]));
    assert_eq!(records[0].value, Some(&b"vv"[..]));
    assert_eq!(
        (records[1].offset_delta, records[1].timestamp_delta),
        (1, 5)
    );
    assert_eq!((records[1].key, records[1].value), (None, None));
    let headers: Vec<_> = records[1].headers().map(Result::unwrap).collect();
    assert_eq!(headers, [(&b"a"[..], Some(&b"b"[..])), (&b"c"[..], None)]);
}

#[test]
fn another_count_than_declared_is_an_error() {
    let buffer = two_records();
    for count in [1, 3] {
        let last = iterate(&buffer, count).last();
        assert_eq!(last, Some(Err(Error::WrongCount)), "{count}");
    }
}

#[test]
fn every_cut_is_an_error_and_never_a_panic() {
    let buffer = two_records();
    for end in 0..buffer.len() {
        let all: Result<Vec<_>, _> = iterate(&buffer[..end], 2).collect();
        assert!(all.is_err(), "cut at {end}");
    }
}

#[test]
fn the_bytes_are_kafkas() {
    let mut first = b"\x12\x00\x00\x00\x02k\x04vv\x00".to_vec();
    first.extend_from_slice(b"\x1a\x00\x0a\x02\x01\x01\x04\x02a\x02b\x02c\x01");
    assert_eq!(two_records(), first);
}
