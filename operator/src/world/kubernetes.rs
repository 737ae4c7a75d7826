//! The objects of a Kubernetes cluster: watches tell of them, one writer writes what is said.
//!
//! Nothing is told before everything has been listed once: what is missing may only not have been
//! told yet.

mod claimed;
pub mod lease;
mod objects;
mod watches;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ApiResource, DynamicObject};
use kube::{Client, Resource};
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::info;

use self::claimed::Claimed;
use self::objects::{Kept, News, Objects};
use self::watches::{OWNED_KINDS, Scope, WatchEvent};
use self::writer::{Patching, Record, Write, Writer, Written};
use super::{Event, Kind, World};
use crate::condition::{
    ClusterReason, Reason, RebalanceReason, State, TopicReason, UserReason, Verdict, conditions,
};
use crate::condition::{spoken, state};
use crate::crd::{Condition, KafkaCluster, KafkaClusterStatus, KafkaTopic, KafkaTopicStatus};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus, KafkaUser, KafkaUserStatus};
use crate::metrics::Telemetry;
use crate::object::ObjectKey;
use crate::object::Wanted;
use crate::platform::kubernetes::watched::Watched;

/// The finalizer of topics that are deleted with their objects.
const TOPIC_FINALIZER: &str = "ottla.io/topic";
/// The finalizer of users, whose credentials and rights go with their objects.
const USER_FINALIZER: &str = "ottla.io/user";
/// The finalizer of KafkaRebalances, whose throttle goes with them.
const REBALANCE_FINALIZER: &str = "ottla.io/rebalance";

/// The world.
pub struct Kubernetes {
    watches: mpsc::Receiver<WatchEvent>,
    /// The objects of all clusters, for the platform.
    pub watched: Watched,
    writer: Writer,
    telemetry: Telemetry,
    clusters: Objects<KafkaCluster>,
    topics: Claimed<KafkaTopic>,
    users: Claimed<KafkaUser>,
    rebalances: Claimed<KafkaRebalance>,
    /// What is watched.
    scopes: BTreeSet<Scope>,
    /// The kinds of clusters' objects that have been listed once, and where.
    listed: BTreeSet<(&'static str, Scope)>,
    changed_clusters: BTreeSet<ObjectKey>,
}

impl Kubernetes {
    /// Watches these namespaces, or all where none is named, with a client of its own: watches are
    /// silent for long.
    #[must_use]
    pub fn new(
        client: &Client,
        watcher: &Client,
        namespaces: &[String],
        telemetry: Telemetry,
    ) -> Self {
        let scopes = watches::scopes(namespaces);
        let (watched, watches) = watches::begin(watcher, &scopes);
        let world = Self {
            scopes,
            watches,
            watched,
            writer: Writer::new(client.clone(), telemetry.metrics.clone()),
            telemetry,
            clusters: Objects::default(),
            topics: Claimed::new(TOPIC_FINALIZER, TopicReason::InvalidName),
            users: Claimed::new(USER_FINALIZER, UserReason::InvalidSpec),
            rebalances: Claimed::new(REBALANCE_FINALIZER, RebalanceReason::InvalidSpec),
            listed: BTreeSet::new(),
            changed_clusters: BTreeSet::new(),
        };
        world.is_complete();
        world
    }

    /// Whether everything has been listed once; `/readyz` says what has not.
    fn is_complete(&self) -> bool {
        let own = [
            ("KafkaCluster", self.clusters.is_complete(&self.scopes)),
            ("KafkaTopic", self.topics.objects.is_complete(&self.scopes)),
            ("KafkaUser", self.users.objects.is_complete(&self.scopes)),
            (
                "KafkaRebalance",
                self.rebalances.objects.is_complete(&self.scopes),
            ),
        ];
        let owned = OWNED_KINDS.map(|kind| {
            let mut scopes = self.scopes.iter();
            let is_listed = |scope: &Scope| self.listed.contains(&(kind, scope.clone()));
            (kind, scopes.all(is_listed))
        });
        let missing = own.iter().chain(&owned).filter(|(_, is_listed)| !is_listed);
        let missing: Vec<&str> = missing.map(|(kind, _)| *kind).collect();
        let waits_for = (!missing.is_empty()).then(|| {
            let kinds = missing.join(", ");
            format!("waiting for the first list of {kinds}; the log says what is in the way")
        });
        self.telemetry.set_waiting(waits_for);
        missing.is_empty()
    }

