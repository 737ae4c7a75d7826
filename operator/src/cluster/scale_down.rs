//! Brokers that are to go: cordoned first, so that nothing new comes to them, then emptied, then
//! stopped, and at last forgotten by the others.
//!
//! Emptying them is the affair of [`moves`](crate::topic::moves), which looks at all topics. What
//! is decided here is when a broker has nothing left to give. Who is cordoned stands in the
//! object's status before it is done, and until it is undone or the broker forgotten, so that
//! whatever becomes of the operator, a broker that is to stay after all is cordoned no more.
//!
//! Topics that the operator may not describe are on no list it gets. So a leaving broker is asked
//! itself what it holds.
//!
//! Invariant: a broker that is registered is removed only after it was seen without any replica for
//! [`EMPTY_FOR`], all of that time cordoned, by its own word; and never one that votes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use tokio::time::Instant;

use crate::admin::{Admin, Error};
use crate::condition::{ClusterReason, Verdict};
use crate::observed::{ObservedCluster, RegisteredBroker};
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

/// The cluster as a step sees it.
struct Sight {
    /// The topics that the operator may describe: not all of them, where access is restricted.
    cluster: ObservedCluster,
    /// The brokers that are registered.
    brokers: BTreeMap<i32, RegisteredBroker>,
}

impl Departures {
    /// Goes on with what is under way, and removes brokers that may be: those are in `valid` no
    /// more. `told` are the brokers whose leaving stands in the status, `voting` those that vote;
    /// while that is not known nobody goes but those that were told to.
    pub async fn step(
        &mut self,
        admin: &mut Admin,
        platform: &mut impl Platform,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        (told, voting): (&[i32], Option<&BTreeSet<i32>>),
    ) -> Departure {
        let mut departure = Departure::default();
        let mut stand: BTreeSet<i32> = told.iter().chain(&valid.leaving).copied().collect();
        let was_removed = |(id, state): &(&i32, &BrokerState)| {
            state.is_removed && told.contains(id) && valid.leaving.contains(id)
        };
        let was_removed = states.iter().filter(was_removed);
        self.removed.extend(was_removed.map(|(id, _)| *id));
        if !stand.is_empty() {
            match look(admin).await {
                Ok(sight) => {
                    departure.verdict = refuse(valid, &sight.cluster);
                    stand.retain(|id| told.contains(id) || valid.leaving.contains(id));
                    if !valid.leaving.is_empty() {
                        let told = (told, voting);
                        departure.verdict = self.advance(admin, valid, &sight, told).await;
                    }
                    for id in told.iter().filter(|id| !valid.leaving.contains(id)) {
                        let is_done = if *id < valid.replicas {
                            self.cordoned.remove(id);
                            uncordon(admin, *id).await.is_ok()
                        } else {
                            !states.contains_key(id) && forget(admin, *id, &sight).await
                        };
                        if is_done {
                            stand.remove(id);
                        }
                    }
                }
                Err(error) if !valid.leaving.is_empty() => {
                    let how = format!("that waits: {error}");
                    departure.verdict = Some(scaling_down(&valid.leaving, &how));
                    // Whether the others may go is not known.
                    valid.leaving.retain(|id| told.contains(id));
                    take_out(valid, |id| {
                        self.removed.contains(id) && !self.may_vote(*id, voting)
                    });
                }
                Err(_) => {}
            }
            platform.follow(valid);
        }
        self.empty_since.retain(|id, _| stand.contains(id));
        departure.leaving = stand.into_iter().collect();
        for (id, _) in states.range(valid.replicas..) {
            if self.removed.insert(*id) {
                let done = format!("broker {id} holds nothing any more and is removed");
                departure.done.push(done);
            }
            platform.remove(*id).await;
        }
        let goes = |id: &i32| *id >= valid.replicas && states.contains_key(id);
        self.removed.retain(goes);
        if !self.removed.is_empty() && departure.verdict.is_none() {
            let message = "Brokers that hold nothing any more are being stopped.";
            departure.verdict = Some(Verdict::new(ClusterReason::ScalingDown, message));
        }
        departure
    }

    /// Takes those out that are empty; says what is left.
    async fn advance(
        &mut self,
        admin: &mut Admin,
        valid: &mut ValidatedCluster,
        sight: &Sight,
        (told, voting): (&[i32], Option<&BTreeSet<i32>>),
    ) -> Option<Verdict> {
        let mut left = 0;
        let mut waits = None;
        for id in &valid.leaving {
            let rest = if told.contains(id) {
                self.rest(admin, *id, sight).await
            } else {
                Err(format!("broker {id} is about to be cordoned"))
            };
            if let Ok(0) = rest {
                self.empty_since.entry(*id).or_insert_with(Instant::now);
            } else {
                self.empty_since.remove(id);
            }
            match rest {
                Ok(rest) => left += rest,
                Err(why) => waits = waits.or(Some(why)),
            }
        }
        // One that was told to go has been empty for long enough already.
        let is_empty = |id: &i32| {
            let since = self.empty_since.get(id);
            let is_stopping = self.removed.contains(id);
            since.is_some_and(|since| is_stopping || since.elapsed() >= EMPTY_FOR)
        };
        take_out(valid, |id| is_empty(id) && !self.may_vote(*id, voting));
        if valid.leaving.is_empty() {
            return None;
        }
        let how = match waits {
            Some(why) if left == 0 => why,
            _ if left == 0 => "that waits for the metadata quorum".to_owned(),
            _ => format!("{left} replicas are yet to be moved away"),
        };
        Some(scaling_down(&valid.leaving, &how))
    }

