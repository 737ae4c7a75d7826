//! The loop of the operator: watches → objects → tasks → statuses.

mod topics;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::info;

use self::words::{done, is_news, malformed, note_of, reference, take_status};
use super::Options;
use super::brokers::{Brokers, Event, Input, names};
use super::cache::Cache;
use super::http::Page;
use super::watches::{Told, begin};
use super::writer::{self, Note, Order, Write};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::{KafkaCluster, KafkaTopic};
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply::version;
use crate::platform::kubernetes::{Pods, Seen};
use crate::topic::driver;
use crate::topic::reconcile::{Pass, Topics};

/// At most so many words of the tasks wait to be heard; the tasks wait then.
const EVENTS_MAX: usize = 256;
/// How often topics are given to the tasks of their clusters at most.
const TOPICS_INTERVAL: std::time::Duration = std::time::Duration::from_millis(50);
/// The label of an object that names its cluster.
const INSTANCE: &str = "app.kubernetes.io/instance";

struct Task {
    input: watch::Sender<Input>,
    topics: watch::Sender<Arc<Topics>>,
    handles: [tokio::task::JoinHandle<()>; 2],
}

impl Drop for Task {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.abort();
        }
    }
}

/// Everything that the operator holds.
pub struct Session {
    client: Client,
    image: String,
    has_network_policy: bool,
    namespace: Option<String>,
    page: Page,
    clusters: Cache<DynamicObject>,
    topics: Cache<DynamicObject>,
    pods: Cache<Pod>,
    stateful_sets: Cache<StatefulSet>,
    config_maps: Cache<ConfigMap>,
    services: Cache<Service>,
    budgets: Cache<PodDisruptionBudget>,
    network_policies: Cache<NetworkPolicy>,
    tasks: BTreeMap<ObjectKey, Task>,
    dirty_clusters: BTreeSet<ObjectKey>,
    dirty_topics: bool,
    /// Not before this are topics given out again, so that many that come at once go together.
    topics_due: Instant,
    /// Topics as they were last understood.
    parsed: BTreeMap<ObjectKey, KafkaTopic>,
    /// Topics whose finalizer was asked for, by the version that lacked it.
    asked: BTreeMap<ObjectKey, String>,
    orders: mpsc::UnboundedSender<Order>,
    notes: mpsc::Sender<Note>,
    events: mpsc::Sender<Event>,
    passes: mpsc::Sender<Pass>,
    heard: Option<(mpsc::Receiver<Event>, mpsc::Receiver<Pass>)>,
}

impl Session {
    /// A session that has yet to run.
    pub fn new(client: Client, options: &Options, page: Page) -> Self {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (notes, noted) = mpsc::channel(EVENTS_MAX);
        let (events, heard_events) = mpsc::channel(EVENTS_MAX);
        let (passes, heard_passes) = mpsc::channel(EVENTS_MAX);
        let write = writer::run(client.clone(), ordered, noted, Arc::clone(&page));
        tokio::task::spawn_local(write);
        Self {
            client,
            image: options.broker_image.clone(),
            has_network_policy: options.broker_network_policy,
            namespace: options.namespace.clone(),
            page,
            clusters: Cache::default(),
            topics: Cache::default(),
            pods: Cache::default(),
            stateful_sets: Cache::default(),
            config_maps: Cache::default(),
            services: Cache::default(),
            budgets: Cache::default(),
            network_policies: Cache::default(),
            tasks: BTreeMap::new(),
            dirty_clusters: BTreeSet::new(),
            dirty_topics: false,
            topics_due: Instant::now(),
            parsed: BTreeMap::new(),
            asked: BTreeMap::new(),
            orders,
            notes,
            events,
            passes,
            heard: Some((heard_events, heard_passes)),
        }
    }

    /// Runs until the watches end, which they do not.
    pub async fn run(mut self) {
        let Some((mut events, mut passes)) = self.heard.take() else {
            return;
        };
        let mut told = begin(&self.client, self.namespace.as_deref());
        loop {
            tokio::select! {
                one = told.recv() => {
                    let Some(one) = one else { return };
                    self.take(one);
                    // Whatever else is there is looked at together.
                    while let Ok(one) = told.try_recv() {
                        self.take(one);
                    }
                }
                Some(event) = events.recv() => self.hear(event),
                Some(pass) = passes.recv() => self.hear_topics(pass),
                () = tokio::time::sleep_until(self.topics_due), if self.dirty_topics => {}
            }
            if self.is_complete() {
                self.spread();
            }
        }
    }

