//! Server-side apply of what changed, and of what others changed.
//!
//! An object is written when it differs from what was last written, or when the watch tells of
//! another version than the one our write made. At rest nothing is written.

use std::collections::BTreeMap;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, TypeMeta};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;

use super::apply_params;

#[derive(Clone, Debug)]
struct Applied {
    text: String,
    version: String,
    was_seen: bool,
}

/// Writes the objects of one namespace.
pub struct Applier {
    client: Client,
    namespace: String,
    applied: BTreeMap<(String, String), Applied>,
}

impl Applier {
    /// An applier that has yet to write.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            applied: BTreeMap::new(),
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
    /// Those of the API server.
    pub async fn apply(
        &mut self,
        object: DynamicObject,
        seen: Option<String>,
    ) -> Result<Option<DynamicObject>, kube::Error> {
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
        let kind = GroupVersionKind::try_from(&types)
            .unwrap_or_else(|_| GroupVersionKind::gvk("", &types.api_version, &types.kind));
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let written = api
            .patch(&key.1, &apply_params(), &Patch::Apply(&object))
            .await?;
        let applied = Applied {
            text,
            version: version(&written),
            was_seen: false,
        };
        self.applied.insert(key, applied);
        Ok(Some(written))
    }
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
