//! The partitions of a topic, by index, without gaps.
//!
//! What holds for all of them is asked for once a partition, by decisions over ten thousand: so it
//! is counted once, and again after a change.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::PartitionRegistration;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Partitions {
    all: Vec<Arc<PartitionRegistration>>,
    factors: OnceLock<Factors>,
}

/// The smallest numbers of replicas over the partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// That `min.insync.replicas` can ask for.
    pub(super) settled: usize,
    /// Once the reassignments under way are done.
    pub(super) target: usize,
}

impl Partitions {
    /// Adds the next one.
    pub fn push(&mut self, partition: Arc<PartitionRegistration>) {
        self.factors.take();
        self.all.push(partition);
    }

    /// Puts another registration in the place of one. Nothing happens where there is none.
    pub fn set(&mut self, index: usize, partition: Arc<PartitionRegistration>) {
        self.factors.take();
        if let Some(place) = self.all.get_mut(index) {
            *place = partition;
        }
    }

    pub(super) fn factors(&self) -> Factors {
        *self.factors.get_or_init(|| Factors {
            settled: self
                .all
                .iter()
                .map(|p| p.settled_replicas())
                .min()
                .unwrap_or(0),
            target: self
                .all
                .iter()
                .map(|p| p.target_replicas().len())
                .min()
                .unwrap_or(0),
        })
    }
}

impl Deref for Partitions {
    type Target = [Arc<PartitionRegistration>];

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl<'a> IntoIterator for &'a Partitions {
    type Item = &'a Arc<PartitionRegistration>;
    type IntoIter = std::slice::Iter<'a, Arc<PartitionRegistration>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl From<Vec<Arc<PartitionRegistration>>> for Partitions {
    fn from(all: Vec<Arc<PartitionRegistration>>) -> Self {
        Self {
            all,
            factors: OnceLock::new(),
        }
    }
}

/// What was counted is no part of what they are.
impl PartialEq for Partitions {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for Partitions {}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::ids::NodeId;

    fn on(replicas: &[i32]) -> Arc<PartitionRegistration> {
        Arc::new(PartitionRegistration {
            replicas: replicas.iter().map(|node| NodeId(*node)).collect(),
            ..PartitionRegistration::default()
        })
    }

    #[test]
    fn factors_follow_every_change() {
        let mut partitions = Partitions::default();
        let count = |p: &Partitions| (p.factors().settled, p.factors().target);
        assert_eq!(count(&partitions), (0, 0));
        partitions.push(on(&[0, 1, 2]));
        assert_eq!(count(&partitions), (3, 3));
        partitions.push(on(&[0]));
        assert_eq!(count(&partitions), (1, 1));
        let before = partitions.clone();
        partitions.set(1, on(&[0, 1]));
        assert_eq!(count(&partitions), (2, 2));
        assert_eq!(count(&before), (1, 1));
        assert_ne!(before, partitions);
    }
}
