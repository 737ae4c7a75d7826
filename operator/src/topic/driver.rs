//! The task that looks after all topics of one cluster, on any platform.
//!
//! It has the only admin connection for topics of its cluster. It wakes when a spec or the cluster
//! changes, soon again while something is on its way, and else every [`DRIFT_INTERVAL`], so that
//! what somebody changed outside is put back. Statuses leave it only when they say something new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::reconcile::{Desired, Outcome, Pass, Topics, pass, unreachable};
use super::status::said;
use crate::admin::Admin;
use crate::condition::{State, TopicReason, Verdict, state};
use crate::crd::KafkaTopicStatus;
use crate::object::{ObjectKey, PAUSED};

/// How often topics are compared with their specs though nothing is known to have changed.
pub const DRIFT_INTERVAL: Duration = Duration::from_secs(2);
/// How soon something on its way is looked at again; doubles up to [`DRIFT_INTERVAL`].
const PENDING_INTERVAL_MIN: Duration = Duration::from_millis(30);

/// What the topics of a cluster need to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Where its brokers listen.
    pub addresses: Vec<String>,
    /// How many brokers it has when all are up.
    pub brokers: i32,
    /// Whether topics can be created: all brokers have come up at least once.
    pub usable: bool,
    /// What the cluster itself says, for topics that wait for it.
    pub says: String,
    /// Namespaces that it admits, its own among them; `*` is all.
    pub admits: Vec<String>,
    /// Whether it and its topics are left alone.
    pub paused: bool,
    /// Whether it is going away, and its topics with it.
    pub deleting: bool,
}

/// Runs until the sender of `view` is gone. Nothing is said before there is a view.
pub async fn run(
    mut view: watch::Receiver<Option<View>>,
    mut topics: watch::Receiver<Arc<Topics>>,
    outcomes: mpsc::Sender<Pass>,
    now: fn() -> String,
) {
    let mut admin = Admin::new(Vec::new());
    let mut said: BTreeMap<ObjectKey, KafkaTopicStatus> = BTreeMap::new();
    let mut pause = PENDING_INTERVAL_MIN;
    loop {
        let Some(cluster) = view.borrow_and_update().clone() else {
            if view.changed().await.is_err() {
                return;
            }
            continue;
        };
        let mut wanted = Topics::clone(&topics.borrow_and_update());
        for (key, desired) in &mut wanted {
            if let Some(status) = said.get(key) {
                desired.object.status = Some(status.clone());
            }
        }
        admin.set_addresses(cluster.addresses.clone());
        let mut pass = look_after(&mut admin, &cluster, &wanted, &now()).await;
        let pending = pass.outcomes.values().any(is_pending);
        keep_new(&wanted, &mut said, &mut pass);
        if !(pass.outcomes.is_empty() && pass.done.is_empty()) {
            pause = PENDING_INTERVAL_MIN;
            if outcomes.send(pass).await.is_err() {
                return;
            }
        }
        let wait = if pending { pause } else { DRIFT_INTERVAL };
        pause = (pause * 2).min(DRIFT_INTERVAL);
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            changed = topics.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn look_after(admin: &mut Admin, cluster: &View, wanted: &Topics, now: &str) -> Pass {
    let (admitted, strangers): (Topics, Topics) = wanted.iter().cloned().partition(|(key, _)| {
        cluster
            .admits
            .iter()
            .any(|n| n == "*" || *n == key.namespace)
    });
    let mut all = if cluster.deleting {
        going(&admitted, now)
    } else if cluster.paused {
        left_alone(&admitted, now)
    } else if cluster.usable {
        match pass(admin, &admitted, cluster.brokers, now).await {
            Ok(pass) => pass,
            Err(error) => waiting(&admitted, &error.to_string(), now),
        }
    } else {
        waiting(&admitted, &cluster.says, now)
    };
    for (key, desired) in &strangers {
        all.outcomes
            .insert(key.clone(), stranger(key, desired, now));
    }
    all
}

fn waiting(topics: &Topics, why: &str, now: &str) -> Pass {
    let why = why.trim_end_matches('.');
    let message = format!("Waits for the cluster: {why}.");
    let verdict = Verdict::new(TopicReason::ClusterNotReady, message);
    unreachable(topics, &verdict, now)
}

/// Where the cluster goes, deleted objects have nothing to wait for.
fn going(topics: &Topics, now: &str) -> Pass {
    let message = "The cluster is being deleted.".to_owned();
    let verdict = Verdict::new(TopicReason::ClusterNotReady, message);
    let mut pass = unreachable(topics, &verdict, now);
    for (key, desired) in topics {
        if desired.deleting {
            pass.outcomes.insert(key.clone(), Outcome::Gone);
        }
    }
    pass
}

fn left_alone(topics: &Topics, now: &str) -> Pass {
    let message = format!(
        "The annotation {PAUSED} is set on the KafkaCluster, so its topics are left alone."
    );
    unreachable(topics, &Verdict::new(TopicReason::Paused, message), now)
}

fn stranger(key: &ObjectKey, desired: &Desired, now: &str) -> Outcome {
    if desired.deleting {
        return Outcome::Gone;
    }
    let verdict = Verdict::new(
        TopicReason::NamespaceNotAdmitted,
        format!(
            "The cluster does not admit topics of namespace {}; add it to \
             spec.topicNamespaces.matchNames of the KafkaCluster.",
            key.namespace
        ),
    );
    Outcome::Stands(Box::new(said(&desired.object, &verdict, now)))
}

/// What becomes of an object whose cluster is not there: one that was deleted waits for nothing.
#[must_use]
pub fn homeless(cluster: &ObjectKey, desired: &Desired, now: &str) -> Outcome {
    if desired.deleting {
        return Outcome::Gone;
    }
    let message = format!("There is no KafkaCluster {cluster}; correct spec.clusterRef or add it.");
    let verdict = Verdict::new(TopicReason::ClusterNotFound, message);
    Outcome::Stands(Box::new(said(&desired.object, &verdict, now)))
}

fn is_pending(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stands(status) => state(&status.conditions) == Some(State::Reconciling),
        Outcome::Gone => false,
    }
}

/// Drops outcomes that say what this task has said before.
fn keep_new(wanted: &Topics, said: &mut BTreeMap<ObjectKey, KafkaTopicStatus>, pass: &mut Pass) {
    let wanted: BTreeSet<&ObjectKey> = wanted.iter().map(|(key, _)| key).collect();
    said.retain(|key, _| wanted.contains(key));
    pass.outcomes.retain(|key, outcome| match outcome {
        Outcome::Gone => {
            said.remove(key);
            true
        }
        Outcome::Stands(status) if said.get(key) == Some(&**status) => false,
        Outcome::Stands(status) => {
            said.insert(key.clone(), (**status).clone());
            true
        }
    });
}

#[cfg(test)]
mod tests;
