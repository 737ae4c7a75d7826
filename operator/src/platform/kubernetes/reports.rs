//! What others know of a broker that is not ready: the Events of whoever could not make its pod,
//! or could not start it, what the broker itself says, and whether its node is there.
//!
//! Invariant: nothing is asked of a cluster whose brokers serve.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams};
use ottla_core::config::settings::listener::host_and_port;
use tokio::time::Instant;

use super::pool::{self, Pool};
use crate::platform::probe::{Unready, ask_ready};
use crate::platform::{BrokerState, Failure};
use crate::validated::HTTP_PORT;

/// What takes no longer than this needs no reason.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often one broker is asked about.
const INTERVAL: Duration = Duration::from_secs(5);
/// A broker that answers does so at once; the operator may not reach it at all.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// Events that are older speak of something else.
const EVENT_AGE_MAX_SECONDS: i64 = 20 * 60;
/// So much may the clocks of the operator and of whoever tells of an Event differ.
const CLOCK_SKEW_MAX_SECONDS: i64 = 5;
/// At most so much of a sentence.
const SENTENCE_CHARS_MAX: usize = 300;

/// What keeps a broker from being ready, as far as its pod shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no pod.
    Unmade,
    /// Its containers do not run yet.
    Unstarted,
    /// The broker runs, at this address and on this node.
    Unready(String, String),
    /// The broker was to stop, and its node has not told that it did.
    Unstopped(String),
}

#[derive(Debug)]
struct Broker {
    stage: Stage,
    since: Instant,
    /// What was told before speaks of another pod; none where it was so at the first look.
    began: Option<Timestamp>,
    asked: Option<Instant>,
    said: Option<String>,
}

/// What is known of the brokers of a cluster that are not ready.
#[derive(Debug, Default)]
pub struct Reports {
    brokers: BTreeMap<i32, Broker>,
    has_looked: bool,
}

impl Reports {
    /// Adds to the states of brokers that are not ready what others say of them.
    pub async fn complete(
        &mut self,
        (events, nodes): (&Api<Event>, &Api<Node>),
        cluster: &str,
        pods: &BTreeMap<i32, Pod>,
        states: &mut BTreeMap<i32, BrokerState>,
    ) {
        let now = Instant::now();
        let stages: BTreeMap<i32, Stage> = states
            .iter()
            .filter(|(_, state)| !state.ready && state.failure.is_none())
            .filter_map(|(broker, _)| Some((*broker, stage(pods.get(broker))?)))
            .collect();
        self.brokers
            .retain(|id, known| stages.get(id) == Some(&known.stage));
        let absent_since = self.has_looked.then(Timestamp::now);
        self.has_looked = true;
        for (id, stage) in stages {
            let pod = pods.get(&id);
            let made = pod.and_then(|pod| Some(pod.metadata.creation_timestamp.as_ref()?.0));
            self.brokers.entry(id).or_insert(Broker {
                stage,
                since: now,
                began: made.or(absent_since),
                asked: None,
                said: None,
            });
        }
        let due = self
            .brokers
            .iter_mut()
            .filter(|(_, known)| known.is_due(now));
        join_all(due.map(|(id, known)| async move {
            let (set, pod) = (Pool::of(*id).set(cluster), pool::pod(cluster, *id));
            known.asked = Some(now);
            known.said = match &known.stage {
                Stage::Unmade => {
                    let told = list(events, "StatefulSet", &set, known.began).await;
                    refusal(&told, &pod)
                }
                Stage::Unstarted => newest(&list(events, "Pod", &pod, known.began).await),
                Stage::Unready(address, node) => match says(address).await {
                    Some(said) => Some(format!("is not ready: {said}")),
                    None => unheard(nodes, node).await,
                },
                Stage::Unstopped(node) => {
                    let unheard = unheard(nodes, node).await;
                    unheard.map(|why| format!("was to stop, but {why}"))
                }
            };
        }))
        .await;
        for (id, known) in &self.brokers {
            if let (Some(said), Some(state)) = (&known.said, states.get_mut(id)) {
                known.stage.tell(said, state);
            }
        }
    }
}

