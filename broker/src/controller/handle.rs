//! What every part of the broker asks of the metadata: the image, this broker's standing, where
//! others are.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::Stream;
use openraft::async_runtime::WatchReceiver;
use ottla_core::image::MetadataImage;
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::Handle;
use crate::peer::wire;

impl Handle {
    /// This broker.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.settings.node_id
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
        let epoch = self.shared.broker_epoch.load(Ordering::Acquire);
        (epoch >= 0).then_some(BrokerEpoch(epoch))
    }

    /// Says whether the disk of the data directory hangs. While it does, this broker keeps no
    /// lease: it could acknowledge nothing that it leads.
    pub fn set_disk_stalled(&self, is_stalled: bool) {
        let disk = &self.shared.data_disk;
        disk.is_stalled.store(is_stalled, Ordering::Release);
    }

    /// Says whether that disk has room for records. While it has none, others lead that have.
    pub fn set_disk_full(&self, is_full: bool) {
        let disk = &self.shared.data_disk;
        disk.is_full.store(is_full, Ordering::Release);
    }

    /// Whether this broker's lease stands. Without it there may be other leaders by now: a leader
    /// then acknowledges nothing that they might not know of, and serves no reads.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        !self.lease_left().is_zero()
    }

    /// For how long this broker's lease stands if it is not renewed; zero: it has none.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        if self.shared.env.ignores_leases() {
            return Duration::MAX;
        }
        let until = self.shared.lease_until_ms.load(Ordering::Acquire);
        let left = until.saturating_sub(self.shared.env.now_ms());
        Duration::from_millis(left.try_into().unwrap_or(0))
    }

    /// Why this node takes no part in the quorum, where its metadata log failed or is another
    /// cluster's.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if let Some(sentence) = self.shared.identity.among_strangers() {
            return Some(sentence);
        }
        let metrics = self.shared.raft.metrics();
        let failed = metrics.borrow_watched().running_state.clone().err()?;
        Some(format!(
            "the metadata log failed: {failed}; mend the disk and start again"
        ))
    }

    /// The active controller, as far as this node knows.
    #[must_use]
    pub fn active(&self) -> Option<NodeId> {
        let leader = self.shared.raft.metrics().borrow_watched().current_leader;
        leader.map(|id| NodeId(id as i32))
    }

    /// Whether this node is the active controller.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.shared.raft.is_leader()
    }

    /// The index of the last entry of the metadata log that this broker has applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.shared.applied.borrow()
    }

    /// Opens a stream of batches for `node` to append, on a connection of its own: heartbeats are
    /// not to wait behind them. Nothing of it is sent before the node has taken it.
    ///
    /// # Errors
    /// The node is not known, or does not take them.
    pub async fn open_forward(
        &self,
        node: NodeId,
        batches: impl Stream<Item = wire::ForwardedBatch> + Send + 'static,
    ) -> Result<Streaming<wire::ForwardedOutcome>, Status> {
        let address = self.peer_address(node);
        let address = address.ok_or_else(|| Status::not_found("an unknown broker"))?;
        let mut client = self.shared.peers.client_for_bulk(node, &address);
        let request = self.shared.identity.sign(tonic::Request::new(batches));
        Ok(client.forward(request).await?.into_inner())
    }

    /// Where a node listens for peers: voters by the settings, others by their registration, or by
    /// the membership of the quorum where they have not registered yet.
    #[must_use]
    pub fn peer_address(&self, node: NodeId) -> Option<String> {
        let voters = &self.shared.settings.controller_quorum_voters;
        if let Some(voter) = voters.iter().find(|voter| voter.node_id == node) {
            return Some(voter.address());
        }
        let image = self.image();
        match image.node(node) {
            Some((_, peer)) => Some(format!("{}:{}", peer.host, peer.port)),
            None => self.voters().remove(&node),
        }
    }
}
