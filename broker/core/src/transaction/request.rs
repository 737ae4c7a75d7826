//! What a shard of transactional ids is asked, and answers: Kafka's own requests, cut to one
//! transaction where they name several.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::ProducerId;
use ottla_protocol::messages::producer_ids as ids;
use ottla_protocol::messages::transactions as wire;

use super::TransactionalId;
use super::state::{Partitions, Producer};
use crate::ask::Ask;

/// A request to a shard.
#[derive(Clone, Debug)]
pub struct Request {
    /// The API version of the request, as answers differ by it.
    pub version: i16,
    /// What is asked.
    pub body: Body,
}

/// An answer, where it needs no producer id that was not brought along.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered<T> {
    /// This is the answer.
    With(T),
    /// Nothing is done: the request is to be sent again with a fresh producer id.
    NeedsProducerId,
}

/// InitProducerId with a transactional id.
#[derive(Clone, Debug)]
pub struct InitProducerId {
    /// As the client sent it.
    pub body: ids::InitProducerIdRequest,
    /// A producer id that nobody has.
    pub fresh: Option<ProducerId>,
}

/// AddPartitionsToTxn, one transaction of it, or AddOffsetsToTxn.
#[derive(Clone, Debug)]
pub struct AddPartitions {
    /// The transactional id.
    pub transactional_id: String,
    /// Who asks.
    pub producer: Producer,
    /// What is to be added.
    pub partitions: Partitions,
}

/// AddPartitionsToTxn that only verifies.
#[derive(Clone, Debug)]
pub struct VerifyPartitions(pub AddPartitions);

/// EndTxn.
#[derive(Clone, Debug)]
pub struct EndTxn {
    /// As the client sent it.
    pub body: wire::EndTxnRequest,
    /// A producer id that nobody has.
    pub fresh: Option<ProducerId>,
}

/// All markers of a prepared transaction are written.
#[derive(Clone, Debug)]
pub struct Complete {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The producer that the markers bear.
    pub producer: Producer,
    /// When it was prepared.
    pub prepared_ms: i64,
}

/// The time of an ongoing transaction is over, and to abort it takes a producer id.
#[derive(Clone, Debug)]
pub struct Expire {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// Its producer.
    pub producer: Producer,
    /// A producer id that nobody has.
    pub fresh: ProducerId,
}

/// DescribeTransactions, one id of it.
#[derive(Clone, Debug)]
pub struct DescribeTransaction(pub String);

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
    /// InitProducerId.
    InitProducerId(InitProducerId) -> Answered<ids::InitProducerIdResponse>;
    /// AddPartitionsToTxn and AddOffsetsToTxn.
    AddPartitions(AddPartitions) -> ErrorCode;
    /// AddPartitionsToTxn that only verifies: the partitions that were not added.
    VerifyPartitions(VerifyPartitions) -> Result<Partitions, ErrorCode>;
    /// EndTxn.
    EndTxn(EndTxn) -> Answered<wire::EndTxnResponse>;
    /// From who writes the markers: whether the transaction was prepared until now.
    Complete(Complete) -> bool;
    /// From who carries out orders: whether the transaction is over.
    Expire(Expire) -> bool;
    /// DescribeTransactions, one id of it.
    DescribeTransaction(DescribeTransaction) -> wire::DescribedTransaction;
    /// ListTransactions: those of this shard. The pattern is applied by who asks.
    ListTransactions(wire::ListTransactionsRequest) -> Vec<wire::ListedTransaction>;
}
