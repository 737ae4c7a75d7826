//! openraft's calls to other nodes, over gRPC.
//!
//! Invariant: on a link of whatever speed, what is to be sent arrives at last. So a call carries no
//! more entries than a slow link takes in time, and a snapshot has a deadline for each of its parts
//! instead of one for the whole.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{BasicNode, EntryPayload, RaftNetworkFactory, RaftNetworkV2};
use ottla_protocol::ids::NodeId;
use tokio::sync::watch;
use tonic::transport::Channel;

use super::identity::Identity;
use super::machine::Snapshot;
use super::raft::{
    Entry, Types, Vote, append_to_wire, appended_from_wire, ballot_to_wire, log_id_to_wire,
    snapshot_meta_to_wire, vote_from_wire, vote_to_wire, voted_from_wire,
};
use crate::config::Voter;
use crate::defaults::APPEND_TIMEOUT;
use crate::peer::{PeerClient, Peers, wire};

/// A snapshot travels in parts of this size.
const SNAPSHOT_PART_BYTES: usize = 64 << 10;

/// Entries of so many bytes go in one call; one that is larger by itself goes alone.
const APPEND_BYTES_MAX: usize = 256 << 10;

/// How long a node that was not reached is left alone.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Where nodes are that have joined from another address than before, and the how many-th time it
/// was that one did. openraft keeps its way to a node as long as it leads, whatever the membership
/// says by then. Cheap to clone: all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Moved(Arc<Mutex<BTreeMap<NodeId, (u64, String)>>>);

impl Moved {
    /// The membership says that the node is there now.
    pub fn tell(&self, node: NodeId, address: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (times, told) = known.entry(node).or_default();
        if told != address {
            *times += 1;
            address.clone_into(told);
        }
    }

    /// The last time that it was told of the node, and the address.
    fn of(&self, node: NodeId) -> (u64, String) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&node).cloned().unwrap_or_default()
    }
}

/// Makes the connections that openraft asks for.
#[derive(Clone)]
pub struct Factory {
    /// Connections to peers.
    pub peers: Peers,
    /// Of which cluster this node is.
    pub identity: Identity,
    /// Where the voters are: settings, which win over what the log remembers.
    pub voters: Vec<Voter>,
    /// Where others are by now.
    pub moved: Moved,
}

/// The way to one node.
pub struct Connection {
    client: PeerClient<Channel>,
    peers: Peers,
    target: NodeId,
    address: String,
    identity: Identity,
    /// None of one whose address settings say.
    moved: Option<Moved>,
    /// The last time that is followed.
    moved_times: u64,
}

impl Connection {
    /// Goes to where the node is by now.
    fn follow(&mut self) {
        let Some(moved) = &self.moved else { return };
        let (times, address) = moved.of(self.target);
        if times != self.moved_times {
            self.client = self.peers.client(self.target, &address);
            (self.moved_times, self.address) = (times, address);
        }
    }

    fn request<T>(&self, message: T, limit: Duration) -> tonic::Request<T> {
        let mut request = self.identity.sign(tonic::Request::new(message));
        request.set_timeout(limit);
        request
    }
}

impl RaftNetworkFactory<Types> for Factory {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        let target = NodeId(target as i32);
        let voter = self.voters.iter().find(|voter| voter.node_id == target);
        let address = voter.map_or_else(|| node.addr.clone(), Voter::address);
        Connection {
            client: self.peers.client(target, &address),
            peers: self.peers.clone(),
            target,
            address,
            identity: self.identity.clone(),
            // what was told before now, the membership says too
            moved_times: self.moved.of(target).0,
            moved: voter.is_none().then(|| self.moved.clone()),
        }
    }
}

/// Every failure counts as "not reached": openraft then tries again after the backoff.
fn unreachable<E: std::error::Error + 'static>(error: E) -> Unreachable<Types> {
    Unreachable::new(&error)
}

/// How many of `entries` go in one call: as many as are small enough together, and at least one.
fn fitting(entries: &[Entry]) -> usize {
    let mut left = APPEND_BYTES_MAX;
    let fits = |entry: &&Entry| {
        let bytes = match &entry.payload {
            EntryPayload::Normal(records) => records.0.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        };
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    let count = entries.iter().take_while(fits).count();
    count.max(1).min(entries.len())
}

/// Awaits `call` no longer than `limit`.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Unreachable<Types>> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(unreachable(status)),
        Err(elapsed) => Err(unreachable(elapsed)),
    }
}

type Failure = RPCError<Types>;

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failure> {
        self.follow();
        let is_heartbeat = rpc.entries.is_empty();
        let sent = fitting(&rpc.entries);
        let is_cut = sent < rpc.entries.len();
        rpc.entries.truncate(sent);
        let last = rpc.entries.last().map(|entry| entry.log_id);
        let limit = if is_heartbeat {
            option.soft_ttl()
        } else {
            APPEND_TIMEOUT
        };
        let request = self.request(append_to_wire(&rpc), limit);
        let call = self.client.append(request);
        let response = within(limit, call).await?;
        match appended_from_wire(response).map_err(unreachable)? {
            AppendEntriesResponse::Success if is_cut => {
                Ok(AppendEntriesResponse::PartialSuccess(last))
            }
            response => Ok(response),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        let limit = option.soft_ttl();
        let request = self.request(ballot_to_wire(&rpc), limit);
        let response = within(limit, self.client.vote(request)).await?;
        Ok(voted_from_wire(&response).map_err(unreachable)?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        let limit = option.soft_ttl();
        let request = self.request(ballot_to_wire(&rpc), limit);
        let response = within(limit, self.client.pre_vote(request)).await?;
        Ok(voted_from_wire(&response).map_err(unreachable)?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        self.follow();
        let mut first = Some((vote_to_wire(&vote), snapshot_meta_to_wire(&snapshot.meta)));
        let mut left = snapshot.snapshot;
        let mut parts = Vec::new();
        while first.is_some() || !left.is_empty() {
            let data = left.split_to(left.len().min(SNAPSHOT_PART_BYTES));
            let (vote, meta) = first.take().unzip();
            parts.push(wire::SnapshotPart { vote, meta, data });
        }
        let (taken, mut progress) = watch::channel(());
        let parts = stream::iter(parts).inspect(move |_| {
            taken.send_replace(());
        });
        let request = self.identity.sign(tonic::Request::new(parts));
        let mut client = self.peers.client_for_bulk(self.target, &self.address);
        let mut call = pin!(client.install_snapshot(request));
        let mut cancel = pin!(cancel);
        let response = loop {
            tokio::select! {
                closed = &mut cancel => return Err(closed.into()),
                response = &mut call => break response.map_err(unreachable)?.into_inner(),
                Ok(()) = progress.changed() => {} // with the last part gone, no more comes
                () = tokio::time::sleep(option.hard_ttl()) => {
                    let still = tonic::Status::deadline_exceeded("the snapshot stands still");
                    return Err(unreachable(still).into());
                }
            }
        };
        let vote = response.vote.as_ref().map_or(vote, vote_from_wire);
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, Failure> {
        let message = wire::TransferLeaderRequest {
            from: Some(vote_to_wire(rpc.from_leader())),
            to: *rpc.to_node_id(),
            last_log_id: rpc.last_log_id().map(log_id_to_wire),
        };
        let limit = option.soft_ttl();
        let request = self.request(message, limit);
        within(limit, self.client.transfer_leader(request)).await?;
        Ok(Ok(()))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RETRY_INTERVAL)))
    }
}
