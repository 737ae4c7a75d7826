//! An API server in memory: lists, watches, server-side apply and merge patches of any kind.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

/// The resource, the namespace and the name of an object.
type Place = (String, String, String);
type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

/// The server. Cheap to clone.
#[derive(Clone, Default)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Place, Value>,
    version: u64,
    watchers: Vec<(String, UnboundedSender<Value>)>,
    /// So many writes of statuses are answered with this code.
    refusals: (usize, u16),
    status_writes: u128,
    patches: usize,
    /// An object that nobody may patch but its status.
    withheld: Option<String>,
    /// A kind of objects that may not be listed.
    unlisted: String,
    /// A kind of objects of which no write is taken.
    invalid: String,
    /// Whether somebody else writes the next object that is patched just before.
    collides: bool,
    /// Whether a PodDisruptionBudget lets no pod go.
    is_budget_spent: bool,
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

    /// Takes an object as a user applies it.
    pub fn apply(&self, resource: &str, object: &Value) {
        let place = place(resource, object);
        self.lock().apply(place, object);
    }

    /// Deletes an object as a user does: one with finalizers stays until they are gone.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().edit(&place, |object| {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        });
    }

    /// Replaces the status of an object, as somebody may who has the right to.
    pub fn set_status(&self, resource: &str, namespace: &str, name: &str, status: &Value) {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock()
            .edit(&place, |object| object["status"] = status.clone());
    }

    /// An object as it is now.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&place).cloned()
    }

    /// Has the next writes of statuses refused.
    pub fn refuse_statuses(&self, writes: usize, code: u16) {
        self.lock().refusals = (writes, code);
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
    ) -> Result<Response<StreamBody<Chunks>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        let query = head.uri.query().unwrap_or_default();
        // /api/v1/... or /apis/group/version/...
        let rest = &path[if path[0] == "api" { 2 } else { 3 }..];
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (code, chunks) = match (&head.method, rest) {
            (&Method::GET, [resource]) if query.contains("watch=true") => {
                (200, self.lock().watch(resource))
            }
            (&Method::GET, [resource]) => {
                let (code, list) = self.lock().list(resource);
                (code, once(&list))
            }
            (method, [resource, name, sub @ ..]) => {
                let place = (
                    (*resource).to_owned(),
                    namespace.to_owned(),
                    (*name).to_owned(),
                );
                let (code, value) = self.lock().change(method, &place, sub, &body);
                (code, once(&value))
            }
            _ => (201, once(&body)),
        };
        let response = Response::builder().status(StatusCode::from_u16(code).unwrap());
        Ok(response.body(StreamBody::new(chunks)).unwrap())
    }
}

