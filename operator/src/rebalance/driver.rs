//! The task that carries out the KafkaRebalances of one cluster, the oldest first.
//!
//! It wakes when one of them or the cluster changes, and soon again while something is on its way;
//! at rest it asks the brokers nothing. What is to be known of the cluster is what its topics know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::around::{Around, Decision, Look};
use super::reconcile::{decide, is_due};
use super::status::said;
use crate::admin::{Admin, Error};
use crate::condition::{RebalanceReason, State, Verdict, state};
use crate::crd::rebalance::RebalanceState;
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::object::{Desired, ObjectKey, PAUSED, is_paused};
use crate::observed::PartitionKey;
use crate::spoken;
use crate::topic::driver::View;

/// How soon something on its way is looked at again.
const PENDING_INTERVAL: Duration = Duration::from_millis(500);
/// How often the objects are looked at though nothing is known to have changed.
const QUIET_INTERVAL: Duration = Duration::from_secs(30);

/// One of them, by its key.
pub type Rebalance = (ObjectKey, Desired<KafkaRebalance>);
/// The objects of one cluster, the oldest first.
pub type Rebalances = Vec<Rebalance>;

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It stays, with this status.
    Stands(Box<KafkaRebalanceStatus>),
    /// It was deleted, and nothing is left of it.
    Gone,
}

/// What a pass did.
#[derive(Debug)]
pub struct RebalancesReport {
    /// The cluster.
    pub cluster: ObjectKey,
    /// What becomes of the objects, where that is new.
    pub outcomes: BTreeMap<ObjectKey, Outcome>,
    /// What was done, one sentence each.
    pub done: Vec<(ObjectKey, String)>,
    /// Told when the statuses stand in the objects, and the task has the objects.
    pub applied: oneshot::Sender<()>,
}

