//! The bytes in the log.

use crate::shard::Now;
use crate::transaction::record::{Error, Record};
use crate::transaction::state::{Transaction, TransactionVersion};
use ottla_protocol::ids::{ProducerEpoch, ProducerId};

use super::script::partitions;

fn transaction() -> Transaction {
    let now = Now {
        wall_ms: 1_000,
        ..Now::default()
    };
    let first = Transaction::first(ProducerId(7), 60_000, now);
    first.with(
        &partitions(["t-0", "t-3", "u-1"]),
        TransactionVersion::SECOND,
        now,
    )
}

fn record(transaction: Option<Transaction>) -> Record {
    Record {
        transactional_id: "é-1".into(),
        transaction,
    }
}

#[test]
fn a_record_reads_back_what_it_says() {
    let mut rotating = transaction();
    rotating.last_epoch = ProducerEpoch(32_766);
    rotating.next_id = ProducerId(8);
    let empty = Transaction::first(ProducerId(7), 60_000, Now::default());
    for transaction in [Some(transaction()), Some(rotating), Some(empty), None] {
        let record = record(transaction);
        let (key, value) = record.encode().expect("short");
        let read = Record::decode(&key, value.as_deref());
        assert_eq!(read, Ok(Some(record)));
    }
}

#[test]
fn the_bytes_are_kafkas() {
    let (key, value) = record(Some(transaction())).encode().expect("short");
    assert_eq!(&key[..], b"\x00\x00\x00\x04\xc3\xa9-1");
    let expected: &[u8] = b"\x00\x01\
        \x00\x00\x00\x00\x00\x00\x00\x07\
        \x00\x00\
        \x00\x00\xea\x60\
        \x01\
        \x03\x02t\x03\x00\x00\x00\x00\x00\x00\x00\x03\x00\x02u\x02\x00\x00\x00\x01\x00\
        \x00\x00\x00\x00\x00\x00\x03\xe9\
        \x00\x00\x00\x00\x00\x00\x03\xe8\
        \x02\
        \x00\x08\x00\x00\x00\x00\x00\x00\x00\x07\
        \x02\x02\x00\x02";
    assert_eq!(value.as_deref(), Some(expected));
}

#[test]
fn what_is_no_record_is_refused_and_what_is_newer_is_skipped() {
    let (key, value) = record(Some(transaction())).encode().expect("short");
    let value = value.expect("a value");
    assert_eq!(Record::decode(b"\x00\x07later", None), Ok(None));
    assert!(Record::decode(b"\x00", None).is_err());
    assert!(Record::decode(&key, Some(&value[..20])).is_err());
    let mut unknown = value.to_vec();
    unknown[16] = 9;
    assert_eq!(Record::decode(&key, Some(&unknown)), Err(Error::Status(9)));
}
