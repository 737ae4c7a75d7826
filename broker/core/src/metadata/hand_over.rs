//! Leaderships that move while their leader lives: no client is to notice.
//!
//! | from | on | to |
//! |---|---|---|
//! | led | the broker drains or stops, or a preferred leader is wanted | led, with a successor |
//! | led, with a successor | HandOver: the successor has every byte | led by it, in a new epoch |
//! | led, with a successor | the successor is not in sync or active any more | led |
//! | led, with a successor | the leader is fenced, or leaves the ISR | an election |
//!
//! A leader that has a successor appends no more, waits until the successor has all of its log, and
//! asks for the change of the leader itself ([`HandOver`]). So nothing that it appended is lost,
//! acknowledged or not, and what clients send meanwhile it can send on.
//!
//! A broker drains because it stops, or by its config `ottla.drain`: Kafka has no request for that,
//! but configs go to the controller, need a right, and every tool can set and show them. It does so
//! for one incarnation: a new registration begins without, and ends the config too. Until then it
//! gets no leadership and joins no ISR, but stays in those it is in.

use ottla_protocol::ids::NodeId;

use super::elections::{Change, Election};
use super::request::{BrokerStanding, HandOver, Response};
use super::{Decision, Metadata};
use crate::image::record::{BrokerRecord, PartitionRecord, Record};
use crate::image::{BrokerRegistration, MetadataImage, PartitionRegistration};

/// How many leaderships one broker hands over at a time: each of them appends nothing meanwhile,
/// so it is to be short.
const HAND_OVERS_MAX: usize = 100;

/// The config by which a broker drains.
pub const DRAIN: &str = "ottla.drain";

impl Metadata {
    /// A broker that wants to stop: its leaderships move first; then it leaves the ISRs that have
    /// another active member, and may stop.
    pub(super) fn shut_down(&self, broker: &BrokerRegistration) -> Decision {
        let node = broker.node_id;
        let mut records = Vec::new();
        let mut after = self.clone();
        after.set_draining(broker, true, &mut records);
        let left = after.hand_on(node, &mut records);
        if left == 0 {
            after.move_away_from(node, &mut records);
        }
        Decision {
            records,
            response: Response::BrokerHeartbeat(Ok(BrokerStanding {
                is_fenced: broker.fenced,
                should_shut_down: left == 0,
            })),
        }
    }

    /// `ottla.drain` of a broker was set or taken back.
    pub(super) fn drain(&self, node: NodeId, is_draining: bool, records: &mut Vec<Record>) {
        let Some(broker) = self.image.broker(node) else {
            return;
        };
        let mut after = self.clone();
        after.set_draining(broker, is_draining, records);
        match is_draining {
            true => _ = after.hand_on(node, records),
            false => after.keep_leading(node, records),
        }
    }

    fn set_draining(
        &mut self,
        broker: &BrokerRegistration,
        is_draining: bool,
        records: &mut Vec<Record>,
    ) {
        if broker.in_controlled_shutdown == is_draining {
            return;
        }
        let mut broker = broker.clone();
        broker.in_controlled_shutdown = is_draining;
        let record = Record::Broker(BrokerRecord::of(&broker));
        self.replay(&record);
        records.push(record);
    }

    /// Names successors for what `node` leads, a batch at a time, and has nobody hand over to it;
    /// says how many leaderships are still to move.
    pub(super) fn hand_on(&self, node: NodeId, records: &mut Vec<Record>) -> usize {
        let mut left = 0;
        self.change_partitions_of(node, records, |rules, p| {
            let mut change = Change::of(&self.image, p, rules);
            if let Some(successor) = successor(&self.image, node, p) {
                left += 1;
                if left <= HAND_OVERS_MAX {
                    change.new.successor = Some(successor);
                }
            }
            change.finish(Election::Online)
        });
        left
    }

    fn keep_leading(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            let mut change = Change::of(&self.image, p, rules);
            if p.leader == Some(node) {
                change.new.successor = None;
            }
            change.finish(Election::Online)
        });
    }

    /// The leader says that these successors have every byte. What has changed meanwhile is passed
    /// over: the leader learns of it by the image.
    pub(super) fn hand_over(&self, request: &HandOver) -> Decision {
        let node = request.node_id;
        if let Err(refusal) = self.check_incarnation(node, request.broker_epoch) {
            return Decision::refused(Response::HandOver(Err(refusal)));
        }
        let mut records = Vec::new();
        let mut after = self.clone();
        let mut moved = 0;
        for item in &request.partitions {
            let Some(topic) = self.image.topic_by_id(item.topic_id) else {
                continue;
            };
            let is_meant = |p: &PartitionRegistration| {
                p.leader == Some(node) && p.leader_epoch == item.leader_epoch
            };
            // one that is named twice has another leader by the second time
            let partition = after.image.topic_by_id(item.topic_id);
            let partition = partition.and_then(|topic| topic.partition(item.partition));
            let Some(partition) = partition.filter(|p| is_meant(p)) else {
                continue;
            };
            let mut change = Change::of(&self.image, partition, self.rules(topic));
            change.hand_over();
            if let Some(new) = change.finish(Election::Online) {
                moved += i32::from(new.leader != partition.leader);
                let record = Record::Partition(PartitionRecord::of(topic.id, item.partition, &new));
                after.replay(&record);
                records.push(record);
            }
        }
        let drains = |broker: &BrokerRegistration| broker.in_controlled_shutdown;
        if self.image.broker(node).is_some_and(|broker| drains(broker)) {
            after.hand_on(node, &mut records);
        }
        Decision {
            records,
            response: Response::HandOver(Ok(moved)),
        }
    }
}

/// Who is to lead a partition that `node` leads: whom it hands over to already, else the first
/// replica that is in sync and active. None where `node` does not lead it, or nobody else could.
pub fn successor(
    image: &MetadataImage,
    node: NodeId,
    partition: &PartitionRegistration,
) -> Option<NodeId> {
    if partition.leader != Some(node) {
        return None;
    }
    let fits = |n: &NodeId| *n != node && partition.isr.contains(n) && image.is_active(*n);
    let named = partition.successor.filter(fits);
    named.or_else(|| partition.replicas.iter().copied().find(fits))
}
