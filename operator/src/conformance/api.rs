//! An API server in memory: lists, watches, server-side apply and merge patches of any kind. What
//! it does wrong on purpose is in [`faults`].

pub mod faults;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use self::faults::{Call, Course, Fault, Verb};
use self::state::State;
pub use self::state::{Objects, Place};

type Chunks =
    std::pin::Pin<Box<dyn futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send>>;

/// How long a client waits for an answer, as the operator's own does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The server. Cheap to clone.
#[derive(Clone, Default)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    /// A client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// A client for what is no operator: what it reads it is told, whatever goes wrong.
    pub fn client_of_nodes(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let call = Call::read(&request.into_parts().0);
            let (code, chunks) = server.carry_out(&call, &Value::Null);
            let response = Response::builder().status(StatusCode::from_u16(code).unwrap());
            let response = response.body(StreamBody::new(chunks)).unwrap();
            std::future::ready(Ok::<_, std::io::Error>(response))
        });
        Client::new(service, "default")
    }

    /// Takes an object as a user applies it.
    pub fn apply(&self, resource: &str, object: &Value) {
        let place = place(resource, object);
        self.lock().apply(place, object);
    }

    /// Deletes an object as a user does: one with finalizers stays until they are gone.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().delete(&place);
    }

    /// Replaces the status of an object, as somebody may who has the right to.
    pub fn set_status(&self, resource: &str, namespace: &str, name: &str, status: &Value) {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock()
            .edit(&place, |object| object["status"] = status.clone());
    }

    /// Changes an object as somebody does who is no operator.
    pub fn edit(&self, resource: &str, namespace: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().edit_by_hand(&place, edit);
    }

    /// Counts all changes of objects.
    pub fn version(&self) -> u64 {
        self.lock().version()
    }

    /// An object as it is now.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&place).cloned()
    }

    /// All objects of a kind as they are now.
    pub fn all(&self, resource: &str) -> Vec<Value> {
        let state = self.lock();
        let objects = state
            .objects
            .iter()
            .filter(|(place, _)| place.0 == resource);
        objects.map(|(_, object)| object.clone()).collect()
    }

    /// Has the next writes of statuses refused.
    pub fn refuse_statuses(&self, count: usize, code: u16) {
        for resource in ["kafkaclusters", "kafkatopics"] {
            self.fail(Fault::next(
                resource,
                Verb::Status,
                count,
                Course::Code(code),
            ));
        }
    }

    /// Has calls go wrong as it says, beside those that do already.
    pub fn fail(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Has everything go well from now on.
    pub fn mend(&self) {
        self.lock().faults.clear();
    }

    /// Has whoever makes this call, counted from 1, be gone with it, whether it was done or not.
    pub fn kill_at(&self, call: usize, is_done: bool) {
        self.lock().faults.kill_at(call, is_done);
    }

    /// Waits until somebody was killed.
    pub async fn killed(&self) {
        let killed = Arc::clone(&self.lock().faults.killed);
        killed.notified().await;
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.lock().faults.calls()
    }

    /// When each call of this kind came, and of which object.
    pub fn times(&self, resource: &str, verb: Verb) -> Vec<(Place, tokio::time::Instant)> {
        self.lock().faults.times(resource, verb)
    }

    /// Ends all watches, as the API server does now and then; `is_expired` is whether those that
    /// would go on from where they were are told that this is too long ago.
    pub fn cut_watches(&self, is_expired: bool) {
        self.lock().cut_watches(is_expired);
    }

    /// Has watches tell of changes so much later.
    pub fn lag(&self, lag: Duration) {
        self.lock().lag = lag;
    }

    /// The kinds of calls that there were.
    pub fn kinds(&self) -> Vec<(String, Verb)> {
        self.lock().faults.kinds()
    }

    /// Judges each change that the operator makes by these rules from now on.
    pub fn judge(&self, rules: fn(&Objects, &Call, &Value) -> Vec<String>) {
        self.lock().rules = Some(rules);
    }

    /// Takes note of what must never be.
    pub fn accuse(&self, what: String) {
        self.lock().violations.push(what);
    }

    /// What was that must never be.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Has all patches of the object of this name refused but those of its status, or of none.
    pub fn withhold(&self, name: Option<&str>) {
        self.lock().withheld = name.map(str::to_owned);
    }

    /// Forbids the list of these objects, and allows that of all others.
    pub fn withhold_list(&self, resource: &str) {
        self.lock().unlisted = resource.to_owned();
    }

    /// Finds every object of this kind invalid that is patched, or none.
    pub fn find_invalid(&self, resource: &str) {
        self.lock().invalid = resource.to_owned();
    }

    /// How many statuses were written, or refused.
    pub fn status_writes(&self) -> u128 {
        self.lock().status_writes
    }

    /// Has somebody else write the next object that is patched just before.
    pub fn collide(&self) {
        self.lock().collides = true;
    }

    /// Has all evictions refused as a PodDisruptionBudget does, or lets them pass.
    pub fn spend_budget(&self, is_spent: bool) {
        self.lock().is_budget_spent = is_spent;
    }

    /// How often anything was patched.
    pub fn patches(&self) -> usize {
        self.lock().patches
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(
        &self,
        request: Request<Body>,
    ) -> Result<Response<StreamBody<Chunks>>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let call = Call::read(&head);
        let course = self.lock().faults.next(&call);
        let (code, chunks) = match course {
            Course::Done => self.carry_out(&call, &body),
            Course::Code(code) => self.refuse(&call, code),
            Course::Silence { is_done } => {
                if is_done {
                    drop(self.carry_out(&call, &body));
                }
                tokio::time::sleep(ANSWER_TIMEOUT).await;
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            Course::Death { is_done } => {
                if is_done {
                    drop(self.carry_out(&call, &body));
                }
                let killed = Arc::clone(&self.lock().faults.killed);
                killed.notify_one();
                return std::future::pending().await;
            }
        };
        let mut response = Response::builder().status(StatusCode::from_u16(code).unwrap());
        if code == 429 {
            response = response.header("Retry-After", "1");
        }
        Ok(response.body(StreamBody::new(chunks)).unwrap())
    }

    fn refuse(&self, call: &Call, code: u16) -> (u16, Chunks) {
        let mut state = self.lock();
        state.status_writes += u128::from(call.verb == Verb::Status);
        let (code, value) = status(code);
        (code, once(&value))
    }

    fn carry_out(&self, call: &Call, body: &Value) -> (u16, Chunks) {
        let mut state = self.lock();
        match call.verb {
            Verb::Watch => (200, state.watch(call)),
            Verb::List => {
                let (code, list) = state.list(call);
                (code, once(&list))
            }
            Verb::Create => (201, once(body)),
            _ => {
                let (code, value) = state.change(call, body);
                (code, once(&value))
            }
        }
    }
}

fn place(resource: &str, object: &Value) -> Place {
    let text = |key: &str| object["metadata"][key].as_str().map(str::to_owned);
    let namespace = text("namespace").unwrap_or_else(|| "default".to_owned());
    (
        resource.to_owned(),
        namespace,
        text("name").unwrap_or_default(),
    )
}

fn once(value: &Value) -> Chunks {
    let bytes = Bytes::from(value.to_string());
    Box::pin(futures::stream::once(async move { Ok(Frame::data(bytes)) }))
}

fn lines(values: impl futures::Stream<Item = Value> + Send + 'static) -> Chunks {
    Box::pin(values.map(|value| Ok(Frame::data(Bytes::from(format!("{value}\n"))))))
}

/// An answer that says no.
fn status(code: u16) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        410 => "Expired",
        _ => "Refused",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "refused by the test", "reason": reason, "code": code,
    });
    (code, status)
}

