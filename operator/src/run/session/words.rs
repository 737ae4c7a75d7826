//! What is read of objects and written about them: news, statuses as values, events.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::Event;
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

/// Whether an event tells more than that a status was written, which is our own doing.
pub fn is_news(cache: &Cache<DynamicObject>, event: &Event<DynamicObject>) -> bool {
    let Event::Apply(object) = event else {
        return true;
    };
    let known = cache.get(&ObjectKey::of(&object.metadata));
    let facts = |object: &DynamicObject| {
        let meta = &object.metadata;
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.clone(),
            meta.annotations.clone(),
            meta.finalizers.clone(),
        )
    };
    known.is_none_or(|known| facts(known) != facts(object))
}

/// The version in which others' finalizers were read; where there are none, none can be lost.
pub fn precondition(object: &DynamicObject, ours: &str) -> Option<String> {
    let others = object.finalizers().iter().any(|one| one != ours);
    object.resource_version().filter(|_| others)
}
