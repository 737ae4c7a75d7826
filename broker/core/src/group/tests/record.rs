use bytes::Bytes;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::group_records::{GroupMetadataValue, MemberMetadata};

use crate::group::Record;
use crate::group::record::{CommittedOffset, Error};

fn offset() -> CommittedOffset {
    CommittedOffset {
        offset: 5,
        leader_epoch: 2,
        metadata: "é".into(),
        commit_timestamp_ms: 7,
        expire_timestamp_ms: None,
        topic_id: Uuid::ZERO,
    }
}

fn offset_record(value: Option<CommittedOffset>) -> Record {
    Record::Offset {
        group: "g".into(),
        topic: "t".into(),
        partition: 3,
        value,
    }
}

#[test]
fn an_offset_is_written_as_kafka_writes_it() {
    let (key, value) = offset_record(Some(offset())).encode().unwrap();
    assert_eq!(&key[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x03");
    let value = value.expect("no tombstone");
    assert_eq!(
        &value[..],
        b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\0\x02\xc3\xa9\0\0\0\0\0\0\0\x07"
    );
}

#[test]
fn every_record_reads_back() {
    let group = GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 4,
        protocol: Some("range".to_owned()),
        leader: Some("a".to_owned()),
        current_state_timestamp: 9,
        members: vec![MemberMetadata {
            member_id: "a".to_owned(),
            group_instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout: 1,
            session_timeout: 2,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"t"),
        }],
    };
    let with_id = CommittedOffset {
        topic_id: Uuid([7; 16]),
        ..offset()
    };
    let expiring = CommittedOffset {
        expire_timestamp_ms: Some(8),
        leader_epoch: -1,
        ..offset()
    };
    let records = [
        offset_record(None),
        offset_record(Some(offset())),
        offset_record(Some(with_id)),
        offset_record(Some(expiring)),
        Record::Group {
            group: "g".into(),
            value: None,
        },
        Record::Group {
            group: "g".into(),
            value: Some(group),
        },
    ];
    for record in records {
        let (key, value) = record.encode().unwrap();
        assert_eq!(Record::decode(&key, value.as_deref()), Ok(Some(record)));
    }
}

#[test]
fn what_is_not_known_is_skipped_and_what_is_broken_is_told() {
    assert_eq!(Record::decode(b"\0\x63rest", None), Ok(None));
    let (key, _) = offset_record(None).encode().unwrap();
    for end in 0..key.len() {
        assert!(matches!(
            Record::decode(&key[..end], None),
            Err(Error::Malformed(_))
        ));
    }
    assert!(Record::decode(&key, Some(b"\x7f\xff")).is_err());
}
