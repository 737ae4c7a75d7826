//! The task that reconciles all topics of one cluster, on any platform.
//!
//! It has the only admin connection for topics of its cluster. It wakes when a spec or the cluster
//! changes, soon again while something is on its way, and else every [`DRIFT_INTERVAL`], so that
//! what somebody changed outside is put back. Statuses leave it only when they say something new,
//! and stand in the objects before the next pass begins: it remembers nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::moves::driver::Changing;
use super::reconcile::{Desired, Outcome, Pass, Topic, Topics, pass, unreachable};
use super::status::said;
use crate::admin::{Admin, Identity};
use crate::approval::{Change, TopicChanges};
use crate::condition::{State, TopicReason, Verdict, spoken, state};
use crate::crd::KafkaTopicStatus;
use crate::crd::cluster::ChangePolicy;
use crate::object::Wanted;
use crate::object::{ObjectKey, PAUSED, is_paused};

/// How often topics are compared with their specs though nothing is known to have changed.
pub const DRIFT_INTERVAL: Duration = Duration::from_secs(2);
/// How often a topic's status is written for nothing but replicas that came into sync or fell out.
const IN_SYNC_INTERVAL: Duration = Duration::from_secs(10);
/// For so long topics say what they said though their cluster cannot be asked: a broker that
/// restarts is no news of any topic.
const GRACE: Duration = Duration::from_secs(5);
/// How soon something on its way is looked at again; doubles up to [`DRIFT_INTERVAL`].
const PENDING_INTERVAL_MIN: Duration = Duration::from_millis(30);

/// What the topics of a cluster need to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Where its brokers listen, those that serve first.
    pub addresses: Vec<String>,
    /// Who the operator is for them; none: they do not ask.
    pub identity: Option<Identity>,
    /// Which cluster it is, where that must not change.
    pub cluster_id: Option<String>,
    /// How many brokers it has when all are up, those not counted that are to go.
    pub brokers: i32,
    /// Brokers beyond those, which are to hold nothing any more.
    pub leaving: BTreeSet<i32>,
    /// Brokers that have just come, and are to get their share.
    pub newcomers: BTreeSet<i32>,
    /// How many replicas the brokers' own topics are to have.
    pub internal: BTreeMap<String, i32>,
    /// The changes that were consented to; none stands for all.
    pub approved: Option<BTreeSet<String>>,
    /// Whether no more replicas are to be moved, because brokers are to be restarted.
    pub holds_moves: bool,
    /// Whether topics can be created: all brokers have come up at least once, be it under an
    /// earlier operator.
    pub usable: bool,
    /// Whether it ever came up, so that it may hold topics.
    pub was_up: bool,
    /// What the cluster itself says, for topics that wait for it.
    pub message: String,
    /// Namespaces that it admits, its own among them; `*` is all.
    pub admits: Vec<String>,
    /// Whether it and its topics are left alone.
    pub paused: bool,
    /// Whether it is going away, and its topics with it.
    pub deleting: bool,
    /// The generation of the KafkaCluster that this was made of.
    pub generation: i64,
    /// Whether there is a newer one. It may admit an object that claims what another leaves, so
    /// deletions wait.
    pub is_outdated: bool,
}

/// What a pass did.
#[derive(Debug)]
pub struct TopicsReport {
    /// The cluster.
    pub cluster: ObjectKey,
    /// Only what is new.
    pub pass: Pass,
    /// Told when the statuses stand in the objects, and the task has the objects.
    pub applied: oneshot::Sender<()>,
}

/// Where the task reports.
#[derive(Debug)]
pub struct Reports {
    /// What passes did.
    pub passes: mpsc::Sender<TopicsReport>,
    /// The changes that may need consent.
    pub changes: watch::Sender<Option<TopicChanges>>,
}

impl Reports {
    /// Tells of the changes that a pass found. What is known stays where it could not look.
    fn tell(&self, found: Option<Vec<Change>>) {
        let found = found.map(|changes| TopicChanges {
            changes,
            is_known: true,
        });
        self.changes.send_if_modified(|told| {
            let new = found.or_else(|| told.clone()).unwrap_or_default();
            let is_new = told.as_ref() != Some(&new);
            *told = Some(new);
            is_new
        });
    }
}

