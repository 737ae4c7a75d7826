//! The loop of the operator, in every world and on every platform.
//!
//! ```text
//! world ──events──▶ session ──specs──▶ a task per cluster ──▶ its platform
//!   ▲                  ▲                    │  └─views─▶ tasks for topics, users ──▶ admin client
//!   └────statuses──────┴─────reports────────┘
//! ```
//! The world has the objects and their statuses. A task that has something to say waits until it
//! stands in the object, which the next step begins with; so nothing is said twice, and nothing is
//! remembered twice.

mod clusters;
mod members;
mod rebalances;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::info;

use self::clusters::{ClusterTask, Report};
use self::members::Index;
use crate::cluster::reconcile::Reconciler;
use crate::cluster::turns::Turns;
use crate::condition::{State, state};
use crate::crd::cluster::ReplacementPhase;
use crate::crd::{KafkaRebalance, KafkaTopic, KafkaUser};
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::object::Wanted;
use crate::platform::Platform;
use crate::rebalance::driver::{self as rebalance, Rebalances, RebalancesReport};
use crate::topic::driver::{self, Reports, TopicsReport, without_cluster};
use crate::topic::reconcile::{Outcome, Topics};
use crate::topic::validate::topic_name;
use crate::user::driver::{self as users, Users, UsersReport};
use crate::user::reconcile as user;
use crate::world::{Event, Kind, World};

/// At most so many reports of the tasks wait to be handled; the tasks wait then.
const REPORTS_MAX: usize = 256;
/// How often topics are given to the tasks of their clusters at most, so that many that come one by
/// one go together.
const TOPICS_INTERVAL: Duration = Duration::from_millis(50);
const HOMELESS_INTERVAL: Duration = Duration::from_secs(30);

struct Task {
    wanted: watch::Sender<Wanted>,
    topics: watch::Sender<Arc<Topics>>,
    users: watch::Sender<Arc<Users>>,
    rebalances: watch::Sender<Arc<Rebalances>>,
    handles: [tokio::task::JoinHandle<()>; 4],
}

impl Drop for Task {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.abort();
        }
    }
}

/// Reconciles the objects of one world on one kind of platform.
pub struct Session<W, F> {
    /// The world.
    pub world: W,
    /// Begins to reconcile a cluster.
    reconcilers: F,
    metrics: Metrics,
    /// What time it is, as conditions write it.
    now: fn() -> String,
    turns: Turns,
    tasks: BTreeMap<ObjectKey, Task>,
    topics: Index<KafkaTopic>,
    topics_due: Instant,
    users: Index<KafkaUser>,
    rebalances: Index<KafkaRebalance>,
    /// When the objects that have no cluster are looked at again: how long they wait is told.
    homeless_due: Instant,
    /// Whether brokers are killed rather than stopped in order.
    is_hurried: Arc<AtomicBool>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    passes: (mpsc::Sender<TopicsReport>, mpsc::Receiver<TopicsReport>),
    user_passes: (mpsc::Sender<UsersReport>, mpsc::Receiver<UsersReport>),
    rebalance_passes: (
        mpsc::Sender<RebalancesReport>,
        mpsc::Receiver<RebalancesReport>,
    ),
    /// Objects whose statuses are yet to be written, and whose task waits for that.
    unwritten: Vec<(Vec<(Kind, ObjectKey)>, oneshot::Sender<()>)>,
}

