//! Brokers that are to go: cordoned first, so that nothing new comes to them, then emptied, then
//! stopped, and at last forgotten by the others.
//!
//! Emptying them is the affair of [`moves`](crate::topic::moves), which looks at all topics. What
//! is decided here is when a broker has nothing left to give. Who is cordoned stands in the
//! object's status before it is done, so that whatever becomes of the operator, a broker that is
//! to stay after all is cordoned no more.
//!
//! Invariant: a broker is removed only after it was seen without any replica for [`EMPTY_FOR`], all
//! of that time cordoned; and never one that votes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::admin::{Admin, Error};
use crate::condition::{ClusterReason, Verdict};
use crate::observed::ObservedCluster;
use crate::platform::{BrokerState, Platform};
use crate::validated::ValidatedCluster;

/// Longer than a broker may be behind the active controller and still answer.
const EMPTY_FOR: Duration = Duration::from_secs(2);

/// The brokers on their way out of one cluster.
#[derive(Debug, Default)]
pub struct Departures {
    /// Brokers that are cordoned, by our own hand.
    cordoned: BTreeSet<i32>,
    /// Since when brokers have been seen to hold nothing.
    empty_since: BTreeMap<i32, Instant>,
    /// Brokers that were told to go for good, and exist still.
    removed: BTreeSet<i32>,
    /// Whether no broker is registered that was removed.
    is_tidy: bool,
}

/// What a step came to.
#[derive(Debug, Default)]
pub struct Departure {
    /// Who leaves and what that waits for, or why it cannot be.
    pub verdict: Option<Verdict>,
    /// The brokers that are to stand in the status as leaving.
    pub leaving: Vec<i32>,
    /// What was done, one sentence each.
    pub done: Vec<String>,
}

impl Departures {
    /// Goes on with what is under way, and removes brokers that may be: those are in `valid` no
    /// more. `told` are the brokers whose leaving stands in the status.
    pub async fn step(
        &mut self,
        admin: &mut Admin,
        platform: &mut impl Platform,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        told: &[i32],
    ) -> Departure {
        let mut departure = Departure::default();
        let mut stand = valid.leaving.clone();
        for id in told.iter().filter(|id| !valid.leaving.contains(id)) {
            let is_kept = states.contains_key(id);
            if is_kept && admin.cordon(*id, false).await.is_err() {
                stand.insert(*id);
            }
            self.cordoned.remove(id);
        }
        self.empty_since.retain(|id, _| stand.contains(id));
        departure.leaving = stand.into_iter().collect();
        if !valid.leaving.is_empty() {
            departure.verdict = match self.look(admin, valid, told).await {
                Ok(cluster) => self.advance(valid, &cluster),
                Err(error) => Some(scaling_down(valid, &format!("that waits: {error}"))),
            };
            platform.follow(valid);
        }
        for (id, _) in states.range(valid.replicas..) {
            if self.removed.insert(*id) {
                let done = format!("broker {id} holds nothing any more and is removed");
                departure.done.push(done);
            }
            self.is_tidy = false;
            platform.remove(*id).await;
        }
        self.removed.retain(|id| states.contains_key(id));
        if !self.removed.is_empty() && departure.verdict.is_none() {
            let message = "Brokers that hold nothing any more are being stopped.";
            departure.verdict = Some(Verdict::new(ClusterReason::ScalingDown, message));
        }
        let is_settled = valid.leaving.is_empty() && self.removed.is_empty();
        if is_settled && !self.is_tidy && states.values().all(|state| state.ready) {
            self.is_tidy = self.forget(admin, valid, states).await.unwrap_or(false);
        }
        departure
    }

    async fn look(
        &mut self,
        admin: &mut Admin,
        valid: &ValidatedCluster,
        told: &[i32],
    ) -> Result<ObservedCluster, Error> {
        for id in valid.leaving.iter().filter(|id| told.contains(id)) {
            if !self.cordoned.contains(id) {
                admin.cordon(*id, true).await?;
                self.cordoned.insert(*id);
            }
        }
        admin.describe_moves(None).await
    }

    /// Takes those out that are empty; says what is left.
    fn advance(
        &mut self,
        valid: &mut ValidatedCluster,
        cluster: &ObservedCluster,
    ) -> Option<Verdict> {
        let now = Instant::now();
        for id in &valid.leaving {
            if held(cluster, *id) == 0 && self.cordoned.contains(id) {
                self.empty_since.entry(*id).or_insert(now);
            } else {
                self.empty_since.remove(id);
            }
        }
        let is_empty = |id: &i32| {
            let since = self.empty_since.get(id);
            since.is_some_and(|since| now.duration_since(*since) >= EMPTY_FOR)
        };
        while let Some(last) = valid.leaving.last().copied().filter(is_empty) {
            valid.leaving.remove(&last);
            valid.replicas = last;
        }
        if valid.leaving.is_empty() {
            return None;
        }
        let staying = valid.staying();
        if let Some((topic, factor)) = too_many_replicas(cluster, staying) {
            return Some(Verdict::new(
                ClusterReason::ScaleDownRefused,
                format!(
                    "spec.replicas is {staying} but the topic {topic} has {factor} replicas, each \
                     on a broker of its own; lower its replicationFactor first, or set \
                     spec.replicas to {factor} or more."
                ),
            ));
        }
        let left: usize = valid.leaving.iter().map(|id| held(cluster, *id)).sum();
        Some(scaling_down(
            valid,
            &format!("{left} replicas are yet to be moved away"),
        ))
    }

    /// Has the others forget brokers that were removed; says whether none is left.
    async fn forget(
        &self,
        admin: &mut Admin,
        valid: &ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
    ) -> Result<bool, Error> {
        let brokers = admin.brokers().await?;
        let removed = brokers.range(valid.replicas..);
        let mut removed = removed
            .filter(|(id, _)| !states.contains_key(id))
            .peekable();
        if removed.peek().is_none() {
            return Ok(true);
        }
        let cluster = admin.describe(None).await?;
        for (id, broker) in removed {
            if broker.is_fenced && held(&cluster, *id) == 0 {
                admin.cordon(*id, false).await?;
                admin.unregister(*id).await?;
            }
        }
        Ok(false)
    }
}

/// How many replicas a broker has, or is to get.
fn held(cluster: &ObservedCluster, broker: i32) -> usize {
    let partitions = cluster.topics.values().flat_map(|topic| &topic.partitions);
    partitions.filter(|p| p.replicas.contains(&broker)).count()
}

/// A topic that so few brokers cannot hold.
fn too_many_replicas(cluster: &ObservedCluster, staying: i32) -> Option<(&String, usize)> {
    let staying = usize::try_from(staying).unwrap_or(0);
    cluster.topics.iter().find_map(|(name, topic)| {
        let factor = topic.partitions.iter().map(|p| p.target().len()).max()?;
        (factor > staying).then_some((name, factor))
    })
}

fn scaling_down(valid: &ValidatedCluster, how: &str) -> Verdict {
    let ids: Vec<String> = valid.leaving.iter().map(ToString::to_string).collect();
    let who = match ids.as_slice() {
        [one] => format!("Broker {one} leaves"),
        several => format!("Brokers {} leave", several.join(", ")),
    };
    Verdict::new(ClusterReason::ScalingDown, format!("{who}: {how}."))
}
