//! A seeded random run: whatever is asked in whatever order, the image stays what it must be.

use std::collections::BTreeMap;

use ottla_protocol::ids::{PartitionIndex, TopicIdPartition};
use ottla_protocol::messages::cluster::*;
use ottla_protocol::messages::topics::*;

use super::*;
use crate::metadata::features::ELIGIBLE_LEADER_REPLICAS_VERSION;
use crate::metadata::request::{AlterPartition, AlterPartitionItem, IsrMember, RebalanceLeaders};
use crate::placement::mix;

const BROKERS: i32 = 5;
const STEPS: usize = 300;

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = mix(self.0);
        (self.0 % n as u64) as usize
    }

    fn node(&mut self) -> i32 {
        self.below(BROKERS as usize) as i32
    }
}

fn random_partition(cluster: &Cluster, dice: &mut Dice) -> Option<(Arc<Topic>, PartitionIndex)> {
    let image = cluster.metadata.image();
    let at = dice.below(image.topics.len().max(1));
    let topic = Arc::clone(image.topics.values().nth(at)?);
    let index = dice.below(topic.partitions.len());
    Some((topic, PartitionIndex(index as i32)))
}

fn step(cluster: &mut Cluster, dice: &mut Dice) {
    match dice.below(12) {
        0 => {
            let node = dice.node();
            let mut registration = cluster.registration(node);
            registration.incarnation_id = Uuid(u128::from(mix(dice.0)).to_be_bytes());
            registration.clean_shutdown = dice.below(2) == 0;
            if dice.below(4) == 0 {
                registration.storage_id = Uuid(u128::from(dice.0).to_be_bytes());
            }
            cluster.ask(Request::RegisterBroker(registration));
        }
        1 | 2 => drop(cluster.heartbeat(dice.node(), false)),
        3 => drop(cluster.heartbeat(dice.node(), true)),
        10 => drop(cluster.hand_over(dice.node())),
        4 => cluster.fence(dice.node()),
        5 => {
            let name = format!("t{}", dice.below(6));
            let durability = ["Fsync", "Replicated"][dice.below(2)];
            let configs = [("ottla.durability", durability)];
            let replication_factor = dice.below(3) as i16 + 1;
            let topics = vec![topic(&name, 3, replication_factor, &configs)];
            cluster.ask(Request::CreateTopics(CreateTopicsRequest {
                topics,
                ..CreateTopicsRequest::default()
            }));
        }
        6 if dice.below(6) == 0 => {
            cluster.ask(Request::DeleteTopics(DeleteTopicsRequest {
                topic_names: Vec::new(),
                topics: vec![DeleteTopicState {
                    name: Some(format!("t{}", dice.below(6))),
                    ..DeleteTopicState::default()
                }],
                ..DeleteTopicsRequest::default()
            }));
        }
        7 => reassign(cluster, dice),
        8 => {
            cluster.ask(Request::ElectLeaders(ElectLeadersRequest {
                election_type: i8::from(dice.below(8) == 0),
                topic_partitions: None,
                ..ElectLeadersRequest::default()
            }));
        }
        9 => {
            let imbalance_percent_max = 10;
            let rebalance = RebalanceLeaders {
                imbalance_percent_max,
            };
            cluster.ask(Request::RebalanceLeaders(rebalance));
        }
        _ => alter(cluster, dice),
    }
}

fn reassign(cluster: &mut Cluster, dice: &mut Dice) {
    let Some((topic, index)) = random_partition(cluster, dice) else {
        return;
    };
    let size = dice.below(3) + 1;
    let first = dice.below(BROKERS as usize);
    let target = (0..size).map(|i| ((first + i * 2) % BROKERS as usize) as i32);
    cluster.ask(Request::AlterPartitionReassignments(
        AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: topic.name.to_string(),
                partitions: vec![ReassignablePartition {
                    partition_index: index.0,
                    replicas: (dice.below(4) > 0).then(|| target.collect()),
                }],
            }],
            ..AlterPartitionReassignmentsRequest::default()
        },
    ));
}

fn alter(cluster: &mut Cluster, dice: &mut Dice) {
    let Some((topic, partition)) = random_partition(cluster, dice) else {
        return;
    };
    let p = topic.partition(partition).unwrap();
    let node_id = p.leader.unwrap_or(NodeId(dice.node()));
    let wanted = p
        .replicas
        .iter()
        .filter(|n| **n == node_id || dice.below(3) > 0);
    let new_isr = wanted.map(|n| IsrMember {
        node_id: *n,
        broker_epoch: cluster.broker_epoch(n.0),
    });
    let item = AlterPartitionItem {
        topic_id: topic.id,
        partition,
        leader_epoch: p.leader_epoch,
        partition_epoch: p.partition_epoch,
        new_isr: new_isr.collect(),
    };
    let broker_epoch = cluster.broker_epoch(node_id.0);
    cluster.ask(Request::AlterPartition(AlterPartition {
        node_id,
        broker_epoch,
        partitions: vec![item],
    }));
}

