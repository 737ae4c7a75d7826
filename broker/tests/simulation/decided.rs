//! What must hold of what the quorum decided, as brokers act by it, between any two steps.
//!
//! - `ForeignIsr`: only replicas are in sync.
//! - `MetadataPrefix`: what brokers have applied up to one entry of the log is the same.
//! - `MissingReplica`: a broker has every replica that is its own by the image that it acts by.
//! - `EpochBack`: with each change a partition's epoch grows, and with its leader the leader's.
//! - `FencedInLease`: no broker is fenced that goes on and whose lease stands.
//! - `IncompleteIsr`, `IncompleteElr`: who is in sync or eligible has on disk all that is
//!   committed, whatever leaders believe.
//! - `LeaderOfThePast`: who answers clients as a leader does so in the newest epoch in which
//!   something is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_broker::api::Context;
use ottla_core::image::{MetadataImage, PartitionRegistration};
use ottla_protocol::ids::{LeaderEpoch, NodeId, PartitionIndex, TopicIdPartition};

use crate::cluster::{MACHINES_MAX, host};
use crate::world::{Slot, World};

/// How many images there are to compare with.
const IMAGES_MAX: usize = 500;

/// An image that a broker acts by.
struct Acted {
    /// The process, by its number.
    life: u64,
    /// The entry of the log up to which it goes.
    applied: u64,
    image: Arc<MetadataImage>,
    /// Whether it had all replicas that are its own once: a process that starts sees the past.
    has_had_all: bool,
}

/// The images that were seen.
#[derive(Default)]
pub struct Decided {
    /// By the entry up to which they go, as the first broker had them that was seen with them.
    images: BTreeMap<u64, Arc<MetadataImage>>,
    by_machine: [Option<Acted>; MACHINES_MAX],
    /// Whether there is a newer one since all replicas were held against it.
    is_new: bool,
}

impl Decided {
    /// A partition as of the newest image.
    fn partition(&self, slot: Slot) -> Option<&PartitionRegistration> {
        let (_, newest) = self.images.last_key_value()?;
        let topic = newest.topic(slot.topic().name)?;
        let partition = topic.partition(PartitionIndex(slot.partition()));
        partition.map(AsRef::as_ref)
    }

    /// The members that the newest image has in a partition's ISR, where a leader of this epoch may
    /// know of them.
    pub fn isr_in(&self, slot: Slot, epoch: LeaderEpoch) -> Option<&[NodeId]> {
        let partition = self.partition(slot)?;
        (partition.leader_epoch == epoch).then_some(partition.isr.as_slice())
    }

    /// All that hold a partition, or are to.
    pub fn replicas(&self, slot: Slot) -> &[NodeId] {
        let partition = self.partition(slot);
        partition.map_or(&[], |partition| &partition.replicas)
    }
}

impl World {
    /// Looks at what a broker acts by, where that is new.
    pub fn check_image(&mut self, node: usize, context: &Context) {
        let (life, applied) = (self.machines[node].life, context.controller.applied());
        let known = &mut self.decided.by_machine[node];
        if known.as_ref().map(|known| (known.life, known.applied)) == Some((life, applied)) {
            return;
        }
        let image = context.controller.image();
        let acted = Acted {
            life,
            applied,
            image: Arc::clone(&image),
            has_had_all: false,
        };
        let before = known.replace(acted).filter(|before| before.life == life);
        let mut wrong = foreign(&image);
        let missing = self.own_replica(node, (context, &image), false);
        let has_some = self.own_replica(node, (context, &image), true).is_some();
        let had_all = before.as_ref().is_some_and(|before| before.has_had_all);
        if let Some(known) = &mut self.decided.by_machine[node] {
            known.has_had_all = had_all || has_some && missing.is_none();
        }
        if let Some(missing) = missing.filter(|_| had_all) {
            wrong.push(format!(
                "MissingReplica: broker {node} has none of {missing}"
            ));
        }
        if let Some(before) = before {
            wrong.extend(backwards(&before.image, &image));
        }
        wrong.extend(self.take_in(node, applied, image));
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }

    /// The first replica of a broker's own that it has, or has not though its disk takes it.
    fn own_replica(
        &self,
        node: usize,
        (context, image): (&Context, &MetadataImage),
        is_held: bool,
    ) -> Option<String> {
        let machine = &self.machines[node];
        let disk = &machine.disk;
        let is_excused = disk.is_full() || disk.has_failed();
        if is_excused || machine.has_ended || *machine.stop.borrow() {
            return None;
        }
        let own = NodeId(node as i32);
        image.topics.values().find_map(|topic| {
            let mut partitions = topic.indexed();
            let found = partitions.find(|(partition, registration)| {
                let (topic_id, partition) = (topic.id, *partition);
                let id = TopicIdPartition {
                    topic_id,
                    partition,
                };
                let is_own = registration.replicas.contains(&own);
                is_own && context.replicas.inspect_held(id) == is_held
            });
            let (partition, _) = found?;
            Some(format!("{}-{partition}", topic.name))
        })
    }

