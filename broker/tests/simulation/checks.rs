//! The invariants, by the names that Kafka gives them, checked after every step of the simulation.
//!
//! - `SingleLeader`: one broker leads a partition in one epoch.
//! - `MonotonicHighWatermark`: a leader's high watermark never goes back within its epoch.
//! - `CommittedPrefix`: what lies below any replica's high watermark is the same everywhere.
//! - `AckBeforeDurable`: at an acknowledgement, min ISR replicas have the record on disk, and below
//!   a leader's high watermark each of its ISR has.
//! - `UndurableFetch`, `HighWatermarkBeyondIsr`, `Hole`, `ForeignIsr`: see `replicas`.
//! - `LostWrite`, `Duplicate`, `InconsistentOffset`, `NonmonotonicPoll`, `StaleRead`: what clients
//!   must never see.

use std::collections::BTreeMap;

use ottla_broker::replica::{Inspected, Replicas};
use ottla_protocol::ids::Offset;
use ottla_protocol::record;
use ottla_protocol::record_batch::{self, RecordBatch};

use crate::world::{BROKERS, PARTITIONS, TOPIC, World};

/// How many replicas hold an acknowledged record at least.
const MIN_ISR: usize = 2;

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
    /// What producers were told to be committed, and where.
    acknowledged: BTreeMap<i64, String>,
    /// Who led in which epoch, and the highest high watermark it had then.
    leaders: BTreeMap<i32, (usize, i64)>,
    /// The newest epoch in which something was committed.
    committed_epoch: i32,
    /// How far each replica was compared, in which life.
    compared: [(u64, i64); BROKERS],
    /// What each machine had on disk when last seen.
    pub durable: [i64; BROKERS],
    /// What each machine's log held when last seen.
    pub ends: [i64; BROKERS],
    /// How far each replica is known to have no holes, in which life and under which leader.
    pub walked: [(u64, i32, i64); BROKERS],
    /// The newest epoch of a leader that any broker has heard of.
    pub newest_epoch: i32,
}

/// What is checked against, and the counts for the sum.
#[derive(Debug)]
pub struct Checks {
    pub partitions: Vec<Partition>,
}

impl Default for Checks {
    fn default() -> Self {
        let partitions = (0..PARTITIONS).map(|_| Partition::default()).collect();
        Self { partitions }
    }
}

impl Checks {
    /// How many records were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.partitions.iter().map(|p| p.acknowledged.len()).sum()
    }

    /// How many leader epochs there were.
    pub fn epochs(&self) -> usize {
        self.partitions.iter().map(|p| p.leaders.len()).sum()
    }

    /// The end of what is committed.
    pub fn committed_end(&self, partition: i32) -> i64 {
        self.partitions[partition as usize].values.len() as i64
    }

    /// The newest epoch in which something was committed: a read that begins now and is served in
    /// an older one is stale.
    pub fn committed_epoch(&self, partition: i32) -> i32 {
        self.partitions[partition as usize].committed_epoch
    }
}

impl World {
    /// Looks at every live process. Called after every step.
    pub fn check_nodes(&mut self) {
        let mut leaders = Vec::new();
        for node in 0..BROKERS {
            let Some(context) = self.context(node) else {
                continue;
            };
            self.check_image(node, &context);
            for seen in context.replicas.inspect() {
                if &*seen.topic == TOPIC {
                    self.note(node, &seen);
                    self.check_holes(node, &context.replicas, &seen);
                    self.check_replica(node, &context.replicas, &seen);
                    if seen.is_leader {
                        leaders.push((node, seen));
                    }
                }
            }
        }
        // against what all of them have by now
        for (node, seen) in leaders {
            self.check_claims(node, &seen);
        }
    }

