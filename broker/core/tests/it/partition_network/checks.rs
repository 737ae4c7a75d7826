//! What must hold after each step, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::node::Node;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    committed: BTreeMap<Offset, u64>,
    high_watermarks: BTreeMap<NodeId, (LeaderEpoch, Offset)>,
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// How far each node's log was compared; a node that starts again or truncates is compared
    /// again.
    compared: BTreeMap<NodeId, Offset>,
}

impl Checks {
    /// SingleLeader, MonotonicHighWatermark, and equal committed prefixes.
    pub(super) fn after_step(&mut self, node: &Node) {
        let partition = &node.partition;
        let high_watermark = partition.marks().high_watermark;
        if partition.is_leader() {
            let leader_epoch = partition.leader_epoch();
            let leader = *self.leaders.entry(leader_epoch).or_insert(node.id);
            assert_eq!(leader, node.id, "two leaders in epoch {leader_epoch}");
            let entry = (leader_epoch, high_watermark);
            if let Some(before) = self.high_watermarks.insert(node.id, entry)
                && before.0 == leader_epoch
            {
                assert!(before.1 <= high_watermark, "high watermark went back");
            }
        }
        let compared = self.compared.insert(node.id, high_watermark);
        let compared = compared.unwrap_or(Offset::ZERO).min(high_watermark);
        let first = |offset| {
            node.log
                .partition_point(|entry| entry.batch.next_offset() <= offset)
        };
        for entry in &node.log[first(compared)..first(high_watermark)] {
            let base_offset = entry.batch.base_offset;
            let payload = *self.committed.entry(base_offset).or_insert(entry.payload);
            assert_eq!(
                payload, entry.payload,
                "node {} has other committed records at {base_offset}",
                node.id
            );
        }
    }

    /// A node has lost its memory.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.compared.remove(&node);
    }

    /// An acknowledged record is flushed on as many brokers as was promised; what one of them has
    /// lost since it said so is for the end to judge.
    pub(super) fn on_acknowledgement(nodes: &[Node], payload: u64) {
        let holders = nodes.iter().filter(|node| {
            node.log[..node.flushed_count]
                .iter()
                .rev()
                .any(|entry| entry.payload == payload)
                || node.emptied.contains(&payload)
        });
        assert!(
            holders.count() >= 2,
            "{payload} was acknowledged before it was flushed on two brokers"
        );
    }

    /// Every acknowledged record is on every replica, once; and so is nothing twice.
    pub(super) fn at_the_end(nodes: &[Node], acknowledged: &BTreeSet<u64>) {
        for node in nodes {
            let mut seen = BTreeSet::new();
            for entry in &node.log {
                assert!(seen.insert(entry.payload), "{} twice", entry.payload);
            }
            let missing: Vec<_> = acknowledged.difference(&seen).collect();
            assert!(missing.is_empty(), "node {} lacks {missing:?}", node.id);
            assert_eq!(node.log, nodes[0].log, "replicas differ");
            assert_eq!(node.partition.producers(), nodes[0].partition.producers());
            assert_eq!(node.partition.marks().high_watermark, node.end_offset());
        }
    }
}
