//! The invariants, by the names that Kafka gives them, checked after every step of the simulation.
//!
//! - `SingleLeader`: one broker leads a partition in one epoch.
//! - `MonotonicHighWatermark`: a leader's high watermark never goes back within its epoch.
//! - `CommittedPrefix`: what lies below any replica's high watermark is the same everywhere.
//! - `AckBeforeDurable`: at an acknowledgement, min ISR replicas have the record on disk, and below
//!   a leader's high watermark each of its ISR has.
//! - `AckBeforeCommitted`: what is acknowledged lies below some replica's high watermark.
//! - what must hold of replicas, of metadata, of transactions: see `replicas`, `decided`,
//!   `transactions`.
//! - `LostWrite`, `Duplicate`, `InconsistentOffset`, `NonmonotonicPoll`, `PollSkip`,
//!   `NonmonotonicSend`, `StaleRead`, `LostCommit`, `TwoOwners`: what clients must never
//!   see. That all of it is seen at last is part of `NoProgress`: a consumer goes on
//!   until it has read whatever is committed.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker::api::Context;
use ottla_broker::replica::Inspected;
use ottla_protocol::ids::NodeId;
use ottla_protocol::record;
use ottla_protocol::record_batch::RecordBatch;

use crate::cluster::MACHINES_MAX;
use crate::transactions::{Fate, Fates};
use crate::world::{Slot, World};

/// How many replicas hold an acknowledged record at least, where there are so many.
const MIN_ISR: usize = 2;

/// How the values begin that may be there twice, or be lost: nobody promised more.
pub const UNSURE: char = 'u';

/// A batch that some replica had below its high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Committed {
    base: i64,
    next: i64,
    epoch: i32,
    hash: u64,
}

/// One partition as all replicas and clients have shown it.
#[derive(Debug, Default)]
pub struct Partition {
    /// In order, without gaps.
    committed: Vec<Committed>,
    /// The records of `committed`: `values[offset]`.
    values: Vec<String>,
    /// Up to where records may have been deleted when those were first seen.
    deleted_before: Vec<i64>,
    /// What became of them.
    pub fates: Fates,
    /// What consumers read before any look at a replica showed it to be committed: a replica may
    /// answer and be released between two looks.
    unseen: BTreeMap<i64, String>,
    /// What producers were told to be committed, and where.
    acknowledged: BTreeMap<i64, String>,
    /// By producer, where its last acknowledged batch is.
    sent: BTreeMap<String, i64>,
    /// Who led in which epoch, and the highest high watermark it had then.
    pub leaders: BTreeMap<i32, (usize, i64)>,
    /// The newest epoch in which something was committed.
    committed_epoch: i32,
    /// How far each replica was compared, in which life.
    pub compared: [(u64, i64); MACHINES_MAX],
    /// Whether a replica has something below its high watermark that cannot be read: bits of it
    /// have turned over. What comes behind that it may show to clients, and to nobody here.
    pub is_blind: [bool; MACHINES_MAX],
    /// What each machine had on disk when last seen.
    pub durable: [i64; MACHINES_MAX],
    /// What each machine had before its replica was emptied, on a disk that rots, until it has that
    /// again.
    pub emptied: [i64; MACHINES_MAX],
    /// The most that each machine ever had on disk.
    pub most_durable: [i64; MACHINES_MAX],
    /// What each machine's log held when last seen, and where it began.
    pub ends: [i64; MACHINES_MAX],
    pub starts: [i64; MACHINES_MAX],
    /// Which machines hold a replica, by their last look at the metadata.
    pub is_held: [bool; MACHINES_MAX],
    /// When each machine led last, in which life; of those that lead now, when they did before.
    pub led: [(u64, u64); MACHINES_MAX],
    /// How far each replica is known to have no holes, in which life and under which leader.
    pub walked: [(u64, i32, i64); MACHINES_MAX],
    /// Up to where records may have been deleted.
    pub deleted_end: i64,
    /// The newest epoch of a leader that any broker has heard of.
    pub newest_epoch: i32,
    /// When a leader was first seen to lead in its epoch. Whoever is in its ISR has from then on as
    /// long as the lag limit to fall behind.
    pub leads_since_ms: u64,
    /// The newest leader's epoch, and its ISR when last seen.
    pub isr: (i32, Vec<NodeId>),
}

