//! A controller in small: registrations, fencing, elections, and the judgement of AlterPartition.

use std::collections::BTreeMap;

use ottla_core::partition::{AlterIsr, AlteredIsr, Assignment, ReplicaState};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

#[derive(Debug)]
pub(super) struct Controller {
    brokers: BTreeMap<NodeId, (BrokerEpoch, bool)>,
    next_broker_epoch: i64,
    leader: Option<NodeId>,
    leader_epoch: i32,
    partition_epoch: i32,
    isr: Vec<NodeId>,
    /// The leader of each epoch, for the check that there is one.
    pub(super) leaders: BTreeMap<LeaderEpoch, NodeId>,
}

impl Controller {
    pub(super) fn new(nodes: &[NodeId]) -> Self {
        let mut controller = Self {
            brokers: nodes.iter().map(|n| (*n, (BrokerEpoch(0), true))).collect(),
            next_broker_epoch: 1,
            leader: None,
            leader_epoch: -1,
            partition_epoch: 0,
            isr: nodes.to_vec(),
            leaders: BTreeMap::new(),
        };
        controller.elect();
        controller
    }

    pub(super) fn assignment(&self) -> Assignment {
        Assignment {
            leader: self.leader,
            successor: None,
            leader_epoch: LeaderEpoch(self.leader_epoch),
            partition_epoch: PartitionEpoch(self.partition_epoch),
            replicas: self
                .brokers
                .iter()
                .map(|(node, (broker_epoch, is_unfenced))| ReplicaState {
                    node: *node,
                    eligible: is_unfenced.then_some(*broker_epoch),
                })
                .collect(),
            settled_replicas: self.brokers.len(),
            isr: self.isr.clone(),
        }
    }

    fn is_unfenced(&self, node: NodeId) -> bool {
        self.brokers.get(&node).is_some_and(|broker| broker.1)
    }

    fn elect(&mut self) {
        self.leader = self.isr.iter().copied().find(|n| self.is_unfenced(*n));
        self.leader_epoch += 1;
        self.partition_epoch += 1;
        if let Some(leader) = self.leader {
            self.leaders.insert(LeaderEpoch(self.leader_epoch), leader);
        }
    }

    /// A broker is gone, or is taken to be.
    pub(super) fn fence(&mut self, node: NodeId) {
        if !self.is_unfenced(node) {
            return;
        }
        if let Some(broker) = self.brokers.get_mut(&node) {
            broker.1 = false;
        }
        let remaining: Vec<NodeId> = self.isr.iter().copied().filter(|n| *n != node).collect();
        if !remaining.is_empty() {
            self.isr = remaining;
        }
        if self.leader == Some(node) {
            self.elect();
        } else {
            self.partition_epoch += 1;
        }
    }

    /// A broker has started: another incarnation, whose memory is gone.
    pub(super) fn register(&mut self, node: NodeId) -> BrokerEpoch {
        self.fence(node);
        let broker_epoch = BrokerEpoch(self.next_broker_epoch);
        self.next_broker_epoch += 1;
        self.brokers.insert(node, (broker_epoch, true));
        if self.leader.is_none() {
            self.elect();
        } else {
            self.partition_epoch += 1;
        }
        broker_epoch
    }

    /// Gives the leadership to another member of the ISR while the old leader lives.
    pub(super) fn move_leadership(&mut self) {
        self.isr.rotate_left(1);
        self.elect();
    }

    /// A broker has found its log damaged: from the epoch that is answered nobody counts on it.
    pub(super) fn lose(&mut self, node: NodeId, broker_epoch: BrokerEpoch) -> Option<LeaderEpoch> {
        let is_it = self.brokers.get(&node) == Some(&(broker_epoch, true));
        let is_spared = |n: &NodeId| *n != node && self.is_unfenced(*n);
        if !is_it || !self.isr.iter().any(is_spared) {
            return None;
        }
        self.isr.retain(|n| *n != node);
        match self.leader.filter(|leader| *leader != node) {
            None => self.elect(),
            Some(leader) => {
                self.leader_epoch += 1;
                self.partition_epoch += 1;
                self.leaders.insert(LeaderEpoch(self.leader_epoch), leader);
            }
        }
        Some(LeaderEpoch(self.leader_epoch))
    }

    pub(super) fn alter_isr(
        &mut self,
        from: NodeId,
        alter: &AlterIsr,
    ) -> Result<AlteredIsr, ErrorCode> {
        if self.leader != Some(from) || alter.leader_epoch.0 != self.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if alter.partition_epoch.0 != self.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let is_eligible = |(node, broker_epoch): &(NodeId, BrokerEpoch)| {
            *node == from || self.brokers.get(node) == Some(&(*broker_epoch, true))
        };
        if !alter.isr.iter().all(is_eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        self.isr = alter.isr.iter().map(|(node, _)| *node).collect();
        self.partition_epoch += 1;
        Ok(AlteredIsr {
            leader_epoch: alter.leader_epoch,
            partition_epoch: PartitionEpoch(self.partition_epoch),
            isr: self.isr.clone(),
        })
    }
}
