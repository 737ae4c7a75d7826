//! One pass over all topics of a cluster: look, plan, perform in portions, look again.
//!
//! A pass asks for all topics at once and changes many of them at once, so its cost in round trips
//! hardly depends on their number. It keeps nothing: what a pass needs to know of the last one is
//! in the status.
//!
//! Invariant: every object given has exactly one [`Outcome`], whatever the brokers answer.

mod consent;
mod perform;

use std::collections::{BTreeMap, BTreeSet};

use super::conflicts::{Claim, Standing, standings};
use super::moves::driver::{Changing, Moved, move_replicas};
use super::moves::is_needed;
use super::moves::progress::progress;
use super::plan::{self, plan, plan_deletion};
use super::status::{said, status};
use super::validate::{ValidatedTopic, cluster_key, topic_name, validate};
use crate::admin::{Admin, Error};
use crate::approval::Change;
use crate::condition::{TopicReason, Verdict, spoken};
use crate::crd::topic::Reassignment;
use crate::crd::{KafkaTopic, KafkaTopicStatus};
use crate::object::{ObjectKey, PAUSED, is_paused};
use crate::observed::{ObservedTopic, Sizes};

/// An object, and whether somebody deleted it.
pub type Desired = crate::object::Desired<KafkaTopic>;

/// What became of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It stands; this is its status now.
    Stands(Box<KafkaTopicStatus>),
    /// It was deleted and nothing is left to do for it.
    Gone,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Pass {
    /// What became of each object.
    pub outcomes: BTreeMap<ObjectKey, Outcome>,
    /// What was done, one sentence each, for events and the terminal.
    pub done: Vec<(ObjectKey, String)>,
    /// The changes that need consent where all do, consented to or not; none where that is not
    /// known.
    pub changes: Option<Vec<Change>>,
}

/// A pass that did not come to its end.
#[derive(Debug)]
pub struct Broken {
    /// Why not.
    pub error: Error,
    /// What was done before, as of a whole pass.
    pub done: Vec<(ObjectKey, String)>,
}

/// One object.
pub type Topic = (ObjectKey, Desired);

/// The objects of one cluster in the order of their age.
pub type Topics = Vec<Topic>;

struct Work<'a> {
    topics: &'a [&'a Topic],
    now: &'a str,
    pass: Pass,
    valid: BTreeMap<usize, ValidatedTopic>,
    refused: BTreeMap<usize, Vec<Verdict>>,
    /// Objects whose replication factor waits for consent.
    held: BTreeSet<usize>,
    /// How large partitions are that are being moved, or are to be.
    sizes: Sizes,
}

/// Brings the topics of one cluster closer to their specs. `brokers` is how many it has when all
/// are up, beside those that are leaving.
///
/// # Errors
/// Those of [`Admin`], when the cluster cannot be asked; nothing is known then of any topic but
/// what was done before.
pub async fn pass(
    admin: &mut Admin,
    topics: &[&Topic],
    brokers: i32,
    changing: Changing<'_>,
    now: &str,
) -> Result<Pass, Broken> {
    let mut work = Work::of(topics, now);
    work.pass.changes = Some(Vec::new());
    work.sort_out();
    if work.valid.is_empty() && changing.is_empty() && changing.internal.is_empty() {
        return Ok(work.pass);
    }
    if let Err(error) = work.carry_out(admin, brokers, changing).await {
        let done = work.pass.done;
        return Err(Broken { error, done });
    }
    let changes = work.pass.changes.take().unwrap_or_default();
    work.pass.changes = Some(consent::told(changes, changing));
    Ok(work.pass)
}

/// What every object says while its cluster cannot be asked.
#[must_use]
pub fn unreachable(topics: &[&Topic], verdict: &Verdict, now: &str) -> Pass {
    let outcomes = topics.iter().map(|(key, desired)| {
        let status = said(&desired.object, verdict, now);
        (key.clone(), Outcome::Stands(Box::new(status)))
    });
    Pass {
        outcomes: outcomes.collect(),
        ..Pass::default()
    }
}

