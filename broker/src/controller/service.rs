//! What this node answers its peers.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::{Stream, stream};
use openraft::BasicNode;
use openraft::raft::TransferLeaderRequest;
use ottla_core::metadata::Request as MetadataRequest;
use ottla_core::voters::Change;
use ottla_protocol::ids::NodeId;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Request, Response, Status, Streaming};

use super::active::{Message, Outcome};
use super::formation::{NO_TERM, last_entry};
use super::machine::Snapshot;
use super::raft::{
    Incomplete, LogId, append_from_wire, appended_to_wire, ballot_from_wire, log_id_from_wire,
    snapshot_meta_from_wire, vote_from_wire, vote_to_wire, voted_to_wire,
};
use super::{Handle, voters};
use crate::defaults::SNAPSHOT_PROGRESS;
use crate::peer::{Link, Peer, wire};
use crate::threads;

/// A snapshot of the metadata is refused above this size.
const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// Outcomes of batches that wait to be written to one broker's stream.
const OUTCOMES_MAX: usize = 64;

/// How long a stream is quiet before it ends, once no more are taken.
const QUIET: Duration = Duration::from_millis(200);

/// The number of no batch: no more are taken, and what was sent is answered.
pub const NO_MORE: u64 = 0;

/// The peer service of this node.
pub struct Service {
    handle: Handle,
    forwarded: Arc<OnceLock<Box<dyn TakesForwarded>>>,
}

/// Takes the batches that other brokers send on, in their order.
pub trait TakesForwarded: Send + Sync {
    /// Takes one, unless its series is broken off. The first future ends once the next one may be
    /// taken, the second gives the outcome.
    fn take(
        &self,
        batch: wire::ForwardedBatch,
        series: Series,
    ) -> BoxFuture<'static, OutcomeToCome>;

    /// Begins a stream of them; none where no more are taken.
    fn begin(&self) -> Option<TakenStream>;
}

/// Gives what became of a batch.
pub type OutcomeToCome = BoxFuture<'static, wire::ForwardedOutcome>;

/// The batches of one partition on one stream, one behind the other, from one that left with none
/// before it on its way. Once one of them is not taken, no later one is: it would be before it.
#[derive(Clone, Debug, Default)]
pub struct Series(Arc<AtomicBool>);

