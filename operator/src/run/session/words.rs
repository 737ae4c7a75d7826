//! What is written about objects: statuses as values, and events.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ApiResource, DynamicObject};
use kube::{Resource, ResourceExt};
use serde::Serialize;

use crate::condition::{State, Verdict, conditions, spoken, state};
use crate::crd::Condition;
use crate::object::ObjectKey;
use crate::run::cache::Cache;
use crate::run::writer::{Note, Order, Write};

/// Keeps a status in the cache, so that the same one is not written again before the watch tells.
pub fn take_status(object: &mut DynamicObject, status: &impl Serialize) -> serde_json::Value {
    let value = serde_json::to_value(status).unwrap_or_default();
    if let Some(data) = object.data.as_object_mut() {
        data.insert("status".to_owned(), value.clone());
    }
    value
}

/// What is written about an object that cannot be understood.
pub fn malformed<K: Resource<DynamicType = ()>>(
    object: &DynamicObject,
    verdict: &Verdict,
    now: &str,
) -> Order {
    let generation = object.metadata.generation.unwrap_or_default();
    let before = object.data.pointer("/status/conditions").cloned();
    let before: Vec<Condition> = before
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    let conditions = conditions(&before, verdict, generation, now);
    Order {
        resource: ApiResource::erase::<K>(&()),
        key: ObjectKey::of(&object.metadata),
        write: Write::Status(serde_json::json!({
            "observedGeneration": generation,
            "conditions": conditions,
        })),
    }
}

/// How events refer to an object.
pub fn reference<K: Resource<DynamicType = ()>>(
    cache: &Cache<DynamicObject>,
    key: &ObjectKey,
) -> Option<ObjectReference> {
    let object = cache.get(key)?;
    Some(ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()),
        uid: object.uid(),
        ..ObjectReference::default()
    })
}

/// An event about what conditions say, unless it is only that something is on its way.
pub fn note_of<K: Resource<DynamicType = ()>>(
    cache: &Cache<DynamicObject>,
    key: &ObjectKey,
    conditions: &[Condition],
) -> Option<Note> {
    let state = state(conditions)?;
    let (reason, message) = spoken(conditions)?;
    (state != State::Reconciling).then_some(())?;
    Some(Note {
        about: reference::<K>(cache, key)?,
        reason: reason.to_owned(),
        sentence: message.to_owned(),
        is_warning: state == State::Stalled,
    })
}

/// An event about something that was done.
pub fn done(about: ObjectReference, what: String) -> Note {
    Note {
        about,
        reason: "Changed".to_owned(),
        sentence: what,
        is_warning: false,
    }
}
