//! The task that reconciles all users of one cluster.
//!
//! It wakes when a spec or the cluster changes, soon again while something is on its way, and else
//! every [`DRIFT_INTERVAL`], so that what somebody changed outside is put back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::reconcile::{Access, Known, Now, Outcome, Pass, User, pass};
use super::status::said;
use super::validate::told_principal;
use crate::admin::{Admin, Identity};
use crate::condition::{State, UserReason, Verdict, state};
use crate::crd::KafkaUser;
use crate::object::{Desired, ObjectKey, PAUSED, Wanted, is_paused};
use crate::secrets::Secrets;

/// How often users are compared with their specs though nothing is known to have changed.
const DRIFT_INTERVAL: Duration = Duration::from_secs(3);
/// For so long users say what they said though their cluster cannot be asked: a broker that
/// restarts is no news of any user.
const GRACE: Duration = Duration::from_secs(5);
/// How soon something on its way is looked at again; doubles up to [`DRIFT_INTERVAL`].
const PENDING_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The objects of one cluster, the oldest first.
pub type Users = Vec<User>;

/// What the users of a cluster need to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Where its brokers listen.
    pub addresses: Vec<String>,
    /// Who the operator is for them; none: they do not ask.
    pub identity: Option<Identity>,
    /// Which cluster it is, where that must not change.
    pub cluster_id: Option<String>,
    /// Whether it serves, or did.
    pub usable: bool,
    /// Whether it ever came up, so that it may know users.
    pub was_up: bool,
    /// What the cluster itself says, for users that wait for it.
    pub message: String,
    /// Namespaces that it admits, its own among them; `*` is all.
    pub admits: Vec<String>,
    /// Whether it and its users are left alone.
    pub paused: bool,
    /// Whether it is going away, and its users with it.
    pub deleting: bool,
    /// How users come to it; none where that is not known yet.
    pub access: Option<Access>,
    /// The generation of the KafkaCluster that this was made of.
    pub generation: i64,
    /// Whether there is a newer one. It may admit whom this one does not, so nothing is taken from
    /// anybody.
    pub is_outdated: bool,
}

/// What a pass did.
#[derive(Debug)]
pub struct UsersReport {
    /// The cluster.
    pub cluster: ObjectKey,
    /// Only what is new.
    pub pass: Pass,
    /// Told when the statuses stand in the objects, and the task has the objects.
    pub applied: oneshot::Sender<()>,
}

