//! A broker's life: registered fenced, unfenced once it is ready, fenced when its lease runs out or
//! it stops.
//!
//! | from | on | to |
//! |---|---|---|
//! | – | RegisterBroker | fenced, a new broker epoch |
//! | fenced | heartbeat, ready | unfenced; leaderless partitions that it may lead get it |
//! | unfenced | lease expired, FenceBroker | fenced; out of every ISR, its leaderships move |
//! | unfenced | heartbeat, wants to shut down | hands over, then out of shared ISRs |
//! | any | UnregisterBroker | gone, and in no ELR: its disk is forgotten |
//!
//! A second process with the id of a live broker is refused, but for one that holds the same data
//! directory: the directory's lock proves that the first one is dead.

use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use ottla_protocol::messages::cluster::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::elections::{Change, Election, Rules};
use super::features::FEATURES;
use super::hand_over::DRAIN;
use super::request::{
    BrokerHeartbeat, BrokerStanding, FenceBroker, FormatCluster, Refusal, RegisterBroker, Response,
};
use super::{Decision, Metadata};
use crate::config::Durability;
use crate::image::record::{
    BrokerRecord, ClusterRecord, ConfigRecord, FeatureRangeRecord, FeatureRecord, FileConfigRecord,
    PartitionRecord, Record, RemoveBrokerRecord,
};
use crate::image::{BrokerRegistration, ConfigResource, PartitionRegistration};
use crate::planted::{self, Planted};

const FENCED: BrokerStanding = BrokerStanding {
    is_fenced: true,
    should_shut_down: false,
};

