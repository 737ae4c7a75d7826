//! Server-side apply of what changed, and of what others changed.
//!
//! An object is written when it differs from what was last written, or when the watch tells of
//! another version than the one our write made. At rest nothing is written.
//!
//! Invariant: an object of somebody else's is left as it is, whatever its name. A write takes all
//! fields by force, so whose it is is looked at before the first one.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, TypeMeta};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;

use super::NotYet;
use super::refusals::Refusals;
use crate::crd::{FIELD_MANAGER, GROUP};

/// The label of an object that names its cluster.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label of an object that names who made it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

#[derive(Clone, Debug)]
struct Applied {
    text: String,
    version: String,
    was_seen: bool,
}

/// Writes the objects of one cluster.
pub struct Applier {
    client: Client,
    namespace: String,
    cluster: String,
    applied: BTreeMap<(String, String), Applied>,
    refusals: Refusals,
}

impl Applier {
    /// An applier that has yet to write.
    #[must_use]
    pub fn new(client: Client, namespace: &str, cluster: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            cluster: cluster.to_owned(),
            applied: BTreeMap::new(),
            refusals: Refusals::default(),
        }
    }

    /// Takes an object for one that was never written, because it was deleted.
    pub fn forget(&mut self, kind: &str, name: &str) {
        self.applied.remove(&(kind.to_owned(), name.to_owned()));
    }

    /// The version that the last write of an object made, where there was one.
    #[must_use]
    pub fn applied(&self, kind: &str, name: &str) -> Option<&String> {
        let applied = self.applied.get(&(kind.to_owned(), name.to_owned()));
        applied.map(|applied| &applied.version)
    }

    /// Writes an object if need be and returns what the API server made of it. `seen` is the
    /// version that the watch last told of.
    ///
    /// # Errors
    /// What the API server says, or whose the object is where it is somebody else's. What was
    /// refused is tried again after a pause that doubles, or once it is another object.
    pub async fn apply(
        &mut self,
        object: DynamicObject,
        seen: Option<String>,
    ) -> Result<Option<DynamicObject>, NotYet> {
        let types = object.types.clone().unwrap_or_default();
        let key = (types.kind.clone(), object.name_any());
        let text = serde_json::to_string(&object).unwrap_or_default();
        if let Some(applied) = self.applied.get_mut(&key) {
            let is_ours = match &seen {
                Some(version) => *version == applied.version,
                // Not told of yet; but what was there once was deleted by somebody.
                None => !applied.was_seen,
            };
            applied.was_seen |= seen.is_some();
            if applied.text == text && is_ours {
                return Ok(None);
            }
        }
        if let Some(why) = self.refusals.waits(&key, &text) {
            return Err(why.clone());
        }
        let answer = self.write(&types, &key, &object).await;
        let noted = answer.as_ref().map(|_| ());
        self.refusals.note(&key, &text, noted);
        let written = answer?;
        let applied = Applied {
            text,
            version: version(&written),
            was_seen: false,
        };
        self.applied.insert(key, applied);
        Ok(Some(written))
    }

    async fn write(
        &self,
        types: &TypeMeta,
        key: &(String, String),
        object: &DynamicObject,
    ) -> Result<DynamicObject, NotYet> {
        let (kind, name) = key;
        let group = GroupVersionKind::try_from(types)
            .unwrap_or_else(|_| GroupVersionKind::gvk("", &types.api_version, &types.kind));
        let resource = ApiResource::from_gvk(&group);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let no = |error: kube::Error| not_taken(kind, name, &error);
        if !self.applied.contains_key(key)
            && let Some(found) = api.get_opt(name).await.map_err(no)?
            && let Some(owner) = stranger(
                &found.metadata,
                "KafkaCluster",
                &self.cluster,
                &self.cluster,
            )
        {
            return Err(NotYet {
                is_stuck: true,
                message: format!(
                    "The {kind} {name} is there already and belongs to {owner}, so it is left as \
                     it is; delete or rename it, or give the KafkaCluster another name."
                ),
            });
        }
        let patch = Patch::Apply(object);
        api.patch(name, &apply_params(), &patch).await.map_err(no)
    }
}

/// The parameters of every server-side apply: ours is the only hand on the fields we name.
#[must_use]
pub fn apply_params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// Whether the same will be refused again is by the code: a conflict and too many requests pass, as
/// does what the API server or a webhook could not do.
pub fn not_taken(kind: &str, name: &str, error: &kube::Error) -> NotYet {
    let (is_stuck, why) = match error {
        kube::Error::Api(status) => (
            (400..500).contains(&status.code) && ![408, 409, 429].contains(&status.code),
            status.message.clone(),
        ),
        other => (false, other.to_string()),
    };
    let why = why.trim_end_matches('.');
    NotYet {
        is_stuck,
        message: format!("Kubernetes does not take the {kind} {name}: {why}."),
    }
}

/// Whose an object is that is to be of the object of this kind and name, and is not. What an
/// earlier one of the kind and name has left behind is its own; not so one of another API group,
/// which may have a kind of the same name. What has no owner, as it comes back from a backup, is
/// that of its cluster by its labels.
#[must_use]
pub fn stranger(found: &ObjectMeta, kind: &str, name: &str, cluster: &str) -> Option<String> {
    let mut owners = found.owner_references.iter().flatten();
    if let Some(owner) = owners.find(|owner| owner.controller == Some(true)) {
        let group = owner.api_version.split_once('/').map(|(group, _)| group);
        let is_own = group == Some(GROUP) && owner.kind == kind && owner.name == name;
        return (!is_own).then(|| format!("{} {}", owner.kind, owner.name));
    }
    let label = |key: &str| found.labels.as_ref()?.get(key).map(String::as_str);
    let is_own = label(INSTANCE) == Some(cluster) && label(MANAGED_BY) == Some(FIELD_MANAGER);
    (!is_own).then(|| "somebody else".to_owned())
}

/// What changes when somebody changes the object's spec: the generation, or, where a kind has none,
/// the resource version.
#[must_use]
pub fn version<K: Resource>(object: &K) -> String {
    match object.meta().generation {
        Some(generation) => format!("generation {generation}"),
        None => object.resource_version().unwrap_or_default(),
    }
}

/// An object as the API server takes it, with its type.
///
/// # Panics
/// If it does not serialize, which Kubernetes objects do.
#[must_use]
pub fn dynamic(api_version: &str, kind: &str, object: &impl Serialize) -> DynamicObject {
    let mut value = serde_json::to_value(object).expect("Kubernetes objects serialize");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    let mut object: DynamicObject =
        serde_json::from_value(value).expect("every object has metadata");
    object.types = Some(TypeMeta {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    });
    object
}
