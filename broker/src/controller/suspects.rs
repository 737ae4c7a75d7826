//! What this node believes of others, and the answers that wait for it; `core::suspects` decides.

use std::sync::Arc;

use ottla_core::image::{BrokerRegistration, MetadataImage};
use ottla_core::suspects::NOTICE;
use ottla_protocol::ids::NodeId;

use super::Handle;

impl Handle {
    /// A connection to this broker broke.
    pub fn suspect(&self, node: NodeId) {
        let (image, now) = (self.image(), self.shared.env.now());
        let suspects = &self.shared.suspects;
        suspects.send_if_modified(|suspects| suspects.suspect(&image, node, now));
    }

    /// This broker answers.
    pub fn trust(&self, node: NodeId) {
        let suspects = &self.shared.suspects;
        suspects.send_if_modified(|suspects| suspects.trust(node));
    }

    /// The newest image, for an answer that names the leaders for which `is_named` holds: the one
    /// after the failover, where one of them seems to be gone.
    pub async fn settled(
        &self,
        is_named: impl Fn(&MetadataImage, NodeId) -> bool,
    ) -> Arc<MetadataImage> {
        let asked = self.shared.env.now();
        tokio::time::sleep(NOTICE).await;
        let mut images = self.subscribe();
        let mut changes = self.shared.suspects.subscribe();
        loop {
            let image = Arc::clone(&images.borrow_and_update());
            let now = self.shared.env.now();
            let named = |node| is_named(&image, node);
            let until = changes.borrow_and_update().wait_until(asked, now, named);
            let Some(until) = until else {
                return image;
            };
            let changed = tokio::select! {
                changed = images.changed() => changed,
                changed = changes.changed() => changed,
                () = tokio::time::sleep(until - now) => Ok(()),
            };
            if changed.is_err() {
                return image; // the node stops, and no other image comes
            }
        }
    }

    /// Whether clients are told of this broker: as long as it is unfenced, and a moment longer.
    #[must_use]
    pub fn is_listed(&self, broker: &BrokerRegistration) -> bool {
        let (node, epoch) = (broker.node_id, broker.broker_epoch);
        let now = self.shared.env.now();
        !broker.fenced || self.shared.suspects.borrow().is_listed(node, epoch, now)
    }
}
