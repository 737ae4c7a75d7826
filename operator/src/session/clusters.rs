//! The task that reconciles the brokers of one cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::approval::{TopicChanges, What};
use crate::cluster::certificates;
use crate::cluster::reconcile::{Reconciler, Step};
use crate::cluster::status::deleting;
use crate::condition::{State, spoken, state};
use crate::crd::cluster::{Listener, ReclaimPolicy};
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::object::Wanted;
use crate::platform::Platform;
use crate::topic::driver::View;
use crate::user::credentials::Way;
use crate::user::driver as users;
use crate::user::reconcile::Access;
use crate::validated::ValidatedCluster;

/// What the task reports.
#[derive(Debug)]
pub enum Report {
    /// The status says something new; the sender is told when it stands in the object.
    Status(ObjectKey, Box<KafkaClusterStatus>, oneshot::Sender<()>),
    /// Something was done, or brokers did it by themselves.
    Done(ObjectKey, String),
    /// The brokers have stopped, and the task ends.
    Stopped(ObjectKey),
}

/// The task.
pub struct ClusterTask<P> {
    /// Which cluster.
    pub key: ObjectKey,
    /// What it does in each step.
    pub reconciler: Reconciler<P>,
    /// What is wanted.
    pub wanted: watch::Receiver<Wanted>,
    /// What its topics need to know.
    pub view: watch::Sender<Option<View>>,
    /// What its users need to know.
    pub user_view: watch::Sender<Option<users::View>>,
    /// What its topics tell of changes that may need consent.
    pub topics: watch::Receiver<Option<TopicChanges>>,
    /// Where it reports.
    pub reports: mpsc::Sender<Report>,
    /// Where its steps are counted.
    pub metrics: Metrics,
    /// What time it is, as conditions write it.
    pub now: fn() -> String,
    /// Whether brokers are killed rather than stopped in order.
    pub is_hurried: Arc<AtomicBool>,
    /// Whether the cluster has certificates, so that Secrets are looked at.
    pub looks_at_secrets: bool,
}

impl<P: Platform> ClusterTask<P> {
    /// Runs until the brokers are wanted no more and have stopped.
    pub async fn run(mut self) {
        let mut was_usable = false;
        let mut last = None;
        let policy = loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let cluster = match wanted {
                Wanted::Run(cluster) => cluster,
                Wanted::Stop => break None,
                Wanted::Delete(policy) => break Some(policy),
            };
            let is_busy = self.step(&cluster, &mut was_usable).await;
            last = Some(cluster);
            let pause = match (is_busy, self.looks_at_secrets) {
                (true, _) => P::BUSY_INTERVAL,
                (false, false) => P::QUIET_INTERVAL,
                (false, true) => P::QUIET_INTERVAL.min(certificates::INTERVAL),
            };
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { break None },
                Ok(()) = self.topics.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        if let Some(cluster) = last.filter(|_| policy.is_some()) {
            self.report_deleting(&cluster).await;
        }
        self.end(policy).await;
    }

    async fn report_deleting(&self, cluster: &KafkaCluster) {
        let status = deleting(cluster, &(self.now)());
        let (told, _) = oneshot::channel();
        let report = Report::Status(self.key.clone(), Box::new(status), told);
        let _ = self.reports.send(report).await;
    }

