//! What makes pods of a StatefulSet and runs them, on the API server in memory: its controller and
//! the nodes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::ApiServer;
use super::brokers::Brokers;
use crate::fingerprint::fingerprint;
use crate::platform::kubernetes::pool;
use crate::validated::FIRST_CONTROLLER;

const STEP: Duration = Duration::from_millis(100);
/// How long a container takes to start, a broker until it serves, and a pod until it is gone.
const WHILE: Duration = Duration::from_secs(1);

/// The nodes, which run the brokers of one cluster, shop/orders.
pub struct Nodes {
    api: ApiServer,
    brokers: Brokers,
    /// Since when things are as they are, by the uid of the object and what is waited for.
    since: RefCell<BTreeMap<(String, &'static str), Instant>>,
    /// Whether something takes its time.
    is_waiting: Cell<bool>,
    is_refusing: Cell<bool>,
    /// The image that all brokers must have before they admit a controller, where one must.
    admitting: RefCell<Option<String>>,
}

impl Nodes {
    /// Nodes that have nothing to run yet.
    pub fn new(api: ApiServer, brokers: Brokers) -> Self {
        Self {
            api,
            brokers,
            since: RefCell::default(),
            is_waiting: Cell::new(false),
            is_refusing: Cell::new(false),
            admitting: RefCell::default(),
        }
    }

    /// Has no more pods be made, as where a quota is used up, or again.
    pub fn refuse(&self, is_refusing: bool) {
        self.is_refusing.set(is_refusing);
    }

    /// Has controllers be ready only once all brokers have this image.
    pub fn admit_controllers_at(&self, image: &str) {
        *self.admitting.borrow_mut() = Some(image.to_owned());
    }

    fn is_admitted(&self, pod: &str) -> bool {
        let admitting = self.admitting.borrow();
        let Some(image) = admitting.as_ref().filter(|_| pod.contains("-controllers-")) else {
            return true;
        };
        let brokers = self.api.all("pods").into_iter();
        let is_broker = |pod: &Value| !pod["metadata"]["name"].to_string().contains("controllers");
        let mut brokers = brokers.filter(is_broker);
        let are_all = brokers.all(|pod| pod["spec"]["containers"][0]["image"] == *image.as_str());
        self.is_waiting.set(self.is_waiting.get() || !are_all);
        are_all
    }

    /// Goes on for as long as it is waited for.
    pub async fn run(&self) {
        let mut seen = None;
        loop {
            let version = Some(self.api.version());
            if version != seen || self.is_waiting.take() {
                seen = version;
                self.step();
            }
            tokio::time::sleep(STEP).await;
        }
    }

    fn step(&self) {
        for claim in self.api.all("persistentvolumeclaims") {
            self.let_go(&claim);
            self.grow(&claim);
        }
        self.run_set("orders", 0);
        self.run_set("orders-controllers", FIRST_CONTROLLER);
    }

    /// Has the pods of a StatefulSet go on, of which the first is that node.
    fn run_set(&self, name: &str, first: i32) {
        let set = self.api.get("statefulsets", "shop", name);
        if first > 0 {
            let of = |set: &Value| set["spec"]["replicas"].as_i64();
            let replicas = set.as_ref().and_then(of).unwrap_or_default();
            self.end_others(name, replicas, first);
        }
        let Some(set) = set else {
            return;
        };
        let revision = format!("{:x}", fingerprint(&set["spec"]["template"].to_string()));
        let replicas = set["spec"]["replicas"].as_i64().unwrap_or_default();
        for ordinal in 0..i32::try_from(replicas).unwrap() {
            let is_ready = match self.api.get("pods", "shop", &format!("{name}-{ordinal}")) {
                None => {
                    self.make(&set, &revision, ordinal);
                    false
                }
                Some(pod) => self.advance(&pod),
            };
            self.brokers.bring(first + ordinal, is_ready);
        }
        let status = json!({
            "replicas": replicas, "observedGeneration": set["metadata"]["generation"],
            "updateRevision": revision,
        });
        self.api.set_status("statefulsets", "shop", name, &status);
    }

    /// Has the pods go that a StatefulSet has no more, or that it leaves behind.
    fn end_others(&self, set: &str, replicas: i64, first: i32) {
        for ordinal in 0..5 {
            let name = format!("{set}-{ordinal}");
            let Some(pod) = self.api.get("pods", "shop", &name) else {
                continue;
            };
            if i64::from(ordinal) >= replicas {
                self.brokers.bring(first + ordinal, false);
                if pod.pointer("/metadata/deletionTimestamp").is_none() {
                    self.api.delete("pods", "shop", &name);
                    self.is_waiting.set(true);
                } else {
                    self.advance(&pod);
                }
            }
        }
    }