impl Broker {
    fn is_due(&self, now: Instant) -> bool {
        let waits = match self.stage {
            Stage::Unready(..) => Duration::ZERO,
            _ => PATIENCE,
        };
        let asked = self
            .asked
            .is_some_and(|asked| now.duration_since(asked) < INTERVAL);
        now.duration_since(self.since) >= waits && !asked
    }
}

impl Stage {
    fn tell(&self, said: &str, state: &mut BrokerState) {
        match self {
            Self::Unmade => {
                state.message = format!("its pod is refused: {said}");
                state.failure = Some(Failure::Refused);
            }
            Self::Unstarted => state.message = format!("{}: {said}", state.message),
            Self::Unready(..) | Self::Unstopped(_) => said.clone_into(&mut state.message),
        }
    }
}

/// None where there is nothing to ask: a pod that has no node yet, or one whose state says it all.
fn stage(pod: Option<&Pod>) -> Option<Stage> {
    let Some(pod) = pod else {
        return Some(Stage::Unmade);
    };
    let node = pod.spec.as_ref()?.node_name.clone()?;
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(Stage::Unstopped(node));
    }
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let mut states = containers
        .into_iter()
        .flatten()
        .map(|one| one.state.as_ref());
    let runs = states.any(|state| state.is_some_and(|state| state.running.is_some()));
    let ip = status.and_then(|status| status.pod_ip.as_ref());
    match (runs, ip) {
        (true, Some(ip)) => Some(Stage::Unready(host_and_port(ip, HTTP_PORT), node)),
        _ => Some(Stage::Unstarted),
    }
}

/// The newest Warnings about an object since then first. None where they cannot be had: a status
/// without them is better than none.
async fn list(
    events: &Api<Event>,
    kind: &str,
    name: &str,
    began: Option<Timestamp>,
) -> Vec<String> {
    let about = format!("involvedObject.kind={kind},involvedObject.name={name},type=Warning");
    let Ok(found) = events.list(&ListParams::default().fields(&about)).await else {
        return Vec::new();
    };
    recent(found.items, began, Timestamp::now())
}

fn recent(events: Vec<Event>, began: Option<Timestamp>, now: Timestamp) -> Vec<String> {
    let is_of_now = |seen: Timestamp| {
        let is_of_before = |began| seen.duration_since(began).as_secs() < -CLOCK_SKEW_MAX_SECONDS;
        now.duration_since(seen).as_secs() < EVENT_AGE_MAX_SECONDS
            && !began.is_some_and(is_of_before)
    };
    let events = events.into_iter();
    let told = events.filter_map(|event| Some((last_seen(&event)?, event.message?)));
    let mut recent: Vec<(Timestamp, String)> = told.filter(|(seen, _)| is_of_now(*seen)).collect();
    recent.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
    recent.into_iter().map(|(_, message)| message).collect()
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let micro = series.or(event.event_time.as_ref()).map(|time| time.0);
    last.or(micro).or_else(|| {
        event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0)
    })
}

/// Why the StatefulSet's controller could not make a pod or its claim, in the words of whoever
/// refused it.
fn refusal(messages: &[String], pod: &str) -> Option<String> {
    let names = |message: &&String| {
        let mut words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.any(|word| word == pod)
    };
    let message = messages.iter().find(names)?;
    Some(sentence(
        message
            .split_once("error: ")
            .map_or(message.as_str(), |(_, why)| why),
    ))
}

fn newest(messages: &[String]) -> Option<String> {
    messages.first().map(|message| sentence(message))
}

/// What is amiss with a node that tells nothing of its pods; none where nothing is.
async fn unheard(nodes: &Api<Node>, node: &str) -> Option<String> {
    let found = nodes.get_opt(node).await.ok()?;
    let Some(found) = found else {
        return Some(format!("its node {node} is gone"));
    };
    let conditions = found.status?.conditions?;
    let ready = conditions.iter().find(|one| one.type_ == "Ready")?;
    let why = ready.message.as_deref().unwrap_or_default();
    (ready.status != "True").then(|| format!("its node {node} is not ready: {}", sentence(why)))
}

async fn says(address: &str) -> Option<String> {
    match tokio::time::timeout(ANSWER_TIMEOUT, ask_ready(address)).await {
        Ok(Err(Unready::Says(why))) => Some(sentence(&why)),
        _ => None,
    }
}

fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().take(SENTENCE_CHARS_MAX).collect();
    line.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests;