impl Series {
    /// One of them is in no log, and comes again.
    pub fn break_off(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether one of them was not taken.
    #[must_use]
    pub fn is_broken_off(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A stream of them.
pub struct TakenStream {
    /// Turns true once no more are taken.
    pub no_more: watch::Receiver<bool>,
    /// Kept until it ends.
    pub held: Box<dyn Send>,
}

impl TakenStream {
    /// Waits until no more are taken; what is to be said then.
    async fn no_more(&mut self) -> wire::ForwardedOutcome {
        if self.no_more.wait_for(|no_more| *no_more).await.is_err() {
            std::future::pending::<()>().await; // the process ends
        }
        wire::ForwardedOutcome {
            number: NO_MORE,
            ..wire::ForwardedOutcome::default()
        }
    }
}

impl Service {
    /// Answers in the name of `handle`'s node; `forwarded` is there once its partitions are.
    #[must_use]
    pub fn new(handle: Handle, forwarded: Arc<OnceLock<Box<dyn TakesForwarded>>>) -> Self {
        Self { handle, forwarded }
    }

    /// A node that lost its disk may have voted or acknowledged before: it does not vote again
    /// until it knows what the quorum knows.
    fn check_may_vote(&self) -> Result<(), Status> {
        if self.handle.shared.may_vote.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Status::unavailable(
            "this node does not vote before it has caught up",
        ))
    }

    /// While such a node knows what that is at least, it votes for whoever has it.
    fn check_may_vote_for(&self, last: Option<&LogId>) -> Result<(), Status> {
        let least = *self.handle.shared.votes_from.borrow();
        match least {
            Some(least) if last.map(last_entry) >= Some(least) => Ok(()),
            _ => self.check_may_vote(),
        }
    }

    /// A node that lost its disk may have voted in a later term: whoever leads in an earlier one is
    /// not followed any more.
    fn check_term(&self, term: u64) -> Result<(), Status> {
        match self.handle.shared.first_term.load(Ordering::Acquire) {
            NO_TERM => Err(Status::unavailable(
                "this node has lost its metadata, and has not heard enough voters yet",
            )),
            first if term < first => Err(Status::unavailable(format!(
                "this node has lost its metadata, and takes part from the term {first} on",
            ))),
            _ => Ok(()),
        }
    }
}

fn malformed(error: Incomplete) -> Status {
    Status::invalid_argument(error.to_string())
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Peer for Service {
    async fn append(
        &self,
        request: Request<wire::AppendRequest>,
    ) -> Answered<wire::AppendResponse> {
        self.handle.shared.identity.check(&request)?;
        let rpc = append_from_wire(request.into_inner()).map_err(malformed)?;
        self.check_term(rpc.vote.leader_id().term)?;
        let response = self
            .handle
            .shared
            .raft
            .append_entries(rpc)
            .await
            .map_err(failed)?;
        Ok(Response::new(appended_to_wire(&response)))
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Answered<wire::VoteResponse> {
        self.handle.shared.identity.check(&request)?;
        let rpc = ballot_from_wire(&request.into_inner()).map_err(malformed)?;
        self.check_may_vote_for(rpc.last_log_id.as_ref())?;
        self.check_term(rpc.vote.leader_id().term)?;
        let response = self.handle.shared.raft.vote(rpc).await.map_err(failed)?;
        Ok(Response::new(voted_to_wire(&response)))
    }

    async fn pre_vote(&self, request: Request<wire::VoteRequest>) -> Answered<wire::VoteResponse> {
        self.handle.shared.identity.check(&request)?;
        let rpc = ballot_from_wire(&request.into_inner()).map_err(malformed)?;
        self.check_may_vote_for(rpc.last_log_id.as_ref())?;
        let response = self
            .handle
            .shared
            .raft
            .pre_vote(rpc)
            .await
            .map_err(failed)?;
        Ok(Response::new(voted_to_wire(&response)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Answered<wire::SnapshotResponse> {
        self.handle.shared.identity.check(&request)?;
        let mut parts = request.into_inner();
        let mut head = None;
        let mut data = BytesMut::new();
        let stalled = |_| Status::deadline_exceeded("the snapshot stands still");
        loop {
            let part = tokio::time::timeout(SNAPSHOT_PROGRESS, parts.message()).await;
            let Some(part) = part.map_err(stalled)?? else {
                break;
            };
            if let (Some(vote), Some(meta)) = (part.vote, part.meta) {
                self.check_term(vote.term)?;
                head = Some((vote, meta));
            }
            data.extend_from_slice(&part.data);
            if data.len() > SNAPSHOT_BYTES_MAX {
                return Err(Status::resource_exhausted("the snapshot is too large"));
            }
        }
        let (vote, meta) = head.ok_or_else(|| malformed(Incomplete("head")))?;
        let meta = snapshot_meta_from_wire(&meta).map_err(malformed)?;
        let snapshot = Snapshot {
            meta,
            snapshot: data.freeze(),
        };
        let vote = vote_from_wire(&vote);
        let installed = self
            .handle
            .shared
            .raft
            .install_full_snapshot(vote, snapshot)
            .await;
        let response = installed.map_err(failed)?;
        Ok(Response::new(wire::SnapshotResponse {
            vote: Some(vote_to_wire(&response.vote)),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Answered<wire::TransferLeaderResponse> {
        self.handle.shared.identity.check(&request)?;
        self.check_may_vote()?;
        let request = request.into_inner();
        let from = request
            .from
            .as_ref()
            .ok_or_else(|| malformed(Incomplete("vote")))?;
        let last = request.last_log_id.as_ref().map(log_id_from_wire);
        let rpc = TransferLeaderRequest::new(vote_from_wire(from), request.to, last);
        let handled = self.handle.shared.raft.handle_transfer_leader(rpc).await;
        handled.map_err(failed)?.map_err(failed)?;
        Ok(Response::new(wire::TransferLeaderResponse::default()))
    }

    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Answered<wire::DescribeResponse> {
        Ok(Response::new(self.handle.describe()))
    }

    async fn submit(
        &self,
        request: Request<wire::SubmitRequest>,
    ) -> Answered<wire::SubmitResponse> {
        use wire::submit_response::Result as Answer;
        let request = MetadataRequest::decode(request.into_inner().request)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let leader = self.handle.active().map(|node| node.0 as u64);
        let (result, applied) = match self.handle.submit_here(request).await {
            Outcome::Done { response, applied } => match response.encode() {
                Ok(response) => (Answer::Response(response), applied),
                // it was carried out, and cannot be said
                Err(_) => (Answer::Uncertain(true), 0),
            },
            Outcome::NotController => (Answer::NotController(wire::NotController { leader }), 0),
            Outcome::Uncertain => (Answer::Uncertain(true), 0),
        };
        Ok(Response::new(wire::SubmitResponse {
            result: Some(result),
            applied,
        }))
    }

    async fn join(&self, request: Request<wire::JoinRequest>) -> Answered<wire::JoinResponse> {
        use wire::join_response::Result as Answer;
        let request = request.into_inner();
        let raft = &self.handle.shared.raft;
        let leader = self.handle.active().map(|node| node.0 as u64);
        let known = self.handle.image();
        let result = if !raft.is_leader() {
            Answer::NotController(wire::NotController { leader })
        } else if !request.cluster_id.is_empty() && *request.cluster_id != *known.cluster_id {
            Answer::Refused(format!(
                "node {} belongs to cluster {}, this is cluster {}",
                request.node_id, request.cluster_id, known.cluster_id
            ))
        } else {
            let node = BasicNode::new(&request.address);
            let set = openraft::ChangeMembers::SetNodes([(request.node_id, node)].into());
            raft.change_membership(set, true).await.map_err(failed)?;
            let node = NodeId(request.node_id as i32);
            self.handle.shared.moved.tell(node, &request.address);
            Answer::Joined(true)
        };
        Ok(Response::new(wire::JoinResponse {
            result: Some(result),
        }))
    }

    async fn change_voter(
        &self,
        request: Request<wire::ChangeVoterRequest>,
    ) -> Answered<wire::ChangeVoterResponse> {
        self.handle.shared.identity.check(&request)?;
        let wire::ChangeVoterRequest { node_id, adds } = request.into_inner();
        let change = match adds {
            true => Change::Add(node_id),
            false => Change::Remove(node_id),
        };
        let attempt = self.handle.change_voter_here(change).await;
        let leader = self.handle.active().map(|node| node.0 as u64);
        let answer = voters::to_wire(attempt, leader).map_err(Status::unavailable)?;
        Ok(Response::new(answer))
    }

    type SessionStream = Pin<Box<dyn Stream<Item = Result<wire::Standing, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::Beat>>,
    ) -> Answered<Self::SessionStream> {
        let session = Session {
            link: request.extensions().get::<Link>().cloned(),
            beats: request.into_inner(),
            messages: self.handle.shared.messages.clone(),
            node_id: None,
        };
        let standings = stream::unfold(session, |mut session| async {
            let standing = session.next().await?;
            Some((Ok(standing), session))
        });
        Ok(Response::new(Box::pin(standings)))
    }

    type ForwardStream = Pin<Box<dyn Stream<Item = Result<wire::ForwardedOutcome, Status>> + Send>>;

    async fn forward(
        &self,
        request: Request<Streaming<wire::ForwardedBatch>>,
    ) -> Answered<Self::ForwardStream> {
        self.handle.shared.identity.check(&request)?;
        let batches = request.into_inner();
        let unavailable = |why| Status::unavailable(why);
        let opened = self.forwarded.get();
        let takes = opened.ok_or_else(|| unavailable("this broker has not opened its logs yet"))?;
        let taken = takes.begin();
        let taken = taken.ok_or_else(|| unavailable("this broker stops"))?;
        let (sender, outcomes) = mpsc::channel(OUTCOMES_MAX);
        let forwarded = Arc::clone(&self.forwarded);
        threads::spawn(take_forwarded(batches, forwarded, taken, sender));
        let outcomes = stream::unfold(outcomes, |mut outcomes| async {
            outcomes.recv().await.map(|outcome| (Ok(outcome), outcomes))
        });
        Ok(Response::new(Box::pin(outcomes)))
    }
}

/// Ends with the stream; acknowledgements that are still to come go to nobody then. A broker that
/// stops says that it takes no more, and answers what comes until the other end has heard it.
async fn take_forwarded(
    mut batches: Streaming<wire::ForwardedBatch>,
    forwarded: Arc<OnceLock<Box<dyn TakesForwarded>>>,
    mut taken: TakenStream,
    outcomes: mpsc::Sender<wire::ForwardedOutcome>,
) {
    let mut is_told = false;
    let mut all_series: BTreeMap<_, Series> = BTreeMap::new();
    while let Some(forwarded) = forwarded.get() {
        let batch = tokio::select! {
            no_more = taken.no_more(), if !is_told => {
                is_told = true;
                // the other broker may have gone meanwhile
                let _ = outcomes.send(no_more).await;
                continue;
            }
            batch = batches.message() => batch,
            // a broker of the version before does not hear it, and sends nothing all the same
            () = tokio::time::sleep(QUIET), if is_told => return,
        };
        let Ok(Some(batch)) = batch else { return };
        let partition = (batch.topic_id.clone(), batch.partition);
        let series = all_series.entry(partition).or_default();
        if batch.begins {
            *series = Series::default();
        }
        let outcome = forwarded.take(batch, series.clone()).await;
        let outcomes = outcomes.clone();
        threads::spawn(async move {
            // as above
            let _ = outcomes.send(outcome.await).await;
        });
    }
}

/// A broker's beats. When it ends, however it ends, the active controller has a look at the broker.
struct Session {
    link: Option<Link>,
    beats: Streaming<wire::Beat>,
    messages: mpsc::Sender<Message>,
    node_id: Option<NodeId>,
}

impl Session {
    async fn next(&mut self) -> Option<wire::Standing> {
        let beat = self.beats.message().await.ok()??;
        let node_id = NodeId(beat.node_id as i32);
        if let (None, Some(link)) = (self.node_id, &self.link) {
            link.belongs_to(node_id);
        }
        self.node_id = Some(node_id);
        let (reply, standing) = oneshot::channel();
        self.messages
            .send(Message::Beat { beat, reply })
            .await
            .ok()?;
        standing.await.ok() // dropped: not active any more, so the broker looks for another
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(node_id) = self.node_id {
            // a full queue means the controller is busy; the lease then does it
            let _ = self.messages.try_send(Message::Suspect { node_id });
        }
    }
}
