//! The active controller: one task that decides requests and keeps the brokers' leases.
//!
//! Requests that wait are decided together, each on the outcome of those before it; their records
//! become one entry of the log, or a few where they are many, and they are answered when it is
//! applied. Whether this node may
//! decide, who holds a lease and who has lost it is `core::liveness`'s.

mod unwritten;

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use ottla_core::image::MetadataImage;
use ottla_core::liveness::{self, Liveness, Look, Part};
use ottla_core::metadata::metered::Mutations;
use ottla_core::metadata::request::tokens::RemoveExpiredTokens;
use ottla_core::metadata::request::{BrokerHeartbeat, FormatCluster, RebalanceLeaders};
use ottla_core::metadata::{Decision, Metadata, Moment, Request, Response};
use ottla_core::planted::{self, Planted};
use ottla_core::quota::window::Sampling;
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::machine::encode_records;
use super::raft::{Records, Types};
use super::{Handle, QUEUE_REQUESTS_MAX, RETRY_INTERVAL, WAIT_TIMEOUT};
use crate::peer::wire;
use crate::threads;
use unwritten::Unwritten;

/// How long the records of an entry are about at most: those of the request with which they come to
/// more are the last. An entry goes to another voter in one message, which is at most
/// [`crate::peer::MESSAGE_BYTES_MAX`] long.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// How long a new active controller may take to know all that is committed.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);

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
    Beat(wire::Beat, oneshot::Sender<wire::Standing>),
    Nobody,
}

impl Waiter {
    /// Whether it waits no more. What it asked for was told to have failed, and may have been asked
    /// again.
    fn has_gone(&self) -> bool {
        matches!(self, Self::Submit(reply) if reply.is_closed())
    }

    /// Says that nothing was done; a beat is answered by dropping it.
    fn refuse(self) {
        if let Self::Submit(reply) = self {
            let _ = reply.send(Outcome::NotController);
        }
    }
}

/// The task's state.
pub struct Active {
    handle: Handle,
    liveness: Liveness,
    mutations: Mutations,
    /// When delegation tokens were last looked at that may have ended.
    tokens_seen: Duration,
}

