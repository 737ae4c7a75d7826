//! The KafkaRebalances of the session: given to the tasks of their clusters, and what those say.

use std::sync::Arc;

use super::Session;
use super::members::Index;
use crate::crd::KafkaRebalance;
use crate::object::ObjectKey;
use crate::rebalance::driver::{Outcome, Rebalances, RebalancesReport, without_cluster};
use crate::world::{Kind, World};

impl<W: World, F> Session<W, F> {
    pub(super) fn handle_rebalances(&mut self, report: RebalancesReport) {
        for (key, done) in report.done {
            self.world.record(Kind::Rebalance, &key, done);
        }
        // The last words of a task that has ended are older than what was said since.
        if !self.tasks.contains_key(&report.cluster) {
            return;
        }
        let keys: Vec<ObjectKey> = report.outcomes.keys().cloned().collect();
        for (key, outcome) in report.outcomes {
            self.apply_rebalance(&key, outcome);
        }
        let all = self.rebalances.of(&report.cluster);
        let left = all.filter_map(|(_, one)| one.object.status.as_ref()?.progress.as_ref());
        let left = left.map(|progress| i64::from(progress.partitions_left));
        self.metrics.rebalancing(&report.cluster, left.sum());
        // Its task knows already, and need not wake.
        if let Some(task) = self.tasks.get(&report.cluster) {
            let held = Arc::new(held(&mut self.world, &self.rebalances, &report.cluster));
            task.rebalances.send_if_modified(|before| {
                *before = held;
                false
            });
        }
        let keys = keys.into_iter().map(|key| (Kind::Rebalance, key));
        self.unwritten.push((keys.collect(), report.applied));
    }

    /// Has tasks go on whose statuses are written: what is done by a plan has to be known to the
    /// operator that comes after this one.
    pub(super) fn tell_written(&mut self) {
        let all = std::mem::take(&mut self.unwritten);
        for (keys, applied) in all {
            let is_written = |(kind, key): &(Kind, ObjectKey)| self.world.has_written(*kind, key);
            if keys.iter().all(is_written) {
                let _ = applied.send(());
            } else {
                self.unwritten.push((keys, applied));
            }
        }
    }

    fn apply_rebalance(&mut self, key: &ObjectKey, outcome: Outcome) {
        match outcome {
            Outcome::Stands(status) => {
                if let Some(object) = self.world.set_rebalance_status(key, *status) {
                    self.rebalances.replace(key, object);
                }
            }
            Outcome::Gone => {
                self.rebalances.apply(key, None);
                self.world.release_rebalance(key);
            }
        }
    }

    /// Gives them to the tasks of their clusters, the oldest first.
    pub(super) fn dispatch_rebalances(&mut self) {
        for cluster in self.rebalances.take_dirty() {
            if let Some(task) = self.tasks.get(&cluster) {
                let held = held(&mut self.world, &self.rebalances, &cluster);
                task.rebalances.send_replace(Arc::new(held));
                continue;
            }
            let all: Rebalances = self.rebalances.of(&cluster).cloned().collect();
            for (key, desired) in all {
                let outcome = without_cluster(&cluster, &desired, &(self.now)());
                self.apply_rebalance(&key, outcome);
            }
        }
    }
}

/// Those of a cluster whose deletion cannot go unnoticed.
fn held(world: &mut impl World, all: &Index<KafkaRebalance>, cluster: &ObjectKey) -> Rebalances {
    let all = all
        .of(cluster)
        .filter(|(key, _)| world.holds_rebalance(key));
    all.cloned().collect()
}