async fn look(
    admin: &mut Admin,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, ObservedTopic>, Error> {
    let mut cluster = admin.describe_moves(Some(names)).await?;
    let exist: BTreeSet<String> = cluster.topics.keys().cloned().collect();
    for (name, config) in admin.topic_configs(&exist).await? {
        if let Some(topic) = cluster.topics.get_mut(&name) {
            topic.config = config;
        }
    }
    Ok(cluster.topics)
}

impl<'a> Work<'a> {
    fn of(topics: &'a [&'a Topic], now: &'a str) -> Self {
        Self {
            topics,
            now,
            pass: Pass::default(),
            valid: BTreeMap::new(),
            refused: BTreeMap::new(),
            held: BTreeSet::new(),
            sizes: Sizes::new(),
        }
    }

    /// Looks, changes what is to be changed, and looks again at what came of it.
    async fn carry_out(
        &mut self,
        admin: &mut Admin,
        brokers: i32,
        changing: Changing<'_>,
    ) -> Result<(), Error> {
        let names = self.valid.values().map(|t| &t.topic);
        let names: BTreeSet<String> = names.chain(changing.internal.keys()).cloned().collect();
        let mut observed = look(admin, &names).await?;
        let changes = self.plan(&observed, brokers, changing);
        if !changes.is_empty() {
            let ended = self.perform(admin, &changes).await;
            observed = look(admin, &names).await?;
            self.tell_waiting(&changes, &observed, brokers, &ended);
        }
        if self
            .move_replicas(admin, &observed, brokers, changing)
            .await?
        {
            observed = look(admin, &names).await?;
        }
        self.conclude(&observed);
        Ok(())
    }

    /// Sets aside what is not to be carried out: paused, invalid, or claimed by another object.
    fn sort_out(&mut self) {
        let claims: Vec<Claim> = self.topics.iter().map(|topic| claim(topic)).collect();
        let standings = standings(&claims);
        for (place, topic) in self.topics.iter().enumerate() {
            let (key, desired) = topic;
            let verdict = match (is_paused(&desired.object.metadata), &standings[key]) {
                (true, _) => Err(Verdict::new(
                    TopicReason::Paused,
                    format!("The annotation {PAUSED} is set, so the topic is left alone."),
                )),
                (false, Standing::Loses(holder)) => Err(conflict(&desired.object, holder)),
                (false, Standing::HandsOver(heir)) => {
                    self.hand_over(key, desired, heir);
                    continue;
                }
                (false, Standing::Holds) => validate(&desired.object),
            };
            match verdict {
                Ok(valid) => drop(self.valid.insert(place, valid)),
                // An object that never owned a topic takes none with it.
                Err(_) if desired.deleting => {
                    self.pass.outcomes.insert(key.clone(), Outcome::Gone);
                }
                Err(verdict) => {
                    let status = said(&desired.object, &verdict, self.now);
                    let outcome = Outcome::Stands(Box::new(status));
                    self.pass.outcomes.insert(key.clone(), outcome);
                }
            }
        }
    }

    /// Lets a deleted object go and its topic stay, and tells of it while the heir has yet to say
    /// that the topic is its own.
    fn hand_over(&mut self, key: &ObjectKey, desired: &Desired, heir: &ObjectKey) {
        self.pass.outcomes.insert(key.clone(), Outcome::Gone);
        let topic = topic_name(&desired.object);
        let known = self.topics.iter().find(|(key, _)| key == heir);
        let status = known.and_then(|(_, heir)| heir.object.status.as_ref());
        let reason = status.and_then(|status| spoken(&status.conditions));
        let is_told = reason.is_some_and(|(reason, _)| reason != TopicReason::Conflict.word());
        if !is_told {
            let gives = format!("leaves the topic {topic} to {heir}, which claims it too");
            let takes = format!("takes over the topic {topic} from {key}, which was deleted");
            self.pass.done.push((key.clone(), gives));
            self.pass.done.push((heir.clone(), takes));
        }
    }

    fn plan(
        &mut self,
        observed: &BTreeMap<String, ObservedTopic>,
        brokers: i32,
        changing: Changing<'_>,
    ) -> Vec<(usize, plan::Change)> {
        let mut changes = Vec::new();
        for (place, topic) in &self.valid {
            let exists = observed.get(&topic.topic);
            let (key, desired) = self.topics[*place];
            let plan = if desired.deleting {
                let mut plan = plan_deletion(topic, exists);
                if let Some(exists) = exists.filter(|_| !plan.changes.is_empty()) {
                    let change = consent::deletion(key, &topic.topic, &exists.topic_id);
                    if !changing.allows(&change.id) {
                        plan.changes.clear();
                        plan.refused.push(consent::waits("The topic is deleted"));
                    }
                    self.pass.changes.get_or_insert_default().push(change);
                }
                plan
            } else {
                plan(topic, exists, brokers)
            };
            changes.extend(plan.changes.into_iter().map(|change| (*place, change)));
            self.refused.insert(*place, plan.refused);
        }
        changes
    }

    /// Has replicas moved where topics have another replication factor than they should; says
    /// whether anything was begun or cancelled.
    async fn move_replicas(
        &mut self,
        admin: &mut Admin,
        observed: &BTreeMap<String, ObservedTopic>,
        brokers: i32,
        changing: Changing<'_>,
    ) -> Result<bool, Error> {
        let mut places: BTreeMap<&String, usize> = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for (place, topic) in &self.valid {
            let factor = topic.replication_factor.filter(|factor| *factor <= brokers);
            if let Some(factor) = factor.filter(|_| !self.topics[*place].1.deleting) {
                wanted.insert(topic.topic.clone(), factor);
                places.insert(&topic.topic, *place);
            }
        }
        let internal = consent::internal(observed, changing.internal, brokers);
        let (implied, others) = consent::implied(internal, observed, changing.leaving);
        wanted.extend(others);
        let (found, waiting) = consent::hold(admin, &mut wanted, observed, changing).await;
        wanted.extend(implied);
        self.pass.changes.get_or_insert_default().extend(found);
        for place in waiting.iter().filter_map(|topic| places.get(topic)) {
            let verdict = consent::waits("The replication factor changes");
            self.refused.entry(*place).or_default().push(verdict);
            self.held.insert(*place);
        }
        if changing.is_empty() && !is_needed(observed, &wanted) {
            return Ok(false);
        }
        let Moved {
            sizes,
            begun,
            refused,
        } = move_replicas(admin, &wanted, changing).await?;
        self.sizes = sizes;
        for (topic, done) in begun
            .iter()
            .flat_map(|(topic, done)| Some((places.get(topic)?, done)))
        {
            let key = self.topics[*topic].0.clone();
            self.pass.done.push((key, done.clone()));
        }
        for (topic, verdict) in refused {
            if let Some(place) = places.get(&topic) {
                self.refused.entry(*place).or_default().push(verdict);
            }
        }
        Ok(!begun.is_empty())
    }

    fn conclude(&mut self, observed: &BTreeMap<String, ObservedTopic>) {
        for (place, topic) in &self.valid {
            let (key, desired) = self.topics[*place];
            let exists = observed.get(&topic.topic);
            let refused = self.refused.remove(place).unwrap_or_default();
            let outcome = match (desired.deleting, exists) {
                (true, None) => Outcome::Gone,
                (true, Some(_)) if plan_deletion(topic, exists).changes.is_empty() => Outcome::Gone,
                (true, Some(_)) => {
                    let verdict = Verdict::worst(refused).unwrap_or_else(|| {
                        Verdict::new(TopicReason::Deleting, "The topic is being deleted.")
                    });
                    Outcome::Stands(Box::new(said(&desired.object, &verdict, self.now)))
                }
                (false, _) => {
                    let is_held = self.held.contains(place);
                    let moved = exists
                        .and_then(|exists| self.reassignment(topic, exists, desired, is_held));
                    let object = &desired.object;
                    let status = status(object, topic, exists, moved, refused, self.now);
                    Outcome::Stands(Box::new(status))
                }
            };
            self.pass.outcomes.insert(key.clone(), outcome);
        }
    }
}