    fn make(&self, set: &Value, revision: &str, ordinal: i32) {
        let set_name = set["metadata"]["name"].as_str().unwrap();
        let name = format!("{set_name}-{ordinal}");
        if self.is_refusing.get() {
            self.is_waiting.set(true);
            let message = format!(
                "create Pod {name} in StatefulSet orders failed error: pods \"{name}\" is \
                 forbidden: exceeded quota: small"
            );
            let event = json!({
                "metadata": { "namespace": "shop", "name": "orders.1" }, "message": message,
                "type": "Warning", "lastTimestamp": crate::condition::now(),
                "involvedObject": { "kind": "StatefulSet", "name": "orders" },
            });
            return self.api.apply("events", &event);
        }
        for claim in set["spec"]["volumeClaimTemplates"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let claim_name = format!("{}-{name}", claim["metadata"]["name"].as_str().unwrap());
            let there = self.api.get("persistentvolumeclaims", "shop", &claim_name);
            match there {
                // It is being deleted: no pod is made on it.
                Some(claim) if is_deleted(&claim) => return,
                Some(_) => continue,
                None => {}
            }
            let capacity = &claim["spec"]["resources"]["requests"];
            let claim = json!({
                "metadata": {
                    "namespace": "shop", "name": claim_name,
                    "finalizers": ["kubernetes.io/pvc-protection"],
                },
                "spec": claim["spec"],
                "status": { "phase": "Bound", "capacity": capacity },
            });
            self.api.apply("persistentvolumeclaims", &claim);
        }
        let template = &set["spec"]["template"];
        let mut metadata = template["metadata"].clone();
        metadata["namespace"] = json!("shop");
        metadata["name"] = json!(name);
        metadata["labels"]["controller-revision-hash"] = json!(revision);
        metadata["finalizers"] = json!(["nodes"]);
        metadata["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set_name, "uid": "u",
            "controller": true,
        }]);
        let mut spec = template["spec"].clone();
        spec["nodeName"] = json!(format!("node-{ordinal}"));
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {},
        });
        self.api.apply("pods", &pod);
    }

    /// Has a pod go on; says whether it serves.
    fn advance(&self, pod: &Value) -> bool {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let name = pod["metadata"]["name"].as_str().unwrap();
        if pod.pointer("/metadata/deletionTimestamp").is_some() {
            if self.has_been(uid, "stops", WHILE) {
                self.api.edit("pods", "shop", name, |pod| {
                    pod["metadata"]["finalizers"] = json!([]);
                });
            }
            return false;
        }
        let config_map = &pod["metadata"]["annotations"]["ottla.io/config-map"];
        let config_map = config_map.as_str().unwrap_or_default();
        let config_map = self.api.get("configmaps", "shop", config_map);
        let Some(settings) = config_map.filter(|_| self.has_been(uid, "starts", WHILE)) else {
            return false;
        };
        let is_ready = self.has_been(uid, "registers", WHILE) && self.is_admitted(name);
        if is_ready {
            let settings = &settings["data"][format!("{name}.properties")];
            let settings = settings.as_str().unwrap_or_default().lines();
            let settings = settings.filter_map(|line| line.split_once('='));
            let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
            self.brokers.start_with(settings.collect());
        }
        if is_ready && self.has_been(uid, "copies", WHILE) {
            self.brokers
                .fall_behind(pool::node("orders", name).unwrap(), false);
        }
        let status = json!({
            "hostIP": "10.0.0.1",
            "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
            "containerStatuses": [{
                "name": "broker", "ready": is_ready, "restartCount": 0, "image": "",
                "imageID": "", "state": { "running": {} },
            }],
        });
        self.api.set_status("pods", "shop", name, &status);
        is_ready
    }

    /// A claim that was deleted is there for as long as a pod uses it.
    fn let_go(&self, claim: &Value) {
        let name = claim["metadata"]["name"].as_str().unwrap_or_default();
        let pod = name.strip_prefix("data-").unwrap_or_default();
        if is_deleted(claim) && self.api.get("pods", "shop", pod).is_none() {
            self.api
                .edit("persistentvolumeclaims", "shop", name, |claim| {
                    claim["metadata"]["finalizers"] = json!([]);
                });
            let node = pool::node("orders", pod).unwrap();
            self.brokers.fall_behind(node, true);
        }
    }

    fn grow(&self, claim: &Value) {
        let wanted = &claim["spec"]["resources"]["requests"];
        let uid = format!("{}{wanted}", claim["metadata"]["uid"]);
        if claim["status"]["capacity"] != *wanted && self.has_been(&uid, "grows", WHILE) {
            let name = claim["metadata"]["name"].as_str().unwrap();
            let status = json!({ "phase": "Bound", "capacity": wanted });
            self.api
                .set_status("persistentvolumeclaims", "shop", name, &status);
        }
    }

    fn has_been(&self, uid: &str, what: &'static str, time: Duration) -> bool {
        let mut since = self.since.borrow_mut();
        let since = since
            .entry((uid.to_owned(), what))
            .or_insert(Instant::now());
        let has_been = since.elapsed() >= time;
        if !has_been {
            self.is_waiting.set(true);
        }
        has_been
    }
}

fn is_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}
