//! A broker's life: registered fenced, unfenced once it is ready, fenced when its lease runs out or it stops.
//!
//! | from | on | to |
//! |---|---|---|
//! | – | RegisterBroker | fenced, a new broker epoch |
//! | fenced | heartbeat, ready | unfenced; leaderless partitions that it may lead get it |
//! | unfenced | lease expired, FenceBroker | fenced; out of every ISR, its leaderships move |
//! | unfenced | heartbeat, wants to shut down | in controlled shutdown; out of every ISR with another member |
//! | any | UnregisterBroker | gone |
//!
//! A second process with the id of a live broker is refused, but for one that holds the same data directory: the
//! directory's lock proves that the first one is dead.

use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, NodeId};

use super::elections::{Change, Election, Rules};
use super::image::{BrokerRegistration, MetadataImage, PartitionRegistration};
use super::record::{BrokerRecord, PartitionRecord, Record, RemoveBrokerRecord};
use super::request::{
    BrokerHeartbeat, BrokerStanding, FenceBroker, Refusal, RegisterBroker, Response,
};
use super::{Decision, Metadata};

impl Metadata {
    pub(super) fn register_broker(&self, request: &RegisterBroker) -> Decision {
        let refuse = |refusal| Decision::refused(Response::RegisterBroker(Err(refusal)));
        if *request.cluster_id != *self.image.cluster_id {
            return refuse(Refusal::new(
                ErrorCode::InconsistentClusterId,
                format!(
                    "Broker {} belongs to cluster {}, this is cluster {}.",
                    request.node_id, request.cluster_id, self.image.cluster_id
                ),
            ));
        }
        let previous = self.image.broker(request.node_id);
        if let Some(previous) = previous {
            if previous.incarnation_id == request.incarnation_id {
                return Decision::unchanged(Response::RegisterBroker(Ok(previous.broker_epoch)));
            }
            if !previous.fenced && previous.storage_id != request.storage_id {
                return refuse(Refusal::new(
                    ErrorCode::DuplicateBrokerRegistration,
                    format!("Another broker with id {} is alive.", request.node_id),
                ));
            }
        }
        if let Some(refusal) = self.unsupported_feature(request) {
            return refuse(refusal);
        }
        let mut records = Vec::new();
        if let Some(previous) = previous {
            self.replace_incarnation(previous, request, &mut records);
        }
        let registration = self.registration(request);
        let broker_epoch = registration.broker_epoch;
        records.push(Record::Broker(BrokerRecord::of(&registration)));
        Decision {
            records,
            response: Response::RegisterBroker(Ok(broker_epoch)),
        }
    }

    fn unsupported_feature(&self, request: &RegisterBroker) -> Option<Refusal> {
        self.image.features.iter().find_map(|(name, level)| {
            let mut supported = request.features.iter();
            let fits = supported.any(|(n, min, max)| n == name && (min..=max).contains(&level));
            (!fits).then(|| {
                Refusal::new(
                    ErrorCode::UnsupportedVersion,
                    format!(
                        "Broker {} does not support level {level} of feature {name}.",
                        request.node_id
                    ),
                )
            })
        })
    }

    fn registration(&self, request: &RegisterBroker) -> BrokerRegistration {
        let features = request.features.iter();
        BrokerRegistration {
            node_id: request.node_id,
            incarnation_id: request.incarnation_id,
            broker_epoch: self.image.next_broker_epoch,
            storage_id: request.storage_id,
            listeners: request.listeners.clone(),
            peer: request.peer.clone(),
            rack: request.rack.as_deref().map(Arc::from),
            features: features
                .map(|(name, min, max)| (name.clone(), (*min, *max)))
                .collect(),
            fenced: true,
            in_controlled_shutdown: false,
        }
    }

    /// What the end of the previous incarnation means: it leads and is in sync no more; and where its records may be
    /// gone, it is not eligible either.
    fn replace_incarnation(
        &self,
        previous: &BrokerRegistration,
        request: &RegisterBroker,
        records: &mut Vec<Record>,
    ) {
        let node = request.node_id;
        let is_wiped = previous.storage_id != request.storage_id;
        self.change_partitions_of(node, records, |rules, p| {
            let is_lost =
                is_wiped || (!request.clean_shutdown && rules.is_replicated_durability);
            let change = Change::of(&self.image, p, rules).leaving(node);
            let change = if is_lost { change.lost(node) } else { change };
            change.finish(Election::Online)
        });
    }

