//! The active controller: one task that decides requests and keeps the brokers' leases.
//!
//! Requests that wait are decided together, each on the outcome of those before it; their records
//! become one entry of the log, and they are answered when it is applied. Leases live in memory
//! only: a new active controller gives every unfenced broker a fresh one, but asks first whether
//! the broker's process is there at all.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::error::{ClientWriteError, RaftError};
use ottla_core::metadata::request::{
    BrokerHeartbeat, FenceBroker, FormatCluster, RebalanceLeaders,
};
use ottla_core::metadata::{Metadata, Moment, Request, Response};
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::machine::encode_records;
use super::raft::{Records, Types};
use super::{ATTEMPT_TIMEOUT, Handle, RETRY_INTERVAL};
use crate::peer::wire;

/// Requests decided together at most.
const BATCH_REQUESTS_MAX: usize = 256;

/// How long a new active controller may take to know all that is committed.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// When a suspected broker is looked at: after these waits, one after another.
const PROBE_WAITS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// How long one wait for a change lasts before it is begun anew.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3600);

/// How often the task looks whether it is active, where nothing else wakes it.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);

/// What the task is told.
pub enum Message {
    /// A request to decide.
    Submit {
        /// The request.
        request: Request,
        /// Where the outcome goes.
        reply: oneshot::Sender<Outcome>,
    },
    /// A broker renews its lease.
    Beat {
        /// What it says.
        beat: wire::Beat,
        /// How it stands; dropped where this node is not active.
        reply: oneshot::Sender<wire::Standing>,
    },
    /// A broker's connection broke, or its process is gone: worth a look before its lease ends.
    Suspect {
        /// The broker.
        node_id: NodeId,
    },
    /// This node's part in the quorum changed.
    Wake,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// It was decided, and what it changed is applied.
    Done {
        /// The answer.
        response: Response,
        /// The index in the metadata log after which the outcome is visible.
        applied: u64,
    },
    /// Nothing was done: this node is not the active controller.
    NotController,
    /// It may or may not have been carried out.
    Uncertain,
}

/// A request of a batch, and who waits for it.
enum Waiter {
    Submit(oneshot::Sender<Outcome>),
    Beat(u64, oneshot::Sender<wire::Standing>),
    Nobody,
}

/// A broker's lease.
#[derive(Clone, Copy, Debug)]
struct Session {
    broker_epoch: BrokerEpoch,
    until: Instant,
}

/// The task's state.
pub struct Active {
    handle: Handle,
    /// The term in which this node is active and knows all that is committed.
    term: Option<u64>,
    sessions: BTreeMap<NodeId, Session>,
    /// Whether a majority was out of reach: leases are fresh once it is back.
    has_lost_quorum: bool,
    /// When preferred leaders are looked at next.
    rebalance_at: Instant,
}