/// Runs until the sender of `view` is gone. Nothing is said before there is a view. `wanted` may be
/// newer than what the view was made of.
pub async fn run(
    key: ObjectKey,
    secrets: Secrets,
    mut view: watch::Receiver<Option<View>>,
    mut wanted: watch::Receiver<Wanted>,
    mut users: watch::Receiver<Arc<Users>>,
    reports: mpsc::Sender<UsersReport>,
    now: fn() -> String,
) {
    let mut admin = Admin::new(Vec::new());
    let mut known = Known::default();
    let mut pause = PENDING_INTERVAL_MIN;
    let mut answered = None;
    loop {
        let Some(mut cluster) = view.borrow_and_update().clone() else {
            if view.changed().await.is_err() {
                return;
            }
            continue;
        };
        cluster.catch_up(&wanted.borrow_and_update());
        let users_now = Arc::clone(&users.borrow_and_update());
        admin.set_identity(cluster.identity.clone());
        admin.set_addresses(cluster.addresses.clone());
        admin.set_cluster_id(cluster.cluster_id.clone());
        let with = (&mut admin, &secrets, &mut known);
        let found = reconcile(with, &cluster, &users_now, &now()).await;
        let is_silent = found.is_err();
        let mut pass = match found {
            Ok(pass) => {
                answered = Some(Instant::now());
                pass
            }
            // Nothing is said of a cluster that was there a moment ago.
            Err(_) if answered.is_some_and(|at| at.elapsed() < GRACE) => Pass::default(),
            Err(pass) => pass,
        };
        let pending = is_silent || pass.outcomes.values().any(is_pending);
        keep_new(&users_now, &mut pass.outcomes);
        if !(pass.outcomes.is_empty() && pass.done.is_empty()) {
            pause = PENDING_INTERVAL_MIN;
            let (applied, is_applied) = oneshot::channel();
            let cluster = key.clone();
            let report = UsersReport {
                cluster,
                pass,
                applied,
            };
            if reports.send(report).await.is_err() {
                return;
            }
            let _ = is_applied.await;
        }
        let wait = if pending { pause } else { DRIFT_INTERVAL };
        pause = (pause * 2).min(DRIFT_INTERVAL);
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            changed = wanted.changed() => if changed.is_err() { return },
            changed = users.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Brings users closer to what is wanted of them. Where the cluster cannot be asked, what they say
/// to that is an error, since it may be said later or not at all.
async fn reconcile(
    (admin, secrets, known): (&mut Admin, &Secrets, &mut Known),
    cluster: &View,
    users: &Users,
    now: &str,
) -> Result<Pass, Pass> {
    let mut is_silent = false;
    let users = users.iter();
    let users = users.filter(|(_, desired)| !(desired.deleting && cluster.is_outdated));
    let (admitted, others): (Vec<&User>, Vec<&User>) =
        users.partition(|(key, _)| cluster.admits(key));
    let seconds = now.parse::<jiff::Timestamp>();
    let time = Now {
        text: now,
        seconds: seconds.map_or(0, jiff::Timestamp::as_second),
    };
    // Brokers know some of them still.
    let is_known = |one: &&User| told_principal(&one.1.object).is_some() && !cluster.is_outdated;
    let outsiders: Vec<&User> = others.iter().copied().filter(is_known).collect();
    let wait = |verdict: &Verdict, is_gone: bool| {
        let all: Vec<&User> = admitted.iter().chain(&outsiders).copied().collect();
        told(&all, verdict, is_gone, now)
    };
    let mut all = match cluster.access() {
        Err(verdict) => wait(&verdict, cluster.deleting || !cluster.was_up),
        Ok(_) if admitted.is_empty() && outsiders.is_empty() => Pass::default(),
        Ok(access) => {
            let users = (&admitted[..], &outsiders[..]);
            let found = pass(admin, secrets, known, users, access, time).await;
            found.unwrap_or_else(|error| {
                is_silent = true;
                wait(&not_ready(&error.to_string()), false)
            })
        }
    };
    for (key, desired) in others {
        let before = all.outcomes.remove(key);
        let outcome = not_admitted(key, desired, before, now);
        all.outcomes.insert(key.clone(), outcome);
    }
    if is_silent { Err(all) } else { Ok(all) }
}

impl View {
    fn admits(&self, user: &ObjectKey) -> bool {
        let mut admits = self.admits.iter();
        admits.any(|namespace| namespace == "*" || *namespace == user.namespace)
    }

    /// Takes what is known of the object before the next step of the cluster.
    fn catch_up(&mut self, wanted: &Wanted) {
        if let Wanted::Run(cluster) = wanted {
            let generation = cluster.metadata.generation.unwrap_or_default();
            self.is_outdated = generation != self.generation;
            self.paused = is_paused(&cluster.metadata);
        }
    }

    /// How users come to it, or what they wait for.
    fn access(&self) -> Result<&Access, Verdict> {
        if self.deleting {
            let message = "The cluster is being deleted.";
            return Err(Verdict::new(UserReason::ClusterNotReady, message));
        }
        if self.paused {
            let message = format!(
                "The annotation {PAUSED} is set on the KafkaCluster, so its users are left alone."
            );
            return Err(Verdict::new(UserReason::Paused, message));
        }
        let access = self.access.as_ref().filter(|_| self.usable);
        access.ok_or_else(|| not_ready(&self.message))
    }
}

fn not_ready(why: &str) -> Verdict {
    let why = why.trim_end_matches('.');
    let message = format!("Waits for the cluster: {why}.");
    Verdict::new(UserReason::ClusterNotReady, message)
}

/// What all say alike. Deleted objects have nothing to wait for where the cluster knows no users.
fn told(users: &[&User], verdict: &Verdict, is_gone: bool, now: &str) -> Pass {
    let outcomes = users.iter().map(|(key, desired)| {
        let outcome = match desired.deleting && is_gone {
            true => Outcome::Gone,
            false => stands(desired, verdict, now),
        };
        (key.clone(), outcome)
    });
    Pass {
        outcomes: outcomes.collect(),
        ..Pass::default()
    }
}

fn stands(desired: &Desired<KafkaUser>, verdict: &Verdict, now: &str) -> Outcome {
    Outcome::Stands(Box::new(said(&desired.object, verdict, now)))
}

/// What one says that is not admitted. `found` is what became of what brokers know of it.
fn not_admitted(
    key: &ObjectKey,
    desired: &Desired<KafkaUser>,
    found: Option<Outcome>,
    now: &str,
) -> Outcome {
    if desired.deleting {
        return found.unwrap_or(Outcome::Gone);
    }
    let message = format!(
        "The cluster does not admit users of namespace {}; add it to \
         spec.userNamespaces.matchNames of the KafkaCluster.",
        key.namespace
    );
    let verdict = Verdict::new(UserReason::NamespaceNotAdmitted, message);
    let mut status = said(&desired.object, &verdict, now);
    if let Some(Outcome::Stands(found)) = found {
        status.principal = found.principal;
        status.acls = found.acls;
    }
    Outcome::Stands(Box::new(status))
}

/// What becomes of an object whose cluster is not there: one that was deleted waits for nothing.
#[must_use]
pub fn without_cluster(cluster: &ObjectKey, desired: &Desired<KafkaUser>, now: &str) -> Outcome {
    if desired.deleting {
        return Outcome::Gone;
    }
    let message = format!("There is no KafkaCluster {cluster}; correct spec.clusterRef or add it.");
    stands(
        desired,
        &Verdict::new(UserReason::ClusterNotFound, message),
        now,
    )
}

fn is_pending(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stands(status) => state(&status.conditions) == Some(State::Reconciling),
        Outcome::Gone => false,
    }
}

/// Drops outcomes that say what the objects say already.
fn keep_new(users: &Users, outcomes: &mut BTreeMap<ObjectKey, Outcome>) {
    for (key, desired) in users {
        let status = desired.object.status.as_ref();
        if let Some(Outcome::Stands(outcome)) = outcomes.get(key)
            && status == Some(&**outcome)
        {
            outcomes.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