impl<W, P, F> Session<W, F>
where
    W: World,
    P: Platform + 'static,
    F: Fn(&ObjectKey) -> Reconciler<P>,
{
    /// A session that has yet to run.
    #[must_use]
    pub fn new(world: W, reconcilers: F, metrics: Metrics, now: fn() -> String) -> Self {
        Self {
            world,
            reconcilers,
            metrics,
            now,
            turns: Turns::default(),
            tasks: BTreeMap::new(),
            topics: Index::default(),
            topics_due: Instant::now(),
            users: Index::default(),
            rebalances: Index::default(),
            homeless_due: Instant::now() + HOMELESS_INTERVAL,
            is_hurried: Arc::new(AtomicBool::new(false)),
            reports: mpsc::channel(REPORTS_MAX),
            passes: mpsc::channel(REPORTS_MAX),
            user_passes: mpsc::channel(REPORTS_MAX),
            rebalance_passes: mpsc::channel(REPORTS_MAX),
            unwritten: Vec::new(),
        }
    }

    /// Runs for as long as it is waited for.
    pub async fn run(&mut self) {
        loop {
            let is_due = self.topics.is_dirty();
            tokio::select! {
                events = self.world.events() => self.handle_events(events),
                Some(report) = self.reports.1.recv() => self.handle_report(report),
                Some(pass) = self.passes.1.recv() => self.handle_pass(pass),
                Some(pass) = self.user_passes.1.recv() => self.handle_user_pass(pass),
                Some(pass) = self.rebalance_passes.1.recv() => self.handle_rebalances(pass),
                () = tokio::time::sleep_until(self.topics_due), if is_due => {}
                () = tokio::time::sleep_until(self.homeless_due) => {
                    self.homeless_due = Instant::now() + HOMELESS_INTERVAL;
                    self.topics.mark_where(|cluster| !self.tasks.contains_key(cluster));
                    self.users.mark_where(|cluster| !self.tasks.contains_key(cluster));
                    self.rebalances.mark_where(|cluster| !self.tasks.contains_key(cluster));
                }
            }
            self.dispatch_topics();
            self.dispatch_users();
            self.dispatch_rebalances();
            self.world.flush();
            self.tell_written();
        }
    }

    /// Stops all brokers that would not outlive the operator, in order. When `hurry` is over they
    /// are killed.
    pub async fn stop(&mut self, hurry: impl Future<Output = ()>) {
        for task in self.tasks.values() {
            task.wanted.send_replace(Wanted::Stop);
        }
        let mut hurry = std::pin::pin!(hurry);
        while !self.tasks.is_empty() {
            let is_hurried = self.is_hurried.load(Ordering::Relaxed);
            tokio::select! {
                Some(report) = self.reports.1.recv() => self.handle_report(report),
                Some(_) = self.passes.1.recv() => {}
                Some(_) = self.user_passes.1.recv() => {}
                Some(_) = self.rebalance_passes.1.recv() => {}
                () = &mut hurry, if !is_hurried => self.is_hurried.store(true, Ordering::Relaxed),
            }
        }
    }

    fn handle_events(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Cluster(key, Some(wanted)) => self.dispatch_cluster(key, wanted),
                Event::Cluster(key, None) => {
                    if self.tasks.remove(&key).is_some() {
                        self.metrics.forget(&key);
                        self.mark(&key);
                    }
                }
                Event::Topic(key, topic) => self.topics.apply(&key, topic),
                Event::User(key, user) => self.users.apply(&key, user),
                Event::Rebalance(key, one) => self.rebalances.apply(&key, one),
            }
        }
    }

    /// Gives a cluster to its task.
    fn dispatch_cluster(&mut self, key: ObjectKey, wanted: Wanted) {
        if let Some(task) = self.tasks.get(&key) {
            task.wanted.send_replace(wanted);
            return;
        }
        info!("KafkaCluster {key} is reconciled");
        let (wanted, heard_wanted) = watch::channel(wanted);
        let heard_too = heard_wanted.clone();
        let (view, heard_view) = watch::channel(None);
        let (user_view, heard_user_view) = watch::channel(None);
        let (topics, heard_topics) = watch::channel(Arc::new(Topics::new()));
        let (users, heard_users) = watch::channel(Arc::new(Users::new()));
        let (rebalances, heard_rebalances) = watch::channel(Arc::new(Rebalances::new()));
        let (changes, heard_changes) = watch::channel(None);
        let mut reconciler = (self.reconcilers)(&key);
        reconciler.turn = self.turns.of(&key);
        let secrets = reconciler.secrets().clone();
        let cluster = ClusterTask {
            key: key.clone(),
            reconciler,
            topics: heard_changes,
            wanted: heard_wanted,
            view,
            user_view,
            reports: self.reports.0.clone(),
            metrics: self.metrics.clone(),
            now: self.now,
            is_hurried: Arc::clone(&self.is_hurried),
            looks_at_secrets: false,
        };
        let passes = self.passes.0.clone();
        let rebalances_task = rebalance::run(
            key.clone(),
            heard_view.clone(),
            heard_rebalances,
            self.rebalance_passes.0.clone(),
            self.now,
        );
        let topics_task = driver::run(
            key.clone(),
            heard_view,
            heard_too.clone(),
            heard_topics,
            Reports { passes, changes },
            self.now,
        );
        let users_task = users::run(
            key.clone(),
            secrets,
            heard_user_view,
            heard_too,
            heard_users,
            self.user_passes.0.clone(),
            self.now,
        );
        let handles = [
            tokio::task::spawn_local(cluster.run()),
            tokio::task::spawn_local(topics_task),
            tokio::task::spawn_local(users_task),
            tokio::task::spawn_local(rebalances_task),
        ];
        self.mark(&key);
        let task = Task {
            wanted,
            topics,
            users,
            rebalances,
            handles,
        };
        self.tasks.insert(key, task);
    }

    fn handle_report(&mut self, report: Report) {
        match report {
            Report::Status(key, status, applied) => {
                let replacement = status.replacement.as_ref();
                let gives_up =
                    replacement.is_some_and(|one| one.phase == ReplacementPhase::Replacing);
                let object = self.world.set_cluster_status(&key, *status);
                if let (Some(object), Some(task)) = (object, self.tasks.get(&key)) {
                    // Its task knows already, and need not wake.
                    task.wanted.send_if_modified(|wanted| {
                        if matches!(wanted, Wanted::Run(_)) {
                            *wanted = Wanted::Run(object);
                        }
                        false
                    });
                }
                if gives_up {
                    // Whoever comes after this operator has to know it before a volume goes.
                    self.unwritten.push((vec![(Kind::Cluster, key)], applied));
                } else {
                    let _ = applied.send(());
                }
            }
            Report::Done(key, done) => self.world.record(Kind::Cluster, &key, done),
            Report::Stopped(key) => {
                self.tasks.remove(&key);
                self.metrics.forget(&key);
                self.mark(&key);
                self.world.release_cluster(&key);
            }
        }
    }

    fn handle_pass(&mut self, report: TopicsReport) {
        let TopicsReport {
            cluster,
            pass,
            applied,
        } = report;
        let changed: BTreeSet<ObjectKey> = pass.done.iter().map(|(key, _)| key.clone()).collect();
        for (key, done) in pass.done {
            self.world.record(Kind::Topic, &key, done);
        }
        // The last words of a task that has ended are older than what was said since.
        if !self.tasks.contains_key(&cluster) {
            return;
        }
        for (key, outcome) in pass.outcomes {
            // That it was created says that it is ready: of many topics one event each is enough.
            let is_told = changed.contains(&key) && is_ready(&outcome);
            self.apply(&key, outcome, !is_told);
        }
        // Its task knows already, and need not wake.
        if let Some(task) = self.tasks.get(&cluster) {
            let topics = Arc::new(withhold(&mut self.world, &self.topics, &cluster));
            task.topics.send_if_modified(|before| {
                *before = topics;
                false
            });
        }
        let _ = applied.send(());
    }

    fn apply(&mut self, key: &ObjectKey, outcome: Outcome, is_news: bool) {
        match outcome {
            Outcome::Stands(status) => {
                if let Some(object) = self.world.set_topic_status(key, *status, is_news) {
                    self.topics.replace(key, object);
                }
            }
            Outcome::Gone => {
                self.topics.apply(key, None);
                self.world.release_topic(key);
            }
        }
    }

    /// Gives topics to the tasks of their clusters, the oldest first.
    fn dispatch_topics(&mut self) {
        if !self.topics.is_dirty() || Instant::now() < self.topics_due {
            return;
        }
        self.topics_due = Instant::now() + TOPICS_INTERVAL;
        for cluster in self.topics.take_dirty() {
            if let Some(task) = self.tasks.get(&cluster) {
                let topics = withhold(&mut self.world, &self.topics, &cluster);
                task.topics.send_replace(Arc::new(topics));
                continue;
            }
            let topics: Topics = self.topics.of(&cluster).cloned().collect();
            for (key, desired) in topics {
                let outcome = without_cluster(&cluster, &desired, &(self.now)());
                self.apply(&key, outcome, true);
            }
        }
    }
}