    pub(super) fn broker_heartbeat(&self, request: &BrokerHeartbeat) -> Decision {
        let node = request.node_id;
        let broker = match self.current_incarnation(node, request.broker_epoch) {
            Ok(broker) => broker,
            Err(refusal) => {
                return Decision::refused(Response::BrokerHeartbeat(Err(refusal)));
            }
        };
        let mut broker = BrokerRegistration::clone(broker);
        let mut records = Vec::new();
        let mut standing = BrokerStanding {
            is_fenced: broker.fenced,
            should_shut_down: false,
        };
        if request.want_shut_down {
            if !broker.in_controlled_shutdown {
                broker.in_controlled_shutdown = true;
                records.push(Record::Broker(BrokerRecord::of(&broker)));
            }
            self.move_away_from(node, &mut records);
            standing.should_shut_down = true;
        } else if broker.fenced && request.ready {
            broker.fenced = false;
            broker.in_controlled_shutdown = false;
            records.push(Record::Broker(BrokerRecord::of(&broker)));
            self.elect_on_arrival(node, &mut records);
            standing.is_fenced = false;
        }
        Decision {
            records,
            response: Response::BrokerHeartbeat(Ok(standing)),
        }
    }

    fn current_incarnation(
        &self,
        node: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<&BrokerRegistration, Refusal> {
        match self.image.broker(node) {
            Some(broker) if broker.broker_epoch == epoch => Ok(broker),
            Some(broker) => Err(Refusal::new(
                ErrorCode::StaleBrokerEpoch,
                format!(
                    "Broker {node} is registered with epoch {}, not {epoch}.",
                    broker.broker_epoch
                ),
            )),
            None => Err(Refusal::new(
                ErrorCode::StaleBrokerEpoch,
                format!("Broker {node} is not registered."),
            )),
        }
    }

    pub(super) fn check_incarnation(
        &self,
        node: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<(), Refusal> {
        self.current_incarnation(node, epoch).map(drop)
    }

    /// Out of every ISR that has another active member; where it is the last, it stays and goes on leading.
    fn move_away_from(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            let others = p.isr.iter();
            let has_other = others
                .into_iter()
                .any(|n| *n != node && self.image.is_active(*n));
            if !has_other || !p.isr.contains(&node) {
                return None;
            }
            let change = Change::of(&self.image, p, rules);
            change.leaving(node).finish(Election::Online)
        });
    }

    fn elect_on_arrival(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            if p.leader.is_some() {
                return None;
            }
            let change = Change::of(&self.image, p, rules);
            change.arriving(node).finish(Election::Online)
        });
    }

    pub(super) fn fence_broker(&self, request: FenceBroker) -> Decision {
        let node = request.node_id;
        let broker = match self.current_incarnation(node, request.broker_epoch) {
            Ok(broker) => broker,
            Err(refusal) => return Decision::refused(Response::FenceBroker(Err(refusal))),
        };
        if broker.fenced {
            return Decision::unchanged(Response::FenceBroker(Ok(())));
        }
        let mut fenced = BrokerRegistration::clone(broker);
        fenced.fenced = true;
        let mut records = vec![Record::Broker(BrokerRecord::of(&fenced))];
        self.remove_from_isrs(node, &mut records);
        Decision {
            records,
            response: Response::FenceBroker(Ok(())),
        }
    }

    fn remove_from_isrs(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            let change = Change::of(&self.image, p, rules);
            change.leaving(node).finish(Election::Online)
        });
    }

    /// The records that remove a broker from the cluster.
    pub(super) fn unregister(&self, node: NodeId) -> Result<Vec<Record>, Refusal> {
        if self.image.broker(node).is_none() {
            return Err(Refusal::new(
                ErrorCode::BrokerIdNotRegistered,
                format!("Broker ID {node} is not currently registered"),
            ));
        }
        let mut records = Vec::new();
        self.remove_from_isrs(node, &mut records);
        let node_id = node.0;
        records.push(Record::RemoveBroker(RemoveBrokerRecord { node_id }));
        Ok(records)
    }

    /// Goes through the partitions that `node` has a replica of, in order, and records each change.
    fn change_partitions_of(
        &self,
        node: NodeId,
        records: &mut Vec<Record>,
        change: impl Fn(Rules, &PartitionRegistration) -> Option<PartitionRegistration>,
    ) {
        for topic in self.image.topics.values() {
            let mut rules = None;
            for (index, partition) in topic.indexed() {
                if !partition.replicas.contains(&node) {
                    continue;
                }
                let rules = *rules.get_or_insert_with(|| self.rules(topic));
                if let Some(new) = change(rules, partition) {
                    let record = PartitionRecord::of(topic.id, index, &new);
                    records.push(Record::Partition(record));
                }
            }
        }
    }
}

/// How many partitions each broker leads.
pub fn leader_counts(image: &MetadataImage) -> std::collections::BTreeMap<NodeId, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for topic in image.topics.values() {
        for leader in topic.partitions.iter().filter_map(|p| p.leader) {
            *counts.entry(leader).or_insert(0) += 1;
        }
    }
    counts
}
