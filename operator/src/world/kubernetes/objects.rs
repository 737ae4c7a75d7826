//! The objects of one of our kinds as the watch tells of them, each with the status that was said
//! last, by us or by the operator before us.
//!
//! Invariant: a status that was said stays, whatever the watch still tells of older ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::api::DynamicObject;
use kube::core::dynamic::ParseDynamicObjectError;
use kube::core::object::HasStatus;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::watches::Scope;
use crate::object::ObjectKey;

/// What an object must be to be kept here.
pub trait Kept:
    Resource<DynamicType = ()>
    + HasStatus<Status: PartialEq + Clone + Serialize + DeserializeOwned>
    + DeserializeOwned
    + Clone
{
}

impl<K> Kept for K where
    K: Resource<DynamicType = ()>
        + HasStatus<Status: PartialEq + Clone + Serialize + DeserializeOwned>
        + DeserializeOwned
        + Clone
{
}

/// An object.
#[derive(Debug)]
pub struct Entry<K> {
    /// The object; where it cannot be understood, as it came, and why.
    pub object: Result<Arc<K>, Box<(DynamicObject, String)>>,
    /// The version of the object that our last write of its status made.
    written: u64,
}

/// What a watch told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// More than that a status was written.
    Changed,
    /// Only that a status was written, as we do.
    Status,
    /// That somebody else wrote the status.
    Overwritten,
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Objects<K> {
    entries: BTreeMap<ObjectKey, Entry<K>>,
    /// What was told of lists that are on their way.
    listing: BTreeMap<Scope, BTreeSet<ObjectKey>>,
    /// What has been listed once.
    listed: BTreeSet<Scope>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            listing: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }
}

impl<K: Kept> Objects<K> {
    /// Takes an event; returns what it tells of which objects.
    pub fn handle(&mut self, scope: Scope, event: Event<DynamicObject>) -> Vec<(ObjectKey, News)> {
        match event {
            Event::Apply(object) => vec![self.apply(object)],
            Event::InitApply(object) => {
                let (key, news) = self.apply(object);
                self.listing.entry(scope).or_default().insert(key.clone());
                vec![(key, news)]
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object.metadata);
                self.remove(&key).into_iter().collect()
            }
            Event::Init => {
                self.listing.insert(scope, BTreeSet::new());
                Vec::new()
            }
            Event::InitDone => {
                let listed = self.listing.remove(&scope).unwrap_or_default();
                let is_of = |key: &&ObjectKey| {
                    let namespace = scope.as_deref();
                    namespace.is_none_or(|namespace| *key.namespace == *namespace)
                };
                let known = self.entries.keys().filter(is_of);
                let known: BTreeSet<ObjectKey> = known.cloned().collect();
                self.listed.insert(scope);
                let gone = known.difference(&listed);
                gone.filter_map(|key| self.remove(key)).collect()
            }
        }
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<(ObjectKey, News)> {
        let (key, _) = self.entries.remove_entry(key)?;
        Some((key, News::Changed))
    }

    fn apply(&mut self, object: DynamicObject) -> (ObjectKey, News) {
        let key = ObjectKey::of(&object.metadata);
        let version = number(&object);
        let before = self.entries.get(&key);
        let before = before.filter(|entry| entry.metadata().uid == object.metadata.uid);
        let written = before.map_or(0, |entry| entry.written);
        let mut news = match before {
            Some(entry) if is_same(entry.metadata(), &object.metadata) => News::Status,
            _ => News::Changed,
        };
        let said = before.and_then(|entry| entry.object.as_ref().ok()?.status().cloned());
        let object = match parse::<K>(&object) {
            Ok(mut parsed) => {
                if let Some(said) = said {
                    let is_same = parsed.status() == Some(&said);
                    if news == News::Status && version >= written && !is_same {
                        news = News::Overwritten;
                    }
                    *parsed.status_mut() = Some(said);
                }
                Ok(Arc::new(parsed))
            }
            Err(error) => Err(Box::new((object, error.to_string()))),
        };
        self.entries.insert(key.clone(), Entry { object, written });
        (key, news)
    }

    /// Whether all objects of these scopes have been listed once.
    pub fn is_complete(&self, scopes: &BTreeSet<Scope>) -> bool {
        self.listed == *scopes
    }

    /// Whether a list is on its way, of which some objects are told and others not yet.
    pub fn is_listing(&self) -> bool {
        !self.listing.is_empty()
    }

    /// One object, understood or not.
    pub fn entry(&self, key: &ObjectKey) -> Option<&Entry<K>> {
        self.entries.get(key)
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<K>> {
        self.entries.get(key)?.object.as_ref().ok()
    }

    /// Keeps a status, and returns the object with it; none where it says nothing new.
    pub fn set_status(&mut self, key: &ObjectKey, status: K::Status) -> Option<Arc<K>> {
        let entry = self.entries.get_mut(key)?;
        let object = entry.object.as_mut().ok()?;
        if object.status() == Some(&status) {
            return None;
        }
        *Arc::make_mut(object).status_mut() = Some(status);
        Some(Arc::clone(object))
    }

    /// Takes note of the version that a write of ours made.
    pub fn written(&mut self, key: &ObjectKey, version: u64) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.written = version;
        }
    }

    /// The keys of all.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.entries.keys()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

type Metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

impl<K: Kept> Entry<K> {
    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        match &self.object {
            Ok(object) => object.meta(),
            Err(malformed) => &malformed.0.metadata,
        }
    }
}

/// Parses an object. A status that cannot be understood is as good as none: it is ours to write.
fn parse<K: Kept>(object: &DynamicObject) -> Result<K, ParseDynamicObjectError> {
    let mut object = object.clone();
    let data = object.data.as_object_mut();
    let status = data.and_then(|data| data.remove("status"));
    let mut parsed = object.try_parse::<K>()?;
    parsed.meta_mut().managed_fields = None;
    let status = status.and_then(|status| serde_json::from_value(status).ok());
    *parsed.status_mut() = status;
    Ok(parsed)
}

/// Whether nothing but the status differs, which is our own doing.
fn is_same(before: &Metadata, after: &Metadata) -> bool {
    before.generation == after.generation
        && before.deletion_timestamp == after.deletion_timestamp
        && before.annotations == after.annotations
        && before.finalizers == after.finalizers
}

/// The version of an object. Those of one kind can be compared as numbers.
pub fn number(object: &DynamicObject) -> u64 {
    let version = object
        .resource_version()
        .and_then(|version| version.parse().ok());
    version.unwrap_or_default()
}