impl<W: World, F> Session<W, F> {
    /// Has whatever belongs to a cluster given to its task, or told that there is none.
    fn mark(&mut self, cluster: &ObjectKey) {
        self.topics.mark(cluster);
        self.users.mark(cluster);
        self.rebalances.mark(cluster);
    }

    fn handle_user_pass(&mut self, report: UsersReport) {
        let UsersReport {
            cluster,
            pass,
            applied,
        } = report;
        for (key, done) in pass.done {
            self.world.record(Kind::User, &key, done);
        }
        // The last words of a task that has ended are older than what was said since.
        if !self.tasks.contains_key(&cluster) {
            return;
        }
        for (key, outcome) in pass.outcomes {
            self.apply_user(&key, outcome);
        }
        // Its task knows already, and need not wake.
        if let Some(task) = self.tasks.get(&cluster) {
            let users = Arc::new(held(&mut self.world, &self.users, &cluster));
            task.users.send_if_modified(|before| {
                *before = users;
                false
            });
        }
        let _ = applied.send(());
    }

    fn apply_user(&mut self, key: &ObjectKey, outcome: user::Outcome) {
        match outcome {
            user::Outcome::Stands(status) => {
                if let Some(object) = self.world.set_user_status(key, *status) {
                    self.users.replace(key, object);
                }
            }
            user::Outcome::Gone => {
                self.users.apply(key, None);
                self.world.release_user(key);
            }
        }
    }