/// What is checked against, and the counts for the sum.
#[derive(Debug)]
pub struct Checks {
    partitions: Vec<Partition>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            partitions: Slot::all().map(|_| Partition::default()).collect(),
        }
    }
}

impl Checks {
    /// What is known of a partition.
    pub fn of(&mut self, slot: Slot) -> &mut Partition {
        &mut self.partitions[slot.index()]
    }

    /// The same, to look at.
    pub fn seen(&self, slot: Slot) -> &Partition {
        &self.partitions[slot.index()]
    }

    /// How many records were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.partitions.iter().map(|p| p.acknowledged.len()).sum()
    }

    /// How many leader epochs there were.
    pub fn epochs(&self) -> usize {
        self.partitions.iter().map(|p| p.leaders.len()).sum()
    }

    /// The end of what is committed.
    pub fn committed_end(&self, slot: Slot) -> i64 {
        self.partitions[slot.index()].values.len() as i64
    }

    /// The newest epoch in which something was committed: a read that begins now and is served in
    /// an older one is stale.
    pub fn committed_epoch(&self, slot: Slot) -> i32 {
        self.partitions[slot.index()].committed_epoch
    }
}

impl World {
    /// Looks at what may have changed of every live process. Called after every step.
    pub fn check_nodes(&mut self) {
        let mut changed = BTreeSet::new();
        for node in 0..self.machines.len() {
            match self.context(node) {
                Some(context) => self.look_at(node, &context, &mut changed),
                None => self.lose_sight(node),
            }
        }
        self.check_decided(&changed);
        // against what all of them have by now
        for slot in changed {
            for node in 0..self.machines.len() {
                let place = &mut self.machines[node].seen[slot.index()];
                let Some(seen) = place.take_if(|seen| seen.is_leader) else {
                    continue;
                };
                self.check_claims(node, slot, &seen);
                self.machines[node].seen[slot.index()] = Some(seen);
            }
        }
        self.looked_ms = self.now_ms;
    }

    fn look_at(&mut self, node: usize, context: &Context, changed: &mut BTreeSet<Slot>) {
        self.check_image(node, context);
        let machine = &mut self.machines[node];
        machine.seen_life = machine.life;
        let changes = context.replicas.inspect_changes(&mut machine.looked);
        if changes.is_all {
            let found = changes.replicas.iter();
            let found = found.filter_map(|seen| Slot::find(&seen.topic, seen.partition));
            let found: BTreeSet<Slot> = found.collect();
            for slot in Slot::all().filter(|slot| !found.contains(slot)) {
                self.note(node, slot, None);
                self.checks.of(slot).is_held[node] = false;
            }
        }
        for seen in changes.replicas {
            let Some(slot) = Slot::find(&seen.topic, seen.partition) else {
                continue;
            };
            changed.insert(slot);
            self.check_holes(node, slot, &context.replicas, &seen);
            self.check_producers(node, slot, &seen);
            self.check_replica(node, slot, &context.replicas, &seen);
            self.note(node, slot, Some(seen));
        }
    }

    /// The process is gone; what its disk has is not.
    fn lose_sight(&mut self, node: usize) {
        if self.machines[node].looked.take().is_some() {
            for slot in Slot::all() {
                self.note(node, slot, None);
                self.checks.of(slot).is_blind[node] = false;
            }
        }
    }

