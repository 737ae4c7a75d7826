//! How objects refer to each other, and what is wanted of them.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::crd::KafkaCluster;
use crate::crd::cluster::ReclaimPolicy;

/// The annotation that has an object left alone.
pub const PAUSED: &str = "ottla.io/paused";
/// The namespace of an object that names none.
pub const NAMESPACE_DEFAULT: &str = "default";

/// An object of a known kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The key of the object that has this metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata
                .namespace
                .clone()
                .unwrap_or_else(|| NAMESPACE_DEFAULT.to_owned()),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The name of a file or a folder that stands for the object and for no other: no name in
    /// Kubernetes has an underscore.
    #[must_use]
    pub fn file_name(&self) -> String {
        if self.namespace == NAMESPACE_DEFAULT {
            self.name.clone()
        } else {
            format!("{}_{}", self.namespace, self.name)
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The name of the Secret of a cluster's that is for this. No name of a cluster has a dot, so no
/// other cluster has a Secret of this name.
#[must_use]
pub fn secret_name(cluster: &str, what: &str) -> String {
    format!("{cluster}.{what}")
}

/// Whether an object is to be left alone.
#[must_use]
pub fn is_paused(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.get(PAUSED).is_some_and(|value| value == "true"))
}

/// An object that belongs to a cluster, and whether somebody deleted it.
#[derive(Debug)]
pub struct Desired<K> {
    /// The object with its last status.
    pub object: Arc<K>,
    /// Whether it is to go.
    pub deleting: bool,
}

impl<K> Clone for Desired<K> {
    fn clone(&self) -> Self {
        Self {
            object: Arc::clone(&self.object),
            deleting: self.deleting,
        }
    }
}

/// What is wanted of the brokers of a cluster.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// They run by this spec.
    Run(Arc<KafkaCluster>),
    /// They stop, and come back with the next operator.
    Stop,
    /// They stop, and their data goes by the policy.
    Delete(ReclaimPolicy),
}
