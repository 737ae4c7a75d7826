//! Secrets: on Kubernetes the objects, in local mode folders that only their owner may read.
//!
//! ```text
//! <data-dir>/secrets/<name>/<key>    those of clusters, and those that clusters name
//! <data-dir>/users/<name>/<key>      those of KafkaUsers
//! ```
//!
//! Of a namespace that is not the default one it is `<namespace>_<name>`.
//!
//! Invariant: a Secret of somebody else's is read where a cluster names it, and never written. None
//! is ever listed or watched, so the operator has no Secret in its memory that it does not need.

mod folder;
mod kubernetes;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use kube::Client;

use crate::certificates::Data;
use crate::object::{ObjectKey, secret_name};
use crate::platform::NotYet;
use crate::platform::kubernetes::refusals::Refusals;

/// Whose a Secret is, and what of it.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The kind of the object.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The cluster that it is for.
    pub cluster: String,
    /// Whether a key of a Secret that holds this is the operator's.
    pub is_own: fn(&Data, &str) -> bool,
}

/// The operator's keys of a Secret that are not to be there.
fn surplus(found: &Data, wanted: &Data, is_own: fn(&Data, &str) -> bool) -> Vec<String> {
    let others = found.keys().filter(|key| !wanted.contains_key(*key));
    others.filter(|key| is_own(found, key)).cloned().collect()
}

/// The kind of what owns the Secrets of users.
pub const USER: &str = "KafkaUser";
/// The kind of what owns the Secrets of clusters.
pub const CLUSTER: &str = "KafkaCluster";

/// Where Secrets are. Cheap to clone.
#[derive(Clone)]
pub enum Secrets {
    /// In Kubernetes, with the changes that it refused.
    Kubernetes(Client, Arc<Mutex<Refusals>>),
    /// Below a data directory.
    Folder(PathBuf),
}

impl Secrets {
    /// Those of Kubernetes.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self::Kubernetes(client, Arc::default())
    }

    /// What a Secret holds; none where it is not there. `kind` is that of who owns it.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn read(&self, kind: &str, key: &ObjectKey) -> Result<Option<Data>, NotYet> {
        match self {
            Self::Kubernetes(client, _) => kubernetes::read(client, key).await,
            Self::Folder(data_dir) => folder::read(&self::path(data_dir, kind, key)),
        }
    }

    /// What a Secret holds that is to be this owner's; none where it is not there.
    ///
    /// # Errors
    /// Why that is not known, or whose it is where it is somebody else's.
    pub async fn read_own(&self, owner: &Owner, key: &ObjectKey) -> Result<Option<Data>, NotYet> {
        match self {
            Self::Kubernetes(client, _) => kubernetes::read_own(client, owner, key).await,
            Self::Folder(data_dir) => folder::read(&self::path(data_dir, owner.kind, key)),
        }
    }

    /// Has a Secret hold this, and no other of the operator's keys: what somebody else added is
    /// none of its business. `before` is what it held, where that is known. Says whether that was
    /// written.
    ///
    /// # Errors
    /// Why it cannot be written, or whose it is where it is somebody else's.
    pub async fn keep(
        &self,
        owner: &Owner,
        key: &ObjectKey,
        before: Option<&Data>,
        data: &Data,
    ) -> Result<bool, NotYet> {
        let is_right = |before: &Data| {
            let own = before.iter().filter(|(key, _)| data.contains_key(*key));
            own.eq(data) && surplus(before, data, owner.is_own).is_empty()
        };
        if before.is_some_and(is_right) {
            return Ok(false);
        }
        match self {
            Self::Kubernetes(client, refusals) => {
                let written = kubernetes::write(client, owner, key, data);
                kubernetes::paced(refusals, "write", key, written).await?;
            }
            Self::Folder(data_dir) => {
                folder::write(&self::path(data_dir, owner.kind, key), data, owner.is_own)?;
            }
        }
        Ok(true)
    }

    /// Deletes a Secret that is its owner's; one that is not there is gone already.
    ///
    /// # Errors
    /// Why it cannot be deleted.
    pub async fn delete(&self, owner: &Owner, key: &ObjectKey) -> Result<(), NotYet> {
        match self {
            Self::Kubernetes(client, refusals) => {
                let deleted = kubernetes::delete(client, owner, key);
                kubernetes::paced(refusals, "delete", key, deleted).await
            }
            Self::Folder(data_dir) => folder::delete(&self::path(data_dir, owner.kind, key)),
        }
    }

    /// Where processes of this machine find a Secret; none where it is in no file.
    #[must_use]
    pub fn folder(&self, kind: &str, key: &ObjectKey) -> Option<PathBuf> {
        match self {
            Self::Kubernetes(..) => None,
            Self::Folder(data_dir) => Some(path(data_dir, kind, key)),
        }
    }
}

/// The Secret of a cluster's that is for this.
#[must_use]
pub fn beside(cluster: &ObjectKey, what: &str) -> ObjectKey {
    ObjectKey {
        namespace: cluster.namespace.clone(),
        name: secret_name(&cluster.name, what),
    }
}

/// The folder of a Secret below a data directory.
#[must_use]
pub fn path(data_dir: &Path, kind: &str, key: &ObjectKey) -> PathBuf {
    let of = if kind == USER { "users" } else { "secrets" };
    data_dir.join(of).join(key.file_name())
}