    /// A producer was told that its records are committed.
    pub fn acknowledged(&mut self, slot: Slot, base: i64, values: &[String]) {
        let end = base + values.len() as i64;
        let partition = self.checks.of(slot);
        let (durable, emptied) = (partition.durable, partition.emptied);
        // what it had when the leader counted it may be gone, with all of the replica, by now
        let had = |node: usize| durable[node].max(emptied[node]);
        let holders = (0..MACHINES_MAX).filter(|node| had(*node) >= end).count();
        if holders < MIN_ISR.min(slot.topic().factor) {
            self.violate(format!(
                "AckBeforeDurable: {slot}@{base}..{end} is acknowledged, on disk are {durable:?}"
            ));
        }
        let committed = self.checks.committed_end(slot);
        if committed < end && !self.may_be_unseen(slot) {
            self.violate(format!(
                "AckBeforeCommitted: {slot}@{base}..{end} is acknowledged, no replica had more \
                 than {committed} committed"
            ));
        }
        let producer = values[0].split('-').next().unwrap_or_default().to_owned();
        if let Some(before) = self.checks.of(slot).sent.insert(producer, base)
            && before >= base
        {
            self.violate(format!(
                "NonmonotonicSend: {slot}@{base} is {}, and what its producer sent before is at \
                 {before}",
                values[0]
            ));
        }
        for (offset, value) in (base..).zip(values) {
            let known = &mut self.checks.of(slot).acknowledged;
            if let Some(other) = known.insert(offset, value.clone()) {
                self.violate(format!(
                    "InconsistentOffset: {slot}@{offset} is acknowledged for {other} and {value}"
                ));
            }
        }
    }

    /// Whether a replica may have told of what no look at it showed: it was let go at once, or its
    /// disk is read no more, or not before what is damaged on it is mended.
    pub fn may_be_unseen(&mut self, slot: Slot) -> bool {
        let has_failed = self.machines.iter().any(|m| m.disk.has_failed());
        let partition = self.checks.of(slot);
        has_failed || partition.is_blind() || partition.was_released()
    }

    /// A producer was told by `node` that its records are on the leader's disk. Where `is_moved`,
    /// or that broker does not lead, or does again, another may have appended them, and a third
    /// lead by now.
    pub fn acknowledged_by_one(&mut self, slot: Slot, end: i64, by: (usize, bool), sent_ms: u64) {
        let (node, is_moved) = by;
        let seen = self.machines[node].seen[slot.index()].as_ref();
        let is_led = seen.is_some_and(|seen| seen.is_leader);
        let partition = self.checks.of(slot);
        let most = match is_moved || !is_led || partition.leads_since_ms >= sent_ms {
            true => partition.most_durable.iter().copied().max().unwrap_or(0),
            false => partition.most_durable[node],
        };
        if most < end && partition.is_held[node] {
            self.violate(format!(
                "AckBeforeDurable: {slot} up to {end} is acknowledged by broker {node}, and on \
                 disk was never more than {most}"
            ));
        }
    }

    /// A consumer was given a record.
    pub fn consumed(&mut self, slot: Slot, offset: i64, value: &str) {
        let is_excused = self.may_be_unseen(slot);
        let partition = self.checks.of(slot);
        let known = partition.values.get(offset as usize).cloned();
        if known.is_none() && is_excused {
            partition.unseen.insert(offset, value.to_owned());
        } else if known.as_deref() != Some(value) {
            self.violate(format!(
                "InconsistentOffset: {slot}@{offset} was read as {value}, committed is {known:?}"
            ));
        }
    }

    /// Once everything is healed and quiet: nothing is lost, nothing is there twice.
    pub fn check_end(&mut self) {
        let mut wrong = Vec::new();
        for slot in Slot::all() {
            let partition = self.checks.of(slot);
            for (offset, value) in &partition.acknowledged {
                let found = partition.values.get(*offset as usize);
                if found != Some(value) {
                    wrong.push(format!(
                        "LostWrite: {slot}@{offset} was acknowledged for {value}, \
                         there is {found:?}"
                    ));
                }
            }
            let (committed, held) = (partition.values.len() as i64, partition.held_end());
            if held < committed {
                wrong.push(format!(
                    "LostWrite: {slot} was committed up to {committed}, all of it ends at {held}"
                ));
            }
            if let Some((offset, value)) = partition.unseen.first_key_value() {
                wrong.push(format!(
                    "InconsistentOffset: {slot}@{offset} was read as {value} and never committed"
                ));
            }
            if let Some((value, offsets)) = partition.twice() {
                wrong.push(format!(
                    "Duplicate: {slot} has {value} twice, at {offsets:?}"
                ));
            }
        }
        for what in wrong {
            self.violate(what);
        }
        self.check_transactions();
    }
}