    fn handle(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Cluster(scope, event) => {
                for (key, news) in self.clusters.handle(scope, event) {
                    match news {
                        News::Changed => drop(self.changed_clusters.insert(key)),
                        News::Overwritten => rewrite(&self.clusters, &mut self.writer, &key),
                        News::Status => {}
                    }
                }
            }
            WatchEvent::Topic(scope, event) => {
                self.topics.handle(scope, event, &mut self.writer);
            }
            WatchEvent::User(scope, event) => self.users.handle(scope, event, &mut self.writer),
            WatchEvent::Rebalance(scope, event) => {
                self.rebalances.handle(scope, event, &mut self.writer);
            }
            WatchEvent::Owned(cluster) => drop(self.changed_clusters.insert(cluster)),
            WatchEvent::OwnedListed(kind, scope) => {
                self.listed.insert((kind, scope));
                self.changed_clusters.extend(self.clusters.keys().cloned());
            }
        }
    }

    fn take_events(&mut self) -> Vec<Event> {
        if !self.is_complete() {
            return Vec::new();
        }
        let mut events = Vec::new();
        for key in std::mem::take(&mut self.changed_clusters) {
            match self.cluster_event(&key) {
                Ok(event) => events.push(Event::Cluster(key, event)),
                Err(verdict) => refuse(&self.clusters, &mut self.writer, &key, &verdict),
            }
        }
        for (key, topic) in self.topics.take_changed(&mut self.writer) {
            events.push(Event::Topic(key, topic));
        }
        for (key, user) in self.users.take_changed(&mut self.writer) {
            events.push(Event::User(key, user));
        }
        for (key, one) in self.rebalances.take_changed(&mut self.writer) {
            events.push(Event::Rebalance(key, one));
        }
        events
    }

    fn cluster_event(&self, key: &ObjectKey) -> Result<Option<Wanted>, Verdict> {
        let Some(cluster) = understood(&self.clusters, key, ClusterReason::InvalidSpec)? else {
            return Ok(None);
        };
        // Its objects go with it, by their owner references.
        let stays = cluster.metadata.deletion_timestamp.is_none();
        Ok(stays.then(|| Wanted::Run(Arc::clone(cluster))))
    }

    fn publish(
        &mut self,
        about: Option<ObjectReference>,
        reason: &str,
        sentence: String,
        is_warning: bool,
    ) {
        if let Some(about) = about {
            self.writer.publish(Record {
                about,
                reason: reason.to_owned(),
                sentence,
                is_warning,
            });
        }
    }

    /// Publishes what conditions say, unless it is only that something is on its way.
    fn publish_conditions(&mut self, about: Option<ObjectReference>, conditions: &[Condition]) {
        let state = state(conditions);
        if let Some((reason, message)) = spoken(conditions)
            && state != Some(State::Reconciling)
        {
            let is_warning = state == Some(State::Stalled);
            self.publish(about, reason, message.to_owned(), is_warning);
        }
    }

    fn handle_written(&mut self, written: &Written) {
        let Written { kind, key, version } = written;
        if *kind == KafkaTopic::kind(&()) {
            self.topics.written(key, *version);
        } else if *kind == KafkaUser::kind(&()) {
            self.users.written(key, *version);
        } else if *kind == KafkaRebalance::kind(&()) {
            self.rebalances.written(key, *version);
        } else if let Some(version) = version {
            self.clusters.written(key, *version);
        }
    }
}

impl World for Kubernetes {
    async fn events(&mut self) -> Vec<Event> {
        tokio::select! {
            Some(event) = self.watches.recv() => {
                self.handle(event);
                // Whatever else is there is handled together.
                while let Ok(event) = self.watches.try_recv() {
                    self.handle(event);
                }
            }
            written = self.writer.next() => self.handle_written(&written),
        }
        self.take_events()
    }