/// Runs until the sender of `view` is gone. Nothing is said before there is a view.
pub async fn run(
    key: ObjectKey,
    mut view: watch::Receiver<Option<View>>,
    mut rebalances: watch::Receiver<Arc<Rebalances>>,
    reports: mpsc::Sender<RebalancesReport>,
    now: fn() -> String,
) {
    let mut admin = Admin::new(Vec::new());
    loop {
        let Some(cluster) = view.borrow_and_update().clone() else {
            if view.changed().await.is_err() {
                return;
            }
            continue;
        };
        let all = Arc::clone(&rebalances.borrow_and_update());
        admin.set_identity(cluster.identity.clone());
        admin.set_addresses(cluster.addresses.clone());
        admin.set_cluster_id(cluster.cluster_id.clone());
        let mut outcomes = BTreeMap::new();
        let mut done = Vec::new();
        let active = all.iter().filter(|(_, one)| is_active(one));
        let mut active: BTreeSet<&ObjectKey> = active.map(|(own, _)| own).collect();
        for (own, desired) in all.iter() {
            let another = active.iter().copied().find(|other| *other != own);
            let pass = (&mut admin, &cluster, another);
            let (outcome, sentence) = reconcile(pass, (&key, own), desired, &now()).await;
            done.extend(sentence.map(|sentence| (own.clone(), sentence)));
            if let Outcome::Stands(status) = &outcome
                && status.state == RebalanceState::Rebalancing
            {
                active.insert(own);
            }
            outcomes.insert(own.clone(), outcome);
        }
        let is_pending = outcomes.values().any(is_pending);
        outcomes.retain(|own, outcome| is_news(&all, own, outcome));
        let is_quiet = outcomes.is_empty() && done.is_empty();
        if !is_quiet {
            let (applied, is_applied) = oneshot::channel();
            let report = RebalancesReport {
                cluster: key.clone(),
                outcomes,
                done,
                applied,
            };
            if reports.send(report).await.is_err() {
                return;
            }
            let _ = is_applied.await;
        }
        let wait = if is_pending {
            PENDING_INTERVAL
        } else {
            QUIET_INTERVAL
        };
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            changed = rebalances.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What becomes of one of them, and what was done. `another` is one that is carried out.
async fn reconcile(
    (admin, cluster, another): (&mut Admin, &View, Option<&ObjectKey>),
    (cluster_key, own): (&ObjectKey, &ObjectKey),
    desired: &Desired<KafkaRebalance>,
    now: &str,
) -> (Outcome, Option<String>) {
    let object = &desired.object;
    if desired.deleting {
        return (leave(admin, cluster, desired, now).await, None);
    }
    let stands = |verdict: &Verdict| {
        let status = said(object, verdict, now);
        (Outcome::Stands(Box::new(status)), None)
    };
    if let Some(verdict) = waits(cluster, cluster_key, own, object) {
        return stands(&verdict);
    }
    if !is_due(object) {
        // What it says follows from what stands in it.
        let look = Look::default();
        let around = around(&look, cluster, None, now);
        return (
            Outcome::Stands(Box::new(decide(object, &around).status)),
            None,
        );
    }
    let busy = busy(cluster, another);
    let state = object.status.as_ref().map(|status| status.state);
    // Who waits asks for nothing; what is under way goes on.
    let waits = busy.is_some() && state != Some(RebalanceState::Rebalancing);
    let acted = async {
        let look = match waits {
            true => Look::default(),
            false => look(admin, object).await?,
        };
        let decision = decide(object, &around(&look, cluster, busy.as_deref(), now));
        perform(admin, &decision).await?;
        Ok::<Decision, Error>(decision)
    };
    match acted.await {
        Ok(decision) => (Outcome::Stands(Box::new(decision.status)), decision.done),
        Err(error) => stands(&failed(&error)),
    }
}

/// What a call that failed is told as.
fn failed(error: &Error) -> Verdict {
    match error {
        Error::Refused(refusal) => {
            let message = format!("The cluster says: {}", refusal.message);
            Verdict::new(RebalanceReason::Refused, message)
        }
        other => not_ready(&other.to_string()),
    }
}

fn around<'a>(
    look: &'a Look,
    cluster: &'a View,
    busy: Option<&'a str>,
    now: &'a str,
) -> Around<'a> {
    Around {
        look,
        leaving: &cluster.leaving,
        busy,
        now,
    }
}

/// Why no moves begin now, as half a sentence.
fn busy(cluster: &View, another: Option<&ObjectKey>) -> Option<String> {
    if !cluster.leaving.is_empty() {
        return Some(format!(
            "{} are to go first",
            spoken::brokers(&cluster.leaving)
        ));
    }
    if !cluster.newcomers.is_empty() {
        let who = spoken::brokers(&cluster.newcomers);
        return Some(format!("{who} get their share of the replicas first"));
    }
    if cluster.holds_moves {
        return Some("brokers are restarted first".to_owned());
    }
    another.map(|other| format!("KafkaRebalance {} is carried out first", other.name))
}

/// Whether it is being carried out: then others wait.
fn is_active(desired: &Desired<KafkaRebalance>) -> bool {
    let status = desired.object.status.as_ref();
    !desired.deleting && status.is_some_and(|one| one.state == RebalanceState::Rebalancing)
}

/// What it waits for, where that is not up to it.
fn waits(
    cluster: &View,
    cluster_key: &ObjectKey,
    own: &ObjectKey,
    object: &KafkaRebalance,
) -> Option<Verdict> {
    if own.namespace != cluster_key.namespace {
        let message = format!(
            "The cluster is in the namespace {}; a KafkaRebalance has to be there too.",
            cluster_key.namespace
        );
        return Some(Verdict::new(RebalanceReason::NamespaceNotAdmitted, message));
    }
    if cluster.paused || is_paused(&object.metadata) {
        let message = format!("The annotation {PAUSED} is set, so no more moves begin.");
        return Some(Verdict::new(RebalanceReason::Paused, message));
    }
    if cluster.deleting {
        return Some(not_ready("it is being deleted"));
    }
    (!cluster.usable).then(|| not_ready(&cluster.message))
}