impl Work<'_> {
    fn reassignment(
        &self,
        topic: &ValidatedTopic,
        observed: &ObservedTopic,
        desired: &Desired,
        is_held: bool,
    ) -> Option<Reassignment> {
        let before = desired.object.status.as_ref();
        let before = before.and_then(|status| status.reassignment.as_ref());
        let wanted = topic.replication_factor.filter(|_| !is_held);
        progress(
            &topic.topic,
            observed,
            wanted,
            &self.sizes,
            before,
            self.now,
        )
    }
}

fn claim((key, desired): &Topic) -> Claim {
    let created = desired.object.metadata.creation_timestamp.as_ref();
    Claim {
        key: key.clone(),
        cluster: cluster_key(&desired.object),
        topic: topic_name(&desired.object).to_owned(),
        created: created.map_or(String::new(), |time| time.0.to_string()),
        deleting: desired.deleting,
    }
}

fn conflict(object: &KafkaTopic, holder: &ObjectKey) -> Verdict {
    Verdict::new(
        TopicReason::Conflict,
        format!(
            "The topic {} belongs to the older KafkaTopic {holder}; delete one of the two: when \
             the older one goes, this one takes over the topic with its records.",
            topic_name(object)
        ),
    )
}

#[cfg(test)]
mod tests;
