//! One broker: a core, and a log of which only the flushed part outlives a crash.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_core::partition::{
    AlterIsr, Batch, Config, Durability, Effect, Effects, Input, Loaded, Partition, Producers,
};
use ottla_protocol::ids::{BrokerEpoch, NodeId, Offset};
use ottla_protocol::log::{EpochStart, LeaderEpochs};

/// One batch and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) batch: Batch,
    pub(super) payload: u64,
}

/// What a step asks of the world outside the node.
#[derive(Debug)]
pub(super) enum Outcome {
    Acknowledged { token: u32, is_ok: bool },
    AlterIsr(AlterIsr),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) is_up: bool,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) partition: Partition,
    pub(super) log: Vec<Entry>,
    pub(super) flushed_count: usize,
    pub(super) awaits_fetch: bool,
    /// What was on disk here before the log was emptied.
    pub(super) emptied: BTreeSet<u64>,
    checkpoint: Offset,
}

fn config() -> Config {
    Config {
        min_insync_replicas: 2,
        durability: Durability::Fsync,
        replica_lag_time_max: Duration::from_millis(500),
        is_compacted: false,
    }
}

fn producers(log: &[Entry]) -> Producers {
    let mut producers = Producers::default();
    for entry in log {
        producers.appended(&entry.batch);
    }
    producers
}

impl Node {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            is_up: true,
            broker_epoch: BrokerEpoch(0),
            partition: Partition::new(id, config(), Loaded::default()),
            log: Vec::new(),
            flushed_count: 0,
            awaits_fetch: false,
            emptied: BTreeSet::new(),
            checkpoint: Offset::ZERO,
        }
    }

    pub(super) fn crash(&mut self) {
        self.is_up = false;
        self.awaits_fetch = false;
        self.log.truncate(self.flushed_count);
    }

    pub(super) fn start(&mut self, broker_epoch: BrokerEpoch) {
        self.is_up = true;
        self.broker_epoch = broker_epoch;
        let epochs = self.log.iter().map(|entry| EpochStart {
            leader_epoch: entry.batch.leader_epoch,
            start_offset: entry.batch.base_offset,
        });
        let loaded = Loaded {
            log_start_offset: Offset::ZERO,
            log_end_offset: self.end_offset(),
            high_watermark: self.checkpoint,
            leader_epochs: LeaderEpochs::new(epochs),
            producers: producers(&self.log),
        };
        self.partition = Partition::new(self.id, config(), loaded);
    }

    pub(super) fn checkpoint(&mut self) {
        self.checkpoint = self.partition.marks().high_watermark;
    }

    pub(super) fn end_offset(&self) -> Offset {
        let last = self.log.last();
        last.map_or(Offset::ZERO, |entry| entry.batch.next_offset())
    }

    pub(super) fn flushed_offset(&self) -> Offset {
        let last = self.flushed_count.checked_sub(1);
        last.map_or(Offset::ZERO, |place| self.log[place].batch.next_offset())
    }

    pub(super) fn flush(&mut self, now: Duration) -> Vec<Outcome> {
        self.flushed_count = self.log.len();
        let offset = self.flushed_offset();
        self.step(now, Input::Flushed(offset), &[])
    }

    /// `at_hand` are the entries that the input brings: one produced, or those fetched.
    pub(super) fn step(
        &mut self,
        now: Duration,
        input: Input<'_>,
        at_hand: &[Entry],
    ) -> Vec<Outcome> {
        let told = match &input {
            Input::Fetched(fetched) => self.partition.truncation(fetched),
            _ => None,
        };
        let mut effects = Effects::new();
        self.partition.step(now, input, &mut effects);
        let cut = effects.iter().find_map(|effect| match effect {
            Effect::TruncateTo(offset) => Some(*offset),
            _ => None,
        });
        assert_eq!(cut, told, "where a log is cut is known before");
        let outcomes = effects
            .into_iter()
            .filter_map(|effect| self.perform(now, effect, at_hand))
            .collect();
        assert_eq!(self.partition.marks().log_end_offset, self.end_offset());
        outcomes
    }

    fn perform(&mut self, now: Duration, effect: Effect, at_hand: &[Entry]) -> Option<Outcome> {
        match effect {
            Effect::Append {
                base_offset,
                leader_epoch,
            } => {
                let mut entry = at_hand[0];
                entry.batch.base_offset = base_offset;
                entry.batch.leader_epoch = leader_epoch;
                self.log.push(entry);
            }
            Effect::AppendFetched { first } => self.log.extend_from_slice(&at_hand[first..]),
            Effect::TruncateTo(offset) => {
                self.log.retain(|entry| entry.batch.base_offset < offset);
                self.flushed_count = self.flushed_count.min(self.log.len());
            }
            Effect::TruncateFullyAndStartAt(offset) => {
                assert_eq!(offset, Offset::ZERO, "no record is ever deleted here");
                let flushed = self.log[..self.flushed_count].iter();
                self.emptied.extend(flushed.map(|entry| entry.payload));
                self.log.clear();
                self.flushed_count = 0;
            }
            Effect::ReloadProducers => {
                let reloaded = Input::ProducersLoaded(producers(&self.log));
                let mut none = Effects::new();
                self.partition.step(now, reloaded, &mut none);
                assert!(none.is_empty(), "loading asks for nothing");
            }
            Effect::Acknowledge { token, result } => {
                return Some(Outcome::Acknowledged {
                    token: token.0,
                    is_ok: result.is_ok(),
                });
            }
            Effect::AlterIsr(alter) => return Some(Outcome::AlterIsr(alter)),
            Effect::SetLogStartOffset(_)
            | Effect::RecordsDeleted { .. }
            | Effect::WakeFollowers
            | Effect::WakeConsumers
            | Effect::WakeAll
            | Effect::FollowLeader
            | Effect::HandOver(_)
            | Effect::ResumeFetch => {}
        }
        None
    }
}
