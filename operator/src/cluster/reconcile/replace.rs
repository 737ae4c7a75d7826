//! The node that gets an empty volume, a step at a time. When it may is decided by
//! [`replacement`](super::super::replacement).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::desired::observed_brokers;
use super::super::replacement::{
    Hindrance, Order, REPLACE, done_before, hindrance, lacks, order, remembered,
};
use super::super::rolling_restart::{Health, ObservedBroker, Obstacle};
use super::super::status::Seen;
use super::{Reconciler, not_yet_verdict};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::crd::cluster::{ReplacementPhase, ReplacementStatus};
use crate::observed::RestartCheck;
use crate::platform::{BrokerState, NotYet, Platform, Properties, Volume, is_same_volume};
use crate::spoken::{node, node_first};
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

/// How often the brokers are asked again about what somebody has to mend.
const REFUSED_INTERVAL: Duration = Duration::from_secs(5);

/// What was refused last, of which node, and when.
pub(super) type Refused = (i32, String, Instant);

/// What a step came to.
#[derive(Default)]
pub(super) struct Replacement {
    /// What the status is to say.
    pub(super) status: Option<ReplacementStatus>,
    /// What is done, or waited for.
    pub(super) verdict: Option<Verdict>,
    /// The node that goes in this step: no other one may.
    pub(super) goes: Option<i32>,
    /// Whether no more replicas are to be moved.
    pub(super) holds_moves: bool,
    /// What was done, as a sentence.
    pub(super) done: Option<String>,
}

impl Replacement {
    /// Tells what became of it. While a node goes no other one does.
    pub(super) fn tell(self, seen: &mut Seen<'_>, done: &mut Vec<String>) -> Option<i32> {
        seen.verdicts.extend(self.verdict);
        seen.replacement = Some(self.status);
        seen.holds_moves = self.holds_moves;
        done.extend(self.done);
        self.goes
    }
}

/// What a step sees.
struct Sight<'a> {
    valid: &'a ValidatedCluster,
    nodes: Vec<ObservedBroker>,
    desired: &'a BTreeMap<i32, Properties>,
    volume: Option<Volume>,
}

impl<P: Platform> Reconciler<P> {
    /// Goes on with what the annotation asks for. `is_current` is asked before a node is taken.
    pub(super) async fn replace(
        &mut self,
        (cluster, valid): (&KafkaCluster, &ValidatedCluster),
        states: &BTreeMap<i32, BrokerState>,
        desired: &BTreeMap<i32, Properties>,
        is_current: &dyn Fn() -> bool,
    ) -> Replacement {
        let annotations = cluster.metadata.annotations.as_ref();
        let asked = annotations.and_then(|all| all.get(REPLACE));
        let before = remembered(cluster);
        let annotation = asked.map(String::as_str);
        let order = order(annotation, before.as_ref(), valid, P::KEEPS_DATA);
        let (id, under_way) = match &order {
            Order::Nothing => return Replacement::default(),
            Order::Done(status) => {
                return Replacement {
                    status: Some(status.clone()),
                    ..Replacement::default()
                };
            }
            Order::Refused(why) => return refused(before, why),
            Order::Begin(id) => (*id, None),
            Order::GoOn(status, is_wanted) => (status.id, Some((status.clone(), *is_wanted))),
        };
        let volume = match self.platform.volume(id).await {
            Ok(volume) => volume,
            Err(why) => return unseen(before, &why),
        };
        let sight = Sight {
            valid,
            nodes: observed_brokers(states, desired),
            desired,
            volume,
        };
        match under_way {
            None => self.begin(id, (asked, before), &sight).await,
            Some((status, is_wanted)) if is_given_up(&status, sight.volume.as_ref()) => {
                if !is_wanted && sight.volume.as_ref().is_some_and(|one| !one.is_going) {
                    return ended(&status, "keeps its volume after all");
                }
                self.give_up(status, &sight, is_current).await
            }
            Some((status, false)) if sight.volume.is_some() => ended(
                &status,
                "has given up its volume, and is not waited for any longer",
            ),
            Some((status, _)) => self.catch_up(status, &sight, is_current).await,
        }
    }