    /// Whether a broker that is to go votes, or may: one that was told to go was seen not to.
    fn may_vote(&self, id: i32, voting: Option<&BTreeSet<i32>>) -> bool {
        voting.map_or_else(|| !self.removed.contains(&id), |votes| votes.contains(&id))
    }

    /// How many replicas a broker still has, which is cordoned first; or why that is not known.
    async fn rest(&mut self, admin: &mut Admin, id: i32, sight: &Sight) -> Result<usize, String> {
        let held = held(&sight.cluster, id);
        let Some(broker) = sight.brokers.get(&id) else {
            self.cordoned.remove(&id);
            return Ok(held);
        };
        if !self.cordoned.contains(&id) {
            let cordoned = admin.cordon(id, true).await;
            cordoned.map_err(|error| format!("that waits: {error}"))?;
            self.cordoned.insert(id);
        }
        // One that is being stopped said before that it holds nothing.
        if held > 0 || self.removed.contains(&id) {
            return Ok(held);
        }
        if broker.is_fenced {
            return Err(format!(
                "broker {id} does not serve, so it cannot say whether it holds anything; have it \
                 serve, or run kafka-cluster.sh unregister --id {id} if it is lost for good"
            ));
        }
        let counted = admin.count_replicas(&broker.address).await;
        counted.map_err(|error| format!("broker {id} does not say what it holds: {error}"))
    }
}

async fn look(admin: &mut Admin) -> Result<Sight, Error> {
    Ok(Sight {
        cluster: admin.describe_moves(None).await?,
        brokers: admin.brokers().await?,
    })
}

/// Has every broker stay where those that stay could not hold all topics.
fn refuse(valid: &mut ValidatedCluster, cluster: &ObservedCluster) -> Option<Verdict> {
    let staying = valid.staying();
    if valid.leaving.is_empty() {
        return None;
    }
    // The brokers' own topics get fewer replicas by themselves.
    let own = valid.internal_topics();
    let (topic, factor) = too_many_replicas(cluster, staying, |topic| own.contains_key(topic))?;
    valid.leaving.clear();
    Some(Verdict::new(
        ClusterReason::ScaleDownRefused,
        format!(
            "spec.replicas is {staying} but the topic {topic} has {factor} replicas, each on a \
             broker of its own; lower its replicationFactor first, or set spec.replicas to \
             {factor} or more."
        ),
    ))
}

/// A broker that is not registered has no cordon.
async fn uncordon(admin: &mut Admin, id: i32) -> Result<(), Error> {
    match admin.cordon(id, false).await {
        Err(Error::Refused(refusal)) if refusal.code == ErrorCode::BrokerIdNotRegistered => Ok(()),
        answer => answer,
    }
}

/// Has the others forget a broker that was removed; says whether they have.
async fn forget(admin: &mut Admin, id: i32, sight: &Sight) -> bool {
    match sight.brokers.get(&id) {
        None => true,
        Some(broker) if broker.is_fenced && held(&sight.cluster, id) == 0 => {
            // What was set on it would hold for a later broker of its id.
            uncordon(admin, id).await.is_ok()
                && admin.throttle(&[id], None).await.is_ok()
                && admin.unregister(id).await.is_ok()
        }
        Some(_) => false,
    }
}

/// How many replicas a broker has, or is to get, of the topics that can be seen.
pub(super) fn held(cluster: &ObservedCluster, broker: i32) -> usize {
    let partitions = cluster.topics.values().flat_map(|topic| &topic.partitions);
    partitions.filter(|p| p.replicas.contains(&broker)).count()
}

/// A topic that so few brokers cannot hold.
fn too_many_replicas(
    cluster: &ObservedCluster,
    staying: i32,
    is_own: impl Fn(&str) -> bool,
) -> Option<(&String, usize)> {
    let staying = usize::try_from(staying).unwrap_or(0);
    let mut topics = cluster.topics.iter().filter(|(name, _)| !is_own(name));
    topics.find_map(|(name, topic)| {
        let factor = topic.partitions.iter().map(|p| p.target().len()).max()?;
        (factor > staying).then_some((name, factor))
    })
}

/// Has the last brokers be there no more, as far as they may go.
fn take_out(valid: &mut ValidatedCluster, may_go: impl Fn(&i32) -> bool) {
    while let Some(last) = valid.leaving.last().copied().filter(&may_go) {
        valid.leaving.remove(&last);
        valid.replicas = last;
    }
}

fn scaling_down(leaving: &BTreeSet<i32>, how: &str) -> Verdict {
    let ids: Vec<String> = leaving.iter().map(ToString::to_string).collect();
    let who = match ids.as_slice() {
        [one] => format!("Broker {one} leaves"),
        several => format!("Brokers {} leave", several.join(", ")),
    };
    Verdict::new(ClusterReason::ScalingDown, format!("{who}: {how}."))
}
