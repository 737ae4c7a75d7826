//! The objects of the API server in memory, and who watches them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::faults::{Call, Faults, Verb};
use super::{Chunks, lines, status};

/// The resource, the namespace and the name of an object.
pub type Place = (String, String, String);
/// All objects.
pub type Objects = BTreeMap<Place, Value>;

const NOW: &str = "2026-01-01T00:00:00Z";

#[derive(Default)]
pub struct State {
    pub objects: Objects,
    version: u64,
    /// What was told of each resource, by the version that it made.
    told: Vec<(u64, Place, Value)>,
    /// Watches that go on from a version before this one are told that it is gone.
    oldest: u64,
    /// The keys of an object's data that somebody else has put there, alone or as well.
    others: BTreeMap<Place, BTreeSet<String>>,
    watchers: Vec<(String, String, UnboundedSender<(Instant, Value)>)>,
    /// How long after a change the watches tell of it.
    pub lag: Duration,
    pub faults: Faults,
    pub rules: Option<fn(&Objects, &Call, &Value) -> Vec<String>>,
    pub violations: Vec<String>,
    pub status_writes: u128,
    pub patches: usize,
    /// An object that nobody may patch but its status.
    pub withheld: Option<String>,
    /// A kind of objects that may not be listed.
    pub unlisted: String,
    /// A kind of objects of which no write is taken.
    pub invalid: String,
    /// Whether somebody else writes the next object that is patched just before.
    pub collides: bool,
    /// Whether a PodDisruptionBudget lets no pod go.
    pub is_budget_spent: bool,
}

