//! A folder of manifests, which does what an API server does on Kubernetes.
//!
//! Statuses go into files and as lines to the terminal.
//!
//! Invariant: nothing is deleted because a file could not be read: an object goes only when its
//! file is gone, or was read without a problem and no longer holds it, for [`objects::GONE_AFTER`].

pub mod board;
mod lines;
pub mod manifests;
pub mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use self::board::render;
use self::lines::Lines;
use self::manifests::{Manifests, SCAN_INTERVAL};
use self::objects::{Entry, Kept, Objects};
use super::{Age, Event, Kind, World};
use crate::cluster::reconcile::listeners;
use crate::cluster::validate::is_secured;
use crate::condition::{ClusterReason, State, Verdict, conditions, now, state};
use crate::crd::{KafkaCluster, KafkaClusterStatus, KafkaTopic, KafkaTopicStatus};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus, KafkaUser, KafkaUserStatus};
use crate::manifest::Object;
use crate::object::{Desired, ObjectKey, Wanted};
use crate::platform::local::ports;
use crate::secrets::{self, USER};
use crate::topic::validate::cluster_key;
use crate::user;
use crate::validated::dedicated;

/// What the session was told of the objects of one kind.
type Told<K> = BTreeMap<ObjectKey, (Age, Desired<K>)>;

/// The world.
pub struct Folder {
    manifests: Manifests,
    started: Instant,
    scan: tokio::time::Interval,
    clusters: Objects<KafkaCluster>,
    topics: Objects<KafkaTopic>,
    users: Objects<KafkaUser>,
    rebalances: Objects<KafkaRebalance>,
    data_dir: PathBuf,
    /// What the session was told, so that it is not told again.
    told_clusters: BTreeMap<ObjectKey, Wanted>,
    told_topics: Told<KafkaTopic>,
    told_users: Told<KafkaUser>,
    told_rebalances: Told<KafkaRebalance>,
    problems: BTreeSet<String>,
    /// What people are told.
    pub lines: Lines,
    announced: BTreeSet<ObjectKey>,
    /// Whether objects must be looked through again though the folder is the same.
    is_dirty: bool,
}

