//! Producer ids: taken one by one from blocks that the controller gives out.

use ottla_core::metadata::request::{AllocateProducerIds, ProducerIdBlock};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::ProducerId;
use tokio::sync::Mutex;
use tracing::warn;

use crate::controller;

/// The block in use. Invariant: an id is given out once; what is left of a block at the end of the
/// process is lost, which costs nothing.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<ProducerIdBlock>,
}

impl ProducerIds {
    /// An id that nobody else has.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while no block is to be had: clients try again.
    pub async fn next(&self, controller: &controller::Handle) -> Result<ProducerId, ErrorCode> {
        let mut block = self.block.lock().await;
        if block.count <= 0 {
            *block = allocate(controller).await?;
        }
        let id = block.first;
        block.first = ProducerId(id.0 + 1);
        block.count -= 1;
        Ok(id)
    }
}

async fn allocate(controller: &controller::Handle) -> Result<ProducerIdBlock, ErrorCode> {
    let Some(broker_epoch) = controller.broker_epoch() else {
        return Err(ErrorCode::CoordinatorLoadInProgress);
    };
    let node_id = controller.node_id();
    let request = AllocateProducerIds {
        node_id,
        broker_epoch,
    };
    match controller.submit(request).await {
        Ok(Ok(block)) => Ok(block),
        Ok(Err(refusal)) => {
            warn!(message = refusal.message, "no producer ids");
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
        Err(error) => {
            warn!(%error, "no producer ids");
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}