    /// One step; says whether more is on its way.
    async fn step(&mut self, cluster: &KafkaCluster, was_usable: &mut bool) -> bool {
        // One that is not wanted as it was any more gets nothing more of what was wanted.
        let wanted = &self.wanted;
        let is_current = || wanted.has_changed().is_ok_and(|has_changed| !has_changed);
        self.reconciler.topics = self.topics.borrow_and_update().clone();
        let began = Instant::now();
        let step = self
            .reconciler
            .step(cluster, is_current, &(self.now)())
            .await;
        let reached = state(&step.status.conditions);
        self.metrics.stepped(&self.key, began.elapsed(), reached);
        for event in self.reconciler.platform.take_events() {
            self.done(event).await;
        }
        for done in &step.done {
            self.done(done.clone()).await;
        }
        if let Some(reach) = &step.reach {
            self.looks_at_secrets = reach.certificates.is_some();
        }
        self.metrics.certified(&self.key, &step.status.certificates);
        let has_news = self.reconciler.platform.take_news();
        let is_busy = reached != Some(State::Ready) || has_news;
        *was_usable |= is_usable(&step.status);
        let before = self.view.borrow().clone();
        let view = view(cluster, &step, *was_usable, before);
        let before = self.user_view.borrow().clone();
        let user_view = user_view(cluster, &step, &view, before);
        self.user_view.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(&user_view);
            *before = Some(user_view);
            is_new
        });
        self.view.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(&view);
            *before = Some(view);
            is_new
        });
        if cluster.status.as_ref() != Some(&step.status) {
            let (applied, is_applied) = oneshot::channel();
            let status = Box::new(step.status);
            let report = Report::Status(self.key.clone(), status, applied);
            if self.reports.send(report).await.is_ok() {
                let _ = is_applied.await;
            }
        }
        is_busy
    }

    async fn end(mut self, policy: Option<ReclaimPolicy>) {
        self.view.send_modify(|view| {
            if let Some(view) = view {
                view.deleting = true;
            }
        });
        self.user_view.send_modify(|view| {
            if let Some(view) = view {
                view.deleting = true;
            }
        });
        let is_hurried = Arc::clone(&self.is_hurried);
        let platform = &mut self.reconciler.platform;
        platform.stop(|| is_hurried.load(Ordering::Relaxed)).await;
        if policy == Some(ReclaimPolicy::Delete)
            && let Err(error) = platform.delete_data()
        {
            self.done(format!("its data cannot be deleted: {error}"))
                .await;
        }
        let _ = self.reports.send(Report::Stopped(self.key)).await;
    }

    async fn done(&self, done: String) {
        let _ = self
            .reports
            .send(Report::Done(self.key.clone(), done))
            .await;
    }
}

/// Whether topics can be created: all brokers serve, or have once, since then the cluster has its
/// id, and some do now.
fn is_usable(status: &KafkaClusterStatus) -> bool {
    let ready = status.brokers.iter().filter(|broker| broker.ready).count();
    ready > 0 && (ready == status.brokers.len() || status.cluster_id.is_some())
}

/// What topics need to know. While the spec is invalid they go by what held before it, or else by
/// what exists; and an address that is known once stays until another is.
fn view(cluster: &KafkaCluster, step: &Step, usable: bool, before: Option<View>) -> View {
    let before = before.unwrap_or_default();
    let valid = step.valid.as_ref();
    let brokers = match valid {
        Some(valid) => valid.staying(),
        None if before.admits.is_empty() => step.status.replicas,
        None => before.brokers,
    };
    let of_spec = &cluster.spec.topic_namespaces.match_names;
    let guests = valid.map(|valid| &valid.topic_namespaces);
    let reach = step.reach.as_ref();
    let bootstrap = step.status.bootstrap_servers.split(',');
    let bootstrap = bootstrap.filter(|address| !address.is_empty());
    let bootstrap: Vec<String> = bootstrap.map(str::to_owned).collect();
    let addresses = [step.addresses.clone(), before.addresses, bootstrap];
    let mut addresses = addresses.into_iter().filter(|all| !all.is_empty());
    let cluster_id = step.status.cluster_id.clone();
    let is_approved = |id: &i32| {
        let change = What::Fill.id(&id.to_string());
        step.approved
            .as_ref()
            .is_none_or(|all| all.contains(&change))
    };
    let short = step
        .status
        .rebalance
        .iter()
        .flat_map(|short| &short.brokers);
    let newcomers = step.status.newcomers.iter().chain(short).copied();
    let newcomers = newcomers.filter(is_approved);
    // Only while topics wait for it, so that they are not woken by every word of the cluster.
    let message = spoken(&step.status.conditions).filter(|_| !usable);
    View {
        addresses: addresses.next().unwrap_or_default(),
        cluster_id: cluster_id.filter(|_| cluster.spec.storage.is_some()),
        identity: reach.map_or(before.identity, |reach| reach.identity.clone()),
        brokers,
        leaving: step
            .valid
            .as_ref()
            .map_or(before.leaving, |valid| valid.leaving.clone()),
        newcomers: newcomers.collect(),
        approved: step.approved.clone(),
        holds_moves: step.holds_moves,
        internal: step
            .valid
            .as_ref()
            .map_or(before.internal, ValidatedCluster::internal_topics),
        usable,
        was_up: usable || step.status.cluster_id.is_some(),
        message: message.map_or(String::new(), |(_, message)| message.to_owned()),
        admits: admits(cluster, guests, before.admits, of_spec),
        paused: step.paused,
        deleting: false,
        generation: cluster.metadata.generation.unwrap_or_default(),
        is_outdated: false,
    }
}