impl Active {
    /// Not active yet.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            term: None,
            sessions: BTreeMap::new(),
            has_lost_quorum: false,
            rebalance_at: Instant::now(),
        }
    }

    /// Runs as long as the handle's senders live.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let deadline = self.next_deadline();
            let first = tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => message,
                    None => return,
                },
                changed = self.leadership_changed() => match changed {
                    true => Message::Wake,
                    false => return, // openraft has stopped
                },
                () = tokio::time::sleep_until(deadline) => Message::Wake,
            };
            let mut messages = vec![first];
            while messages.len() < BATCH_REQUESTS_MAX
                && let Ok(message) = inbox.try_recv()
            {
                messages.push(message);
            }
            if self.ensure_active().await {
                self.serve(messages).await;
            } else {
                refuse(messages);
            }
        }
    }

    /// Waits until this node became or ceased to be the leader of a term; false: openraft stopped.
    async fn leadership_changed(&self) -> bool {
        let me = self.handle.node_id().0 as u64;
        let known = self.term;
        let changed = move |m: &openraft::RaftMetrics<Types>| {
            (m.current_leader == Some(me)).then_some(m.current_term) != known
        };
        loop {
            let wait = self.handle.shared.raft.wait(Some(WAIT_TIMEOUT));
            match wait.metrics(changed, "leadership changed").await {
                Ok(_) => return true,
                Err(openraft::metrics::WaitError::Timeout(..)) => {}
                Err(_) => return false,
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let idle = Instant::now() + IDLE_INTERVAL;
        let sessions = self.sessions.values().map(|session| session.until);
        sessions.chain([idle]).min().unwrap_or(idle)
    }

    /// Whether this node leads and has applied all that was committed before it did.
    async fn ensure_active(&mut self) -> bool {
        let raft = &self.handle.shared.raft;
        let (leader, term, has_quorum) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            let has_quorum = self.has_quorum(&metrics);
            (metrics.current_leader, metrics.current_term, has_quorum)
        };
        if leader != Some(self.handle.node_id().0 as u64) {
            if self.term.take().is_some() {
                info!("no longer the active controller");
                self.sessions.clear();
            }
            return false;
        }
        if !has_quorum {
            // leases end now, also those of brokers on this side
            self.has_lost_quorum = true;
            tokio::time::sleep(RETRY_INTERVAL).await;
            return false;
        }
        if self.term == Some(term) {
            if std::mem::take(&mut self.has_lost_quorum) {
                self.begin_sessions();
            }
            return true;
        }
        self.has_lost_quorum = false;
        // An entry of its own tells that all before it is applied. openraft's read index does not:
        // a leader that restarts leads on in its term, and knows of nothing it had committed then.
        let barrier = raft.client_write(Records(Bytes::new()));
        let known = tokio::time::timeout(CATCH_UP_TIMEOUT, barrier).await;
        if !matches!(known, Ok(Ok(written)) if written.log_id.leader_id.term == term) {
            tokio::time::sleep(RETRY_INTERVAL).await;
            return false;
        }
        info!("active controller in term {term}");
        self.term = Some(term);
        self.rebalance_at = Instant::now() + self.rebalance_interval();
        self.begin_sessions();
        true
    }

    /// Whether a majority of the voters has lately accepted this node as the leader. openraft goes
    /// on leading without, so it must be asked.
    fn has_quorum(&self, metrics: &openraft::RaftMetrics<Types>) -> bool {
        let limit = self.handle.shared.settings.session_timeout * 2 / 3;
        self.since_quorum_acked(metrics) < limit
    }

    fn since_quorum_acked(&self, metrics: &openraft::RaftMetrics<Types>) -> Duration {
        let acked = metrics.last_quorum_acked.as_ref();
        match acked {
            Some(acked) if self.handle.shared.settings.controller_quorum_voters.len() > 1 => {
                acked.elapsed()
            }
            _ => Duration::ZERO,
        }
    }

    /// What a beat is answered with. Another controller may have been elected right after a
    /// majority last accepted this one; it lets old leases run out before it fences anybody, so
    /// they are counted from then.
    fn lease(&self) -> Duration {
        let metrics = self.handle.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let session_timeout = self.handle.shared.settings.session_timeout;
        session_timeout.saturating_sub(self.since_quorum_acked(&metrics))
    }

    fn rebalance_interval(&self) -> Duration {
        let seconds = self
            .handle
            .shared
            .settings
            .leader_imbalance_check_interval_seconds;
        Duration::from_secs(seconds)
    }

    fn metadata(&self) -> Metadata {
        let state = self.handle.shared.state.lock();
        state
            .unwrap_or_else(PoisonError::into_inner)
            .metadata
            .clone()
    }

    /// Gives every unfenced broker a fresh lease, and looks whether it is there.
    fn begin_sessions(&mut self) {
        let until = Instant::now() + self.handle.shared.settings.session_timeout;
        let metadata = self.metadata();
        self.sessions.clear();
        for broker in metadata
            .image()
            .brokers
            .values()
            .filter(|broker| !broker.fenced)
        {
            let session = Session {
                broker_epoch: broker.broker_epoch,
                until,
            };
            self.sessions.insert(broker.node_id, session);
            self.look_at(broker.node_id);
        }
    }

    /// Ends the lease of a broker whose port for peers refuses connections: its process is gone.
    fn look_at(&self, node_id: NodeId) {
        let handle = self.handle.clone();
        if node_id == handle.node_id() {
            return;
        }
        let Some(session) = self.sessions.get(&node_id).copied() else {
            return;
        };
        let metadata = self.metadata();
        let Some(broker) = metadata.image().brokers.get(&node_id) else {
            return;
        };
        let address = format!("{}:{}", broker.peer.host, broker.peer.port);
        tokio::spawn(async move {
            // a process that ends closes its connections before its listeners, some time apart
            let mut refused = false;
            for wait in PROBE_WAITS {
                tokio::time::sleep(wait).await;
                refused = !handle.shared.peers.probe(&address).await;
                if refused {
                    break;
                }
            }
            if !refused {
                return;
            }
            warn!("broker {node_id} is gone: {address} refuses connections");
            let fence = FenceBroker {
                node_id,
                broker_epoch: session.broker_epoch,
            };
            handle.submit_here(Request::FenceBroker(fence)).await;
        });
    }

    /// Decides `messages` as one batch, makes the outcome durable, and answers.
    async fn serve(&mut self, messages: Vec<Message>) {
        let mut metadata = self.metadata();
        let mut records = Vec::new();
        let mut outcomes = Vec::new();
        for (request, waiter) in self.requests(messages, &metadata) {
            let moment = Moment {
                now_ms: self.handle.shared.env.unix_ms(),
                seed: self.handle.shared.env.random(),
            };
            let decision = metadata.decide(moment, &request);
            for record in &decision.records {
                metadata.replay(record);
            }
            records.extend(decision.records);
            outcomes.push((waiter, decision.response));
        }
        let applied = if records.is_empty() {
            *self.handle.shared.applied.borrow()
        } else {
            let entry = Records(encode_records(&records));
            let written = self.handle.shared.raft.client_write(entry);
            match tokio::time::timeout(ATTEMPT_TIMEOUT, written).await {
                Ok(Ok(written)) => written.log_id.index,
                Ok(Err(error)) => return self.fail(outcomes, &error),
                Err(_) => {
                    // it may be yet: nothing is decided before this node is sure again of what is
                    self.term = None;
                    return self.sessions.clear();
                }
            }
        };
        for (waiter, response) in outcomes {
            self.answer(waiter, response, applied);
        }
    }

    /// The requests that the messages come to, and those that are due by themselves.
    fn requests(&mut self, messages: Vec<Message>, metadata: &Metadata) -> Vec<(Request, Waiter)> {
        let mut requests = Vec::new();
        if metadata.image().cluster_id.is_empty() {
            let env = &self.handle.shared.env;
            let wanted = self.handle.shared.settings.cluster_id.clone();
            let cluster_id = wanted.unwrap_or_else(|| env.random_uuid().to_string());
            requests.push((
                Request::FormatCluster(FormatCluster { cluster_id }),
                Waiter::Nobody,
            ));
        }
        for message in messages {
            match message {
                Message::Submit { request, reply } => {
                    if let Request::FenceBroker(fence) = &request {
                        self.sessions.remove(&fence.node_id);
                    }
                    requests.push((request, Waiter::Submit(reply)));
                }
                Message::Beat { beat, reply } => {
                    self.handle.trust(NodeId(beat.node_id as i32));
                    let request = self.renew(&beat);
                    requests.push((request, Waiter::Beat(beat.number, reply)));
                }
                Message::Suspect { node_id } => {
                    self.handle.suspect(node_id);
                    self.look_at(node_id);
                }
                Message::Wake => {}
            }
        }
        let now = Instant::now();
        if self.handle.shared.settings.auto_leader_rebalance && self.rebalance_at <= now {
            self.rebalance_at = now + self.rebalance_interval();
            let imbalance_percent_max = self.handle.shared.settings.leader_imbalance_percent_max;
            let rebalance = RebalanceLeaders {
                imbalance_percent_max,
            };
            requests.push((Request::RebalanceLeaders(rebalance), Waiter::Nobody));
        }
        for (node_id, session) in &self.sessions {
            if session.until <= now {
                let broker_epoch = session.broker_epoch;
                let fence = FenceBroker {
                    node_id: *node_id,
                    broker_epoch,
                };
                warn!("broker {node_id} is fenced: its lease has run out");
                requests.push((Request::FenceBroker(fence), Waiter::Nobody));
            }
        }
        self.sessions.retain(|_, session| session.until > now);
        requests
    }

    fn renew(&mut self, beat: &wire::Beat) -> Request {
        let node_id = NodeId(beat.node_id as i32);
        let broker_epoch = BrokerEpoch(beat.broker_epoch);
        let until = Instant::now() + self.handle.shared.settings.session_timeout;
        let session = self.sessions.entry(node_id).or_insert(Session {
            broker_epoch,
            until,
        });
        if session.broker_epoch <= broker_epoch {
            *session = Session {
                broker_epoch,
                until,
            };
        }
        Request::BrokerHeartbeat(BrokerHeartbeat {
            node_id,
            broker_epoch,
            ready: beat.ready,
            want_shut_down: beat.want_shut_down,
        })
    }

    fn answer(&mut self, waiter: Waiter, response: Response, applied: u64) {
        // who asked may have gone away meanwhile
        match waiter {
            Waiter::Nobody => {}
            Waiter::Submit(reply) => {
                let _ = reply.send(Outcome::Done { response, applied });
            }
            Waiter::Beat(number, reply) => {
                let lease_ms = self.lease().as_millis() as u64;
                let standing = match response {
                    Response::BrokerHeartbeat(Ok(standing)) => wire::Standing {
                        number,
                        lease_ms,
                        is_fenced: standing.is_fenced,
                        should_shut_down: standing.should_shut_down,
                        unknown: false,
                    },
                    _ => wire::Standing {
                        number,
                        unknown: true,
                        ..Default::default()
                    },
                };
                let _ = reply.send(standing);
            }
        }
    }

    fn fail(
        &mut self,
        outcomes: Vec<(Waiter, Response)>,
        error: &RaftError<Types, ClientWriteError<Types>>,
    ) {
        let refused = matches!(
            error,
            RaftError::APIError(ClientWriteError::ForwardToLeader(_))
        );
        info!("a metadata change was not committed here: {error}");
        for (waiter, _) in outcomes {
            if let Waiter::Submit(reply) = waiter {
                let outcome = if refused {
                    Outcome::NotController
                } else {
                    Outcome::Uncertain
                };
                let _ = reply.send(outcome);
            }
        }
    }
}

/// Answers messages that came to a node that is not active; beats are answered by dropping them.
fn refuse(messages: Vec<Message>) {
    for message in messages {
        if let Message::Submit { reply, .. } = message {
            let _ = reply.send(Outcome::NotController);
        }
    }
}