    fn check_replica(&mut self, node: usize, replicas: &Replicas, seen: &Inspected) {
        let life = self.machines[node].life;
        let high_watermark = seen.marks.high_watermark.0;
        let partition = &mut self.checks.partitions[seen.partition as usize];
        let mut wrong = None;
        let mut leads = None;
        if seen.is_leader {
            let before = partition.leaders.len();
            wrong = partition.check_leader(node, seen);
            leads = (partition.leaders.len() > before).then_some(seen.leader_epoch);
        }
        let (compared_life, mut from) = partition.compared[node];
        if compared_life != life {
            from = 0; // a restart may have changed what is on disk: all of it is compared again
        }
        from = from.min(high_watermark);
        while from < high_watermark && wrong.is_none() {
            let bytes = replicas.inspect_log(seen, Offset(from), Offset(high_watermark));
            let before = from;
            for batch in record_batch::iterate(&bytes).flatten() {
                let next = batch.header.next_offset().0;
                if batch.header.base_offset.0 >= from && next <= high_watermark {
                    wrong = wrong.or(partition.compare(node, &batch));
                    from = next;
                }
            }
            if from == before {
                break; // its disk has failed, or a batch crosses the high watermark
            }
        }
        partition.compared[node] = (life, from);
        if let Some(epoch) = leads {
            let marks = &seen.marks;
            self.trace(format_args!(
                "broker {node} leads {} in epoch {epoch}, {marks:?}",
                seen.partition
            ));
        }
        if let Some(wrong) = wrong {
            self.violate(format!("{wrong} (partition {})", seen.partition));
        }
    }

    /// A producer was told that its records are committed.
    pub fn acknowledged(&mut self, partition: i32, base: i64, values: &[String]) {
        let index = partition as usize;
        let end = base + values.len() as i64;
        let durable = self.checks.partitions[index].durable;
        let holders = durable.iter().filter(|durable| **durable >= end).count();
        if holders < MIN_ISR {
            self.violate(format!(
                "AckBeforeDurable: {partition}@{base}..{end} is acknowledged, \
                 on disk are {durable:?}"
            ));
        }
        for (offset, value) in (base..).zip(values) {
            let known = &mut self.checks.partitions[index].acknowledged;
            if let Some(other) = known.insert(offset, value.clone()) {
                self.violate(format!(
                    "InconsistentOffset: {partition}@{offset} is acknowledged \
                     for {other} and {value}"
                ));
            }
        }
    }

    /// A consumer was given a record.
    pub fn consumed(&mut self, partition: i32, offset: i64, value: &str) {
        let values = &self.checks.partitions[partition as usize].values;
        match values.get(offset as usize) {
            Some(known) if known == value => {}
            known => self.violate(format!(
                "InconsistentOffset: {partition}@{offset} was read as {value}, \
                 committed is {known:?}"
            )),
        }
    }

    /// Once everything is healed and quiet: nothing is lost, nothing is there twice.
    pub fn check_end(&mut self) {
        let mut wrong = Vec::new();
        for (index, partition) in self.checks.partitions.iter().enumerate() {
            for (offset, value) in &partition.acknowledged {
                let found = partition.values.get(*offset as usize);
                if found != Some(value) {
                    wrong.push(format!(
                        "LostWrite: {index}@{offset} was acknowledged for {value}, \
                         there is {found:?}"
                    ));
                }
            }
            let mut sorted: Vec<&String> = partition.values.iter().collect();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                wrong.push(format!("Duplicate: {index} has {} twice", twice[0]));
            }
        }
        for what in wrong {
            self.violate(what);
        }
    }

    /// Whether every replica is up and holds the same, all of it committed.
    pub fn has_converged(&self) -> bool {
        let mut ends = vec![None; PARTITIONS as usize];
        for node in 0..BROKERS {
            let Some(context) = self.context(node) else {
                return false;
            };
            let seen = context.replicas.inspect();
            let ours = seen.iter().filter(|seen| &*seen.topic == TOPIC);
            let mut count = 0;
            for seen in ours {
                let end = &mut ends[seen.partition as usize];
                let marks = &seen.marks;
                let is_same = end.is_none_or(|end| end == marks.log_end_offset);
                if !is_same || marks.high_watermark != marks.log_end_offset {
                    return false;
                }
                *end = Some(marks.log_end_offset);
                count += 1;
            }
            if count != PARTITIONS {
                return false;
            }
        }
        true
    }
}

impl Partition {
    fn check_leader(&mut self, node: usize, seen: &Inspected) -> Option<String> {
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
    fn compare(&mut self, node: usize, batch: &RecordBatch<'_>) -> Option<String> {
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
        for found in record::iterate(batch.body(), header.records_count).flatten() {
            let value = found.value.unwrap_or_default();
            self.values.push(value_of(value));
        }
        None
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