    fn set_cluster_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaClusterStatus,
    ) -> Option<Arc<KafkaCluster>> {
        let object = self.clusters.set_status(key, status)?;
        let status = object.status.as_ref()?;
        self.writer.patch(patch_status::<KafkaCluster>(key, status));
        self.publish_conditions(Some(reference(&*object)), &status.conditions);
        Some(object)
    }

    fn set_topic_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaTopicStatus,
        is_news: bool,
    ) -> Option<Arc<KafkaTopic>> {
        let object = self.topics.objects.set_status(key, status)?;
        let status = object.status.as_ref()?;
        self.writer.patch(patch_status::<KafkaTopic>(key, status));
        if is_news {
            self.publish_conditions(Some(reference(&*object)), &status.conditions);
        }
        Some(object)
    }

    fn holds_topic(&mut self, key: &ObjectKey) -> bool {
        self.topics.holds(key, &mut self.writer)
    }

    fn release_topic(&mut self, key: &ObjectKey) {
        self.topics.release(key, &mut self.writer);
    }

    fn set_user_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaUserStatus,
    ) -> Option<Arc<KafkaUser>> {
        let object = self.users.objects.set_status(key, status)?;
        let status = object.status.as_ref()?;
        self.writer.patch(patch_status::<KafkaUser>(key, status));
        self.publish_conditions(Some(reference(&*object)), &status.conditions);
        Some(object)
    }

    fn holds_user(&mut self, key: &ObjectKey) -> bool {
        self.users.holds(key, &mut self.writer)
    }

    fn release_user(&mut self, key: &ObjectKey) {
        self.users.release(key, &mut self.writer);
    }

    fn set_rebalance_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaRebalanceStatus,
    ) -> Option<Arc<KafkaRebalance>> {
        let object = self.rebalances.objects.set_status(key, status)?;
        let status = object.status.as_ref()?;
        self.writer
            .patch(patch_status::<KafkaRebalance>(key, status));
        self.publish_conditions(Some(reference(&*object)), &status.conditions);
        Some(object)
    }

    fn holds_rebalance(&mut self, key: &ObjectKey) -> bool {
        self.rebalances.holds(key, &mut self.writer)
    }

    fn release_rebalance(&mut self, key: &ObjectKey) {
        self.rebalances.release(key, &mut self.writer);
    }

    fn has_written(&self, kind: Kind, key: &ObjectKey) -> bool {
        let kind = match kind {
            Kind::Cluster => KafkaCluster::kind(&()),
            Kind::Topic => KafkaTopic::kind(&()),
            Kind::User => KafkaUser::kind(&()),
            Kind::Rebalance => KafkaRebalance::kind(&()),
        };
        !self.writer.is_patching(&kind, key)
    }

    fn release_cluster(&mut self, _: &ObjectKey) {}

    fn record(&mut self, kind: Kind, key: &ObjectKey, done: String) {
        let about = match kind {
            Kind::Cluster => {
                info!("KafkaCluster {key}: {done}");
                self.clusters.get(key).map(|object| reference(&**object))
            }
            Kind::Topic => self.topics.objects.get(key).map(|one| reference(&**one)),
            Kind::User => self.users.objects.get(key).map(|one| reference(&**one)),
            Kind::Rebalance => {
                let one = self.rebalances.objects.get(key);
                one.map(|one| reference(&**one))
            }
        };
        self.publish(about, "Changed", done, false);
    }

    fn flush(&mut self) {
        let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let metrics = &self.telemetry.metrics;
        metrics.clusters.set(count(self.clusters.len()));
        metrics.topics.set(count(self.topics.objects.len()));
        metrics.users.set(count(self.users.objects.len()));
        metrics.rebalances.set(count(self.rebalances.objects.len()));
    }
}

/// An object, or why it cannot be understood.
fn understood<'a, K: Kept>(
    objects: &'a Objects<K>,
    key: &ObjectKey,
    reason: impl Into<Reason>,
) -> Result<Option<&'a Arc<K>>, Verdict> {
    match objects.entry(key).map(|entry| &entry.object) {
        None => Ok(None),
        Some(Ok(object)) => Ok(Some(object)),
        Some(Err(malformed)) => {
            let message = format!("The object cannot be understood: {}.", malformed.1);
            Err(Verdict::new(reason, message))
        }
    }
}

/// Says of an object that it cannot be understood.
fn refuse<K: Kept>(objects: &Objects<K>, writer: &mut Writer, key: &ObjectKey, verdict: &Verdict) {
    let Some(Err(malformed)) = objects.entry(key).map(|entry| &entry.object) else {
        return;
    };
    let object: &DynamicObject = &malformed.0;
    let generation = object.metadata.generation.unwrap_or_default();
    let before = object.data.pointer("/status/conditions").cloned();
    let before: Vec<Condition> = before
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    let conditions = conditions(&before, verdict, generation, &crate::condition::now());
    let status = serde_json::json!({
        "observedGeneration": generation,
        "conditions": conditions,
    });
    writer.patch(patch_status::<K>(key, &status));
}

/// Writes a status again that somebody else overwrote, unless it is being written anyway.
fn rewrite<K: Kept>(objects: &Objects<K>, writer: &mut Writer, key: &ObjectKey) {
    if writer.is_patching(&K::kind(&()), key) {
        return;
    }
    if let Some(status) = objects.get(key).and_then(|object| object.status()) {
        writer.patch(patch_status::<K>(key, status));
    }
}

fn patch_status<K: Resource<DynamicType = ()>>(
    key: &ObjectKey,
    status: &impl Serialize,
) -> Patching {
    Patching {
        resource: ApiResource::erase::<K>(&()),
        key: key.clone(),
        write: Write::Status(serde_json::to_value(status).unwrap_or_default()),
        is_overtaken: false,
    }
}

/// How events refer to an object.
fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}
