//! The task that writes statuses, finalizers and events.
//!
//! Of several statuses for one object only the last is written. Writes go side by side, at most
//! [`WRITES_MAX`] at a time, so that one slow answer holds up no other object.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::warn;

use super::http::Page;
use crate::crd::FIELD_MANAGER;
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply_params;

/// Writes at a time.
const WRITES_MAX: usize = 16;
/// How often a write is tried.
const TRIES_MAX: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The longest note of an event, as Kubernetes takes it.
const NOTE_LENGTH_MAX: usize = 1000;
/// The longest action of an event.
const ACTION_LENGTH_MAX: usize = 120;

/// Something to write.
#[derive(Clone, Debug)]
pub enum Write {
    /// The status of an object.
    Status(Value),
    /// All its finalizers, and the version they were read in.
    Finalizers(Vec<String>, Option<String>),
}

/// An order to write.
#[derive(Clone, Debug)]
pub struct Order {
    /// The kind.
    pub resource: ApiResource,
    /// The object.
    pub key: ObjectKey,
    /// What.
    pub write: Write,
}

/// An event about an object.
#[derive(Clone, Debug)]
pub struct Note {
    /// The object.
    pub about: ObjectReference,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub sentence: String,
    /// Whether somebody should look.
    pub is_warning: bool,
}

/// Runs until nobody orders any more.
pub async fn run(
    client: Client,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut notes: mpsc::Receiver<Note>,
    page: Page,
) {
    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: None,
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let mut waiting: BTreeMap<(String, ObjectKey, bool), Order> = BTreeMap::new();
    let mut writes = FuturesUnordered::new();
    loop {
        while writes.len() < WRITES_MAX
            && let Some((_, order)) = waiting.pop_first()
        {
            writes.push(write(client.clone(), order));
        }
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else { return };
                let is_status = matches!(order.write, Write::Status(_));
                let place = (order.resource.kind.clone(), order.key.clone(), is_status);
                waiting.insert(place, order);
            }
            Some(note) = notes.recv() => tell(&recorder, note).await,
            Some(refusal) = writes.next() => {
                page.statuses.fetch_add(1, Ordering::Relaxed);
                if let Err(sentence) = refusal {
                    page.refusals.fetch_add(1, Ordering::Relaxed);
                    warn!("{sentence}");
                }
            }
        }
    }
}

async fn write(client: Client, order: Order) -> Result<(), String> {
    let Order {
        resource,
        key,
        write,
    } = order;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, &resource);
    let mut tries = 0;
    loop {
        tries += 1;
        let written = match &write {
            Write::Status(status) => {
                let patch = Patch::Apply(json!({
                    "apiVersion": resource.api_version,
                    "kind": resource.kind,
                    "metadata": { "name": key.name },
                    "status": status,
                }));
                api.patch_status(&key.name, &apply_params(), &patch).await
            }
            Write::Finalizers(finalizers, version) => {
                let mut metadata = json!({ "finalizers": finalizers });
                if let Some(version) = version {
                    metadata["resourceVersion"] = json!(version);
                }
                let patch = Patch::Merge(json!({ "metadata": metadata }));
                api.patch(&key.name, &PatchParams::default(), &patch).await
            }
        };
        let error = match written {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // Gone: nothing to say any more. Changed meanwhile: the watch tells, and it is tried anew.
        if let kube::Error::Api(status) = &error
            && (status.code == 404 || status.code == 409)
        {
            return Ok(());
        }
        if tries == TRIES_MAX {
            return Err(format!(
                "{} {key} cannot be written: {error}",
                resource.kind
            ));
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn tell(recorder: &Recorder, note: Note) {
    let event = Event {
        type_: if note.is_warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        // Events of the same action are counted up, with the note of the first one.
        action: note.sentence.chars().take(ACTION_LENGTH_MAX).collect(),
        reason: note.reason,
        note: Some(note.sentence.chars().take(NOTE_LENGTH_MAX).collect()),
        secondary: None,
    };
    match recorder.publish(&event, &note.about).await {
        Ok(()) => {}
        // Its namespace is going, and the event with it.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 403 => {}
        Err(error) => warn!("an event cannot be written: {error}"),
    }
}