    /// Gives users to the tasks of their clusters, the oldest first.
    fn dispatch_users(&mut self) {
        for cluster in self.users.take_dirty() {
            if let Some(task) = self.tasks.get(&cluster) {
                let users = held(&mut self.world, &self.users, &cluster);
                task.users.send_replace(Arc::new(users));
                continue;
            }
            let users: Users = self.users.of(&cluster).cloned().collect();
            for (key, desired) in users {
                let outcome = users::without_cluster(&cluster, &desired, &(self.now)());
                self.apply_user(&key, outcome);
            }
        }
    }
}

/// The users of a cluster whose deletion cannot go unnoticed.
fn held(world: &mut impl World, users: &Index<KafkaUser>, cluster: &ObjectKey) -> Users {
    let all = users.of(cluster).filter(|(key, _)| world.holds_user(key));
    all.cloned().collect()
}

/// The topics of a cluster that may be carried out. One that is not held yet keeps its topic's name
/// from the younger ones, and from those that are deleted: they would take the topic with them.
fn withhold(world: &mut impl World, topics: &Index<KafkaTopic>, cluster: &ObjectKey) -> Topics {
    let mut held = Topics::new();
    let mut kept = BTreeSet::new();
    for (key, desired) in topics.of(cluster) {
        let name = topic_name(&desired.object);
        if kept.contains(name) {
            continue;
        }
        if world.holds_topic(key) {
            held.push((key.clone(), desired.clone()));
        } else if !desired.deleting {
            kept.insert(name);
        }
    }
    held.retain(|(_, desired)| !desired.deleting || !kept.contains(topic_name(&desired.object)));
    held
}

fn is_ready(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stands(status) => state(&status.conditions) == Some(State::Ready),
        Outcome::Gone => false,
    }
}