    /// Before everything has been listed once, what is missing may only not have been told yet.
    fn is_complete(&self) -> bool {
        self.clusters.is_complete()
            && self.topics.is_complete()
            && self.pods.is_complete()
            && self.stateful_sets.is_complete()
            && self.config_maps.is_complete()
            && self.services.is_complete()
            && self.budgets.is_complete()
            && self.network_policies.is_complete()
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Cluster(event) => {
                let is_news = is_news(&self.clusters, &event);
                let keys = self.clusters.take(event);
                if is_news {
                    self.dirty_clusters.extend(keys);
                    self.dirty_topics = true;
                }
            }
            Told::Topic(event) => {
                let is_news = is_news(&self.topics, &event);
                let keys = self.topics.take(event);
                self.dirty_topics |= !keys.is_empty() && is_news;
                for key in keys {
                    self.parsed.remove(&key);
                }
            }
            Told::Pod(event) => {
                let keys = self.pods.take(event);
                self.touch(keys, |name| {
                    name.rsplit_once('-').map(|(cluster, _)| cluster)
                });
            }
            Told::StatefulSet(event) => {
                let keys = self.stateful_sets.take(event);
                self.touch(keys, |name| Some(name));
            }
            Told::Budget(event) => {
                let keys = self.budgets.take(event);
                self.touch(keys, |name| Some(name));
            }
            Told::NetworkPolicy(event) => {
                let keys = self.network_policies.take(event);
                self.touch(keys, |name| Some(name));
            }
            Told::ConfigMap(event) => {
                let keys = self.config_maps.take(event);
                self.touch(keys, |name| {
                    name.rsplit_once("-config-").map(|(cluster, _)| cluster)
                });
            }
            Told::Service(event) => {
                for key in self.services.take(event) {
                    let clusters = self.clusters.iter().map(|(cluster, _)| cluster);
                    let of = |cluster: &&ObjectKey| {
                        let prefix = format!("{}-", cluster.name);
                        cluster.namespace == key.namespace && key.name.starts_with(&prefix)
                    };
                    self.dirty_clusters.extend(clusters.filter(of).cloned());
                }
            }
        }
    }

    /// Has the clusters looked at that these objects belong to, by their names.
    fn touch(&mut self, keys: Vec<ObjectKey>, cluster: impl Fn(&str) -> Option<&str>) {
        for key in keys {
            if let Some(name) = cluster(&key.name) {
                self.dirty_clusters.insert(ObjectKey {
                    namespace: key.namespace.clone(),
                    name: name.to_owned(),
                });
            }
        }
    }

    fn spread(&mut self) {
        for key in std::mem::take(&mut self.dirty_clusters) {
            self.spread_cluster(&key);
        }
        if self.dirty_topics && Instant::now() >= self.topics_due {
            self.dirty_topics = false;
            self.topics_due = Instant::now() + TOPICS_INTERVAL;
            self.spread_topics();
        }
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        self.page
            .clusters
            .store(count(self.clusters.len()), Ordering::Relaxed);
        self.page
            .topics
            .store(count(self.topics.len()), Ordering::Relaxed);
    }

    /// Gives a cluster to its task, or ends the task.
    fn spread_cluster(&mut self, key: &ObjectKey) {
        let Some(object) = self.clusters.get(key) else {
            self.dirty_topics |= self.tasks.remove(key).is_some();
            return;
        };
        if object.metadata.deletion_timestamp.is_some() {
            self.dirty_topics |= self.tasks.remove(key).is_some();
            return;
        }
        let cluster = match object.clone().try_parse::<KafkaCluster>() {
            Ok(cluster) => Arc::new(cluster),
            Err(error) => {
                let message = format!("The object cannot be understood: {error}.");
                let verdict = Verdict::new(ClusterReason::InvalidSpec, message);
                let order = malformed::<KafkaCluster>(object, &verdict, &now());
                let _ = self.orders.send(order);
                return;
            }
        };
        let input = Input {
            cluster,
            seen: self.seen(key),
        };
        match self.tasks.get(key) {
            Some(task) => drop(task.input.send_replace(input)),
            None => self.begin(key, input),
        }
    }

    fn begin(&mut self, key: &ObjectKey, input: Input) {
        info!("KafkaCluster {key} is looked after");
        let (input, heard_input) = watch::channel(input);
        let (view, heard_view) = watch::channel(None);
        let (topics, heard_topics) = watch::channel(Arc::new(Topics::new()));
        let pods = Pods::new(
            self.client.clone(),
            &key.namespace,
            &key.name,
            names(&key.name),
        );
        let brokers = Brokers {
            key: key.clone(),
            pods,
            input: heard_input,
            view,
            events: self.events.clone(),
            image: self.image.clone(),
            has_network_policy: self.has_network_policy,
            now,
        };
        let passes = self.passes.clone();
        let handles = [
            tokio::task::spawn_local(brokers.run()),
            tokio::task::spawn_local(driver::run(heard_view, heard_topics, passes, now)),
        ];
        let task = Task {
            input,
            topics,
            handles,
        };
        self.tasks.insert(key.clone(), task);
        self.dirty_topics = true;
    }

    /// The objects of a cluster.
    fn seen(&self, cluster: &ObjectKey) -> Seen {
        let mut seen = Seen {
            stateful_set: self.stateful_sets.get(cluster).cloned(),
            ..Seen::default()
        };
        for (_, pod) in of(&self.pods, cluster) {
            let ordinal = pod.metadata.name.as_deref().unwrap_or_default();
            let ordinal = ordinal.rsplit_once('-').and_then(|(_, n)| n.parse().ok());
            if let Some(ordinal) = ordinal {
                seen.pods.insert(ordinal, pod.clone());
            }
        }
        for (key, config_map) in of(&self.config_maps, cluster) {
            seen.config_maps
                .insert(key.name.clone(), config_map.clone());
        }
        let mut versions = BTreeMap::new();
        for (key, service) in of(&self.services, cluster) {
            seen.services.insert(key.name.clone(), service.clone());
            versions.insert(("Service".to_owned(), key.name.clone()), version(service));
        }
        for (key, set) in of(&self.stateful_sets, cluster) {
            versions.insert(("StatefulSet".to_owned(), key.name.clone()), version(set));
        }
        for (key, budget) in of(&self.budgets, cluster) {
            let kind = "PodDisruptionBudget".to_owned();
            versions.insert((kind, key.name.clone()), version(budget));
        }
        for (key, policy) in of(&self.network_policies, cluster) {
            let kind = "NetworkPolicy".to_owned();
            versions.insert((kind, key.name.clone()), version(policy));
        }
        seen.versions = versions;
        seen
    }

    fn order<K: Resource<DynamicType = ()>>(&self, key: &ObjectKey, write: Write) {
        let order = Order {
            resource: ApiResource::erase::<K>(&()),
            key: key.clone(),
            write,
        };
        // Nobody to write means that the process ends.
        let _ = self.orders.send(order);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Status(key, status) => {
                let Some(object) = self.clusters.get_mut(&key) else {
                    return;
                };
                let value = take_status(object, &*status);
                let note = note_of::<KafkaCluster>(&self.clusters, &key, &status.conditions);
                self.order::<KafkaCluster>(&key, Write::Status(value));
                self.note(note);
            }
            Event::Done(key, what) => {
                info!("KafkaCluster {key}: {what}");
                let about = reference::<KafkaCluster>(&self.clusters, &key);
                self.note(about.map(|about| done(about, what)));
            }
        }
    }

    fn note(&self, note: Option<Note>) {
        if let Some(note) = note {
            // Events are a courtesy: where too many wait, some are left out.
            let _ = self.notes.try_send(note);
        }
    }
}

/// The objects that belong to a cluster, by their label.
fn of<'a, K: Resource>(
    cache: &'a Cache<K>,
    cluster: &'a ObjectKey,
) -> impl Iterator<Item = (&'a ObjectKey, &'a K)> {
    cache.iter().filter(|(key, object)| {
        key.namespace == cluster.namespace && object.labels().get(INSTANCE) == Some(&cluster.name)
    })
}

/// The wall clock, as conditions write it.
fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
