//! Every message there is, with its type erased.

use std::ops::RangeInclusive;

use bytes::BytesMut;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::{Decode, Encode, Error, Field, Message, Reader, Request, Type, Writer};
use ottla_protocol::messages::{
    access::*, api_versions::*, cluster::*, configs::*, consumer_groups::*, consumer_protocol::*,
    fetch::*, group_records::*, groups::*, log_dirs::*, metadata::*, offsets::*, produce::*,
    producer_ids::*, topics::*, transactions::*,
};

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Request(ApiKey),
    Response(ApiKey),
    Record,
}

/// One message.
#[derive(Clone)]
pub struct Entry {
    pub name: &'static str,
    pub role: Role,
    pub versions: RangeInclusive<i16>,
    pub flexible: i16,
    pub fields: &'static [Field],
    /// Reads bytes that must be one whole message.
    pub decode: fn(BytesMut, i16) -> Result<(), Error>,
    /// Reads it and writes it again.
    pub transcode: fn(BytesMut, i16) -> Result<Vec<u8>, Error>,
}

/// All of them.
pub fn all() -> Vec<Entry> {
    let mut all = Vec::new();
    macro_rules! requests {
        ($($request:ty)*) => { $(
            let key = <$request>::KEY;
            all.push(entry::<$request>(Role::Request(key)));
            all.push(entry::<<$request as Request>::Response>(Role::Response(key)));
        )* };
    }
    requests! {
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest
        OffsetFetchRequest FindCoordinatorRequest JoinGroupRequest HeartbeatRequest
        LeaveGroupRequest SyncGroupRequest DescribeGroupsRequest ListGroupsRequest
        SaslHandshakeRequest ApiVersionsRequest CreateTopicsRequest DeleteTopicsRequest
        DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest
        AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest WriteTxnMarkersRequest
        TxnOffsetCommitRequest DescribeAclsRequest CreateAclsRequest DeleteAclsRequest
        DescribeConfigsRequest AlterConfigsRequest AlterReplicaLogDirsRequest
        DescribeLogDirsRequest SaslAuthenticateRequest CreatePartitionsRequest DeleteGroupsRequest
        ElectLeadersRequest IncrementalAlterConfigsRequest AlterPartitionReassignmentsRequest
        ListPartitionReassignmentsRequest OffsetDeleteRequest DescribeClientQuotasRequest
        AlterClientQuotasRequest DescribeUserScramCredentialsRequest
        AlterUserScramCredentialsRequest DescribeQuorumRequest UpdateFeaturesRequest
        DescribeClusterRequest DescribeProducersRequest UnregisterBrokerRequest
        DescribeTransactionsRequest ListTransactionsRequest ConsumerGroupHeartbeatRequest
        ConsumerGroupDescribeRequest ListConfigResourcesRequest DescribeTopicPartitionsRequest
    }
    macro_rules! records {
        ($($record:ty)*) => { $(all.push(entry::<$record>(Role::Record));)* };
    }
    records! {
        OffsetCommitKey OffsetCommitValue GroupMetadataKey GroupMetadataValue
        ConsumerProtocolSubscription ConsumerProtocolAssignment
    }
    all
}

fn entry<M: Message>(role: Role) -> Entry {
    let Type::Struct(name, fields) = M::TYPE else {
        unreachable!("a message is a struct");
    };
    Entry {
        name,
        role,
        versions: M::VERSIONS,
        flexible: M::FLEXIBLE,
        fields,
        decode: |bytes, version| decode::<M>(bytes, version).map(drop),
        transcode: |bytes, version| {
            let message = decode::<M>(bytes, version)?;
            let mut writer = Writer::new();
            message.encode(&mut writer, version)?;
            Ok(writer.into_bytes().to_vec())
        },
    }
}

fn decode<M: Message>(bytes: BytesMut, version: i16) -> Result<M, Error> {
    let mut reader = Reader::new(bytes);
    let message = M::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(message)
}
