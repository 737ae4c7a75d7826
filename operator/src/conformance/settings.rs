//! The worlds that the suite runs in.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::api::ApiServer;
use super::brokers::Brokers;
use super::nodes::Nodes;
use super::reached::Reached;
use crate::cluster::reconcile::Reconciler;
use crate::metrics::{Metrics, Telemetry};
use crate::object::ObjectKey;
use crate::platform::kubernetes::{PodOptions, Pods};
use crate::secrets::Secrets;
use crate::session::Session;
use crate::world::folder::manifests::Manifests;
use crate::world::{World, folder, kubernetes};

/// A world with an operator in it, as a test uses it.
pub trait Setting: 'static {
    /// Begins to look after what is there.
    async fn operate(&self);

    /// Takes an object as a user applies it.
    fn apply(&self, yaml: &str);

    /// Deletes an object as a user does.
    fn delete(&self, kind: &str, namespace: &str, name: &str);

    /// An object with its status; none once it is gone.
    fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value>;

    /// Changes whenever a status is written.
    fn writes(&self) -> u128;

    /// Its brokers.
    fn brokers(&self) -> &Brokers;

    /// Its Secrets.
    fn secrets(&self) -> Secrets;
}

/// Runs a test in a world. Time goes on only while everybody waits, and then at once.
pub fn run<S: Setting>(setting: S, test: impl AsyncFnOnce(&S)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    let setting = Rc::new(setting);
    let operator = Rc::clone(&setting);
    tasks.spawn_local(async move { operator.operate().await });
    tasks.spawn_local(async {
        // What is on its way through a socket on a busy machine would be late at once otherwise:
        // time stands still while a thread sleeps.
        loop {
            let pause = || std::thread::sleep(Duration::from_millis(1));
            let _ = tokio::task::spawn_blocking(pause).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let brokers = setting.brokers().clone();
    tasks.spawn_local(async move { brokers.serve().await });
    tasks.block_on(&runtime, test(&setting));
}

/// The wall clock, which goes on with the time of the test.
fn now() -> String {
    static BEGAN: LazyLock<(std::time::Instant, Timestamp)> =
        LazyLock::new(|| (std::time::Instant::now(), Timestamp::now()));
    let (began, at) = *BEGAN;
    let now = at + Instant::now().into_std().duration_since(began);
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn reconcile(world: impl World, brokers: &Brokers, metrics: Metrics, secrets: Secrets) {
    brokers.show_certificates_of(secrets.clone());
    let reconciler = |_: &ObjectKey| Reconciler::new(brokers.platform(), secrets.clone());
    Session::new(world, reconciler, metrics, now).run().await;
}

/// An API server.
pub struct Kubernetes {
    pub api: ApiServer,
    pub telemetry: Telemetry,
    pub nodes: Nodes,
    /// The namespaces that are looked after; none: all.
    pub namespaces: Vec<String>,
    /// Whether brokers get a NetworkPolicy.
    pub has_network_policy: bool,
    brokers: Brokers,
    platform: PlatformKind,
}

/// What brokers are on the API server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlatformKind {
    /// Fakes.
    Fakes,
    /// Pods, which the test makes itself.
    Pods,
    /// Pods, which are made and run, and lead to the fakes.
    Running,
}

impl Kubernetes {
    /// One that holds nothing yet.
    pub fn new() -> Self {
        let (api, brokers) = (ApiServer::default(), Brokers::new());
        Self {
            nodes: Nodes::new(api.clone(), brokers.clone()),
            api,
            telemetry: Telemetry::default(),
            namespaces: Vec::new(),
            has_network_policy: true,
            brokers,
            platform: PlatformKind::Fakes,
        }
    }

    /// The same, where brokers are pods rather than fakes.
    pub fn with_pods() -> Self {
        Self {
            platform: PlatformKind::Pods,
            ..Self::new()
        }
    }

    /// The same, where pods are made and run as their StatefulSet says.
    pub fn with_nodes() -> Self {
        Self {
            platform: PlatformKind::Running,
            ..Self::new()
        }
    }

    /// Works until it is killed.
    async fn work(&self) {
        let telemetry = self.telemetry.clone();
        let metrics = self.telemetry.metrics.clone();
        let client = self.api.client();
        let world = kubernetes::Kubernetes::new(&client, &client, &self.namespaces, telemetry);
        if self.platform == PlatformKind::Fakes {
            return reconcile(world, &self.brokers, metrics, self.secrets()).await;
        }
        let shown = Secrets::of(self.api.client_of_nodes());
        self.brokers.show_certificates_of(shown);
        let watched = world.watched.clone();
        let options = PodOptions {
            image: "ottla-broker:test".to_owned(),
            has_network_policy: self.has_network_policy,
            metrics_namespaces: Vec::new(),
        };
        let pods =
            |key: &ObjectKey| Pods::new(client.clone(), watched.clone(), key, options.clone());
        let reconciler = |key: &ObjectKey| {
            let reached = Reached {
                pods: pods(key),
                brokers: self.brokers.clone(),
            };
            Reconciler::new(reached, self.secrets())
        };
        Session::new(world, reconciler, metrics, now).run().await;
    }
}

impl Setting for Kubernetes {
    async fn operate(&self) {
        let operators = async {
            loop {
                // One that is killed leaves none of its tasks behind.
                let tasks = tokio::task::LocalSet::new();
                tokio::select! {
                    () = tasks.run_until(self.work()) => {}
                    () = self.api.killed() => {}
                }
            }
        };
        let nodes = async {
            match self.platform {
                PlatformKind::Running => self.nodes.run().await,
                _ => std::future::pending().await,
            }
        };
        tokio::join!(operators, nodes);
    }

    fn apply(&self, yaml: &str) {
        let object: Value = serde_yaml::from_str(yaml).unwrap();
        self.api
            .apply(&resource(object["kind"].as_str().unwrap()), &object);
    }

    fn delete(&self, kind: &str, namespace: &str, name: &str) {
        self.api.delete(&resource(kind), namespace, name);
    }

    fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.api.get(&resource(kind), namespace, name)
    }

    fn writes(&self) -> u128 {
        self.api.status_writes()
    }

    fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    fn secrets(&self) -> Secrets {
        Secrets::of(self.api.client())
    }
}

fn resource(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

/// A folder of manifests.
pub struct Folder {
    folder: tempfile::TempDir,
    brokers: Brokers,
}

impl Folder {
    /// One that holds nothing yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("manifests")).unwrap();
        Self {
            folder,
            brokers: Brokers::new(),
        }
    }

    fn manifest(&self, kind: &str, namespace: &str, name: &str) -> PathBuf {
        self.folder
            .path()
            .join(format!("manifests/{kind}-{namespace}-{name}.yaml"))
    }
}

impl Setting for Folder {
    async fn operate(&self) {
        let mut manifests = Manifests::new(&self.folder.path().join("manifests"));
        manifests.scan().unwrap();
        let data_dir = self.folder.path().join("data");
        let world = folder::Folder::new(manifests, &data_dir, Instant::now());
        reconcile(world, &self.brokers, Metrics::default(), self.secrets()).await;
    }

    fn apply(&self, yaml: &str) {
        let object: Value = serde_yaml::from_str(yaml).unwrap();
        let text = |pointer: &str| object.pointer(pointer).unwrap().as_str().unwrap();
        let file = self.manifest(
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        // Another file each time: times of changes are as coarse as the system's clock.
        let new = self.folder.path().join("new");
        std::fs::write(&new, yaml).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn delete(&self, kind: &str, namespace: &str, name: &str) {
        std::fs::remove_file(self.manifest(kind, namespace, name)).unwrap();
    }

    fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let kind = kind.to_lowercase();
        let file = format!("data/status/{kind}-{namespace}_{name}.yaml");
        let text = std::fs::read_to_string(self.folder.path().join(file)).ok()?;
        serde_yaml::from_str(&text).ok()
    }

    fn writes(&self) -> u128 {
        let files = std::fs::read_dir(self.folder.path().join("data/status"));
        let files = files.into_iter().flatten().flatten();
        let written = files.filter_map(|file| file.metadata().ok());
        let marks = written.map(|file| u128::from(file.mtime_nsec().unsigned_abs() + file.ino()));
        marks.sum()
    }

    fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    fn secrets(&self) -> Secrets {
        Secrets::Folder(self.folder.path().join("data"))
    }
}
