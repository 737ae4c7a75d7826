//! Writes statuses, finalizers and events.
//!
//! Of several statuses for one object only the last is written. Writes go side by side, at most
//! [`WRITES_MAX`] at a time, so that one slow answer holds up no other object. What the API server
//! does not take is written again until it does: soon while it cannot be asked, ever less often
//! where it refuses. Finalizers that met others are not: who asked for them has to look again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::warn;

use super::objects::number;
use crate::crd::FIELD_MANAGER;
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply_params;

/// Writes at a time.
const WRITES_MAX: usize = 16;
/// How soon what failed is tried again; doubles with each try.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often at least it is tried again while the API server cannot be asked.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// How often at least what is refused is tried again.
const REFUSED_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// At most so many events wait; more are left out.
const EVENTS_MAX: usize = 256;
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

/// A write of one object.
#[derive(Clone, Debug)]
pub struct Patching {
    /// The kind.
    pub resource: ApiResource,
    /// The object.
    pub key: ObjectKey,
    /// What.
    pub write: Write,
    /// Whether the object is known to be another one than this was meant for.
    pub is_overtaken: bool,
}

/// An event about an object.
#[derive(Clone, Debug)]
pub struct Record {
    /// The object.
    pub about: ObjectReference,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub sentence: String,
    /// Whether somebody should look.
    pub is_warning: bool,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// The kind.
    pub kind: String,
    /// The object.
    pub key: ObjectKey,
    /// The version that the status has which stands in the object now; none: finalizers that were
    /// not taken, since the object is another one than they were meant for.
    pub version: Option<u64>,
}

/// Writes, as long as [`Writer::next`] is waited for.
pub struct Writer {
    client: Client,
    recorder: Recorder,
    metrics: Metrics,
    queue: Queue,
    writes: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    events: VecDeque<Record>,
    publishing: FuturesUnordered<LocalBoxFuture<'static, ()>>,
}

