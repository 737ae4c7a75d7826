//! The watches: what the API server tells.

use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::warn;

use crate::crd::{FIELD_MANAGER, KafkaCluster, KafkaTopic};

/// At most so many events wait; the watches wait then.
const EVENTS_MAX: usize = 1024;

/// What a watch told.
#[expect(
    clippy::large_enum_variant,
    reason = "pods and stateful sets, the large ones, are most of what comes: a box saves nothing"
)]
pub enum Told {
    /// Of a KafkaCluster.
    Cluster(Event<DynamicObject>),
    /// Of a KafkaTopic.
    Topic(Event<DynamicObject>),
    /// Of a pod of ours.
    Pod(Event<Pod>),
    /// Of a StatefulSet of ours.
    StatefulSet(Event<StatefulSet>),
    /// Of a ConfigMap of ours.
    ConfigMap(Event<ConfigMap>),
    /// Of a Service of ours.
    Service(Event<Service>),
    /// Of a PodDisruptionBudget of ours.
    Budget(Event<PodDisruptionBudget>),
    /// Of a NetworkPolicy of ours.
    NetworkPolicy(Event<NetworkPolicy>),
}

/// Watches one namespace, or all.
pub fn begin(client: &Client, namespace: Option<&str>) -> mpsc::Receiver<Told> {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let ours = Config::default().labels(&format!("app.kubernetes.io/managed-by={FIELD_MANAGER}"));
    let watch = Watch {
        client,
        namespace,
        sender,
    };
    watch.custom::<KafkaCluster>(Told::Cluster);
    watch.custom::<KafkaTopic>(Told::Topic);
    watch.owned(&ours, Told::Pod);
    watch.owned(&ours, Told::StatefulSet);
    watch.owned(&ours, Told::ConfigMap);
    watch.owned(&ours, Told::Service);
    watch.owned(&ours, Told::Budget);
    watch.owned(&ours, Told::NetworkPolicy);
    receiver
}

struct Watch<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    sender: mpsc::Sender<Told>,
}

impl Watch<'_> {
    /// Objects of our kinds, as they are: one that is malformed must not end the watch.
    fn custom<K: Resource<DynamicType = ()>>(&self, told: fn(Event<DynamicObject>) -> Told) {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        self.follow(api, Config::default(), told);
    }

    fn owned<K>(&self, config: &Config, told: fn(Event<K>) -> Told)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let api: Api<K> = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        self.follow(api, config.clone(), told);
    }

    fn follow<K>(&self, api: Api<K>, config: Config, told: fn(Event<K>) -> Told)
    where
        K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let sender = self.sender.clone();
        tokio::task::spawn_local(async move {
            let mut events = std::pin::pin!(watcher(api, config).default_backoff());
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if sender.send(told(event)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => complain(&error),
                }
            }
        });
    }
}

fn complain(error: &Error) {
    warn!("a watch broke and is begun again: {error}");
}