    /// Holds an image against those that were seen.
    fn take_in(&mut self, node: usize, applied: u64, image: Arc<MetadataImage>) -> Vec<String> {
        let images = &mut self.decided.images;
        if let Some(known) = images.get(&applied) {
            let is_same = Arc::ptr_eq(known, &image) || **known == *image;
            let what = || {
                let name = host(node);
                format!("MetadataPrefix: {name} has other metadata at {applied} than others")
            };
            return (!is_same).then(what).into_iter().collect();
        }
        let newest = images.last_key_value();
        let newest = newest.map(|(newest, before)| (*newest, Arc::clone(before)));
        images.insert(applied, Arc::clone(&image));
        if images.len() > IMAGES_MAX {
            images.pop_first();
        }
        match newest {
            Some((newest, _)) if newest > applied => Vec::new(),
            Some((_, before)) => {
                self.decided.is_new = true;
                self.fenced_in_lease(&before, &image)
            }
            None => Vec::new(),
        }
    }

    /// Brokers that are fenced now, and may believe that nobody leads what they lead.
    fn fenced_in_lease(&self, before: &MetadataImage, image: &MetadataImage) -> Vec<String> {
        let mut wrong = Vec::new();
        for broker in image.brokers.values().filter(|broker| broker.fenced) {
            let (id, epoch) = (broker.node_id, broker.broker_epoch);
            let was_unfenced = before
                .broker(id)
                .is_some_and(|before| !before.fenced && before.broker_epoch == epoch);
            let machine = &self.machines[id.0 as usize];
            let ends = machine.has_ended || *machine.stop.borrow();
            let context = machine.context.upgrade();
            if let Some(context) = context.filter(|_| was_unfenced && !ends)
                && context.controller.broker_epoch() == Some(epoch)
                && context.controller.has_lease()
            {
                let left = context.controller.lease_left().as_millis();
                wrong.push(format!(
                    "FencedInLease: broker {id} is fenced, and its lease stands for {left} ms more"
                ));
            }
        }
        wrong
    }

    /// Looks at what was decided and at replicas, where one of both has changed, and at leases.
    pub fn check_decided(&mut self, changed: &BTreeSet<Slot>) {
        self.check_electable(changed);
        self.check_leases();
    }

    /// Looks at who may be elected.
    fn check_electable(&mut self, changed: &BTreeSet<Slot>) {
        let is_new = std::mem::take(&mut self.decided.is_new);
        let mut wrong = Vec::new();
        for slot in Slot::all().filter(|slot| is_new || changed.contains(slot)) {
            let Some(registration) = self.decided.partition(slot) else {
                continue;
            };
            let committed = self.checks.committed_end(slot);
            let partition = self.checks.seen(slot);
            let kinds = [
                ("IncompleteIsr", "in sync", &registration.isr),
                ("IncompleteElr", "eligible", &registration.elr),
            ];
            for (name, what, members) in kinds {
                // a broker that was released has let its log go, and one that starts has not looked
                let held = members.iter().map(|member| member.0 as usize);
                for node in held.filter(|node| partition.is_held[*node]) {
                    let end = partition.durable[node];
                    if end < committed {
                        wrong.push(format!(
                            "{name}: broker {node} is {what} for {slot} and has {end} on disk, \
                             committed is up to {committed}"
                        ));
                    }
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }

    /// Looks at who answers clients though another leads.
    fn check_leases(&mut self) {
        let mut wrong = Vec::new();
        for (node, machine) in self.machines.iter().enumerate() {
            let leads_on = |slot: &Slot| {
                let newest = self.checks.committed_epoch(*slot);
                let seen = machine.seen[slot.index()].as_ref();
                seen.is_some_and(|seen| seen.answers_clients && seen.leader_epoch.0 < newest)
            };
            let Some(slot) = Slot::all().find(leads_on) else {
                continue;
            };
            let context = machine.context.upgrade().filter(|_| !machine.has_ended);
            if context.is_some_and(|context| context.controller.has_lease()) {
                let newest = self.checks.committed_epoch(slot);
                wrong.push(format!(
                    "LeaderOfThePast: broker {node} answers for {slot}, its lease stands, and \
                     something was committed in epoch {newest}"
                ));
            }
        }
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }
}

/// Whether only replicas are in sync.
fn foreign(image: &MetadataImage) -> Vec<String> {
    let mut wrong = Vec::new();
    for topic in image.topics.values() {
        for partition in &topic.partitions {
            let is_replica = |member| partition.replicas.contains(member);
            if !partition.isr.iter().all(is_replica) {
                let (isr, replicas) = (&partition.isr, &partition.replicas);
                wrong.push(format!(
                    "ForeignIsr: {} has {isr:?} in sync, of {replicas:?}",
                    topic.name
                ));
            }
        }
    }
    wrong
}

/// The partitions that changed and whose epochs do not say so.
fn backwards(before: &MetadataImage, image: &MetadataImage) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, topic) in image.topics.iter() {
        let Some(known) = before.topics.get(name) else {
            continue;
        };
        if known.id != topic.id || Arc::ptr_eq(known, topic) {
            continue;
        }
        for (index, new) in topic.indexed() {
            let Some(old) = known.partition(index) else {
                continue;
            };
            let is_newer = new.partition_epoch > old.partition_epoch;
            let leads_anew = new.leader == old.leader || new.leader_epoch > old.leader_epoch;
            if old != new && !(is_newer && leads_anew) {
                wrong.push(format!(
                    "EpochBack: {name}-{index} was {old:?} and is {new:?}"
                ));
            }
        }
    }
    wrong
}