fn change_level(cluster: &mut Cluster, level: i16) {
    const UNSAFE_DOWNGRADE: i8 = 3;
    let upgrade_type = if level == 0 { UNSAFE_DOWNGRADE } else { 1 };
    cluster.ask(Request::UpdateFeatures(UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: ELIGIBLE_LEADER_REPLICAS_VERSION.to_owned(),
            max_version_level: level,
            upgrade_type,
            ..FeatureUpdateKey::default()
        }],
        ..UpdateFeaturesRequest::default()
    }));
}

type Seen = BTreeMap<TopicIdPartition, Arc<PartitionRegistration>>;

fn check(cluster: &Cluster, before: &Seen, keeps_last: bool, seed: u64) -> Seen {
    let image = cluster.metadata.image();
    let mut seen = Seen::new();
    assert_eq!(image.topics.len(), image.topic_names.len());
    for topic in image.topics.values() {
        for (partition, p) in topic.indexed() {
            let shown = || format!("seed {seed}: {}-{partition} {p:?}", topic.name);
            let within = |nodes: &[NodeId]| nodes.iter().all(|n| p.replicas.contains(n));
            assert!(within(&p.isr) && within(&p.elr), "{}", shown());
            assert!(
                within(&p.adding_replicas) && within(&p.removing_replicas),
                "{}",
                shown()
            );
            assert!(!p.original_replicas().is_empty(), "{}", shown());
            assert!(!p.target_replicas().is_empty(), "{}", shown());
            assert!(!p.elr.iter().any(|n| p.isr.contains(n)), "{}", shown());
            assert!(p.leader.is_none_or(|n| p.isr.contains(&n)), "{}", shown());
            let may_follow = |n| p.leader != Some(n) && p.isr.contains(&n) && image.is_unfenced(n);
            assert!(p.successor.is_none_or(may_follow), "{}", shown());
            // a fenced broker neither leads nor is in sync, but for the last one that was, where
            // nobody is kept eligible instead
            let led = p.leader.is_none_or(|n| image.is_unfenced(n));
            let is_last = p.isr.len() == 1 && p.leader.is_none();
            let waits = is_last && keeps_last;
            assert!(
                led && (waits || p.isr.iter().all(|n| image.is_unfenced(*n))),
                "{}",
                shown()
            );
            let is_kept = image.feature(ELIGIBLE_LEADER_REPLICAS_VERSION) > 0;
            assert!(
                is_kept || p.elr.is_empty() || p.isr.is_empty(),
                "{}",
                shown()
            );
            let mut distinct = p.replicas.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), p.replicas.len(), "{}", shown());
            let id = TopicIdPartition {
                topic_id: topic.id,
                partition,
            };
            if let Some(old) = before.get(&id) {
                assert!(p.leader_epoch >= old.leader_epoch, "{}", shown());
                let changed = p != old;
                assert_eq!(
                    p.partition_epoch > old.partition_epoch,
                    changed,
                    "{}",
                    shown()
                );
                let same_epoch = p.leader_epoch == old.leader_epoch;
                assert!(!same_epoch || p.leader == old.leader, "{}", shown());
            }
            seen.insert(id, Arc::clone(p));
        }
    }
    seen
}

#[test]
fn whatever_is_asked_the_image_stays_sound() {
    for seed in 0..20 {
        let mut cluster = Cluster::of(BROKERS);
        let mut dice = Dice(mix(seed));
        // in every other run the level of eligible.leader.replicas.version changes on the way
        let keeps_last = seed % 2 == 1;
        let mut seen = Seen::new();
        let mut deltas = MetadataDelta::default();
        let mut old = MetadataImage::default();
        for at in 0..STEPS {
            if keeps_last && dice.below(30) == 0 {
                change_level(&mut cluster, dice.below(2) as i16);
            }
            step(&mut cluster, &mut dice);
            seen = check(&cluster, &seen, keeps_last, seed);
            deltas.merge(cluster.metadata.take_delta());
            if at % 50 == 0 {
                let new = cluster.metadata.image().clone();
                let between = MetadataDelta::between(&old, &new);
                assert!(between.brokers.is_subset(&deltas.brokers), "seed {seed}");
                for (id, topic) in &between.topics {
                    let told = &deltas.topics[id];
                    assert!(topic.partitions.is_subset(&told.partitions), "seed {seed}");
                    assert_eq!(topic.deleted, told.deleted, "seed {seed}");
                }
                (old, deltas) = (new, MetadataDelta::default());
            }
        }
        let mut copy = Metadata::new(config::ConfigMap::new());
        copy.install(&cluster.metadata.image().to_records());
        assert_eq!(
            copy.image(),
            cluster.metadata.image(),
            "snapshot, seed {seed}"
        );
        let mut again = Metadata::new(config::ConfigMap::new());
        for record in &cluster.log {
            again.replay(record);
        }
        assert_eq!(
            again.image(),
            cluster.metadata.image(),
            "replay, seed {seed}"
        );
    }
}