impl State {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn list(&self, call: &Call) -> (u16, Value) {
        let (resource, namespace, _) = &call.place;
        if self.unlisted == *resource {
            return status(403);
        }
        let is_listed = |place: &Place| is_of(place, resource, namespace);
        let objects = self.objects.iter().filter(|(place, _)| is_listed(place));
        let items: Vec<&Value> = objects.map(|(_, object)| object).collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List", "items": items,
            "metadata": { "resourceVersion": self.version.to_string() },
        });
        (200, list)
    }

    pub fn watch(&mut self, call: &Call) -> Chunks {
        let (resource, namespace, _) = &call.place;
        if call.since < self.oldest {
            let gone = json!({ "type": "ERROR", "object": status(410).1 });
            return lines(stream::iter([gone]));
        }
        let (sender, receiver) = unbounded();
        let missed = self.told.iter().filter(|(version, place, _)| {
            *version > call.since && is_of(place, resource, namespace)
        });
        let missed: Vec<Value> = missed.map(|(_, _, event)| event.clone()).collect();
        self.watchers
            .push((resource.clone(), namespace.clone(), sender));
        let lag = self.lag;
        let told = receiver.then(move |(at, event)| async move {
            tokio::time::sleep_until(at + lag).await;
            event
        });
        lines(stream::iter(missed).chain(told))
    }

    pub fn cut_watches(&mut self, is_expired: bool) {
        self.watchers.clear();
        if is_expired {
            self.version += 1;
            self.oldest = self.version;
        }
    }

    pub fn change(&mut self, call: &Call, body: &Value) -> (u16, Value) {
        let place = &call.place;
        self.patches += usize::from([Verb::Patch, Verb::Status].contains(&call.verb));
        self.status_writes += u128::from(call.verb == Verb::Status);
        if let Some(rules) = self.rules {
            let broken = rules(&self.objects, call, body);
            self.violations.extend(broken);
        }
        if call.verb == Verb::Patch {
            if self.withheld.as_ref() == Some(&place.2) {
                return status(503);
            }
            if self.invalid == place.0 {
                return status(422);
            }
            if std::mem::take(&mut self.collides) {
                self.edit(place, |object| {
                    object["metadata"]["labels"]["by"] = json!("another");
                });
            }
        }
        let Some(object) = self.objects.get(place).cloned() else {
            if call.verb == Verb::Patch && !call.is_merge {
                self.apply(place.clone(), body);
                return (201, self.objects[place].clone());
            }
            return status(404);
        };
        if call.verb == Verb::Evict && self.is_budget_spent {
            return status(429);
        }
        let expected = match call.verb {
            Verb::Evict => body.pointer("/deleteOptions/preconditions/uid"),
            _ => body.pointer("/preconditions/uid"),
        };
        let is_another = expected.is_some_and(|uid| *uid != object["metadata"]["uid"]);
        match call.verb {
            Verb::Delete | Verb::Evict if is_another => return status(409),
            Verb::Delete | Verb::Evict => self.delete(place),
            Verb::Status => self.edit(place, |object| object["status"] = body["status"].clone()),
            Verb::Patch => {
                let expected = body.pointer("/metadata/resourceVersion");
                let version = &object["metadata"]["resourceVersion"];
                if expected.is_some_and(|expected| expected != version) {
                    return status(409);
                }
                if call.is_merge {
                    self.merge(place, body);
                } else {
                    let body = self.with_others(place, body);
                    self.apply(place.clone(), &body);
                }
            }
            _ => {}
        }
        if call.verb == Verb::Evict {
            let success = json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" });
            return (201, success);
        }
        (200, self.objects.get(place).cloned().unwrap_or(object))
    }

    pub fn delete(&mut self, place: &Place) {
        self.edit(place, |object| {
            object["metadata"]["deletionTimestamp"] = json!(NOW);
        });
    }

    /// What is applied, with the data that are somebody else's too; by force, so that who gave a
    /// key another value has it no more.
    fn with_others(&mut self, place: &Place, given: &Value) -> Value {
        let mut given = given.clone();
        let there = &self.objects[place]["data"];
        let others = self.others.entry(place.clone()).or_default();
        others.retain(|key| {
            let (is, is_to_be) = (&there[key], given["data"].get(key));
            !is.is_null() && is_to_be.is_none_or(|one| one == is)
        });
        for key in &*others {
            given["data"][key] = there[key].clone();
        }
        given
    }

    /// Changes an object as somebody does who is no operator.
    pub fn edit_by_hand(&mut self, place: &Place, edit: impl FnOnce(&mut Value)) {
        let before = self.objects.get(place).cloned().unwrap_or_default();
        self.edit(place, edit);
        let after = self.objects.get(place).unwrap_or(&Value::Null)["data"].as_object();
        let new = after.into_iter().flatten();
        let new = new.filter(|(key, value)| before["data"].get(*key) != Some(*value));
        let others = self.others.entry(place.clone()).or_default();
        others.extend(new.map(|(key, _)| key.clone()));
    }

    /// Lays what was given over what is there.
    pub fn apply(&mut self, place: Place, given: &Value) {
        let (uid, age) = (format!("uid-{}", self.version), self.version);
        let created = format!("2026-01-01T00:{:02}:{:02}Z", age / 60 % 60, age % 60);
        let (namespace, name) = (place.1.clone(), place.2.clone());
        self.objects.entry(place.clone()).or_insert_with(|| {
            json!({ "metadata": {
                "namespace": namespace, "name": name, "uid": uid, "creationTimestamp": created,
            }})
        });
        self.edit(&place, |object| {
            let before = object["spec"].clone();
            for (key, value) in given.as_object().into_iter().flatten() {
                match (key.as_str(), value) {
                    ("metadata", Value::Object(metadata)) => {
                        let known = object["metadata"].as_object_mut().unwrap();
                        known.extend(metadata.clone());
                    }
                    _ => object[key] = value.clone(),
                }
            }
            count_up(object, &before);
        });
    }

    fn merge(&mut self, place: &Place, given: &Value) {
        self.edit(place, |object| {
            let before = object["spec"].clone();
            merge(object, given);
            count_up(object, &before);
        });
    }

    pub fn edit(&mut self, place: &Place, edit: impl FnOnce(&mut Value)) {
        let Some(object) = self.objects.get_mut(place) else {
            return;
        };
        let before = object.clone();
        edit(object);
        if *object == before {
            return;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let finalizers = object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array);
        let is_gone = object.pointer("/metadata/deletionTimestamp").is_some()
            && finalizers.is_none_or(Vec::is_empty);
        let kind = match (is_gone, before.pointer("/metadata/resourceVersion")) {
            (true, _) => "DELETED",
            (false, None) => "ADDED",
            (false, Some(_)) => "MODIFIED",
        };
        let event = json!({ "type": kind, "object": object });
        self.watchers.retain(|(resource, namespace, sender)| {
            let told = (Instant::now(), event.clone());
            !is_of(place, resource, namespace) || sender.unbounded_send(told).is_ok()
        });
        self.told.push((self.version, place.clone(), event));
        if is_gone {
            self.objects.remove(place);
        }
    }
}

fn is_of(place: &Place, resource: &str, namespace: &str) -> bool {
    place.0 == resource && (namespace.is_empty() || place.1 == namespace)
}

fn merge(object: &mut Value, given: &Value) {
    let Value::Object(given) = given else {
        object.clone_from(given);
        return;
    };
    for (key, value) in given {
        match (value, object.as_object_mut()) {
            (Value::Null, Some(fields)) => drop(fields.remove(key)),
            _ => merge(&mut object[key], value),
        }
    }
}

/// As the API server does where a spec changed; kinds without one, such as ConfigMap, have no
/// generation.
fn count_up(object: &mut Value, before: &Value) {
    assign_node_ports(object, before);
    if object["spec"] != *before {
        let generation = object["metadata"]["generation"].as_i64();
        object["metadata"]["generation"] = json!(generation.unwrap_or_default() + 1);
    }
}

/// As the API server does for Services: a port that was assigned stays.
fn assign_node_ports(object: &mut Value, before: &Value) {
    if object["spec"]["type"] != "NodePort" {
        return;
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let port = 30_000 + name.bytes().map(u32::from).sum::<u32>() % 2_000;
    if object.pointer("/spec/ports/0/nodePort").is_some() {
        return;
    }
    let assigned = before.pointer("/ports/0/nodePort").cloned();
    object["spec"]["ports"][0]["nodePort"] = assigned.unwrap_or_else(|| json!(port));
}
