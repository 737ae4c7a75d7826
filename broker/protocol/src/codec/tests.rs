//! Golden bytes: what the codec writes, byte for byte, and what it refuses to read.

use bytes::BytesMut;

use super::{Decode, Encode, Error, Reader, Writer};
use crate::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::messages::fetch::{FetchRequest, ReplicaState};
use crate::messages::metadata::{MetadataRequest, MetadataRequestTopic};

fn written(message: &impl Encode, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    writer.into_bytes().to_vec()
}

fn read<M: Decode>(bytes: &[u8], version: i16) -> Result<M, Error> {
    let mut reader = Reader::new(BytesMut::from(bytes));
    let message = M::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(message)
}

#[test]
fn a_flexible_request_is_compact_and_ends_with_tags() {
    let request = ApiVersionsRequest {
        client_software_name: "ottla".to_owned(),
        client_software_version: "1".to_owned(),
    };
    assert_eq!(written(&request, 3), b"\x06ottla\x021\x00");
    assert_eq!(read(b"\x06ottla\x021\x00", 3), Ok(request.clone()));
    // neither field exists before version 3, and both may be left out
    assert_eq!(written(&request, 0), b"");
}

#[test]
fn null_is_minus_one_or_zero() {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(written(&all, 1), b"\xff\xff\xff\xff");
    assert_eq!(written(&all, 9), b"\x00\x01\x00\x00\x00");
    // version 0 has no null: there, all topics are asked for by none
    assert_eq!(
        all.encode(&mut Writer::new(), 0),
        Err(Error::UnexpectedNull)
    );
}

#[test]
fn a_tagged_field_is_sent_unless_it_is_its_default() {
    let mut request = FetchRequest::default();
    let without = written(&request, 15);
    assert_eq!(without.last(), Some(&0));
    request.replica_state = ReplicaState {
        replica_id: 7,
        replica_epoch: 9,
    };
    let with = written(&request, 15);
    let tag = b"\x01\x01\x0d\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x09\x00";
    assert_eq!(
        with.strip_prefix(&without[..without.len() - 1]),
        Some(&tag[..])
    );
    assert_eq!(read(&with, 15), Ok(request));
}

#[test]
fn an_unknown_tag_is_skipped() {
    let request = read::<ApiVersionsRequest>(b"\x02a\x02b\x02\x05\x01x\x09\x02yz", 3).unwrap();
    assert_eq!(request.client_software_name, "a");
}

#[test]
fn a_tag_that_does_not_fill_its_length_is_refused() {
    // finalized_features_epoch (tag 1) takes eight bytes, and nine are declared
    let bytes = b"\x00\x00\x01\x00\x00\x00\x00\x01\x01\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(
        read::<ApiVersionsResponse>(bytes, 3),
        Err(Error::InvalidTag { tag: 1 })
    );
}

#[test]
fn a_field_that_may_not_be_left_out_is_an_error() {
    let by_id = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: None,
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    assert_eq!(
        by_id.encode(&mut Writer::new(), 8),
        Err(Error::UnexpectedNull)
    );
}

#[test]
fn a_version_that_does_not_exist_is_refused() {
    let error = Error::UnsupportedVersion {
        message: "MetadataRequest",
        version: 99,
    };
    assert_eq!(read::<MetadataRequest>(b"", 99), Err(error));
}

#[test]
fn a_hostile_count_costs_nothing() {
    let most = read::<MetadataRequest>(b"\x7f\xff\xff\xff", 0);
    assert_eq!(
        most,
        Err(Error::InvalidLength {
            length: i64::from(i32::MAX)
        })
    );
    let negative = read::<MetadataRequest>(b"\x80\x00\x00\x00", 0);
    assert_eq!(
        negative,
        Err(Error::InvalidLength {
            length: i64::from(i32::MIN)
        })
    );
}
