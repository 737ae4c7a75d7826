//! The worlds that the suite runs in.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Instant, UNIX_EPOCH};

use serde_json::Value;

use super::api::ApiServer;
use super::brokers::Brokers;
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

/// Runs a test in a world.
pub fn run<S: Setting>(setting: S, test: impl AsyncFnOnce(&S)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    let setting = Rc::new(setting);
    let operator = Rc::clone(&setting);
    tasks.spawn_local(async move { operator.operate().await });
    let brokers = setting.brokers().clone();
    tasks.spawn_local(async move { brokers.serve().await });
    tasks.block_on(&runtime, test(&setting));
}

async fn reconcile(world: impl World, brokers: &Brokers, metrics: Metrics, secrets: Secrets) {
    brokers.show_certificates_of(secrets.clone());
    let reconciler = |_: &ObjectKey| Reconciler::new(brokers.platform(), secrets.clone());
    Session::new(world, reconciler, metrics).run().await;
}

/// An API server.
pub struct Kubernetes {
    pub api: ApiServer,
    pub telemetry: Telemetry,
    brokers: Brokers,
    has_pods: bool,
}

impl Kubernetes {
    /// One that holds nothing yet.
    pub fn new() -> Self {
        Self {
            api: ApiServer::default(),
            telemetry: Telemetry::default(),
            brokers: Brokers::new(),
            has_pods: false,
        }
    }

    /// The same, where brokers are pods rather than fakes.
    pub fn with_pods() -> Self {
        Self {
            has_pods: true,
            ..Self::new()
        }
    }
}

impl Setting for Kubernetes {
    async fn operate(&self) {
        let telemetry = self.telemetry.clone();
        let client = self.api.client();
        let world = kubernetes::Kubernetes::new(&client, &client, None, telemetry);
        if !self.has_pods {
            let metrics = self.telemetry.metrics.clone();
            return reconcile(world, &self.brokers, metrics, self.secrets()).await;
        }
        let watched = world.watched.clone();
        let options = PodOptions {
            image: "ottla-broker:test".to_owned(),
            has_network_policy: true,
        };
        let reconciler = |key: &ObjectKey| {
            let (client, watched) = (client.clone(), watched.clone());
            let pods = Pods::new(client, watched, key, options.clone());
            Reconciler::new(pods, self.secrets())
        };
        let metrics = self.telemetry.metrics.clone();
        Session::new(world, reconciler, metrics).run().await;
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
        Secrets::Kubernetes(self.api.client())
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
        std::fs::write(file, yaml).unwrap();
    }

    fn delete(&self, kind: &str, namespace: &str, name: &str) {
        std::fs::remove_file(self.manifest(kind, namespace, name)).unwrap();
    }

    fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let kind = kind.to_lowercase();
        let file = format!("data/status/{kind}-{namespace}.{name}.yaml");
        let text = std::fs::read_to_string(self.folder.path().join(file)).ok()?;
        serde_yaml::from_str(&text).ok()
    }

    fn writes(&self) -> u128 {
        let files = std::fs::read_dir(self.folder.path().join("data/status"));
        let files = files.into_iter().flatten().flatten();
        let written = files.filter_map(|file| file.metadata().ok()?.modified().ok());
        let times = written.filter_map(|at| at.duration_since(UNIX_EPOCH).ok());
        times.map(|time| time.as_nanos()).sum()
    }

    fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    fn secrets(&self) -> Secrets {
        Secrets::Folder(self.folder.path().join("data"))
    }
}