impl Folder {
    /// A folder, and a data directory with what an earlier operator left.
    #[must_use]
    pub fn new(manifests: Manifests, data_dir: &Path, started: Instant) -> Self {
        let mut scan = tokio::time::interval(SCAN_INTERVAL);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            clusters: Objects::load(data_dir),
            topics: Objects::load(data_dir),
            users: Objects::load(data_dir),
            rebalances: Objects::load(data_dir),
            data_dir: data_dir.to_owned(),
            manifests,
            started,
            scan,
            told_clusters: BTreeMap::new(),
            told_topics: BTreeMap::new(),
            told_users: BTreeMap::new(),
            told_rebalances: BTreeMap::new(),
            problems: BTreeSet::new(),
            lines: Lines::default(),
            announced: BTreeSet::new(),
            is_dirty: true,
        }
    }

    /// Looks at the folder, and at the objects where something may have changed.
    fn look(&mut self) -> Vec<Event> {
        match self.manifests.scan() {
            Ok(changed) => {
                let is_waiting = self.clusters.is_waiting()
                    || self.topics.is_waiting()
                    || self.users.is_waiting()
                    || self.rebalances.is_waiting();
                if changed || self.is_dirty || is_waiting {
                    self.is_dirty = false;
                    return self.merge();
                }
            }
            Err(error) => {
                let folder = self.manifests.path().display();
                let line = format!("{folder} cannot be read: {error}; what runs goes on as it is.");
                self.lines.about("folder", "unreadable", &line);
            }
        }
        Vec::new()
    }

    fn merge(&mut self) -> Vec<Event> {
        let now = Instant::now();
        let manifests = &self.manifests;
        let clusters = manifests
            .objects()
            .filter_map(|(file, object)| match object {
                Object::Cluster(cluster) => Some((file, &**cluster)),
                _ => None,
            });
        let topics = manifests
            .objects()
            .filter_map(|(file, object)| match object {
                Object::Topic(topic) => Some((file, &**topic)),
                _ => None,
            });
        let users = manifests
            .objects()
            .filter_map(|(file, object)| match object {
                Object::User(user) => Some((file, &**user)),
                _ => None,
            });
        let rebalances = manifests
            .objects()
            .filter_map(|(file, object)| match object {
                Object::Rebalance(rebalance) => Some((file, &**rebalance)),
                _ => None,
            });
        let sure = |file: &str| manifests.is_sure_of(file);
        let mut problems: BTreeSet<String> =
            manifests.problems().map(ToString::to_string).collect();
        problems.extend(self.clusters.merge(clusters, sure, now));
        problems.extend(self.topics.merge(topics, sure, now));
        problems.extend(self.users.merge(users, sure, now));
        problems.extend(self.rebalances.merge(rebalances, sure, now));
        for problem in problems.difference(&self.problems) {
            self.lines.write(problem);
        }
        self.problems = problems;
        let mut events = self.cluster_events();
        let topics = news(&self.topics, &mut self.told_topics);
        events.extend(topics.map(|(key, topic)| Event::Topic(key, Some(topic))));
        let users = news(&self.users, &mut self.told_users);
        events.extend(users.map(|(key, user)| Event::User(key, Some(user))));
        let rebalances = news(&self.rebalances, &mut self.told_rebalances);
        events.extend(rebalances.map(|(key, one)| Event::Rebalance(key, Some(one))));
        events
    }

    fn cluster_events(&mut self) -> Vec<Event> {
        let mut ports: BTreeMap<u16, String> = BTreeMap::new();
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut refused = Vec::new();
        let mut events = Vec::new();
        for (key, entry) in self.clusters.in_order() {
            let object = &entry.object;
            if entry.deleting {
                let storage = object.spec.storage.as_ref();
                let policy = storage.map(|s| s.reclaim_policy).unwrap_or_default();
                events.push((key.clone(), Wanted::Delete(policy)));
                continue;
            }
            let clash = if names.insert(key.name.clone()) {
                port_clash(object, &mut ports)
            } else {
                Some(format!(
                    "Another namespace has a cluster {} already, and both would live in the same \
                     folders; choose another name.",
                    key.name
                ))
            };
            match clash {
                Some(message) => refused.push((key.clone(), message)),
                None => events.push((key.clone(), Wanted::Run(Arc::clone(object)))),
            }
        }
        for (key, message) in refused {
            self.refuse(&key, &Verdict::new(ClusterReason::InvalidSpec, message));
        }
        let told = &mut self.told_clusters;
        events.retain(|(key, wanted)| {
            let before = told.insert(key.clone(), wanted.clone());
            !before.is_some_and(|before| is_same(&before, wanted))
        });
        let events = events.into_iter();
        events
            .map(|(key, wanted)| Event::Cluster(key, Some(wanted)))
            .collect()
    }

    /// Says of a cluster that it is not carried out.
    fn refuse(&mut self, key: &ObjectKey, verdict: &Verdict) {
        let Some(entry) = self.clusters.get(key) else {
            return;
        };
        let generation = entry.object.metadata.generation.unwrap_or_default();
        let mut status = entry.object.status.clone().unwrap_or_default();
        status.observed_generation = generation;
        status.conditions = conditions(&status.conditions, verdict, generation, &now());
        self.set_cluster_status(key, status);
    }

    /// The line that tells people and scripts that a cluster can be used.
    fn announce_ready(&mut self) {
        let mut lines = Vec::new();
        for (key, entry) in self.clusters.in_order() {
            let is_awaited = entry.is_said
                && !self.announced.contains(key)
                && self.told_clusters.contains_key(key);
            let Some(status) = entry.object.status.as_ref().filter(|_| is_awaited) else {
                continue;
            };
            let ready = status.brokers.iter().filter(|broker| broker.ready).count();
            let wanted = usize::try_from(entry.object.spec.replicas).unwrap_or(0);
            if ready < wanted.max(status.brokers.len()) {
                continue;
            }
            let settled = |topic: &Entry<KafkaTopic>| {
                let status = topic.object.status.as_ref();
                let state = status.and_then(|status| state(&status.conditions));
                topic.is_said && state.is_some_and(|state| state != State::Reconciling)
            };
            let mut topics = self.topics.in_order().into_iter();
            let users = self.users_of(key);
            if topics.all(|(_, t)| cluster_key(&t.object) != *key || settled(t))
                && users.iter().all(|(_, is_settled)| *is_settled)
            {
                let files = users.iter().map(|(user, _)| self.properties_of(user));
                let files: String = files.collect();
                lines.push((key.clone(), format!("{}{files}", status.bootstrap_servers)));
            }
        }
        for (key, servers) in lines {
            let milliseconds = self.started.elapsed().as_millis();
            self.lines.write(&format!(
                "ready in {milliseconds} ms, bootstrap.servers={servers}"
            ));
            self.announced.insert(key);
        }
    }

    /// The users of a cluster, and whether there is no more to come of each.
    fn users_of(&self, cluster: &ObjectKey) -> Vec<(&ObjectKey, bool)> {
        let all = self.users.in_order().into_iter();
        let own = all.filter(|(_, one)| user::validate::cluster_key(&one.object) == *cluster);
        own.map(|(key, one)| {
            let status = one.object.status.as_ref();
            let state = status.and_then(|status| state(&status.conditions));
            let is_settled = state.is_some_and(|state| state != State::Reconciling);
            (key, one.is_said && is_settled)
        })
        .collect()
    }

    /// How the line that a cluster can be used names the file of a user, where there is one.
    fn properties_of(&self, user: &ObjectKey) -> String {
        let file = secrets::path(&self.data_dir, USER, user).join("client.properties");
        match file.exists() {
            true => format!(" {}={}", user.name, file.display()),
            false => String::new(),
        }
    }

    fn draw(&mut self) {
        let complaints = self.clusters.complaints.drain(..);
        let complaints = complaints.chain(self.topics.complaints.drain(..));
        let complaints = complaints.chain(self.rebalances.complaints.drain(..));
        for complaint in complaints.chain(self.users.complaints.drain(..)) {
            self.lines.write(&complaint);
        }
        if self.lines.terminal.has_board() {
            let clusters = objects(&self.clusters);
            let topics = objects(&self.topics);
            self.lines.terminal.draw(render(&clusters, &topics));
        }
    }
}

