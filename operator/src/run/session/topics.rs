//! Topics: from their objects to the tasks of their clusters, and back as statuses.
//!
//! Invariant: a task only gets topics whose object has the finalizer. So no topic is made whose
//! object can go unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;

use super::words::{done, malformed, note_of, precondition, reference, take_status};
use super::{Session, now};
use crate::condition::{State, TopicReason, Verdict, state};
use crate::crd::KafkaTopic;
use crate::object::ObjectKey;
use crate::run::writer::Write;
use crate::topic::driver::homeless;
use crate::topic::reconcile::{Desired, Outcome, Pass, Topics};
use crate::topic::validate::{cluster_key, topic_name};

/// The finalizer of topics that are deleted with their objects.
const FINALIZER: &str = "ottla.io/topic";

impl Session {
    /// Gives each cluster's task its topics, the oldest first.
    pub(super) fn spread_topics(&mut self) {
        let mut by_cluster: BTreeMap<ObjectKey, Topics> = BTreeMap::new();
        let mut outcomes = Vec::new();
        // Who is not ready to be given out keeps its topic's name from the younger, and from those
        // that are deleted: they would take the topic with them.
        let mut kept = BTreeSet::new();
        for (key, topic) in self.parsed_topics() {
            let deleting = topic.metadata.deletion_timestamp.is_some();
            let cluster = cluster_key(&topic);
            let name = (cluster.clone(), topic_name(&topic).to_owned());
            let desired = Desired {
                object: topic,
                deleting,
            };
            if !self.tasks.contains_key(&cluster) {
                outcomes.push((key, homeless(&cluster, &desired, &now())));
            } else if !self.has_finalizer(&key) {
                // Who goes without it owns nothing that is to go with it.
                if !deleting {
                    self.ask_for_finalizer(&key);
                    kept.insert(name);
                }
            } else if !kept.contains(&name) {
                by_cluster.entry(cluster).or_default().push((key, desired));
            }
        }
        for (cluster, topics) in &mut by_cluster {
            topics.retain(|(_, desired)| {
                let name = (cluster.clone(), topic_name(&desired.object).to_owned());
                !(desired.deleting && kept.contains(&name))
            });
        }
        for (key, outcome) in outcomes {
            self.hear_outcome(&key, outcome, true);
        }
        let topics = &self.topics;
        self.asked.retain(|key, _| topics.get(key).is_some());
        for (cluster, task) in &self.tasks {
            let topics = by_cluster.remove(cluster).unwrap_or_default();
            task.topics.send_replace(Arc::new(topics));
        }
    }

    /// All that can be understood, the oldest first; the others are told of.
    fn parsed_topics(&mut self) -> Vec<(ObjectKey, KafkaTopic)> {
        let mut parsed: Vec<(ObjectKey, KafkaTopic)> = Vec::new();
        for (key, object) in self.topics.iter() {
            if let Some(topic) = self.parsed.get(key) {
                parsed.push((key.clone(), topic.clone()));
                continue;
            }
            match object.clone().try_parse::<KafkaTopic>() {
                Ok(topic) => {
                    self.parsed.insert(key.clone(), topic.clone());
                    parsed.push((key.clone(), topic));
                }
                Err(error) => {
                    let message = format!("The object cannot be understood: {error}.");
                    let verdict = Verdict::new(TopicReason::InvalidName, message);
                    let _ = self
                        .orders
                        .send(malformed::<KafkaTopic>(object, &verdict, &now()));
                }
            }
        }
        parsed.sort_by_cached_key(|(key, topic)| {
            let created = topic.metadata.creation_timestamp.as_ref();
            (created.map(|time| time.0), key.clone())
        });
        parsed
    }

    fn has_finalizer(&self, key: &ObjectKey) -> bool {
        let object = self.topics.get(key);
        object.is_some_and(|object| object.finalizers().iter().any(|one| one == FINALIZER))
    }

    /// Asks for the finalizer, once for each version of the object that lacks it.
    fn ask_for_finalizer(&mut self, key: &ObjectKey) {
        let Some(object) = self.topics.get(key) else {
            return;
        };
        let version = object.resource_version().unwrap_or_default();
        if self.asked.get(key) == Some(&version) {
            return;
        }
        self.asked.insert(key.clone(), version);
        let mut finalizers = object.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        let version = precondition(object, FINALIZER);
        self.order::<KafkaTopic>(key, Write::Finalizers(finalizers, version));
    }

    pub(super) fn hear_topics(&mut self, pass: Pass) {
        let changed: BTreeSet<ObjectKey> = pass.done.iter().map(|(key, _)| key.clone()).collect();
        for (key, what) in pass.done {
            let about = reference::<KafkaTopic>(&self.topics, &key);
            self.note(about.map(|about| done(about, what)));
        }
        for (key, outcome) in pass.outcomes {
            // That it was created says that it is ready: of many topics one event each is enough.
            let is_told = changed.contains(&key) && is_ready(&outcome);
            self.hear_outcome(&key, outcome, !is_told);
        }
    }

    fn hear_outcome(&mut self, key: &ObjectKey, outcome: Outcome, is_news: bool) {
        let Some(object) = self.topics.get_mut(key) else {
            return;
        };
        match outcome {
            Outcome::Stands(status) => {
                let same =
                    object.data.get("status") == serde_json::to_value(&*status).ok().as_ref();
                if same {
                    return;
                }
                let value = take_status(object, &*status);
                let note = note_of::<KafkaTopic>(&self.topics, key, &status.conditions);
                self.order::<KafkaTopic>(key, Write::Status(value));
                self.note(note.filter(|_| is_news));
            }
            Outcome::Gone => {
                let finalizers = object.finalizers().to_vec();
                if finalizers.iter().any(|one| one == FINALIZER) {
                    let rest = finalizers.into_iter().filter(|one| one != FINALIZER);
                    let rest: Vec<String> = rest.collect();
                    // In the cache as well, so that it is not written again before the watch tells.
                    object.metadata.finalizers = Some(rest.clone());
                    let version = precondition(object, FINALIZER);
                    self.order::<KafkaTopic>(key, Write::Finalizers(rest, version));
                }
            }
        }
    }
}

fn is_ready(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stands(status) => state(&status.conditions) == Some(State::Ready),
        Outcome::Gone => false,
    }
}