fn not_ready(why: &str) -> Verdict {
    let why = why.trim_end_matches('.');
    let message = format!("Waits for the cluster: {why}.");
    Verdict::new(RebalanceReason::ClusterNotReady, message)
}

/// Sizes are asked for where they matter: of what the plan moves, or of everything for a new one
/// and for the next turn of one.
async fn look(admin: &mut Admin, object: &KafkaRebalance) -> Result<Look, Error> {
    let topics = admin.describe_moves(None).await?.topics;
    let mut brokers = admin.brokers().await?;
    let status = object.status.as_ref();
    let keys: Vec<PartitionKey> = match status {
        Some(status) if status.state == RebalanceState::Rebalancing && !status.moves.is_empty() => {
            let moves = status.moves.iter();
            let moves = moves.filter(|one| topics.contains_key(&one.topic));
            moves
                .map(|one| (one.topic.clone(), one.partition))
                .collect()
        }
        _ => {
            let all = topics.iter().flat_map(|(name, topic)| {
                (0..)
                    .zip(&topic.partitions)
                    .map(|(index, _)| (name.clone(), index))
            });
            all.collect()
        }
    };
    let sizes = admin.sizes(&mut brokers, keys.into_iter()).await;
    Ok(Look {
        topics,
        brokers,
        sizes,
    })
}

async fn perform(admin: &mut Admin, decision: &Decision) -> Result<(), Error> {
    if let Some((brokers, rate)) = &decision.throttle {
        admin.throttle(brokers, Some(*rate)).await?;
    }
    if !decision.targets.is_empty() {
        for answer in admin.reassign(&decision.targets).await?.into_values() {
            answer.map_err(Error::Refused)?;
        }
    }
    admin.throttle(&decision.lifted, None).await
}

/// One that was deleted: no more moves begin, those under way end, and brokers copy as they are set
/// to again.
async fn leave(
    admin: &mut Admin,
    cluster: &View,
    desired: &Desired<KafkaRebalance>,
    now: &str,
) -> Outcome {
    let status = desired.object.status.as_ref();
    let throttled = status.map_or(&[][..], |status| &status.throttled);
    if throttled.is_empty() || !cluster.was_up {
        return Outcome::Gone;
    }
    match admin.throttle(throttled, None).await {
        Ok(()) => Outcome::Gone,
        // The brokers may be gone before; where they are not, their volumes stay with the throttle.
        Err(_) if cluster.deleting => Outcome::Gone,
        Err(error) => {
            let verdict = not_ready(&error.to_string());
            Outcome::Stands(Box::new(said(&desired.object, &verdict, now)))
        }
    }
}

/// What becomes of an object whose cluster is not there: one that was deleted waits for nothing.
#[must_use]
pub fn without_cluster(
    cluster: &ObjectKey,
    desired: &Desired<KafkaRebalance>,
    now: &str,
) -> Outcome {
    if desired.deleting {
        return Outcome::Gone;
    }
    let message = format!("There is no KafkaCluster {cluster}; correct spec.clusterRef or add it.");
    let verdict = Verdict::new(RebalanceReason::ClusterNotFound, message);
    Outcome::Stands(Box::new(said(&desired.object, &verdict, now)))
}

fn is_pending(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stands(status) => state(&status.conditions) == Some(State::Reconciling),
        Outcome::Gone => false,
    }
}

/// Whether an outcome says what the object does not say already.
fn is_news(all: &Rebalances, own: &ObjectKey, outcome: &Outcome) -> bool {
    let known = all.iter().find(|(other, _)| other == own);
    let known = known.and_then(|(_, desired)| desired.object.status.as_ref());
    match outcome {
        Outcome::Stands(status) => known != Some(&**status),
        Outcome::Gone => true,
    }
}

#[cfg(test)]
mod tests;
