//! The objects of one kind as a watch tells of them.

use std::collections::BTreeMap;

use kube::Resource;
use kube::runtime::watcher::Event;

use crate::object::ObjectKey;

/// The objects of one kind.
#[derive(Debug)]
pub struct Cache<K> {
    objects: BTreeMap<ObjectKey, K>,
    listing: Option<BTreeMap<ObjectKey, K>>,
    is_complete: bool,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listing: None,
            is_complete: false,
        }
    }
}

impl<K: Resource> Cache<K> {
    /// Takes an event; returns the keys whose objects came, changed or went.
    pub fn take(&mut self, event: Event<K>) -> Vec<ObjectKey> {
        match event {
            Event::Apply(object) => {
                let key = ObjectKey::of(object.meta());
                self.objects.insert(key.clone(), light(object));
                vec![key]
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(object.meta());
                self.objects.remove(&key);
                vec![key]
            }
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let key = ObjectKey::of(object.meta());
                if let Some(listing) = &mut self.listing {
                    listing.insert(key, light(object));
                }
                Vec::new()
            }
            Event::InitDone => {
                self.is_complete = true;
                let before = std::mem::take(&mut self.objects);
                self.objects = self.listing.take().unwrap_or_default();
                let mut keys: Vec<ObjectKey> = before.into_keys().collect();
                keys.extend(self.objects.keys().cloned());
                keys.sort();
                keys.dedup();
                keys
            }
        }
    }

    /// Whether all objects have been listed once.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &K)> {
        self.objects.iter()
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<&K> {
        self.objects.get(key)
    }

    /// One object, to be changed as a write of ours changed it.
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut K> {
        self.objects.get_mut(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }
}

/// Without what nobody here reads and what is often larger than the rest.
fn light<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}
