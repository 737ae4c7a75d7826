//! The task that writes statuses, finalizers and events.
//!
//! Of several statuses for one object only the last is written. Writes go side by side, at most
//! [`WRITES_MAX`] at a time, so that one slow answer holds up no other object. While the API server
//! cannot be reached they wait, and are written when it can.

use std::collections::{BTreeMap, BTreeSet};
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
use tokio::time::Instant;
use tracing::warn;

use super::http::Page;
use crate::crd::FIELD_MANAGER;
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply_params;

/// Writes at a time.
const WRITES_MAX: usize = 16;
/// How often a write is tried that the API server refuses.
const TRIES_MAX: u32 = 5;
/// How soon what failed is tried again.
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
    let mut queue = Queue::default();
    let mut writes = FuturesUnordered::new();
    let mut tellings = FuturesUnordered::new();
    loop {
        while writes.len() < WRITES_MAX
            && let Some((order, tries)) = queue.next(Instant::now())
        {
            writes.push(write(client.clone(), order, tries + 1));
        }
        let retry = queue.first_retry().unwrap_or_else(Instant::now);
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else { return };
                queue.put(order);
            }
            Some(done) = writes.next() => {
                page.statuses.fetch_add(1, Ordering::Relaxed);
                if done.refusal.is_some() {
                    page.refusals.fetch_add(1, Ordering::Relaxed);
                }
                queue.take_back(done);
            }
            () = tokio::time::sleep_until(retry), if writes.is_empty() && !queue.is_empty() => {}
            // What objects say comes first: events are told one at a time, when all is written.
            Some(note) = notes.recv(), if queue.is_empty() && tellings.is_empty() => {
                tellings.push(tell(&recorder, note));
            }
            Some(()) = tellings.next() => {}
        }
    }
}

/// The kind and the name of an object, and whether it is its status.
type Place = (String, ObjectKey, bool);

/// What waits to be written, and what is being written.
///
/// Invariant: of one object one thing is written at a time, and the newest of each last.
#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Place, Waiting>,
    busy: BTreeSet<(String, ObjectKey)>,
}

struct Waiting {
    order: Order,
    tries: u32,
    due: Option<Instant>,
}

/// A write that has an answer.
struct Done {
    order: Order,
    tries: u32,
    refusal: Option<kube::Error>,
}

impl Queue {
    fn put(&mut self, order: Order) {
        let waiting = Waiting {
            order,
            tries: 0,
            due: None,
        };
        self.waiting.insert(waiting.order.place(), waiting);
    }

    /// Something that may be written now, and how often it was tried.
    fn next(&mut self, now: Instant) -> Option<(Order, u32)> {
        let is_next = |(place, waiting): &(&Place, &Waiting)| {
            waiting.due.is_none_or(|due| due <= now)
                && !self.busy.contains(&(place.0.clone(), place.1.clone()))
        };
        let place = self.waiting.iter().find(is_next)?.0.clone();
        let waiting = self.waiting.remove(&place)?;
        self.busy.insert((place.0, place.1));
        Some((waiting.order, waiting.tries))
    }

    /// When the first of what failed is to be tried again.
    fn first_retry(&self) -> Option<Instant> {
        self.waiting
            .values()
            .filter_map(|waiting| waiting.due)
            .min()
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.busy.is_empty()
    }

    /// Takes note of an answer. What the API server may take later waits, unless something newer
    /// does.
    fn take_back(&mut self, done: Done) {
        let place = done.order.place();
        self.busy.remove(&(place.0.clone(), place.1.clone()));
        let Some(error) = done.refusal else { return };
        // Gone: nothing to say any more. Changed meanwhile: the watch tells, and it is tried anew.
        if code(&error).is_some_and(|code| code == 404 || code == 409) {
            return;
        }
        let what = format!("{} {}", place.0, place.1);
        if code(&error).is_some_and(is_final) && done.tries >= TRIES_MAX {
            warn!("{what} cannot be written: {error}");
            return;
        }
        if done.tries == 1 {
            warn!("{what} cannot be written yet: {error}");
        }
        self.waiting.entry(place).or_insert(Waiting {
            order: done.order,
            tries: done.tries,
            due: Some(Instant::now() + RETRY_INTERVAL),
        });
    }
}

impl Order {
    fn place(&self) -> Place {
        let is_status = matches!(self.write, Write::Status(_));
        (self.resource.kind.clone(), self.key.clone(), is_status)
    }
}

/// The API server's own code; none where it could not be asked.
fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether the same will be refused again, but for a right or a webhook that is on its way.
fn is_final(code: u16) -> bool {
    (400..500).contains(&code) && code != 429
}

async fn write(client: Client, order: Order, tries: u32) -> Done {
    let Order {
        resource,
        key,
        write,
    } = &order;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, resource);
    let written = match write {
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
    Done {
        refusal: written.err(),
        order,
        tries,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::KafkaTopic;

    fn order(name: &str, write: Write) -> Order {
        Order {
            resource: ApiResource::erase::<KafkaTopic>(&()),
            key: ObjectKey {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            },
            write,
        }
    }

    fn status(name: &str, says: &str) -> Order {
        order(name, Write::Status(json!(says)))
    }

    fn failed((order, tries): (Order, u32), code: u16) -> Done {
        let status = kube::core::Status {
            code,
            ..kube::core::Status::default()
        };
        Done {
            order,
            tries: tries + 1,
            refusal: Some(kube::Error::Api(Box::new(status))),
        }
    }

    fn said(next: Option<(Order, u32)>) -> Option<String> {
        match next?.0.write {
            Write::Status(says) => says.as_str().map(str::to_owned),
            Write::Finalizers(..) => Some("finalizers".to_owned()),
        }
    }

    #[test]
    fn of_one_object_one_write_at_a_time_the_finalizers_first_and_the_newest_status() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.put(status("a", "old"));
        queue.put(order("a", Write::Finalizers(Vec::new(), None)));
        queue.put(status("a", "new"));
        queue.put(status("b", "other"));
        let first = queue.next(now).unwrap();
        assert_eq!(said(Some(first.clone())).unwrap(), "finalizers");
        assert_eq!(said(queue.next(now)).unwrap(), "other");
        assert_eq!(said(queue.next(now)), None);
        queue.take_back(Done {
            order: first.0,
            tries: 1,
            refusal: None,
        });
        assert_eq!(said(queue.next(now)).unwrap(), "new");
    }

    #[test]
    fn what_fails_is_written_again_later_unless_something_newer_waits() {
        let now = Instant::now();
        let later = now + RETRY_INTERVAL * 2;
        let mut queue = Queue::default();
        queue.put(status("a", "old"));
        for _ in 0..TRIES_MAX * 2 {
            let next = queue.next(later).unwrap();
            queue.take_back(failed(next, 503));
            assert_eq!(said(queue.next(now)), None, "not at once");
        }
        let next = queue.next(later).unwrap();
        queue.put(status("a", "new"));
        queue.take_back(failed(next, 503));
        assert_eq!(said(queue.next(now)).unwrap(), "new");
    }

    #[test]
    fn what_is_gone_or_refused_for_good_is_given_up() {
        let later = Instant::now() + RETRY_INTERVAL * 2;
        let mut queue = Queue::default();
        for (code, tries) in [(404, 1), (409, 1), (403, TRIES_MAX)] {
            queue.put(status("a", "it"));
            for _ in 0..tries {
                let next = queue.next(later).unwrap();
                queue.take_back(failed(next, code));
            }
            assert!(queue.is_empty(), "{code}");
        }
    }
}