impl State {
    fn list(&self, resource: &str) -> (u16, Value) {
        if self.unlisted == resource {
            return status(403);
        }
        let objects = self.objects.iter().filter(|(place, _)| place.0 == resource);
        let items: Vec<&Value> = objects.map(|(_, object)| object).collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List", "items": items,
            "metadata": { "resourceVersion": self.version.to_string() },
        });
        (200, list)
    }

    fn watch(&mut self, resource: &str) -> Chunks {
        let (sender, receiver) = unbounded();
        self.watchers.push((resource.to_owned(), sender));
        Box::pin(receiver.map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n"))))))
    }

    fn change(
        &mut self,
        method: &Method,
        place: &Place,
        sub: &[&str],
        body: &Value,
    ) -> (u16, Value) {
        self.patches += usize::from(*method == Method::PATCH);
        if *method == Method::PATCH && sub == ["status"] {
            self.status_writes += 1;
            if self.refusals.0 > 0 {
                self.refusals.0 -= 1;
                return status(self.refusals.1);
            }
        }
        if *method == Method::PATCH && sub.is_empty() && self.withheld.as_ref() == Some(&place.2) {
            return status(503);
        }
        if *method == Method::PATCH && sub.is_empty() && self.invalid == place.0 {
            return status(422);
        }
        if *method == Method::PATCH && sub.is_empty() && std::mem::take(&mut self.collides) {
            self.edit(place, |object| {
                object["metadata"]["labels"]["by"] = json!("another")
            });
        }
        let Some(object) = self.objects.get(place).cloned() else {
            if *method == Method::PATCH && sub.is_empty() {
                self.apply(place.clone(), body);
                return (201, self.objects[place].clone());
            }
            return status(404);
        };
        let is_eviction = *method == Method::POST && sub == ["eviction"];
        if is_eviction && self.is_budget_spent {
            return status(429);
        }
        if *method == Method::DELETE || is_eviction {
            self.edit(place, |object| {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            });
        } else if *method == Method::PATCH && sub == ["status"] {
            self.edit(place, |object| object["status"] = body["status"].clone());
        } else if *method == Method::PATCH {
            let expected = body.pointer("/metadata/resourceVersion");
            if expected.is_some_and(|version| *version != object["metadata"]["resourceVersion"]) {
                return status(409);
            }
            self.apply(place.clone(), body);
        }
        if is_eviction {
            let success = json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" });
            return (201, success);
        }
        (200, self.objects.get(place).cloned().unwrap_or(object))
    }

    /// Lays what was given over what is there.
    fn apply(&mut self, place: Place, given: &Value) {
        let (uid, age) = (format!("uid-{}", self.version), self.version);
        let created = format!("2026-01-01T00:{:02}:{:02}Z", age / 60 % 60, age % 60);
        let (namespace, name) = (place.1.clone(), place.2.clone());
        self.objects.entry(place.clone()).or_insert_with(|| {
            json!({ "metadata": {
                "namespace": namespace, "name": name, "uid": uid, "creationTimestamp": created,
            }})
        });
        self.edit(&place, |object| {
            let before = object["spec"].clone();
            for (key, value) in given.as_object().into_iter().flatten() {
                match (key.as_str(), value) {
                    ("metadata", Value::Object(metadata)) => {
                        let known = object["metadata"].as_object_mut().unwrap();
                        known.extend(metadata.clone());
                    }
                    _ => object[key] = value.clone(),
                }
            }
            assign_node_ports(object, &before);
            // Kinds without a spec, such as ConfigMap, have no generation.
            if object["spec"] != before {
                let generation = object["metadata"]["generation"]
                    .as_i64()
                    .unwrap_or_default();
                object["metadata"]["generation"] = json!(generation + 1);
            }
        });
    }

    fn edit(&mut self, place: &Place, edit: impl FnOnce(&mut Value)) {
        let Some(object) = self.objects.get_mut(place) else {
            return;
        };
        let before = object.clone();
        edit(object);
        if *object == before {
            return;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let finalizers = object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array);
        let is_gone = object.pointer("/metadata/deletionTimestamp").is_some()
            && finalizers.is_none_or(Vec::is_empty);
        let kind = match (is_gone, before.pointer("/metadata/resourceVersion")) {
            (true, _) => "DELETED",
            (false, None) => "ADDED",
            (false, Some(_)) => "MODIFIED",
        };
        let event = json!({ "type": kind, "object": object });
        self.watchers.retain(|(resource, sender)| {
            *resource != place.0 || sender.unbounded_send(event.clone()).is_ok()
        });
        if is_gone {
            self.objects.remove(place);
        }
    }
}

/// As the API server does for Services: a port that was assigned stays.
fn assign_node_ports(object: &mut Value, before: &Value) {
    if object["spec"]["type"] != "NodePort" {
        return;
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let port = 30_000 + name.bytes().map(u32::from).sum::<u32>() % 2_000;
    let assigned = before.pointer("/ports/0/nodePort").cloned();
    object["spec"]["ports"][0]["nodePort"] = assigned.unwrap_or_else(|| json!(port));
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
    Box::pin(stream::once(async move { Ok(Frame::data(bytes)) }))
}

fn status(code: u16) -> (u16, Value) {
    let mut status = Map::new();
    status.insert("kind".to_owned(), json!("Status"));
    status.insert("apiVersion".to_owned(), json!("v1"));
    status.insert("status".to_owned(), json!("Failure"));
    status.insert("message".to_owned(), json!("refused by the test"));
    let reason = if code == 404 { "NotFound" } else { "Refused" };
    status.insert("reason".to_owned(), json!(reason));
    status.insert("code".to_owned(), json!(code));
    (code, Value::Object(status))
}
