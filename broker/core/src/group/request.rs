//! What a shard of groups is asked, and answers: Kafka's own requests, cut to one group where they
//! name several.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::{consumer_groups, groups as wire};

use super::consumer;
use crate::ask::Ask;
use crate::shard::Transaction;

/// Who sent a request, for member ids and DescribeGroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The client id of the request's header.
    pub id: String,
    /// The address the request came from, as Kafka prints it (`/127.0.0.1`).
    pub host: String,
}

/// A request to a shard.
#[derive(Clone, Debug)]
pub struct Request {
    /// The API version of the request, as answers differ by it.
    pub version: i16,
    /// Who asks.
    pub client: Client,
    /// What is asked.
    pub body: Body,
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// As the client sent it.
    pub body: wire::JoinGroupRequest,
    /// Randomness for a new member's id.
    pub fresh: Uuid,
}

/// DeleteGroups, one group of it.
#[derive(Clone, Debug)]
pub struct DeleteGroup(pub String);

/// DescribeGroups, one group of it.
#[derive(Clone, Debug)]
pub struct DescribeGroup(pub String);

/// OffsetFetch, one group of it.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetch {
    /// What is asked; topics carry their names.
    pub group: wire::OffsetFetchRequestGroup,
    /// Whether offsets that an open transaction may change are refused (KIP-447).
    pub require_stable: bool,
}

/// TxnOffsetCommit: an OffsetCommit inside of a transaction.
#[derive(Clone, Debug)]
pub struct TxnOffsetCommit {
    /// The offsets; topics carry their names and ids.
    pub commit: wire::OffsetCommitRequest,
    /// Whose transaction it is.
    pub transaction: Transaction,
}

macro_rules! requests {
    ($($(#[doc = $doc:literal])+ $name:ident($body:ty) -> $answer:ty;)*) => {
        /// What is asked.
        #[derive(Clone, Debug)]
        pub enum Body {
            $($(#[doc = $doc])+ $name($body),)*
        }

        /// What is answered: the variant is that of the request.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Response {
            $(#[doc = concat!("See [`Body::", stringify!($name), "`].")] $name($answer),)*
        }

        $(impl Ask for $body {
            type Request = Body;
            type Response = Response;
            type Answer = $answer;

            fn into_request(self) -> Body {
                Body::$name(self)
            }

            fn answer(response: Response) -> Option<$answer> {
                match response {
                    Response::$name(answer) => Some(answer),
                    _ => None,
                }
            }
        })*
    };
}

requests! {
    /// JoinGroup, with fresh randomness for a new member's id.
    JoinGroup(JoinGroup) -> wire::JoinGroupResponse;
    /// SyncGroup.
    SyncGroup(wire::SyncGroupRequest) -> wire::SyncGroupResponse;
    /// Heartbeat.
    Heartbeat(wire::HeartbeatRequest) -> wire::HeartbeatResponse;
    /// LeaveGroup; a request of version 0 to 2 has its member in `members` too.
    LeaveGroup(wire::LeaveGroupRequest) -> wire::LeaveGroupResponse;
    /// OffsetCommit; topics carry their names, and their ids where known.
    OffsetCommit(wire::OffsetCommitRequest) -> wire::OffsetCommitResponse;
    /// TxnOffsetCommit; the answer is in the shape of an OffsetCommit's.
    TxnOffsetCommit(TxnOffsetCommit) -> wire::OffsetCommitResponse;
    /// OffsetFetch of one group.
    OffsetFetch(OffsetFetch) -> wire::OffsetFetchResponseGroup;
    /// OffsetDelete.
    OffsetDelete(wire::OffsetDeleteRequest) -> wire::OffsetDeleteResponse;
    /// DeleteGroups, one group of it.
    DeleteGroup(DeleteGroup) -> ErrorCode;
    /// DescribeGroups, one group of it.
    DescribeGroup(DescribeGroup) -> wire::DescribedGroup;
    /// ListGroups: those of this shard.
    ListGroups(wire::ListGroupsRequest) -> Vec<wire::ListedGroup>;
    /// ConsumerGroupHeartbeat, with fresh randomness for a new member's id.
    ConsumerGroupHeartbeat(consumer::Heartbeat) -> consumer_groups::ConsumerGroupHeartbeatResponse;
    /// ConsumerGroupDescribe, one group of it.
    ConsumerGroupDescribe(consumer::Describe) -> consumer_groups::DescribedGroup;
}
