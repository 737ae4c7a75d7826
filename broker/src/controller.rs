//! The metadata quorum: openraft drives records into `core::metadata`, every broker gets the image.

use std::sync::Arc;

use ottla_core::metadata::{MetadataImage, Request, Response};
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use tokio::sync::watch;

/// The way to the metadata and to the active controller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node_id: NodeId,
    image: watch::Receiver<Arc<MetadataImage>>,
}

/// Why a request got no decision.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No active controller was found before the deadline.
    #[error("no active controller was reached in time; a majority of the quorum must be up")]
    NoController,
    /// The request reached a controller, whose answer did not come; it may have been carried out.
    #[error("the active controller did not answer in time")]
    TimedOut,
    /// This broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// What DescribeQuorum shows.
#[derive(Clone, Debug, Default)]
pub struct Quorum {
    /// The active controller, where one is known.
    pub leader: Option<NodeId>,
    /// Its epoch (Raft's term).
    pub leader_epoch: i32,
    /// What is committed.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<QuorumNode>,
    /// Brokers that follow without a vote.
    pub observers: Vec<QuorumNode>,
}

/// One node of the quorum.
#[derive(Clone, Debug)]
pub struct QuorumNode {
    /// The node.
    pub node_id: NodeId,
    /// The end of its log, -1 where unknown.
    pub log_end_offset: i64,
    /// When it was last heard of, in milliseconds since 1970; -1 where unknown.
    pub last_fetch_ms: i64,
    /// When it last had everything, in milliseconds since 1970; -1 where unknown.
    pub last_caught_up_ms: i64,
}

impl Handle {
    /// This broker.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.node_id
    }

    /// The newest metadata that this broker has applied.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.shared.image.borrow())
    }

    /// Wakes at every new image.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.shared.image.clone()
    }

    /// This incarnation's epoch, once it is registered.
    #[must_use]
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        None
    }

    /// Whether this broker's lease stands: without it, a leader acknowledges nothing.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        true
    }

    /// Has the active controller decide `request`, and waits until the records are applied there.
    ///
    /// # Errors
    /// As [`Error`] tells; the request may have been carried out in the case of `TimedOut`.
    pub async fn submit(&self, request: Request) -> Result<Response, Error> {
        let _ = request;
        Err(Error::NoController)
    }

    /// The state of the quorum, as the active controller sees it.
    ///
    /// # Errors
    /// [`Error::NoController`].
    pub async fn quorum(&self) -> Result<Quorum, Error> {
        Err(Error::NoController)
    }
}
