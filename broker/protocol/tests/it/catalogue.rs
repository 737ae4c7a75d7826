//! Every message there is, with its type erased.

use std::ops::RangeInclusive;

use bytes::BytesMut;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::{Decode, Encode, Error, Field, Message, Reader, Request, Type, Writer};
use ottla_protocol::messages::{
    access::*, api_versions::*, cluster::*, configs::*, consumer_group_records::*,
    consumer_groups::*, consumer_protocol::*, fetch::*, group_records::*, groups::*, log_dirs::*,
    metadata::*, offsets::*, produce::*, producer_ids::*, topics::*, transaction_records::*,
    transactions::*,
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
    pub family: &'static str,
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
        ($($family:literal: $($request:ty)*;)*) => { $($(
            let key = <$request>::KEY;
            all.push(entry::<$request>($family, Role::Request(key)));
            all.push(entry::<<$request as Request>::Response>($family, Role::Response(key)));
        )*)* };
    }
    requests! {
        "produce": ProduceRequest;
        "fetch": FetchRequest;
        "offsets": ListOffsetsRequest OffsetForLeaderEpochRequest DeleteRecordsRequest;
        "metadata": MetadataRequest DescribeTopicPartitionsRequest DescribeClusterRequest;
        "topics": CreateTopicsRequest DeleteTopicsRequest CreatePartitionsRequest;
        "configs": DescribeConfigsRequest AlterConfigsRequest IncrementalAlterConfigsRequest
            ListConfigResourcesRequest;
        "groups": FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest
            SyncGroupRequest DescribeGroupsRequest ListGroupsRequest DeleteGroupsRequest
            OffsetCommitRequest OffsetFetchRequest OffsetDeleteRequest;
        "consumer_groups": ConsumerGroupHeartbeatRequest ConsumerGroupDescribeRequest;
        "producer_ids": InitProducerIdRequest;
        "cluster": ElectLeadersRequest AlterPartitionReassignmentsRequest
            ListPartitionReassignmentsRequest UnregisterBrokerRequest UpdateFeaturesRequest
            DescribeQuorumRequest AddRaftVoterRequest RemoveRaftVoterRequest;
        "log_dirs": AlterReplicaLogDirsRequest DescribeLogDirsRequest;
        "api_versions": ApiVersionsRequest;
        "transactions": AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest
            WriteTxnMarkersRequest TxnOffsetCommitRequest DescribeProducersRequest
            DescribeTransactionsRequest ListTransactionsRequest;
        "access": SaslHandshakeRequest SaslAuthenticateRequest DescribeAclsRequest
            CreateAclsRequest DeleteAclsRequest DescribeUserScramCredentialsRequest
            AlterUserScramCredentialsRequest DescribeClientQuotasRequest AlterClientQuotasRequest
            CreateDelegationTokenRequest RenewDelegationTokenRequest
            ExpireDelegationTokenRequest DescribeDelegationTokenRequest;
    }
    macro_rules! records {
        ($($family:literal: $($record:ty)*;)*) => {
            $($(all.push(entry::<$record>($family, Role::Record));)*)*
        };
    }
    records! {
        "group_records": OffsetCommitKey OffsetCommitValue GroupMetadataKey GroupMetadataValue
            ConsumerProtocolSubscription ConsumerProtocolAssignment;
        "consumer_groups": ConsumerGroupMetadataKey ConsumerGroupMemberMetadataKey
            ConsumerGroupRegularExpressionKey ConsumerGroupMetadataValue
            ConsumerGroupMemberMetadataValue ConsumerGroupTargetAssignmentMetadataValue
            ConsumerGroupTargetAssignmentMemberValue ConsumerGroupCurrentMemberAssignmentValue
            ConsumerGroupRegularExpressionValue;
        "transactions": TransactionLogKey TransactionLogValue;
    }
    all
}

fn entry<M: Message>(family: &'static str, role: Role) -> Entry {
    let Type::Struct(name, fields) = M::TYPE else {
        unreachable!("a message is a struct");
    };
    Entry {
        name,
        family,
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
