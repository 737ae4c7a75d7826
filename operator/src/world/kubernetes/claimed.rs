//! Objects of a kind that belongs to clusters, each with a finalizer: what it stands for goes with
//! it.
//!
//! Invariant: an object is told of as long as the watch has it, and let go of by its finalizer
//! alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher;

use super::objects::{Kept, News, Objects};
use super::watches::Scope;
use super::writer::{Patching, Write, Writer};
use super::{refuse, rewrite, understood};
use crate::condition::Reason;
use crate::object::{Desired, ObjectKey};
use crate::world::Age;

/// The objects of one kind.
pub struct Claimed<K> {
    /// All of them.
    pub objects: Objects<K>,
    finalizer: &'static str,
    /// Why one that cannot be understood is refused.
    malformed: Reason,
    changed: BTreeSet<ObjectKey>,
    /// Those whose finalizers were to be changed, by the version in which they were not yet so.
    asked: BTreeMap<ObjectKey, String>,
}

impl<K: Kept> Claimed<K> {
    /// None yet.
    pub fn new(finalizer: &'static str, malformed: impl Into<Reason>) -> Self {
        Self {
            objects: Objects::default(),
            finalizer,
            malformed: malformed.into(),
            changed: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Takes what the watch told.
    pub fn handle(
        &mut self,
        scope: Scope,
        event: watcher::Event<DynamicObject>,
        writer: &mut Writer,
    ) {
        for (key, news) in self.objects.handle(scope, event) {
            if news == News::Overwritten {
                rewrite(&self.objects, writer, &key);
            }
            // The finalizer is asked for anew with each version that lacks it.
            let is_held = self
                .objects
                .get(&key)
                .is_some_and(|one| self.has_finalizer(one));
            if news == News::Changed || !is_held {
                self.changed.insert(key);
            }
        }
    }

    /// What changed since this was last asked. Nothing on half a list: no deletion is decided
    /// while the rest may have another who wants the same.
    pub fn take_changed(
        &mut self,
        writer: &mut Writer,
    ) -> Vec<(ObjectKey, Option<(Age, Desired<K>)>)> {
        if self.objects.is_listing() {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            let desired = match understood(&self.objects, &key, self.malformed) {
                Ok(object) => object.map(desired),
                Err(verdict) => {
                    refuse(&self.objects, writer, &key, &verdict);
                    None
                }
            };
            if desired.is_none() {
                self.asked.remove(&key);
            }
            changed.push((key, desired));
        }
        changed
    }

    /// Takes note of a write; none: it met another version of the object, and is asked for anew.
    pub fn written(&mut self, key: &ObjectKey, version: Option<u64>) {
        match version {
            Some(version) => self.objects.written(key, version),
            None => {
                self.asked.remove(key);
                self.changed.insert(key.clone());
            }
        }
    }

    fn has_finalizer(&self, object: &Arc<K>) -> bool {
        object.finalizers().iter().any(|one| one == self.finalizer)
    }

    /// Whether an object has the finalizer, which is asked for once for each version that lacks it.
    pub fn holds(&mut self, key: &ObjectKey, writer: &mut Writer) -> bool {
        let Some(object) = self.objects.get(key) else {
            return false;
        };
        if self.has_finalizer(object) {
            return true;
        }
        let version = object.resource_version().unwrap_or_default();
        let is_deleted = object.meta().deletion_timestamp.is_some();
        if !is_deleted && self.asked.get(key) != Some(&version) {
            let mut finalizers = object.finalizers().to_vec();
            finalizers.push(self.finalizer.to_owned());
            let patching = patch(key, object, finalizers);
            self.asked.insert(key.clone(), version);
            writer.patch(patching);
        }
        false
    }

    /// Takes the finalizer away.
    pub fn release(&mut self, key: &ObjectKey, writer: &mut Writer) {
        let object = self.objects.get(key).filter(|one| self.has_finalizer(one));
        let Some(object) = object else {
            return;
        };
        let version = object.resource_version().unwrap_or_default();
        if self.asked.get(key) == Some(&version) {
            return;
        }
        let rest = object.finalizers().iter();
        let rest = rest.filter(|one| *one != self.finalizer).cloned();
        let patching = patch(key, object, rest.collect());
        self.asked.insert(key.clone(), version);
        writer.patch(patching);
    }
}

/// With the version in which others' finalizers were read, so that none that came since is
/// lost.
fn patch<K: Kept>(key: &ObjectKey, object: &Arc<K>, finalizers: Vec<String>) -> Patching {
    let version = object.resource_version();
    Patching {
        resource: ApiResource::erase::<K>(&()),
        key: key.clone(),
        write: Write::Finalizers(finalizers, version),
        is_overtaken: false,
    }
}

fn desired<K: Kept>(object: &Arc<K>) -> (Age, Desired<K>) {
    let created = object.meta().creation_timestamp.as_ref();
    let desired = Desired {
        object: Arc::clone(object),
        deleting: object.meta().deletion_timestamp.is_some(),
    };
    (Age(created.map(|time| time.0), 0), desired)
}