impl Partition {
    /// What clients wrote, and what became of it.
    pub fn records(&self) -> impl Iterator<Item = (i64, &str, Fate)> {
        let offsets = (0..).zip(&self.values);
        let records = offsets.map(|(offset, value)| {
            let fate = self.fates.of(offset).unwrap_or(Fate::Plain);
            (offset, value.as_str(), fate)
        });
        records.filter(|(_, _, fate)| *fate != Fate::Marker)
    }

    /// A record that is there twice, and where. A replica that was made anew, or began again
    /// without a snapshot, behind what was deleted knows nothing of whose records those were, as
    /// Kafka's (`LogReader::producer_snapshot`): what is sent again then is there again.
    fn twice(&self) -> Option<(&str, [i64; 2])> {
        let records = self.records().map(|(offset, value, _)| (offset, value));
        let sure = records.filter(|(_, value)| !value.starts_with(UNSURE));
        let mut sorted: Vec<(i64, &str)> = sure.collect();
        sorted.sort_unstable_by_key(|(offset, value)| (*value, *offset));
        let mut pairs = sorted.windows(2).filter(|pair| pair[0].1 == pair[1].1);
        let twice = pairs.find(|pair| pair[0].0 >= self.deleted_before[pair[1].0 as usize])?;
        Some((twice[0].1, [twice[0].0, twice[1].0]))
    }

    /// Up to where any machine's replica goes.
    fn held_end(&self) -> i64 {
        let machines = self.is_held.iter().zip(self.ends);
        let held = machines.filter_map(|(is_held, end)| is_held.then_some(end));
        held.max().unwrap_or(0)
    }

    /// Whether a replica shows to clients what nobody here can read.
    pub fn is_blind(&self) -> bool {
        self.is_blind.contains(&true)
    }

    /// Whether some machine had a replica and has let it go.
    fn was_released(&self) -> bool {
        let mut machines = self.is_held.iter().zip(self.most_durable);
        machines.any(|(is_held, durable)| !is_held && durable > 0)
    }

    /// One leader an epoch, whose high watermark never goes back.
    pub fn check_leader(&mut self, node: usize, seen: &Inspected) -> Option<String> {
        let epoch = seen.leader_epoch.0;
        let high_watermark = seen.marks.high_watermark.0;
        let known = self.leaders.entry(epoch).or_insert((node, high_watermark));
        if known.0 != node {
            let other = known.0;
            return Some(format!(
                "SingleLeader: {other} and {node} lead in epoch {epoch}"
            ));
        }
        if high_watermark < known.1 {
            return Some(format!(
                "MonotonicHighWatermark: {} went back to {high_watermark} \
                 on {node} in epoch {epoch}",
                known.1
            ));
        }
        known.1 = high_watermark;
        if high_watermark > seen.epoch_start_offset.0 {
            self.committed_epoch = self.committed_epoch.max(epoch);
        }
        None
    }

    /// Compares a batch below a replica's high watermark with what others have there.
    pub fn compare(&mut self, node: usize, batch: &RecordBatch<'_>) -> Option<String> {
        let header = &batch.header;
        let found = Committed {
            base: header.base_offset.0,
            next: header.next_offset().0,
            epoch: header.partition_leader_epoch.0,
            hash: hash(batch.bytes),
        };
        let place = self.committed.partition_point(|c| c.base < found.base);
        match self.committed.get(place) {
            Some(known) if *known == found => return None,
            Some(known) => {
                return Some(format!(
                    "CommittedPrefix: broker {node} has {found:?}, another had {known:?}"
                ));
            }
            None => {}
        }
        if found.base != self.values.len() as i64 {
            let end = self.values.len();
            return Some(format!(
                "CommittedPrefix: broker {node} has {found:?}, but all others end at {end}"
            ));
        }
        self.committed.push(found);
        let wrong = self.fates.take_in(batch);
        for found in record::iterate(batch.body(), header.records_count).flatten() {
            let value = value_of(found.value.unwrap_or_default());
            let offset = self.values.len() as i64;
            if let Some(read) = self.unseen.remove(&offset)
                && read != value
            {
                return Some(format!(
                    "InconsistentOffset: {offset} was read as {read}, committed is {value}"
                ));
            }
            self.values.push(value);
            self.deleted_before.push(self.deleted_end);
        }
        wrong
    }
}

/// The name of a record, without what fills it up.
pub fn value_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('.').to_owned()
}

fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