impl World for Folder {
    async fn events(&mut self) -> Vec<Event> {
        self.scan.tick().await;
        self.look()
    }

    fn set_cluster_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaClusterStatus,
    ) -> Option<Arc<KafkaCluster>> {
        let object = self.clusters.set_status(key, status)?;
        let conditions = &object.status.as_ref()?.conditions;
        self.lines.conditions("KafkaCluster", key, conditions);
        Some(object)
    }

    fn set_topic_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaTopicStatus,
        _: bool,
    ) -> Option<Arc<KafkaTopic>> {
        let object = self.topics.set_status(key, status)?;
        let conditions = &object.status.as_ref()?.conditions;
        self.lines.conditions("KafkaTopic", key, conditions);
        Some(object)
    }

    /// The object stays until it is released.
    fn holds_topic(&mut self, key: &ObjectKey) -> bool {
        self.topics.get(key).is_some()
    }

    fn release_topic(&mut self, key: &ObjectKey) {
        if self.topics.get(key).is_some() {
            self.topics.remove(key);
            self.told_topics.remove(key);
            self.is_dirty = true;
        }
    }

    fn set_user_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaUserStatus,
    ) -> Option<Arc<KafkaUser>> {
        let object = self.users.set_status(key, status)?;
        let conditions = &object.status.as_ref()?.conditions;
        self.lines.conditions("KafkaUser", key, conditions);
        Some(object)
    }

    /// The object stays until it is released.
    fn holds_user(&mut self, key: &ObjectKey) -> bool {
        self.users.get(key).is_some()
    }

    fn release_user(&mut self, key: &ObjectKey) {
        if self.users.get(key).is_some() {
            self.users.remove(key);
            self.told_users.remove(key);
            // What is of no use without its cluster goes with it.
            let _ = std::fs::remove_dir_all(secrets::path(&self.data_dir, USER, key));
            self.is_dirty = true;
        }
    }

    fn set_rebalance_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaRebalanceStatus,
    ) -> Option<Arc<KafkaRebalance>> {
        let object = self.rebalances.set_status(key, status)?;
        let conditions = &object.status.as_ref()?.conditions;
        self.lines.conditions("KafkaRebalance", key, conditions);
        Some(object)
    }

    /// The object stays until it is released.
    fn holds_rebalance(&mut self, key: &ObjectKey) -> bool {
        self.rebalances.get(key).is_some()
    }

    fn release_rebalance(&mut self, key: &ObjectKey) {
        if self.rebalances.get(key).is_some() {
            self.rebalances.remove(key);
            self.told_rebalances.remove(key);
            self.is_dirty = true;
        }
    }

    fn has_written(&self, _: Kind, _: &ObjectKey) -> bool {
        true
    }

    fn release_cluster(&mut self, key: &ObjectKey) {
        self.lines.write(&format!(
            "KafkaCluster {}: all brokers have stopped",
            key.name
        ));
        self.told_clusters.remove(key);
        if self.clusters.get(key).is_some_and(|entry| entry.deleting) {
            self.clusters.remove(key);
            self.announced.remove(key);
        }
        self.is_dirty = true;
    }

    fn record(&mut self, kind: Kind, key: &ObjectKey, done: String) {
        let kind = match kind {
            Kind::Cluster => "KafkaCluster",
            Kind::Topic => "KafkaTopic",
            Kind::User => "KafkaUser",
            Kind::Rebalance => "KafkaRebalance",
        };
        self.lines.write(&format!("{kind} {}: {done}", key.name));
    }

    fn flush(&mut self) {
        self.lines.write_late();
        self.announce_ready();
        self.draw();
    }
}

