//! Producer ids, given out to brokers in blocks, so that InitProducerId seldom waits for the
//! quorum.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::ProducerId;

use super::request::{AllocateProducerIds, ProducerIdBlock, Refusal, Response};
use super::{Decision, Metadata};
use crate::image::record::{ProducerIdsRecord, Record};

/// How many ids a broker gets at once.
pub const PRODUCER_IDS_PER_BLOCK: i32 = 1000;

impl Metadata {
    pub(super) fn allocate_producer_ids(&self, request: AllocateProducerIds) -> Decision {
        let refuse = |refusal| Decision::refused(Response::AllocateProducerIds(Err(refusal)));
        if let Err(refusal) = self.check_incarnation(request.node_id, request.broker_epoch) {
            return refuse(refusal);
        }
        let first = self.image.next_producer_id;
        let Some(next) = first.0.checked_add(i64::from(PRODUCER_IDS_PER_BLOCK)) else {
            let message = "Exhausted all producer ids.";
            return refuse(Refusal::new(ErrorCode::UnknownServerError, message));
        };
        let record = ProducerIdsRecord {
            next_producer_id: next,
        };
        Decision {
            records: vec![Record::ProducerIds(record)],
            response: Response::AllocateProducerIds(Ok(ProducerIdBlock {
                first: ProducerId(first.0),
                count: PRODUCER_IDS_PER_BLOCK,
            })),
        }
    }
}
