//! The loop of local mode: folder → objects → tasks → statuses → terminal.

mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::board::{Terminal, render};
use super::brokers::{Brokers, Event, Wanted};
use super::folder::{Folder, SCAN_INTERVAL};
use super::objects::{Entry, Objects};
use crate::cluster::reconcile::listeners;
use crate::condition::{ClusterReason, State, TopicReason, Verdict, conditions, spoken, state};
use crate::crd::{Condition, KafkaCluster, KafkaTopic};
use crate::manifest::Object;
use crate::object::ObjectKey;
use crate::platform::local::{Processes, ports};
use crate::signals::Signals;
use crate::topic::driver::{self, homeless};
use crate::topic::reconcile::{Desired, Outcome, Pass, Topics};
use crate::topic::validate::cluster_key;

/// At most so many words of the tasks wait to be heard; the tasks wait then.
const EVENTS_MAX: usize = 256;
/// An object whose reason stays the same has a line at most this often.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

struct Task {
    wanted: watch::Sender<Wanted>,
    topics: watch::Sender<Arc<Topics>>,
}

/// Everything that local mode holds.
pub struct Session {
    folder: Folder,
    data_dir: PathBuf,
    broker: PathBuf,
    started: Instant,
    clusters: Objects<KafkaCluster>,
    topics: Objects<KafkaTopic>,
    tasks: BTreeMap<ObjectKey, Task>,
    terminal: Terminal,
    problems: BTreeSet<String>,
    /// The last line about each object: its reason, the line, when.
    lines: BTreeMap<String, (String, String, Instant)>,
    /// Lines that came too soon after another of the same reason: about what, and the line.
    late_lines: BTreeMap<String, String>,
    announced: BTreeSet<ObjectKey>,
    /// Whether objects must be looked through again though the folder is the same.
    dirty: bool,
    hurry: Arc<AtomicBool>,
    events: mpsc::Sender<Event>,
    passes: mpsc::Sender<Pass>,
    heard: Option<(mpsc::Receiver<Event>, mpsc::Receiver<Pass>)>,
}

impl Session {
    /// A session that has yet to run.
    pub fn new(folder: Folder, data_dir: PathBuf, broker: PathBuf, started: Instant) -> Self {
        let (events, heard_events) = mpsc::channel(EVENTS_MAX);
        let (passes, heard_passes) = mpsc::channel(EVENTS_MAX);
        Self {
            clusters: Objects::load(&data_dir),
            topics: Objects::load(&data_dir),
            folder,
            data_dir,
            broker,
            started,
            tasks: BTreeMap::new(),
            terminal: Terminal::default(),
            problems: BTreeSet::new(),
            lines: BTreeMap::new(),
            late_lines: BTreeMap::new(),
            announced: BTreeSet::new(),
            dirty: true,
            hurry: Arc::new(AtomicBool::new(false)),
            events,
            passes,
            heard: Some((heard_events, heard_passes)),
        }
    }

