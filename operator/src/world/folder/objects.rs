//! The objects of one kind: specs from the folder, statuses from the tasks, both kept in files.
//!
//! This is what an API server does on Kubernetes: it draws uids, counts generations, keeps
//! statuses, and keeps an object that was removed until whoever looks after it is done. The files
//! are `<data-dir>/status/<kind>-<name>.yaml`, with `<namespace>_<name>` where that is not the
//! default one.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::core::object::{HasSpec, HasStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::object::{NAMESPACE_DEFAULT, ObjectKey};

/// An object that is not in the folder is taken to be removed after this long: editors and tools
/// replace files in more than one step.
pub const GONE_AFTER: Duration = Duration::from_millis(700);

/// The annotation in a status file that says which manifest the object came from.
const SOURCE: &str = "ottla.io/source-file";

/// What an object must be to be kept here.
pub trait Kept:
    Resource<DynamicType = ()> + HasSpec + HasStatus + Serialize + DeserializeOwned + Clone
{
}

impl<K> Kept for K where
    K: Resource<DynamicType = ()> + HasSpec + HasStatus + Serialize + DeserializeOwned + Clone
{
}

/// An object and what is known of it.
#[derive(Clone, Debug)]
pub struct Entry<K> {
    /// The object with its status.
    pub object: Arc<K>,
    /// Its place among all objects of its kind, by file and document.
    pub place: usize,
    /// Whether it was removed from the folder.
    pub deleting: bool,
    /// Whether its status is of this session, not one that an earlier operator left.
    pub is_said: bool,
    missing_since: Option<Instant>,
}

/// All objects of one kind.
#[derive(Debug)]
pub struct Objects<K> {
    folder: PathBuf,
    entries: BTreeMap<ObjectKey, Entry<K>>,
    /// Why files of objects could not be written, for the terminal.
    pub complaints: Vec<String>,
}

impl<K: Kept> Objects<K>
where
    K::Spec: PartialEq,
    K::Status: PartialEq + Clone,
{
    /// What an earlier operator left in `<data-dir>/status`.
    #[must_use]
    pub fn load(data_dir: &Path) -> Self {
        let folder = data_dir.join("status");
        let mut objects = Self {
            folder: folder.clone(),
            entries: BTreeMap::new(),
            complaints: Vec::new(),
        };
        let prefix = format!("{}-", K::kind(&()).to_lowercase());
        for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let ours = file.file_name().to_string_lossy().starts_with(&prefix);
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            if let (true, Ok(object)) = (ours, serde_yaml::from_str::<K>(&text)) {
                let entry = Entry {
                    place: usize::MAX,
                    deleting: false,
                    is_said: false,
                    missing_since: None,
                    object: Arc::new(object),
                };
                let key = ObjectKey::of(entry.object.meta());
                // An operator before this one may have had another name for it.
                let _ = std::fs::rename(file.path(), objects.file(&key));
                objects.entries.insert(key, entry);
            }
        }
        objects
    }

    /// Takes over what the folder holds now. `is_sure_of` says of a file whether what it does not
    /// hold is unwanted. Returns sentences about objects that appear twice.
    pub fn merge<'a>(
        &mut self,
        found: impl Iterator<Item = (&'a str, &'a K)>,
        is_sure_of: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Vec<String>
    where
        K: 'a,
    {
        let mut seen = BTreeMap::new();
        let mut sentences = Vec::new();
        for (place, (file, object)) in found.enumerate() {
            let key = ObjectKey::of(object.meta());
            if let Some(first) = seen.get(&key) {
                sentences.push(format!(
                    "{file}: {} {} is in {first} already, which counts; remove one of the two.",
                    K::kind(&()),
                    key.name
                ));
                continue;
            }
            seen.insert(key.clone(), file.to_owned());
            self.take(key, file, object, place);
        }
        for (key, entry) in &mut self.entries {
            let source = source(&*entry.object).to_owned();
            if seen.contains_key(key) || !is_sure_of(&source) {
                entry.missing_since = None;
            } else {
                let since = *entry.missing_since.get_or_insert(now);
                entry.deleting |= now.duration_since(since) >= GONE_AFTER;
            }
        }
        sentences
    }

    fn take(&mut self, key: ObjectKey, file: &str, found: &K, place: usize) {
        let mut object = found.clone();
        let meta = object.meta_mut();
        meta.namespace
            .get_or_insert_with(|| NAMESPACE_DEFAULT.to_owned());
        let annotations = meta.annotations.get_or_insert_default();
        annotations.insert(SOURCE.to_owned(), file.to_owned());
        let before = self.entries.get(&key).filter(|entry| !entry.deleting);
        let uid = before.and_then(|entry| entry.object.meta().uid.clone());
        let uid = uid.unwrap_or_else(draw_uid);
        let generation = match before {
            Some(entry) => {
                *object.status_mut() = entry.object.status().cloned();
                let known = entry.object.meta().generation.unwrap_or_default();
                known + i64::from(entry.object.spec() != found.spec())
            }
            None => 1,
        };
        object.meta_mut().generation = Some(generation);
        object.meta_mut().uid = Some(uid);
        let entry = Entry {
            object: Arc::new(object),
            place,
            is_said: self.entries.get(&key).is_some_and(|entry| entry.is_said),
            // Removed and put back: the removal is carried through first, in the next merge.
            deleting: self.entries.get(&key).is_some_and(|entry| entry.deleting),
            missing_since: None,
        };
        if !entry.deleting {
            self.entries.insert(key, entry);
        }
    }

    /// Whether an object waits to be taken for removed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| entry.missing_since.is_some() && !entry.deleting)
    }

    /// All objects, in the order of files and documents.
    #[must_use]
    pub fn in_order(&self) -> Vec<(&ObjectKey, &Entry<K>)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(key, entry)| (entry.place, *key));
        all
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Entry<K>> {
        self.entries.get(key)
    }

    /// Keeps a status, in the file as well; returns the object with it where it is new.
    pub fn set_status(&mut self, key: &ObjectKey, status: K::Status) -> Option<Arc<K>> {
        let entry = self.entries.get_mut(key)?;
        entry.is_said = true;
        if entry.object.status() == Some(&status) {
            return None;
        }
        *Arc::make_mut(&mut entry.object).status_mut() = Some(status);
        let object = Arc::clone(&entry.object);
        if let Err(error) = self.write(key, &object) {
            let file = self.file(key);
            self.complaints
                .push(format!("{} cannot be written: {error}.", file.display()));
        }
        Some(object)
    }

    /// Forgets an object that is gone.
    pub fn remove(&mut self, key: &ObjectKey) {
        self.entries.remove(key);
        let _ = std::fs::remove_file(self.file(key));
    }

    fn write(&self, key: &ObjectKey, object: &K) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let text = serde_yaml::to_string(object).map_err(std::io::Error::other)?;
        let file = self.file(key);
        let new = file.with_extension("new");
        std::fs::write(&new, text)?;
        std::fs::rename(new, file)
    }

    fn file(&self, key: &ObjectKey) -> PathBuf {
        let kind = K::kind(&()).to_lowercase();
        let name = key.file_name();
        self.folder.join(format!("{kind}-{name}.yaml"))
    }
}

/// What tells an object from others of its name.
fn draw_uid() -> String {
    let draw = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", draw(), draw())
}

fn source<K: Resource>(object: &K) -> &str {
    let annotations = object.meta().annotations.as_ref();
    annotations
        .and_then(|all| all.get(SOURCE))
        .map_or("", String::as_str)
}

#[cfg(test)]
mod tests;