fn objects<K: Kept>(objects: &Objects<K>) -> Vec<&K>
where
    K::Spec: PartialEq,
    K::Status: PartialEq + Clone,
{
    let all = objects.in_order().into_iter();
    all.map(|(_, entry)| &*entry.object).collect()
}

/// Whether a task need not be woken: the same spec, or the same way to end.
fn is_same(before: &Wanted, after: &Wanted) -> bool {
    match (before, after) {
        (Wanted::Run(before), Wanted::Run(after)) => {
            before.spec == after.spec && before.metadata == after.metadata
        }
        (Wanted::Delete(before), Wanted::Delete(after)) => before == after,
        (Wanted::Stop, Wanted::Stop) => true,
        _ => false,
    }
}

/// What changed of the objects of one kind since the session was told.
fn news<K: Kept>(
    objects: &Objects<K>,
    told: &mut Told<K>,
) -> impl Iterator<Item = (ObjectKey, (Age, Desired<K>))> + use<K>
where
    K::Spec: PartialEq,
    K::Status: PartialEq + Clone,
{
    let mut news = Vec::new();
    for (place, (key, entry)) in objects.in_order().into_iter().enumerate() {
        let desired = Desired {
            object: Arc::clone(&entry.object),
            deleting: entry.deleting,
        };
        let object = (Age(None, place), desired);
        let before = told.insert(key.clone(), object.clone());
        if !before.is_some_and(|before| is_same_object(&before, &object)) {
            news.push((key.clone(), object));
        }
    }
    news.into_iter()
}

fn is_same_object<K: Kept>(before: &(Age, Desired<K>), after: &(Age, Desired<K>)) -> bool
where
    K::Spec: PartialEq,
{
    let (before_object, after_object) = (&before.1.object, &after.1.object);
    before.0 == after.0
        && before.1.deleting == after.1.deleting
        && before_object.spec() == after_object.spec()
        && before_object.meta() == after_object.meta()
}

/// Takes the cluster's ports, or says which one an earlier cluster has.
fn port_clash(cluster: &KafkaCluster, taken: &mut BTreeMap<u16, String>) -> Option<String> {
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let exists = cluster.status.as_ref().and_then(|status| status.mutual_tls);
    let mutual_tls = exists.unwrap_or_else(|| is_secured(&cluster.spec));
    let listeners = listeners(&cluster.spec.listeners, mutual_tls);
    let first = listeners.first().map_or(0, |listener| listener.port);
    let status = cluster.status.as_ref();
    let exist = status.map_or(0, |status| status.replicas);
    let wanted = cluster.spec.dedicated_controllers.as_ref();
    let mut controllers = dedicated(wanted.map_or(0, |wanted| wanted.replicas));
    let told = status
        .iter()
        .flat_map(|status| &status.dedicated_controllers);
    controllers.extend(told.map(|one| one.id));
    let nodes = (0..cluster.spec.replicas.max(exist)).chain(controllers);
    let own = ports::taken(nodes, &listeners);
    for port in &own {
        if let Some(other) = taken.get(port) {
            return Some(format!(
                "Port {port} is used by cluster {other}; set spec.listeners[0].port to another \
                 value, such as {}.",
                first.saturating_add(100)
            ));
        }
    }
    taken.extend(own.into_iter().map(|port| (port, name.clone())));
    None
}