impl Call {
    fn read(head: &http::request::Parts) -> Self {
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        let query = head.uri.query().unwrap_or_default();
        // /api/v1/... or /apis/group/version/...
        let rest = &path[if path[0] == "api" { 2 } else { 3 }..];
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let sub = rest.get(2).copied().unwrap_or_default();
        let verb = match (&head.method, rest.len(), sub) {
            (&Method::GET, 1, _) if query.contains("watch=true") => Verb::Watch,
            (&Method::GET, 1, _) => Verb::List,
            (&Method::GET, ..) => Verb::Get,
            (&Method::PATCH, _, "status") => Verb::Status,
            (&Method::PATCH, ..) => Verb::Patch,
            (&Method::POST, _, "eviction") => Verb::Evict,
            (&Method::DELETE, ..) => Verb::Delete,
            _ => Verb::Create,
        };
        let since = query
            .split('&')
            .find_map(|one| one.strip_prefix("resourceVersion="));
        let content_type = head.headers.get("content-type");
        Self {
            verb,
            place: (
                rest[0].to_owned(),
                namespace.to_owned(),
                rest.get(1).copied().unwrap_or_default().to_owned(),
            ),
            since: since
                .and_then(|since| since.parse().ok())
                .unwrap_or_default(),
            is_merge: content_type
                .is_some_and(|one| one.to_str().is_ok_and(|text| text.contains("merge-patch"))),
        }
    }
}