    /// Has the status name the volume that is to go, where it may. Where there is none, as where
    /// somebody has deleted it, there is nothing to give up.
    async fn begin(
        &mut self,
        id: i32,
        (asked, before): (Option<&String>, Option<ReplacementStatus>),
        sight: &Sight<'_>,
    ) -> Replacement {
        if let Some(hindrance) = self.hindrance(id, sight).await {
            return hindered(id, before, &hindrance);
        }
        let volume = sight.volume.as_ref();
        let status = ReplacementStatus {
            asked: asked.cloned().unwrap_or_default(),
            id,
            volume: volume.map_or(String::new(), |volume| volume.id.clone()),
            phase: match volume {
                Some(_) => ReplacementPhase::Replacing,
                None => ReplacementPhase::CatchingUp,
            },
            done: before.map_or(String::new(), |before| before.asked),
        };
        let what = match volume {
            Some(_) => "is about to give up its volume",
            None => "has no volume, and is to get an empty one",
        };
        let message = format!("{} {what}.", node_first(id));
        Replacement {
            goes: volume.map(|_| id),
            holds_moves: volume.is_some(),
            ..waits(Some(status), replacing(message))
        }
    }

    /// Has the volume and the process of a node go.
    async fn give_up(
        &mut self,
        status: ReplacementStatus,
        sight: &Sight<'_>,
        is_current: &dyn Fn() -> bool,
    ) -> Replacement {
        let id = status.id;
        let volume = sight.volume.as_ref();
        let is_going = volume.is_some_and(|volume| volume.is_going);
        if let Some(hindrance) = self.hindrance(id, sight).await {
            let hindered = hindered(id, Some(status), &hindrance);
            // Whoever ended its process now would end what its volume holds. What somebody has to
            // mend may need moves.
            return Replacement {
                goes: is_going.then_some(id),
                holds_moves: hindered.holds_moves
                    || is_going && matches!(hindrance, Hindrance::Waits(_)),
                ..hindered
            };
        }
        let settings = sight.desired.get(&id);
        let Some(settings) = settings.filter(|_| is_current()) else {
            let message = format!("{} is about to give up its volume.", node_first(id));
            return Replacement {
                goes: is_going.then_some(id),
                holds_moves: true,
                ..waits(Some(status), replacing(message))
            };
        };
        let answer = self.platform.replace(id, volume, settings).await;
        let what = sight.nodes.iter().find(|node| node.id == id);
        let what = what.map_or("is not there", |node| node.message.as_str());
        let message = format!(
            "{} gives up its volume and gets an empty one ({what}).",
            node_first(id)
        );
        let verdict = answer
            .as_ref()
            .map_or_else(not_yet_verdict, |_| replacing(message));
        let done = format!("{} gives up its volume and gets an empty one", node(id));
        Replacement {
            goes: Some(id),
            // it may serve until it is gone; where that is refused it has no turn to wait for
            holds_moves: answer.is_ok() || is_going,
            done: answer.is_ok_and(|goes_now| goes_now).then_some(done),
            ..waits(Some(status), verdict)
        }
    }

    /// Waits until a node has what the others have.
    async fn catch_up(
        &mut self,
        mut status: ReplacementStatus,
        sight: &Sight<'_>,
        is_current: &dyn Fn() -> bool,
    ) -> Replacement {
        let id = status.id;
        status.phase = ReplacementPhase::CatchingUp;
        if sight.volume.is_none() {
            return self.wait_for_volume(status, sight, is_current).await;
        }
        let lacks = lacks(id, &sight.nodes, &self.health().await);
        match lacks {
            Some(lacks) => {
                let message = format!("{} is to have an empty volume: {lacks}.", node_first(id));
                waits(Some(status), replacing(message))
            }
            None => {
                status.phase = ReplacementPhase::Replaced;
                status.done.clear();
                let done = format!("{} has on its new volume what it is to have", node(id));
                Replacement {
                    status: Some(status),
                    done: Some(done),
                    ..Replacement::default()
                }
            }
        }
    }