impl Metadata {
    /// The identity and the finalized features of a new cluster.
    pub(super) fn format_cluster(&self, request: &FormatCluster) -> Decision {
        if !self.image.cluster_id.is_empty() {
            let cluster_id = self.image.cluster_id.to_string();
            return Decision::unchanged(Response::FormatCluster(Ok(FormatCluster { cluster_id })));
        }
        let mut records = vec![Record::Cluster(ClusterRecord {
            cluster_id: request.cluster_id.clone(),
            next_broker_epoch: 1,
        })];
        let finalized = FEATURES.iter().filter(|f| f.default > 0);
        records.extend(finalized.map(|f| {
            Record::Feature(FeatureRecord {
                name: f.name.to_owned(),
                level: f.default,
            })
        }));
        Decision {
            records,
            response: Response::FormatCluster(Ok(request.clone())),
        }
    }

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
        let whose = format!("Broker {}", request.node_id);
        if let Err(refusal) = self.check_features(&whose, &request.features) {
            return refuse(refusal);
        }
        let mut records = Vec::from_iter(self.forget_controller(request.node_id));
        self.replace_incarnation(previous, request, &mut records);
        self.end_drain(request.node_id, &mut records);
        let registration = self.registration(request);
        let broker_epoch = registration.broker_epoch;
        records.push(Record::Broker(BrokerRecord::of(&registration)));
        self.follow_agreed(&mut records);
        Decision {
            records,
            response: Response::RegisterBroker(Ok(broker_epoch)),
        }
    }

    /// The config that has a broker drain is of the incarnation that it was set on.
    fn end_drain(&self, node: NodeId, records: &mut Vec<Record>) {
        let resource = ConfigResource::Broker(node);
        let configs = self.image.configs_of(&resource);
        let is_set = configs.is_some_and(|configs| configs.contains_key(DRAIN));
        if is_set && !planted::is(Planted::DrainKept) {
            records.push(Record::Config(ConfigRecord::new(&resource, DRAIN, None)));
        }
    }

    /// Where these records change what all brokers' files agree on: nobody stays eligible.
    fn follow_agreed(&self, records: &mut Vec<Record>) {
        let mut after = self.clone();
        for record in &*records {
            after.replay(record);
        }
        if after.image.agreed != self.image.agreed {
            after.forget_eligible(&ConfigResource::Cluster, records);
        }
    }

    fn registration(&self, request: &RegisterBroker) -> BrokerRegistration {
        BrokerRegistration {
            node_id: request.node_id,
            incarnation_id: request.incarnation_id,
            broker_epoch: self.image.next_broker_epoch,
            storage_id: request.storage_id,
            listeners: request.listeners.clone(),
            peer: request.peer.clone(),
            rack: request.rack.as_deref().map(Arc::from),
            features: FeatureRangeRecord::levels(&request.features),
            configs: request.configs.as_deref().map(FileConfigRecord::configs),
            fenced: true,
            // a drain ends with its incarnation
            in_controlled_shutdown: planted::is(Planted::DrainKept)
                && self
                    .image
                    .broker(request.node_id)
                    .is_some_and(|previous| previous.in_controlled_shutdown),
        }
    }

    /// What the end of the previous incarnation means: it leads and is in sync no more; and where
    /// its records may be gone, it is not eligible either. Nobody knows which disk one had that was
    /// unregistered.
    fn replace_incarnation(
        &self,
        previous: Option<&Arc<BrokerRegistration>>,
        request: &RegisterBroker,
        records: &mut Vec<Record>,
    ) {
        let node = request.node_id;
        let is_wiped = previous.is_none_or(|p| p.storage_id != request.storage_id);
        self.change_partitions_of(node, records, |rules, p| {
            let is_lost =
                is_wiped || (!request.clean_shutdown && rules.durability == Durability::Replicated);
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
        if request.want_shut_down {
            return self.shut_down(broker);
        }
        let mut broker = BrokerRegistration::clone(broker);
        let mut records = Vec::new();
        let mut standing = BrokerStanding {
            is_fenced: broker.fenced,
            should_shut_down: false,
        };
        if broker.fenced && request.ready {
            broker.fenced = false;
            records.push(Record::Broker(BrokerRecord::of(&broker)));
            self.elect_on_arrival(node, &mut records);
            standing.is_fenced = false;
        } else if request.has_heard {
            self.go_on_without(node, &mut records);
        } else {
            if self.full.brokers.contains(&node) {
                self.give_way(node, &mut records);
            }
            // where nobody has room, it shuts down all the same
            if records.is_empty() && broker.in_controlled_shutdown {
                self.hand_on(node, &mut records);
            }
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

    /// Out of every ISR that has another active member; where it is the last, it stays and goes on
    /// leading.
    pub(super) fn move_away_from(&self, node: NodeId, records: &mut Vec<Record>) {
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

    /// Reassignments that remove it waited for it to hear that another leads.
    fn go_on_without(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            let is_removed = p.removing_replicas.contains(&node);
            is_removed.then(|| Change::of(&self.image, p, rules).finish(Election::Online))?
        });
    }

    /// What it leads goes to who has room for records, where somebody has: by a hand-over, or where
    /// that came to nothing and its lease has run out, without.
    fn give_way(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            let leads = p.leader == Some(node);
            leads.then(|| {
                let mut change = Change::of(&self.image, p, rules);
                change.name_who_has_room(node);
                change.finish(Election::Online)
            })?
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
            return Decision::unchanged(Response::FenceBroker(Ok(FENCED)));
        }
        let mut fenced = BrokerRegistration::clone(broker);
        fenced.fenced = true;
        let mut records = vec![Record::Broker(BrokerRecord::of(&fenced))];
        self.remove_from_isrs(node, &mut records);
        Decision {
            records,
            response: Response::FenceBroker(Ok(FENCED)),
        }
    }

    fn remove_from_isrs(&self, node: NodeId, records: &mut Vec<Record>) {
        self.change_partitions_of(node, records, |rules, p| {
            let change = Change::of(&self.image, p, rules);
            change.leaving(node).finish(Election::Online)
        });
    }

    pub(super) fn unregister_broker(&self, request: &UnregisterBrokerRequest) -> Decision {
        let (records, refusal) = match self.unregister(NodeId(request.broker_id)) {
            Ok(records) => (records, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        Decision {
            records,
            response: Response::UnregisterBroker(UnregisterBrokerResponse {
                throttle_time_ms: 0,
                error_code: refusal.as_ref().map_or(0, |r| r.error_code),
                error_message: refusal.map(|r| r.message),
            }),
        }
    }

    fn unregister(&self, node: NodeId) -> Result<Vec<Record>, Refusal> {
        if let Some(record) = self.forget_controller(node) {
            return Ok(vec![record]);
        }
        if self.image.broker(node).is_none() {
            return Err(Refusal::new(
                ErrorCode::BrokerIdNotRegistered,
                format!("Broker ID {node} is not currently registered"),
            ));
        }
        let mut records = Vec::new();
        // it may come back with another disk, and nothing would tell
        self.change_partitions_of(node, &mut records, |rules, p| {
            let change = Change::of(&self.image, p, rules);
            change.leaving(node).lost(node).finish(Election::Online)
        });
        let node_id = node.0;
        records.push(Record::RemoveBroker(RemoveBrokerRecord { node_id }));
        self.follow_agreed(&mut records);
        Ok(records)
    }

    /// Goes through the partitions that `node` has a replica of, in order, and records each change.
    pub(super) fn change_partitions_of(
        &self,
        node: NodeId,
        records: &mut Vec<Record>,
        mut change: impl FnMut(Rules<'_>, &PartitionRegistration) -> Option<PartitionRegistration>,
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