impl Active {
    /// Not active yet.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        let settings = &handle.shared.settings;
        let rebalance = Duration::from_secs(settings.leader_imbalance_check_interval_seconds);
        let liveness = Liveness::new(liveness::Settings {
            session_timeout: settings.session_timeout,
            rebalance_interval: settings.auto_leader_rebalance.then_some(rebalance),
        });
        let (windows, seconds) = (
            settings.controller_quota_windows,
            settings.controller_quota_window_seconds,
        );
        let mutations = Mutations::new(Sampling::new(windows, seconds));
        Self {
            handle,
            liveness,
            mutations,
            tokens_seen: Duration::ZERO,
        }
    }

    /// Runs as long as the handle's senders live.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let idle = self.until_next_deadline();
            let first = tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => message,
                    None => return,
                },
                changed = self.leadership_changed() => match changed {
                    true => Message::Wake,
                    false => return, // openraft has stopped
                },
                () = tokio::time::sleep(idle) => Message::Wake,
            };
            let mut messages = vec![first];
            // all that wait: nobody is taken for silent whose beat is among them
            while messages.len() <= QUEUE_REQUESTS_MAX
                && let Ok(message) = inbox.try_recv()
            {
                messages.push(message);
            }
            if self.ensure_active().await {
                self.handle.finish_change();
                self.handle.give_up_without_vote();
                self.serve(messages).await;
            } else {
                refuse(messages);
            }
        }
    }

    /// Waits until this node became or ceased to be the leader of a term; false: openraft stopped.
    async fn leadership_changed(&self) -> bool {
        let me = self.handle.node_id().0 as u64;
        let known = self.liveness.term();
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

    fn until_next_deadline(&self) -> Duration {
        let now = self.handle.shared.env.now();
        let deadline = self.liveness.next_deadline();
        deadline.map_or(IDLE_INTERVAL, |at| {
            at.saturating_sub(now).min(IDLE_INTERVAL)
        })
    }

    /// What this node knows of the quorum.
    fn quorum(&self) -> liveness::Quorum {
        let shared = &self.handle.shared;
        let metrics = shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.current_leader == Some(self.handle.node_id().0 as u64);
        let acked = metrics.last_quorum_acked.as_ref();
        let voters = metrics.membership_config.membership().voter_ids();
        let is_alone = voters.count() == 1;
        liveness::Quorum {
            term_led: leads.then_some(metrics.current_term),
            since_acked: acked
                .filter(|_| !is_alone)
                .map_or(Duration::ZERO, |acked| acked.elapsed()),
        }
    }

    /// Whether this node leads and has applied all that was committed before it did.
    async fn ensure_active(&mut self) -> bool {
        let was_active = self.liveness.term().is_some();
        let term = match self.liveness.observe(self.quorum()) {
            Part::Active => return true,
            Part::Follower => {
                if was_active {
                    info!("no longer the active controller");
                }
                return false;
            }
            Part::CutOff => {
                tokio::time::sleep(RETRY_INTERVAL).await;
                return false;
            }
            Part::Back(term) => term,
            Part::New(term) => {
                if !self.catch_up(term).await {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    return false;
                }
                info!("active controller in term {term}");
                term
            }
        };
        let now = self.handle.shared.env.now();
        let (metadata, applied) = self.applied();
        for look in self.liveness.begin(now, term, (metadata.image(), applied)) {
            self.look_at(look);
        }
        true
    }

    /// Waits until all is applied that was committed before `term`. An entry of its own tells that
    /// it is. openraft's read index does not: a leader that restarts leads on in its term, and
    /// knows of nothing it had committed then.
    async fn catch_up(&self, term: u64) -> bool {
        if planted::is(Planted::NoBarrier) {
            return true;
        }
        let barrier = self.handle.shared.raft.client_write(Records(Bytes::new()));
        let known = tokio::time::timeout(CATCH_UP_TIMEOUT, barrier).await;
        matches!(known, Ok(Ok(written)) if written.log_id.leader_id.term == term)
    }

    /// The metadata, and the entry of the log as of which they are.
    fn applied(&self) -> (Metadata, u64) {
        let state = self.handle.shared.state.lock();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        (state.metadata.clone(), state.applied())
    }

    /// Has a broker fenced whose process is gone.
    fn look_at(&self, mut look: Look) {
        let handle = self.handle.clone();
        let node_id = look.node_id();
        if node_id == handle.node_id() {
            return;
        }
        let Some(address) = handle.peer_address(node_id) else {
            return;
        };
        threads::spawn(async move {
            while let Some(wait) = look.next_wait() {
                tokio::time::sleep(wait).await;
                let sight = handle.shared.peers.sight(node_id, &address).await;
                if let Some(fence) = look.conclude(sight) {
                    warn!("broker {node_id} is gone: {address} refuses connections");
                    handle.submit_here(Request::FenceBroker(fence)).await;
                    return;
                }
            }
        });
    }

    /// Decides `messages` in their order, makes the outcome durable, and answers.
    async fn serve(&mut self, messages: Vec<Message>) {
        let (mut metadata, _) = self.applied();
        let mut requests = VecDeque::from(self.requests(messages, &metadata));
        metadata.set_unaware(self.liveness.unaware().clone());
        metadata.set_full(self.liveness.full_disks(self.handle.shared.env.now()));
        while !requests.is_empty() {
            if !self.serve_some(&mut metadata, &mut requests).await {
                // it may be committed yet, and what the beats said is lost: nothing is decided
                // before this node is sure again of what is, and has heard all anew
                self.liveness.forget();
                return requests.into_iter().for_each(|(_, waiter)| waiter.refuse());
            }
        }
    }

    /// Takes requests until their records fill an entry, decides and answers them; says whether
    /// that is committed.
    async fn serve_some(
        &mut self,
        metadata: &mut Metadata,
        requests: &mut VecDeque<(Request, Waiter)>,
    ) -> bool {
        let before = metadata.image().clone();
        let mut records = Vec::new();
        let mut entry = BytesMut::new();
        let mut outcomes = Vec::new();
        while entry.len() < ENTRY_BYTES_MAX
            && let Some((request, waiter)) = requests.pop_front()
        {
            if waiter.has_gone() {
                continue;
            }
            let decision = self.decide(metadata, &request);
            outcomes.push((waiter, decision.response));
            match encode_records(&decision.records) {
                Ok(encoded) => entry.extend_from_slice(&encoded),
                Err(error) => {
                    Unwritten::encoded(&error).answer(outcomes);
                    return false;
                }
            }
            records.extend(decision.records);
        }
        let applied = if records.is_empty() {
            *self.handle.shared.applied.borrow()
        } else {
            match self.write(entry.freeze()).await {
                Ok(index) => index,
                Err(unwritten) => {
                    unwritten.answer(outcomes);
                    return false;
                }
            }
        };
        self.liveness.committed(&before, &records, applied);
        for (waiter, response) in outcomes {
            self.answer(waiter, response, applied);
        }
        true
    }

    /// Decides one request, and has the metadata be as it says.
    fn decide(&mut self, metadata: &mut Metadata, request: &Request) -> Decision {
        let now = self.handle.shared.env.now();
        let purse = self.mutations.purse(now, metadata.image(), request);
        let moment = Moment {
            now_ms: self.handle.shared.env.unix_ms(),
            seed: self.handle.shared.env.random(),
            purse,
        };
        let decision = metadata.decide(moment, request);
        if purse.is_some() {
            let (image, records) = (metadata.image(), &decision.records);
            self.mutations.charge(now, image, request, records);
        }
        for record in &decision.records {
            metadata.replay(record);
        }
        decision
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
                    requests.push((request, Waiter::Submit(reply)));
                }
                Message::Beat { beat, reply } => {
                    self.handle.trust(NodeId(beat.node_id as i32));
                    let request = self.renew(&beat, metadata.image());
                    requests.push((request, Waiter::Beat(beat, reply)));
                }
                Message::Suspect { node_id } => {
                    self.handle.suspect(node_id);
                    if let Some(look) = self.liveness.look(node_id) {
                        self.look_at(look);
                    }
                }
                Message::Wake => {}
            }
        }
        let settings = &self.handle.shared.settings;
        let now = self.handle.shared.env.now();
        let due = self.liveness.due(now, metadata.image());
        for fence in due.fences {
            warn!("broker {} is fenced: its lease has run out", fence.node_id);
            requests.push((Request::FenceBroker(fence), Waiter::Nobody));
        }
        if due.rebalances {
            let rebalance = RebalanceLeaders {
                imbalance_percent_max: settings.leader_imbalance_percent_max,
            };
            requests.push((Request::RebalanceLeaders(rebalance), Waiter::Nobody));
        }
        if now >= self.tokens_seen + settings.delegation_token_check_interval {
            self.tokens_seen = now;
            if !metadata.image().delegation_tokens.is_empty() {
                let sweep = Request::RemoveExpiredTokens(RemoveExpiredTokens {});
                requests.push((sweep, Waiter::Nobody));
            }
        }
        requests
    }

    fn renew(&mut self, beat: &wire::Beat, image: &MetadataImage) -> Request {
        let node_id = NodeId(beat.node_id as i32);
        let broker_epoch = BrokerEpoch(beat.broker_epoch);
        let now = self.handle.shared.env.now();
        self.liveness.beat(now, node_id, broker_epoch);
        let broker = (node_id, broker_epoch);
        self.liveness.disk(now, broker, beat.disk_full, image);
        let has_heard = self.liveness.hears(node_id, beat.applied);
        Request::BrokerHeartbeat(BrokerHeartbeat {
            node_id,
            broker_epoch,
            ready: beat.ready && self.liveness.has_seen_losses(node_id, beat.applied),
            want_shut_down: beat.want_shut_down,
            has_heard,
        })
    }

    fn answer(&mut self, waiter: Waiter, response: Response, applied: u64) {
        // who asked may have gone away meanwhile
        match waiter {
            Waiter::Nobody => {}
            Waiter::Submit(reply) => {
                let _ = reply.send(Outcome::Done { response, applied });
            }
            Waiter::Beat(beat, reply) => {
                let (number, node) = (beat.number, NodeId(beat.node_id as i32));
                let lease = self.liveness.lease(self.quorum(), node, beat.applied);
                let lease_ms = lease.as_millis() as u64;
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
}

/// Answers messages that came to a node that is not active; beats are answered by dropping them.
fn refuse(messages: Vec<Message>) {
    for message in messages {
        if let Message::Submit { reply, .. } = message {
            let _ = reply.send(Outcome::NotController);
        }
    }
}