impl Writer {
    /// A writer that has yet to write.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            metrics,
            queue: Queue::default(),
            writes: FuturesUnordered::new(),
            events: VecDeque::new(),
            publishing: FuturesUnordered::new(),
        }
    }

    /// Has something written, in place of what waits to be written there.
    pub fn patch(&mut self, patching: Patching) {
        self.queue.put(patching);
    }

    /// Whether the status of an object is yet to be written.
    pub fn is_patching(&self, kind: &str, key: &ObjectKey) -> bool {
        self.queue.holds(kind, key)
    }

    /// Has an event published. Events are a courtesy: where too many wait, some are left out.
    pub fn publish(&mut self, record: Record) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(record);
        }
    }

    /// Writes, and returns what was written. May be dropped while it waits.
    pub async fn next(&mut self) -> Written {
        loop {
            while self.writes.len() < WRITES_MAX
                && let Some((patching, tries)) = self.queue.next(Instant::now())
            {
                if patching.is_overtaken {
                    return self.queue.give_back(patching, tries);
                }
                let write = write(self.client.clone(), patching, tries + 1);
                self.writes.push(Box::pin(write));
            }
            // What objects say comes first: events one at a time, when all is written that can be.
            if self.writes.is_empty()
                && self.publishing.is_empty()
                && let Some(record) = self.events.pop_front()
            {
                let publish = publish(self.recorder.clone(), record);
                self.publishing.push(Box::pin(publish));
            }
            self.metrics.queued_writes.set(self.queue.len());
            let now = Instant::now();
            let retry = self.queue.first_retry(now);
            tokio::select! {
                Some(done) = self.writes.next() => {
                    self.metrics.statuses.inc();
                    self.metrics.refusals.inc_by(u64::from(done.answer.is_err()));
                    if let Some(written) = self.queue.take_back(done) {
                        return written;
                    }
                }
                Some(()) = self.publishing.next() => {}
                () = tokio::time::sleep_until(retry.unwrap_or(now)), if retry.is_some() => {}
                else => std::future::pending().await,
            }
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
    /// How often what was given back had been tried: what comes in its place goes on from there.
    given_back: BTreeMap<Place, u32>,
}

struct Waiting {
    patching: Patching,
    tries: u32,
    due: Option<Instant>,
}

/// A write that has an answer.
struct Done {
    patching: Patching,
    tries: u32,
    /// The version that it made.
    answer: Result<u64, kube::Error>,
}

impl Queue {
    /// What is newer than something that was refused waits as long as that: else whoever has news
    /// all the time would be refused all the time.
    fn put(&mut self, patching: Patching) {
        let place = patching.place();
        let tries = self.given_back.remove(&place).unwrap_or(0);
        let waiting = self.waiting.entry(place).or_insert(Waiting {
            patching: patching.clone(),
            tries,
            due: None,
        });
        waiting.patching = patching;
    }

    /// Something that may be written now, and how often it was tried.
    fn next(&mut self, now: Instant) -> Option<(Patching, u32)> {
        let is_next = |(place, waiting): &(&Place, &Waiting)| {
            waiting.due.is_none_or(|due| due <= now)
                && !self.busy.contains(&(place.0.clone(), place.1.clone()))
        };
        let place = self.waiting.iter().find(is_next)?.0.clone();
        let waiting = self.waiting.remove(&place)?;
        self.busy.insert((place.0, place.1));
        Some((waiting.patching, waiting.tries))
    }

    /// Takes back what was not written, for whoever asked to look again.
    fn give_back(&mut self, patching: Patching, tries: u32) -> Written {
        let place = patching.place();
        self.given_back.insert(place.clone(), tries);
        let (kind, key, _) = place;
        self.busy.remove(&(kind.clone(), key.clone()));
        let version = None;
        Written { kind, key, version }
    }

    /// How many writes wait or are on their way.
    fn len(&self) -> i64 {
        i64::try_from(self.waiting.len() + self.busy.len()).unwrap_or(i64::MAX)
    }

    /// When the first of what failed is due, of what is not yet.
    fn first_retry(&self, now: Instant) -> Option<Instant> {
        let due = self.waiting.values().filter_map(|waiting| waiting.due);
        due.filter(|due| *due > now).min()
    }

    fn holds(&self, kind: &str, key: &ObjectKey) -> bool {
        let place = (kind.to_owned(), key.clone());
        self.busy.contains(&place) || self.waiting.contains_key(&(place.0, place.1, true))
    }

    /// Takes note of an answer. What the API server did not take waits, unless something newer
    /// does.
    fn take_back(&mut self, done: Done) -> Option<Written> {
        let place = done.patching.place();
        self.busy.remove(&(place.0.clone(), place.1.clone()));
        let error = match done.answer {
            Ok(version) => {
                return place.2.then_some(Written {
                    kind: place.0,
                    key: place.1,
                    version: Some(version),
                });
            }
            Err(error) => error,
        };
        let code = code(&error);
        // Gone: nothing to say any more.
        if code == Some(404) {
            return None;
        }
        let longest = match code.is_some_and(is_refusal) {
            true => REFUSED_INTERVAL_MAX,
            false => RETRY_INTERVAL_MAX,
        };
        let doubled = RETRY_INTERVAL * 2_u32.pow(done.tries.min(10) - 1);
        let pause = doubled.min(longest);
        if done.tries == 1 || (pause == REFUSED_INTERVAL_MAX && done.tries < 10) {
            let (kind, key, _) = &place;
            warn!("{kind} {key} cannot be written yet: {error}");
        }
        let mut patching = done.patching;
        patching.is_overtaken = code == Some(409) && !place.2;
        let waiting = self.waiting.entry(place).or_insert(Waiting {
            patching,
            tries: 0,
            due: None,
        });
        waiting.tries = done.tries;
        waiting.due = Some(Instant::now() + pause);
        None
    }
}

impl Patching {
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
fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && code != 429
}

async fn write(client: Client, patching: Patching, tries: u32) -> Done {
    let Patching {
        resource,
        key,
        write,
        ..
    } = &patching;
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
        answer: written.map(|object| number(&object)),
        patching,
        tries,
    }
}

async fn publish(recorder: Recorder, record: Record) {
    let event = Event {
        type_: if record.is_warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        // Events of the same action are counted up, with the note of the first one.
        action: record.sentence.chars().take(ACTION_LENGTH_MAX).collect(),
        reason: record.reason,
        note: Some(record.sentence.chars().take(NOTE_LENGTH_MAX).collect()),
        secondary: None,
    };
    match recorder.publish(&event, &record.about).await {
        Ok(()) => {}
        // Its namespace is going, and the event with it.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 403 => {}
        Err(error) => warn!("an event cannot be written: {error}"),
    }
}

#[cfg(test)]
mod tests;