    /// Runs until a signal, then stops all brokers.
    pub async fn run(mut self) {
        let Some((mut events, mut passes)) = self.heard.take() else {
            return;
        };
        let mut signals = Signals::listen();
        let data_dir = self.data_dir.display();
        let greeting = format!(
            "{} → {data_dir}; Ctrl-C stops all brokers",
            self.folder.path().display()
        );
        self.terminal.line(&greeting);
        let mut scan = tokio::time::interval(SCAN_INTERVAL);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = scan.tick() => self.look(),
                Some(event) = events.recv() => self.hear(event),
                Some(pass) = passes.recv() => self.hear_topics(pass),
                () = signals.next() => break,
            }
            self.write_late_lines();
            self.announce_ready();
            self.draw();
        }
        self.stop(&mut events, &mut passes, &mut signals).await;
    }

    /// Looks at the folder, and at the objects where something may have changed.
    fn look(&mut self) {
        match self.folder.scan() {
            Ok(changed) => {
                if changed || self.dirty || self.clusters.is_waiting() || self.topics.is_waiting() {
                    self.dirty = false;
                    self.merge();
                }
            }
            Err(error) => {
                let folder = self.folder.path().display();
                let line = format!("{folder} cannot be read: {error}; what runs goes on as it is.");
                self.line("folder", "unreadable", &line);
            }
        }
    }

    fn merge(&mut self) {
        let now = Instant::now();
        let folder = &self.folder;
        let clusters = folder.objects().filter_map(|(file, object)| match object {
            Object::Cluster(cluster) => Some((file, &**cluster)),
            Object::Topic(_) => None,
        });
        let topics = folder.objects().filter_map(|(file, object)| match object {
            Object::Topic(topic) => Some((file, &**topic)),
            Object::Cluster(_) => None,
        });
        let sure = |file: &str| folder.is_sure_of(file);
        let mut problems: BTreeSet<String> = folder.problems().map(ToString::to_string).collect();
        problems.extend(self.clusters.merge(clusters, sure, now));
        problems.extend(self.topics.merge(topics, sure, now));
        for problem in problems.difference(&self.problems) {
            self.terminal.line(problem);
        }
        self.problems = problems;
        self.spread_clusters();
        self.spread_topics();
    }

    /// Gives each cluster to its task.
    fn spread_clusters(&mut self) {
        let mut ports: BTreeMap<u16, String> = BTreeMap::new();
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut refused = Vec::new();
        let mut wanted = Vec::new();
        for (key, entry) in self.clusters.in_order() {
            let object = &entry.object;
            if entry.deleting {
                let storage = object.spec.storage.as_ref();
                let policy = storage.map(|s| s.reclaim_policy).unwrap_or_default();
                wanted.push((key.clone(), Wanted::Delete(policy)));
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
                None => wanted.push((key.clone(), Wanted::Run(Arc::new(object.clone())))),
            }
        }
        for (key, message) in refused {
            let verdict = Verdict::new(ClusterReason::InvalidSpec, message);
            self.say_cluster(&key, &verdict);
        }
        for (key, wanted) in wanted {
            match self.tasks.get(&key) {
                Some(task) => task.wanted.send_if_modified(|before| {
                    let new = !is_same(before, &wanted);
                    if new {
                        *before = wanted;
                    }
                    new
                }),
                None => self.begin(key, wanted),
            };
        }
    }

    fn begin(&mut self, key: ObjectKey, wanted: Wanted) -> bool {
        let (wanted, heard_wanted) = watch::channel(wanted);
        let (view, heard_view) = watch::channel(None);
        let (topics, heard_topics) = watch::channel(Arc::new(Topics::new()));
        let brokers = Brokers {
            processes: Processes::take_over(&key.name, &self.data_dir, &self.broker),
            key: key.clone(),
            wanted: heard_wanted,
            view,
            events: self.events.clone(),
            hurry: Arc::clone(&self.hurry),
            now,
        };
        tokio::task::spawn_local(brokers.run());
        let passes = self.passes.clone();
        tokio::task::spawn_local(driver::run(heard_view, heard_topics, passes, now));
        self.tasks.insert(key, Task { wanted, topics });
        true
    }

    /// Gives each cluster's task its topics.
    fn spread_topics(&mut self) {
        let mut by_cluster: BTreeMap<ObjectKey, Topics> = BTreeMap::new();
        let mut strays = Vec::new();
        for (key, entry) in self.topics.in_order() {
            let cluster = cluster_key(&entry.object);
            let desired = Desired {
                object: entry.object.clone(),
                deleting: entry.deleting,
            };
            if self.tasks.contains_key(&cluster) {
                let topics = by_cluster.entry(cluster).or_default();
                topics.push((key.clone(), desired));
            } else {
                strays.push((key.clone(), cluster, desired));
            }
        }
        for (key, cluster, desired) in strays {
            let outcome = homeless(&cluster, &desired, &now());
            self.hear_outcome(&key, outcome);
        }
        for (cluster, task) in &self.tasks {
            let topics = by_cluster.remove(cluster).unwrap_or_default();
            task.topics.send_replace(Arc::new(topics));
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Status(key, status) => {
                let conditions = status.conditions.clone();
                if self.clusters.set_status(&key, *status) {
                    self.say("KafkaCluster", &key, &conditions);
                }
            }
            Event::Done(key, what) => {
                self.terminal
                    .line(&format!("KafkaCluster {}: {what}", key.name));
            }
            Event::Stopped(key) => {
                self.terminal.line(&format!(
                    "KafkaCluster {}: all brokers have stopped",
                    key.name
                ));
                self.tasks.remove(&key);
                let deleted = self.clusters.get(&key).is_some_and(|entry| entry.deleting);
                if deleted {
                    self.clusters.remove(&key);
                    self.announced.remove(&key);
                }
                self.dirty = true;
            }
        }
    }

    fn hear_topics(&mut self, pass: Pass) {
        for (key, done) in pass.done {
            self.terminal
                .line(&format!("KafkaTopic {}: {done}", key.name));
        }
        for (key, outcome) in pass.outcomes {
            self.hear_outcome(&key, outcome);
        }
    }

    fn hear_outcome(&mut self, key: &ObjectKey, outcome: Outcome) {
        match outcome {
            Outcome::Stands(status) => {
                let conditions = status.conditions.clone();
                if self.topics.set_status(key, *status) {
                    self.say("KafkaTopic", key, &conditions);
                }
            }
            Outcome::Gone if self.topics.get(key).is_some() => {
                self.topics.remove(key);
                self.dirty = true;
            }
            Outcome::Gone => {}
        }
    }

    fn say_cluster(&mut self, key: &ObjectKey, verdict: &Verdict) {
        let Some(entry) = self.clusters.get(key) else {
            return;
        };
        let generation = entry.object.metadata.generation.unwrap_or_default();
        let mut status = entry.object.status.clone().unwrap_or_default();
        status.observed_generation = generation;
        status.conditions = conditions(&status.conditions, verdict, generation, &now());
        let conditions = status.conditions.clone();
        if self.clusters.set_status(key, status) {
            self.say("KafkaCluster", key, &conditions);
        }
    }

    fn say(&mut self, kind: &str, key: &ObjectKey, conditions: &[Condition]) {
        let Some((reason, message)) = spoken(conditions) else {
            return;
        };
        let about = format!("{kind} {key}");
        // The board shows what is on its way. Topics that wait for their cluster have nothing to
        // add to its own words.
        let is_on_its_way = state(conditions) == Some(State::Reconciling);
        let waits_for_cluster = reason == TopicReason::ClusterNotReady.word();
        if is_on_its_way && (self.terminal.has_board() || waits_for_cluster) {
            self.lines.remove(&about);
            self.late_lines.remove(&about);
            return;
        }
        let line = format!("{kind} {}: {message}", key.name);
        self.line(&about, reason, &line);
    }

    /// Writes a line about something; later, where the last one with this reason was just now.
    fn line(&mut self, about: &str, reason: &str, line: &str) {
        let now = Instant::now();
        self.late_lines.remove(about);
        if let Some((last_reason, last_line, at)) = self.lines.get(about) {
            if last_line == line {
                return;
            }
            if last_reason == reason && now.duration_since(*at) < LINE_INTERVAL {
                self.late_lines.insert(about.to_owned(), line.to_owned());
                return;
            }
        }
        let last = (reason.to_owned(), line.to_owned(), now);
        self.lines.insert(about.to_owned(), last);
        self.terminal.line(line);
    }

    /// Writes what has waited, unless something newer was said meanwhile.
    fn write_late_lines(&mut self) {
        for (about, line) in std::mem::take(&mut self.late_lines) {
            let reason = self.lines.get(&about).map(|(reason, ..)| reason.clone());
            self.line(&about, &reason.unwrap_or_default(), &line);
        }
    }

    /// The line that tells people and scripts that a cluster can be used.
    fn announce_ready(&mut self) {
        let mut lines = Vec::new();
        for (key, entry) in self.clusters.in_order() {
            let Some(status) = entry.object.status.as_ref() else {
                continue;
            };
            let all_ready = status
                .brokers_ready
                .split_once('/')
                .is_some_and(|(a, b)| a == b);
            if !all_ready
                || !entry.heard
                || self.announced.contains(key)
                || !self.tasks.contains_key(key)
            {
                continue;
            }
            let settled = |topic: &Entry<KafkaTopic>| {
                let status = topic.object.status.as_ref();
                let state = status.and_then(|status| state(&status.conditions));
                topic.heard && state.is_some_and(|state| state != State::Reconciling)
            };
            let mut topics = self.topics.in_order().into_iter();
            if topics.all(|(_, t)| cluster_key(&t.object) != *key || settled(t)) {
                lines.push((key.clone(), status.bootstrap_servers.clone()));
            }
        }
        for (key, servers) in lines {
            let milliseconds = self.started.elapsed().as_millis();
            self.terminal.line(&format!(
                "ready in {milliseconds} ms, bootstrap.servers={servers}"
            ));
            self.announced.insert(key);
        }
    }

    fn draw(&mut self) {
        for complaint in self.clusters.complaints.drain(..) {
            self.terminal.line(&complaint);
        }
        for complaint in self.topics.complaints.drain(..) {
            self.terminal.line(&complaint);
        }
        if self.terminal.has_board() {
            let clusters = self.clusters.in_order();
            let clusters: Vec<_> = clusters.iter().map(|(_, entry)| &entry.object).collect();
            let topics = self.topics.in_order();
            let topics: Vec<_> = topics.iter().map(|(_, entry)| &entry.object).collect();
            self.terminal.draw(render(&clusters, &topics));
        }
    }
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

/// Takes the cluster's ports, or says which one an earlier cluster has.
fn port_clash(cluster: &KafkaCluster, taken: &mut BTreeMap<u16, String>) -> Option<String> {
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let listeners = listeners(&cluster.spec.listeners);
    let first = listeners.first().map_or(0, |listener| listener.port);
    let exist = cluster.status.as_ref().map_or(0, |status| status.replicas);
    let own = ports::taken(cluster.spec.replicas.max(exist), &listeners);
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

/// The wall clock, as conditions write it.
fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