/// Runs until the sender of `view` is gone. Nothing is said before there is a view. `wanted` may be
/// newer than what the view was made of.
pub async fn run(
    key: ObjectKey,
    mut view: watch::Receiver<Option<View>>,
    mut wanted: watch::Receiver<Wanted>,
    mut topics: watch::Receiver<Arc<Topics>>,
    reports: Reports,
    now: fn() -> String,
) {
    let mut admin = Admin::new(Vec::new());
    let mut pause = PENDING_INTERVAL_MIN;
    let mut said = Said::default();
    loop {
        let Some(mut cluster) = view.borrow_and_update().clone() else {
            if view.changed().await.is_err() {
                return;
            }
            continue;
        };
        cluster.catch_up(&wanted.borrow_and_update());
        let topics_now = Arc::clone(&topics.borrow_and_update());
        admin.set_identity(cluster.identity.clone());
        admin.set_addresses(cluster.addresses.clone());
        admin.set_cluster_id(cluster.cluster_id.clone());
        let found = reconcile(&mut admin, &cluster, &topics_now, &now()).await;
        let is_silent = found.is_err();
        let mut pass = said.answer(found);
        reports.tell(pass.changes.take());
        let pending = is_silent || pass.outcomes.values().any(is_pending);
        said.keep_new(&topics_now, &mut pass);
        if !(pass.outcomes.is_empty() && pass.done.is_empty()) {
            pause = PENDING_INTERVAL_MIN;
            let (applied, is_applied) = oneshot::channel();
            let cluster = key.clone();
            let report = TopicsReport {
                cluster,
                pass,
                applied,
            };
            if reports.passes.send(report).await.is_err() {
                return;
            }
            let _ = is_applied.await;
        }
        let wait = if pending { pause } else { DRIFT_INTERVAL };
        pause = (pause * 2).min(DRIFT_INTERVAL);
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            changed = wanted.changed() => if changed.is_err() { return },
            changed = topics.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Brings topics closer to what is wanted of them. Where the cluster cannot be asked, what they say
/// to that is an error, since it may be said later or not at all.
async fn reconcile(
    admin: &mut Admin,
    cluster: &View,
    wanted: &Topics,
    now: &str,
) -> Result<Pass, Pass> {
    let mut is_silent = false;
    let wanted = wanted.iter();
    let wanted = wanted.filter(|(_, desired)| !(desired.deleting && cluster.is_outdated));
    let (admitted, others): (Vec<&Topic>, Vec<&Topic>) =
        wanted.partition(|(key, _)| cluster.admits(key));
    let mut all = if cluster.deleting {
        going(&admitted, now)
    } else if cluster.paused {
        left_alone(&admitted, now)
    } else if cluster.usable {
        match pass(admin, &admitted, cluster.brokers, cluster.changing(), now).await {
            Ok(pass) => pass,
            Err(broken) => {
                is_silent = true;
                let mut pass = waiting(&admitted, &broken.error.to_string(), now);
                pass.done = broken.done;
                pass
            }
        }
    } else {
        let mut pass = waiting(&admitted, &cluster.message, now);
        // In a cluster that never came up there is no topic to go with its object.
        if !cluster.was_up {
            pass.outcomes.extend(gone(&admitted));
        }
        pass
    };
    if cluster.is_outdated {
        // Not all was looked at: what was consented to would be forgotten.
        all.changes = None;
    }
    for (key, desired) in others {
        let outcome = not_admitted(key, desired, now);
        all.outcomes.insert(key.clone(), outcome);
    }
    if is_silent { Err(all) } else { Ok(all) }
}

impl View {
    /// Takes what is known of the object before the next step of the cluster.
    fn catch_up(&mut self, wanted: &Wanted) {
        match wanted {
            Wanted::Run(cluster) => {
                let generation = cluster.metadata.generation.unwrap_or_default();
                self.is_outdated = generation != self.generation;
                self.paused = is_paused(&cluster.metadata);
                if cluster.spec.change_policy == ChangePolicy::Plan && self.approved.is_none() {
                    let status = cluster.status.iter();
                    let approved = status.flat_map(|status| status.approved.clone());
                    self.approved = Some(approved.collect());
                }
            }
            Wanted::Stop | Wanted::Delete(_) => {}
        }
    }

    fn changing(&self) -> Changing<'_> {
        Changing {
            leaving: &self.leaving,
            newcomers: &self.newcomers,
            internal: &self.internal,
            approved: self.approved.as_ref(),
            is_held: self.holds_moves,
        }
    }

    fn admits(&self, topic: &ObjectKey) -> bool {
        let mut admits = self.admits.iter();
        admits.any(|namespace| namespace == "*" || *namespace == topic.namespace)
    }
}

fn waiting(topics: &[&Topic], why: &str, now: &str) -> Pass {
    let why = why.trim_end_matches('.');
    let message = format!("Waits for the cluster: {why}.");
    let verdict = Verdict::new(TopicReason::ClusterNotReady, message);
    unreachable(topics, &verdict, now)
}

/// Where the cluster goes, deleted objects have nothing to wait for.
fn going(topics: &[&Topic], now: &str) -> Pass {
    let message = "The cluster is being deleted.".to_owned();
    let verdict = Verdict::new(TopicReason::ClusterNotReady, message);
    let mut pass = unreachable(topics, &verdict, now);
    pass.outcomes.extend(gone(topics));
    pass
}

/// Deleted objects that have nothing to wait for.
fn gone(topics: &[&Topic]) -> impl Iterator<Item = (ObjectKey, Outcome)> {
    let deleted = topics.iter().filter(|(_, desired)| desired.deleting);
    deleted.map(|(key, _)| (key.clone(), Outcome::Gone))
}

fn left_alone(topics: &[&Topic], now: &str) -> Pass {
    let message = format!(
        "The annotation {PAUSED} is set on the KafkaCluster, so its topics are left alone."
    );
    unreachable(topics, &Verdict::new(TopicReason::Paused, message), now)
}

fn not_admitted(key: &ObjectKey, desired: &Desired, now: &str) -> Outcome {
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
pub fn without_cluster(cluster: &ObjectKey, desired: &Desired, now: &str) -> Outcome {
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

/// When what was said, as far as that decides what is said now.
#[derive(Debug, Default)]
struct Said {
    /// When the cluster could be asked last.
    answered: Option<Instant>,
    /// When topics told last that replicas came into sync or fell out; not longer ago than that is
    /// told again.
    in_sync: BTreeMap<ObjectKey, Instant>,
}

impl Said {
    /// What is said now. Of a cluster that was there a moment ago nothing is, but of topics that it
    /// does not admit.
    fn answer(&mut self, found: Result<Pass, Pass>) -> Pass {
        let waits = |outcome: &Outcome| match outcome {
            Outcome::Stands(status) => {
                let reason = spoken(&status.conditions).map(|(reason, _)| reason);
                reason == Some(TopicReason::ClusterNotReady.word())
            }
            Outcome::Gone => false,
        };
        match found {
            Ok(pass) => {
                self.answered = Some(Instant::now());
                pass
            }
            Err(mut pass) => {
                if self.answered.is_some_and(|at| at.elapsed() < GRACE) {
                    pass.outcomes.retain(|_, outcome| !waits(outcome));
                }
                pass
            }
        }
    }

    /// Drops outcomes that say what the objects say already, and those that only say anew how many
    /// replicas are in sync, where that was said just now.
    fn keep_new(&mut self, wanted: &Topics, pass: &mut Pass) {
        self.in_sync.retain(|_, at| at.elapsed() < IN_SYNC_INTERVAL);
        for (key, desired) in wanted {
            let (Some(status), Some(Outcome::Stands(outcome))) =
                (&desired.object.status, pass.outcomes.get(key))
            else {
                continue;
            };
            let is_of_replicas = is_in_sync_alone(status, outcome);
            if *status == **outcome || is_of_replicas && self.in_sync.contains_key(key) {
                pass.outcomes.remove(key);
            } else if is_of_replicas {
                self.in_sync.insert(key.clone(), Instant::now());
            }
        }
    }
}

/// Whether nothing differs but how many replicas are in sync.
fn is_in_sync_alone(before: &KafkaTopicStatus, after: &KafkaTopicStatus) -> bool {
    before.in_sync != after.in_sync && {
        let mut same = before.clone();
        same.in_sync.clone_from(&after.in_sync);
        same == *after
    }
}

#[cfg(test)]
mod tests;