/// The namespaces that a cluster admits, its own among them: those of its valid spec, else those
/// that it admitted before, else those that it would.
fn admits(
    cluster: &KafkaCluster,
    valid: Option<&Vec<String>>,
    before: Vec<String>,
    of_spec: &[String],
) -> Vec<String> {
    if valid.is_none() && !before.is_empty() {
        return before;
    }
    let own = ObjectKey::of(&cluster.metadata).namespace;
    let guests = valid.map_or(of_spec, Vec::as_slice).iter().cloned();
    std::iter::once(own).chain(guests).collect()
}

/// What users need to know. While nothing is known of certificates, they go by what was known.
fn user_view(
    cluster: &KafkaCluster,
    step: &Step,
    topics: &View,
    before: Option<users::View>,
) -> users::View {
    let (access_before, admitted) =
        before.map_or((None, Vec::new()), |before| (before.access, before.admits));
    let access = match (&step.reach, &step.valid) {
        (Some(reach), Some(valid)) => Some(Access {
            authority: reach
                .certificates
                .as_ref()
                .and_then(|all| all.users.clone()),
            lifetime: valid.lifetimes.users,
            ways: ways(cluster, valid, step),
        }),
        _ => access_before,
    };
    let valid = step.valid.as_ref();
    let guests = valid.map(|valid| &valid.user_namespaces);
    let of_spec = &cluster.spec.user_namespaces.match_names;
    // Only while users wait for it, so that they are not woken by every word of the cluster.
    let is_waited_for = !topics.usable || access.is_none();
    let message = spoken(&step.status.conditions).filter(|_| is_waited_for);
    users::View {
        addresses: topics.addresses.clone(),
        identity: topics.identity.clone(),
        cluster_id: topics.cluster_id.clone(),
        usable: topics.usable,
        was_up: topics.was_up,
        message: message.map_or(String::new(), |(_, message)| message.to_owned()),
        admits: admits(cluster, guests, admitted, of_spec),
        paused: topics.paused,
        deleting: false,
        access,
        generation: topics.generation,
        is_outdated: false,
    }
}

/// The listeners that ask who clients are, in the order of the spec, and those that brokers have
/// still. One that is not there for want of a certificate has its place.
fn ways(cluster: &KafkaCluster, valid: &ValidatedCluster, step: &Step) -> Vec<Way> {
    let reach = step.reach.as_ref();
    let certificates = reach.and_then(|reach| reach.certificates.as_ref());
    let is_lost = |name: &String| certificates.is_some_and(|all| all.without.contains(name));
    let of_spec = cluster.spec.listeners.iter();
    let lost = of_spec.clone().filter(|one| is_lost(&one.name));
    let mut all: Vec<&Listener> = valid.listeners.iter().chain(lost).collect();
    let place = |one: &Listener| of_spec.clone().position(|other| other.name == one.name);
    all.sort_by_key(|one| place(one).unwrap_or(usize::MAX));
    let ways = all.into_iter().filter_map(|listener| {
        let authentication = listener.authentication.as_ref()?.of_users()?;
        let bootstrap = step.status.listeners.get(&listener.name).cloned();
        let trusted = certificates.filter(|_| listener.tls.is_some());
        Some(Way {
            listener: listener.name.clone(),
            authentication,
            bootstrap: bootstrap.or_else(|| is_lost(&listener.name).then(String::new))?,
            is_encrypted: listener.tls.is_some(),
            trusted: trusted.and_then(|all| all.trusted(&listener.name)),
        })
    });
    ways.collect()
}
