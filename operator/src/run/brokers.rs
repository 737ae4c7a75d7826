//! The task that looks after the brokers of one cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::cluster::build::pods::{CONFIG_MAP, DATA_DIR, DATA_VOLUME, RACK};
use crate::cluster::build::{Surroundings, build, metadata, services};
use crate::cluster::reconcile::{Reconciler, Step};
use crate::cluster::validate::ValidatedCluster;
use crate::condition::{State, spoken, state};
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply::dynamic;
use crate::platform::kubernetes::{Blueprint, Names, Pods, Seen};
use crate::topic::driver::View;

/// How often a cluster is looked at while something is on its way.
const BUSY_INTERVAL: Duration = Duration::from_millis(500);
/// How often a cluster is looked at while nothing is; changes are told by the watches.
const QUIET_INTERVAL: Duration = Duration::from_secs(30);

/// What the session gives.
#[derive(Clone, Debug)]
pub struct Input {
    /// The spec.
    pub cluster: Arc<KafkaCluster>,
    /// What exists.
    pub seen: Seen,
}

/// What the task tells.
#[derive(Debug)]
pub enum Event {
    /// The status says something new.
    Status(ObjectKey, Box<KafkaClusterStatus>),
    /// Something was done.
    Done(ObjectKey, String),
}

/// The task.
pub struct Brokers {
    /// Which cluster.
    pub key: ObjectKey,
    /// Its pods.
    pub pods: Pods,
    /// What exists and is wanted.
    pub input: watch::Receiver<Input>,
    /// What its topics need to know.
    pub view: watch::Sender<Option<View>>,
    /// Where it tells.
    pub events: mpsc::Sender<Event>,
    /// The brokers' image where the spec names none.
    pub image: String,
    /// Whether brokers get a NetworkPolicy.
    pub has_network_policy: bool,
    /// The wall clock.
    pub now: fn() -> String,
}

/// The names that the builder gives to a cluster's objects.
#[must_use]
pub fn names(cluster: &str) -> Names {
    Names {
        headless: services::headless(cluster),
        bootstrap: services::bootstrap(cluster),
        config_map_annotation: CONFIG_MAP,
        rack_annotation: RACK,
        volume: DATA_VOLUME,
        data_dir: DATA_DIR,
        external: services::external,
        external_bootstrap: services::external_bootstrap,
    }
}

impl Brokers {
    /// Runs until the cluster is gone: its objects go with it, by their owner references.
    pub async fn run(mut self) {
        let image = self.image.clone();
        let has_policy = self.has_network_policy;
        let follow = move |cluster: &_, valid: &_, pods: &mut Pods| {
            pods.follow(blueprint(cluster, valid, &image, has_policy));
        };
        let mut reconciler = Reconciler::new(self.pods).following(follow);
        let mut status: Option<KafkaClusterStatus> = None;
        let mut was_usable = false;
        loop {
            let input = self.input.borrow_and_update().clone();
            let mut cluster = KafkaCluster::clone(&input.cluster);
            if status.is_some() {
                cluster.status.clone_from(&status);
            }
            reconciler.platform.see(input.seen);
            let step = reconciler.step(&cluster, &(self.now)()).await;
            for done in &step.done {
                let event = Event::Done(self.key.clone(), done.clone());
                let _ = self.events.send(event).await;
            }
            let quiet = state(&step.status.conditions) == Some(State::Ready);
            was_usable |= !step.status.brokers.is_empty()
                && step.status.brokers.iter().all(|broker| broker.ready);
            let view = Some(view(&self.key, &step, was_usable));
            self.view.send_if_modified(|before| {
                let new = *before != view;
                *before = view;
                new
            });
            if cluster.status.as_ref() != Some(&step.status) {
                let event = Event::Status(self.key.clone(), Box::new(step.status.clone()));
                let _ = self.events.send(event).await;
            }
            status = Some(step.status);
            let is_busy = !quiet || reconciler.platform.take_news();
            let pause = if is_busy {
                BUSY_INTERVAL
            } else {
                QUIET_INTERVAL
            };
            tokio::select! {
                changed = self.input.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

fn blueprint(
    cluster: &KafkaCluster,
    valid: &ValidatedCluster,
    image: &str,
    has_network_policy: bool,
) -> Blueprint {
    let uid = cluster.metadata.uid.clone().unwrap_or_default();
    let config_map = k8s_openapi::api::core::v1::ConfigMap {
        metadata: metadata(valid, &uid, String::new()),
        ..Default::default()
    };
    let rack_key = valid.rack.as_ref().map(|rack| rack.topology_key.clone());
    let volume_size = valid.storage.as_ref().map(|storage| storage.size.clone());
    let valid = valid.clone();
    let image = image.to_owned();
    Blueprint {
        build: Box::new(move |existing| {
            let is_first = existing.config_map.is_empty();
            let around = Surroundings {
                uid: uid.clone(),
                image: image.clone(),
                volume_size: existing.volume_size,
                placed: existing.placed,
                config_map: existing.config_map,
            };
            let resources = build(&valid, &around);
            let services = resources.services.iter();
            let mut objects: Vec<_> = services.map(|s| dynamic("v1", "Service", s)).collect();
            let budget = &resources.disruption_budget;
            objects.push(dynamic("policy/v1", "PodDisruptionBudget", budget));
            if has_network_policy {
                let policy = &resources.network_policy;
                objects.push(dynamic("networking.k8s.io/v1", "NetworkPolicy", policy));
            }
            // Without settings there is nothing yet for pods to start with.
            if !is_first {
                let set = dynamic("apps/v1", "StatefulSet", &resources.stateful_set);
                objects.push(set);
            }
            objects
        }),
        config_map,
        volume_size,
        rack_key,
    }
}

fn view(key: &ObjectKey, step: &Step, usable: bool) -> View {
    let says = spoken(&step.status.conditions);
    let valid = step.valid.as_ref();
    let mut admits = vec![key.namespace.clone()];
    admits.extend(valid.map_or(&Vec::new(), |v| &v.topic_namespaces).clone());
    View {
        addresses: vec![step.status.bootstrap_servers.clone()],
        brokers: valid.map_or(0, |valid| valid.replicas),
        usable,
        says: says
            .filter(|_| !usable)
            .map_or(String::new(), |(_, message)| message.to_owned()),
        admits,
        paused: step.paused,
        deleting: false,
    }
}