    /// Has a node that has no volume get one. Its process has nothing to start on; one that runs
    /// has what its claim stood for, and is ended where that harms nobody.
    async fn wait_for_volume(
        &mut self,
        status: ReplacementStatus,
        sight: &Sight<'_>,
        is_current: &dyn Fn() -> bool,
    ) -> Replacement {
        let id = status.id;
        let runs = sight.nodes.iter().any(|node| node.id == id && node.runs);
        let hindrance = match runs {
            true => self.hindrance(id, sight).await,
            false => None,
        };
        if hindrance.is_none()
            && is_current()
            && let Some(settings) = sight.desired.get(&id)
            && let Err(why) = self.platform.replace(id, None, settings).await
        {
            return waits(Some(status), not_yet_verdict(&why));
        }
        let lacks = "is to have an empty volume: it has no volume yet";
        let (reason, why) = match hindrance {
            None => (ClusterReason::ReplacingBroker, String::new()),
            Some(hindrance) => {
                let why = format!(", and its process is not ended for one: {hindrance}");
                (hindrance.reason(), why)
            }
        };
        let message = format!("{} {lacks}{why}.", node_first(id));
        waits(Some(status), Verdict::new(reason, message))
    }

    async fn hindrance(&mut self, id: i32, sight: &Sight<'_>) -> Option<Hindrance> {
        if let Some((of, why, when)) = &self.refused_volume
            && *of == id
            && when.elapsed() < REFUSED_INTERVAL
        {
            return Some(Hindrance::Refused(why.clone()));
        }
        let hindrance = self.look_for_hindrance(id, sight).await;
        self.refused_volume = match &hindrance {
            Some(Hindrance::Refused(why)) => Some((id, why.clone(), Instant::now())),
            _ => None,
        };
        hindrance
    }

    async fn look_for_hindrance(&mut self, id: i32, sight: &Sight<'_>) -> Option<Hindrance> {
        let health: Health = self.health().await;
        let check = self.check(id, &sight.nodes).await;
        let allows = sight.valid.allow_unavailable;
        // They had time to change while they were asked, and this is not undone.
        let nodes = observed_brokers(&self.platform.observe().await, sight.desired);
        hindrance(id, &nodes, &health, (&check, allows))
    }

    /// Asks a broker that serves what a restart of this node would harm.
    async fn check(&mut self, id: i32, nodes: &[ObservedBroker]) -> Result<RestartCheck, String> {
        let serves = |node: &&ObservedBroker| node.ready && node.id < FIRST_CONTROLLER;
        let mut serving = nodes.iter().filter(serves);
        match serving.find(|node| node.id != id) {
            Some(other) => self.platform.restart_check(other.id, id).await,
            None => Err("no other broker serves".to_owned()),
        }
    }
}

/// Whether a node has still the volume that it is to give up.
fn is_given_up(status: &ReplacementStatus, volume: Option<&Volume>) -> bool {
    let has = volume.map_or("", |volume| volume.id.as_str());
    status.phase == ReplacementPhase::Replacing && is_same_volume(&status.volume, has)
}

fn replacing(message: String) -> Verdict {
    Verdict::new(ClusterReason::ReplacingBroker, message)
}

fn waits(status: Option<ReplacementStatus>, verdict: Verdict) -> Replacement {
    Replacement {
        status,
        verdict: Some(verdict),
        ..Replacement::default()
    }
}

/// Nobody asks for it any more.
fn ended(status: &ReplacementStatus, what: &str) -> Replacement {
    Replacement {
        status: done_before(status),
        done: Some(format!("{} {what}", node(status.id))),
        ..Replacement::default()
    }
}

/// Its volume cannot be looked at: what goes may go still.
fn unseen(before: Option<ReplacementStatus>, why: &NotYet) -> Replacement {
    let goes = before
        .as_ref()
        .filter(|before| !why.is_stuck && before.phase == ReplacementPhase::Replacing);
    let goes = goes.map(|before| before.id);
    Replacement {
        goes,
        holds_moves: goes.is_some(),
        ..waits(before, not_yet_verdict(why))
    }
}

fn refused(before: Option<ReplacementStatus>, why: &str) -> Replacement {
    let message = format!("No volume is given up: {why}. Mend or remove the annotation {REPLACE}.");
    let verdict = Verdict::new(ClusterReason::ReplacementRefused, message);
    waits(before, verdict)
}

fn hindered(id: i32, status: Option<ReplacementStatus>, hindrance: &Hindrance) -> Replacement {
    let message = format!(
        "{} does not give up its volume: {hindrance}.",
        node_first(id)
    );
    Replacement {
        holds_moves: matches!(hindrance, Hindrance::Waits(Obstacle::Moving { .. })),
        ..waits(status, Verdict::new(hindrance.reason(), message))
    }
}
