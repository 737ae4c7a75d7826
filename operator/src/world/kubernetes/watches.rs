//! The watches: what the API server tells.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::warn;

use crate::crd::{FIELD_MANAGER, KafkaCluster, KafkaRebalance, KafkaTopic, KafkaUser};
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply::INSTANCE;
use crate::platform::kubernetes::watched::Watched;

/// At most so many events wait; the watches wait then.
const EVENTS_MAX: usize = 1024;
/// The kinds of objects that belong to clusters.
pub const OWNED_KINDS: [&str; 7] = [
    "Pod",
    "StatefulSet",
    "ConfigMap",
    "Service",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Ingress",
];

/// What a watch told.
pub enum WatchEvent {
    /// Of a KafkaCluster.
    Cluster(Scope, Event<DynamicObject>),
    /// Of a KafkaTopic.
    Topic(Scope, Event<DynamicObject>),
    /// Of a KafkaUser.
    User(Scope, Event<DynamicObject>),
    /// Of a KafkaRebalance.
    Rebalance(Scope, Event<DynamicObject>),
    /// An object of this cluster changed; it is in its store.
    Owned(ObjectKey),
    /// All objects of one kind were listed.
    OwnedListed(&'static str, Scope),
}

/// What one watch tells of: a namespace, or all.
pub type Scope = Option<Arc<str>>;

/// The scopes that are watched: these namespaces, or all where none is named.
pub fn scopes(namespaces: &[String]) -> BTreeSet<Scope> {
    if namespaces.is_empty() {
        return BTreeSet::from([None]);
    }
    let scopes = namespaces.iter();
    scopes.map(|name| Some(name.as_str().into())).collect()
}

/// Watches these scopes. The objects of clusters are in the stores before an event tells
/// of them.
pub fn begin(client: &Client, scopes: &BTreeSet<Scope>) -> (Watched, mpsc::Receiver<WatchEvent>) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let mut watched = Watched::default();
    for scope in scopes {
        let (scope, sender) = (scope.clone(), sender.clone());
        let watch = Watch {
            client,
            scope,
            sender,
        };
        watch.custom::<KafkaCluster>(WatchEvent::Cluster);
        watch.custom::<KafkaTopic>(WatchEvent::Topic);
        watch.custom::<KafkaUser>(WatchEvent::User);
        watch.custom::<KafkaRebalance>(WatchEvent::Rebalance);
        watched.pods.push(watch.owned("Pod"));
        watched.stateful_sets.push(watch.owned("StatefulSet"));
        watched.config_maps.push(watch.owned("ConfigMap"));
        watched.services.push(watch.owned("Service"));
        watched.budgets.push(watch.owned("PodDisruptionBudget"));
        watched.network_policies.push(watch.owned("NetworkPolicy"));
        watched.ingresses.push(watch.owned("Ingress"));
    }
    (watched, receiver)
}

struct Watch<'a> {
    client: &'a Client,
    scope: Scope,
    sender: mpsc::Sender<WatchEvent>,
}

impl Watch<'_> {
    /// Objects of our kinds, as they are: one that is malformed must not end the watch.
    fn custom<K: Resource<DynamicType = ()>>(
        &self,
        event: fn(Scope, Event<DynamicObject>) -> WatchEvent,
    ) {
        let resource = ApiResource::erase::<K>(&());
        let scope = self.scope.clone();
        let api: Api<DynamicObject> = match self.scope.as_deref() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let events = watcher(api, Config::default()).default_backoff();
        self.follow(events, move |told| Some(event(scope.clone(), told)));
    }

    /// Objects that belong to clusters, kept in a store.
    fn owned<K>(&self, kind: &'static str) -> Store<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let scope = self.scope.clone();
        let api: Api<K> = match self.scope.as_deref() {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let managed = format!("app.kubernetes.io/managed-by={FIELD_MANAGER}");
        let (store, writer) = reflector::store();
        let events = watcher(api, Config::default().labels(&managed)).default_backoff();
        // Nobody here reads these, and they are often larger than the rest.
        let events = events.modify(|object| object.managed_fields_mut().clear());
        self.follow(events.reflect(writer), move |told| match told {
            Event::Apply(object) | Event::Delete(object) => {
                Some(WatchEvent::Owned(cluster(&object)?))
            }
            Event::InitDone => Some(WatchEvent::OwnedListed(kind, scope.clone())),
            Event::Init | Event::InitApply(_) => None,
        });
        store
    }

    fn follow<K, S>(&self, events: S, told: impl Fn(Event<K>) -> Option<WatchEvent> + 'static)
    where
        S: futures::Stream<Item = Result<Event<K>, kube::runtime::watcher::Error>> + 'static,
        K: 'static,
    {
        let sender = self.sender.clone();
        tokio::task::spawn_local(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event.map(&told) {
                    Ok(None) => {}
                    Ok(Some(event)) => {
                        if sender.send(event).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => warn!("a watch broke and is begun again: {error}"),
                }
            }
        });
    }
}

/// The cluster that an object belongs to, by its label.
fn cluster<K: Resource>(object: &K) -> Option<ObjectKey> {
    Some(ObjectKey {
        namespace: object.namespace()?,
        name: object.labels().get(INSTANCE)?.clone(),
    })
}
