//! The partitions, and what is compared with what clients were told.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ids::{ProducerEpoch, ProducerId};

use crate::transaction::request::AddPartitions;
use crate::transaction::state::{Producer, Status, Transaction};
use crate::transaction::{Ending, Partitions};

/// Records of an open transaction in one partition.
#[derive(Debug)]
struct Open {
    epoch: ProducerEpoch,
    transactions: BTreeSet<u64>,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Judge {
    open: BTreeMap<(String, ProducerId), Open>,
    /// By transaction: whether its records count, as a partition has it.
    outcomes: BTreeMap<u64, bool>,
    /// The same as its client was told.
    told: BTreeMap<u64, bool>,
    owners: BTreeMap<Producer, usize>,
}

fn names(partitions: &Partitions) -> impl Iterator<Item = String> {
    let topics = partitions.iter();
    topics.flat_map(|(topic, indexes)| indexes.iter().map(move |index| format!("{topic}-{index}")))
}

impl Judge {
    pub(super) fn write(&mut self, transaction: u64, body: &AddPartitions) {
        for name in names(&body.partitions) {
            let key = (name, body.producer.id);
            let open = self.open.entry(key).or_insert_with(|| Open {
                epoch: body.producer.epoch,
                transactions: BTreeSet::new(),
            });
            assert_eq!(
                open.epoch, body.producer.epoch,
                "one epoch between two markers"
            );
            open.transactions.insert(transaction);
        }
    }

    pub(super) fn marker(&mut self, ending: &Ending) {
        for name in names(&ending.partitions) {
            let Some(open) = self.open.remove(&(name, ending.producer.id)) else {
                continue;
            };
            assert!(open.epoch <= ending.producer.epoch);
            for transaction in open.transactions {
                self.settle(transaction, ending.is_commit);
            }
        }
    }

    fn settle(&mut self, transaction: u64, is_commit: bool) {
        let known = self.outcomes.insert(transaction, is_commit);
        assert!(known.is_none_or(|known| known == is_commit), "two outcomes");
        let told = self.told.get(&transaction);
        assert!(told.is_none_or(|told| *told == is_commit), "told otherwise");
    }

    pub(super) fn told(&mut self, transaction: u64, is_commit: bool) {
        self.told.insert(transaction, is_commit);
        let known = self.outcomes.get(&transaction);
        assert!(
            known.is_none_or(|known| *known == is_commit),
            "told otherwise"
        );
    }

    pub(super) fn given(&mut self, producer: Producer, who: usize) {
        let owner = *self.owners.entry(producer).or_insert(who);
        assert_eq!(owner, who, "{producer:?} is given twice");
    }

    pub(super) fn at_rest(&self) {
        assert!(self.open.is_empty(), "markers are missing: {:?}", self.open);
    }

    pub(super) fn told_count(&self) -> usize {
        self.told.len()
    }
}

/// Whether Kafka would let the one state follow the other.
pub(super) fn follows(before: Option<&Transaction>, after: Option<&Transaction>) -> bool {
    use Status::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    let (Some(before), Some(after)) = (before, after) else {
        return match (before, after) {
            (None, Some(after)) => after.status == Empty && after.producer.epoch.0 == 0,
            (Some(before), None) => before.status.may_expire(),
            _ => false,
        };
    };
    let is_same = before.producer == after.producer;
    let is_bump = before.producer.id == after.producer.id
        && before.producer.epoch.0 + 1 == after.producer.epoch.0;
    let is_rotation = before.producer.id != after.producer.id && after.producer.epoch.0 == 0;
    let same_partitions = before.partitions == after.partitions;
    match (before.status, after.status) {
        (Empty | CompleteCommit | CompleteAbort, Empty) => {
            (is_same || is_bump || is_rotation) && after.partitions.is_empty()
        }
        (Empty | CompleteCommit | CompleteAbort | Ongoing, Ongoing) => {
            is_same && after.has(&before.partitions) && before.timeout_ms == after.timeout_ms
        }
        (Ongoing, PrepareCommit | PrepareAbort) => {
            same_partitions
                && (if after.version.bumps_epoch() {
                    is_bump
                } else {
                    is_same || is_bump
                })
        }
        (PrepareCommit, CompleteCommit) | (PrepareAbort, CompleteAbort) => {
            is_same || (is_rotation && after.producer.id == before.next_id)
        }
        // an abort of nothing
        (Empty | CompleteCommit | CompleteAbort, CompleteAbort) => is_bump || is_rotation,
        _ => false,
    }
}
