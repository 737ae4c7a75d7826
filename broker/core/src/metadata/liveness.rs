//! Leases: who was heard of lately. Soft state of the active controller, not replicated.
//!
//! A broker keeps its lease by heartbeats. One that is unfenced in the image and was not heard of
//! for a lease is expired, and the controller then decides to fence it. A new active controller has
//! heard of nobody: it gives all unfenced brokers a full lease from the moment it became active.

use std::collections::BTreeMap;

use ottla_protocol::ids::{BrokerEpoch, NodeId};

use super::image::MetadataImage;

/// When each broker was heard of last.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    active_since_ms: i64,
    heard_ms: BTreeMap<NodeId, (BrokerEpoch, i64)>,
}

impl Liveness {
    /// A controller that became active at `now_ms`, of a clock that never goes back.
    pub fn new(now_ms: i64) -> Self {
        Self {
            active_since_ms: now_ms,
            heard_ms: BTreeMap::new(),
        }
    }

    /// The incarnation was heard of. An older one than was heard of before does not count.
    pub fn record(&mut self, now_ms: i64, node: NodeId, broker_epoch: BrokerEpoch) {
        let heard = self.heard_ms.entry(node).or_insert((broker_epoch, now_ms));
        if broker_epoch >= heard.0 {
            *heard = (broker_epoch, now_ms);
        }
    }

    /// The incarnation is known to be gone, as when its connection was reset: its lease is over.
    pub fn forget(&mut self, node: NodeId, broker_epoch: BrokerEpoch) {
        if self
            .heard_ms
            .get(&node)
            .is_some_and(|h| h.0 == broker_epoch)
        {
            self.heard_ms.insert(node, (broker_epoch, i64::MIN));
        }
    }

    /// The unfenced brokers, with their incarnation, that were not heard of for `lease_ms`.
    pub fn expired(
        &self,
        now_ms: i64,
        lease_ms: i64,
        image: &MetadataImage,
    ) -> Vec<(NodeId, BrokerEpoch)> {
        let unfenced = image.unfenced_brokers();
        let expired = unfenced.filter(|b| {
            let heard = self.heard_ms.get(&b.node_id);
            let heard = heard.filter(|(epoch, _)| *epoch >= b.broker_epoch);
            let last = heard.map_or(self.active_since_ms, |(_, at)| *at);
            now_ms.saturating_sub(last) > lease_ms
        });
        expired.map(|b| (b.node_id, b.broker_epoch)).collect()
    }

    /// When the next lease runs out, if nobody is heard of until then.
    pub fn next_expiry_ms(&self, lease_ms: i64, image: &MetadataImage) -> Option<i64> {
        let unfenced = image.unfenced_brokers();
        let last = unfenced.map(|b| match self.heard_ms.get(&b.node_id) {
            Some((epoch, at)) if *epoch >= b.broker_epoch => *at,
            _ => self.active_since_ms,
        });
        last.min().map(|at| at.saturating_add(lease_ms))
    }
}
