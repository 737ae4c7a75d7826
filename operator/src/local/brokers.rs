//! The task that looks after the brokers of one cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::cluster::reconcile::{Reconciler, Step};
use crate::condition::{State, spoken, state};
use crate::crd::cluster::ReclaimPolicy;
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::object::ObjectKey;
use crate::platform::local::Processes;
use crate::topic::driver::View;

/// How often brokers are looked at while something is going on.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);
/// How often brokers are looked at while nothing is.
const QUIET_INTERVAL: Duration = Duration::from_millis(200);

/// What is wanted of the brokers.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// They run by this spec.
    Run(Arc<KafkaCluster>),
    /// They stop, and come back with the next operator.
    Stop,
    /// They stop, and their data goes by the policy.
    Delete(ReclaimPolicy),
}

/// What the task tells.
#[derive(Debug)]
pub enum Event {
    /// The status says something new.
    Status(ObjectKey, Box<KafkaClusterStatus>),
    /// Something was done.
    Done(ObjectKey, String),
    /// The brokers have stopped, and the task ends.
    Stopped(ObjectKey),
}

/// The task.
pub struct Brokers {
    /// Which cluster.
    pub key: ObjectKey,
    /// Its processes.
    pub processes: Processes,
    /// What is wanted.
    pub wanted: watch::Receiver<Wanted>,
    /// What its topics need to know.
    pub view: watch::Sender<Option<View>>,
    /// Where it tells.
    pub events: mpsc::Sender<Event>,
    /// Whether somebody is tired of waiting for an orderly stop.
    pub hurry: Arc<AtomicBool>,
    /// The wall clock.
    pub now: fn() -> String,
}

impl Brokers {
    /// Runs until the brokers are wanted no more and have stopped.
    pub async fn run(mut self) {
        for (broker, pid) in self.processes.adopted() {
            let found = format!(
                "broker {broker} runs already (process {pid}), left by an operator that was \
                 killed; it is looked after again"
            );
            let _ = self.events.send(Event::Done(self.key.clone(), found)).await;
        }
        let mut reconciler = Reconciler::new(self.processes);
        let mut status: Option<KafkaClusterStatus> = None;
        let mut was_usable = false;
        let delete = loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let mut cluster = match wanted {
                Wanted::Run(cluster) => KafkaCluster::clone(&cluster),
                Wanted::Stop => break None,
                Wanted::Delete(policy) => break Some(policy),
            };
            if status.is_some() {
                cluster.status.clone_from(&status);
            }
            let step = reconciler.step(&cluster, &(self.now)()).await;
            let quiet = state(&step.status.conditions) == Some(State::Ready);
            let seen = turns(status.as_ref(), &step.status);
            for done in seen.into_iter().chain(step.done.iter().cloned()) {
                let event = Event::Done(self.key.clone(), done);
                let _ = self.events.send(event).await;
            }
            let all_ready = step.status.brokers.iter().all(|broker| broker.ready);
            was_usable |= all_ready && !step.status.brokers.is_empty();
            let before = self.view.borrow().clone();
            let view = Some(view(&self.key, &step, was_usable, before.as_ref()));
            self.view.send_if_modified(|before| {
                let new = *before != view;
                *before = view;
                new
            });
            if status.as_ref() != Some(&step.status) {
                let event = Event::Status(self.key.clone(), Box::new(step.status.clone()));
                let _ = self.events.send(event).await;
                status = Some(step.status);
            }
            let pause = if quiet { QUIET_INTERVAL } else { BUSY_INTERVAL };
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { break None },
                () = tokio::time::sleep(pause) => {}
            }
        };
        self.view.send_modify(|view| {
            if let Some(view) = view {
                view.deleting = true;
            }
        });
        let hurry = Arc::clone(&self.hurry);
        reconciler
            .platform
            .stop(|| hurry.load(Ordering::Relaxed))
            .await;
        if delete == Some(ReclaimPolicy::Delete)
            && let Err(error) = reconciler.platform.delete_data()
        {
            let sentence = format!("its data cannot be deleted: {error}");
            let _ = self
                .events
                .send(Event::Done(self.key.clone(), sentence))
                .await;
        }
        let _ = self.events.send(Event::Stopped(self.key)).await;
    }
}

/// What brokers did by themselves: exits, and coming up.
fn turns(before: Option<&KafkaClusterStatus>, after: &KafkaClusterStatus) -> Vec<String> {
    let mut turns = Vec::new();
    for broker in &after.brokers {
        let before = before.and_then(|s| s.brokers.iter().find(|one| one.id == broker.id));
        let same = before.is_some_and(|one| one.message == broker.message);
        let exited = broker.message.contains("; starts again in ");
        if exited && !same && !broker.message.starts_with("waits") {
            turns.push(format!("broker {} {}", broker.id, broker.message));
        } else if broker.ready && !before.is_some_and(|one| one.ready) {
            turns.push(format!("broker {} serves", broker.id));
        }
    }
    turns
}

/// What topics need to know. While the spec is invalid they go by what was admitted before.
fn view(key: &ObjectKey, step: &Step, usable: bool, before: Option<&View>) -> View {
    let says = spoken(&step.status.conditions);
    let admits = match (&step.valid, before) {
        (Some(valid), _) => {
            let mut admits = vec![key.namespace.clone()];
            admits.extend_from_slice(&valid.topic_namespaces);
            admits
        }
        (None, Some(before)) => before.admits.clone(),
        (None, None) => vec![key.namespace.clone()],
    };
    let exist = step.status.replicas;
    View {
        addresses: step
            .status
            .bootstrap_servers
            .split(',')
            .map(str::to_owned)
            .collect(),
        brokers: step.valid.as_ref().map_or(exist, |valid| valid.replicas),
        usable,
        // Only while topics wait for it, so that they are not woken by every word of the cluster.
        says: says
            .filter(|_| !usable)
            .map_or(String::new(), |(_, message)| message.to_owned()),
        admits,
        paused: step.paused,
        deleting: false,
    }
}
