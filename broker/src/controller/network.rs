//! openraft's calls to other nodes, over gRPC.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{BasicNode, RaftNetworkFactory, RaftNetworkV2};
use ottla_protocol::ids::NodeId;
use tonic::transport::Channel;

use super::identity::Identity;
use super::machine::Snapshot;
use super::raft::{
    Types, Vote, append_to_wire, appended_from_wire, ballot_to_wire, log_id_to_wire,
    snapshot_meta_to_wire, vote_from_wire, vote_to_wire, voted_from_wire,
};
use crate::config::Voter;
use crate::peer::{PeerClient, Peers, wire};

/// A snapshot travels in parts of this size.
const SNAPSHOT_PART_BYTES: usize = 1 << 20;

/// How long a node that was not reached is left alone.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Makes the connections that openraft asks for.
#[derive(Clone)]
pub struct Factory {
    /// Connections to peers.
    pub peers: Peers,
    /// Of which cluster this node is.
    pub identity: Identity,
    /// Where the voters are: settings, which win over what the log remembers.
    pub voters: Vec<Voter>,
}

/// The way to one node.
pub struct Connection {
    client: PeerClient<Channel>,
    identity: Identity,
}

impl Connection {
    fn request<T>(&self, message: T, option: &RPCOption) -> tonic::Request<T> {
        let mut request = self.identity.sign(tonic::Request::new(message));
        request.set_timeout(option.soft_ttl());
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
            identity: self.identity.clone(),
        }
    }
}

/// Every failure counts as "not reached": openraft then tries again after the backoff.
fn unreachable<E: std::error::Error + 'static>(error: E) -> Unreachable<Types> {
    Unreachable::new(&error)
}

/// Awaits `call` no longer than openraft allows.
async fn within<T>(
    option: &RPCOption,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Unreachable<Types>> {
    match tokio::time::timeout(option.soft_ttl(), call).await {
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
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failure> {
        let request = self.request(append_to_wire(&rpc), &option);
        let call = self.client.append(request);
        let response = within(&option, call).await?;
        Ok(appended_from_wire(response).map_err(unreachable)?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        let request = self.request(ballot_to_wire(&rpc), &option);
        let call = self.client.vote(request);
        let response = within(&option, call).await?;
        Ok(voted_from_wire(&response).map_err(unreachable)?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        let request = self.request(ballot_to_wire(&rpc), &option);
        let call = self.client.pre_vote(request);
        let response = within(&option, call).await?;
        Ok(voted_from_wire(&response).map_err(unreachable)?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let mut first = Some((vote_to_wire(&vote), snapshot_meta_to_wire(&snapshot.meta)));
        let mut left = snapshot.snapshot;
        let mut parts = Vec::new();
        while first.is_some() || !left.is_empty() {
            let data = left.split_to(left.len().min(SNAPSHOT_PART_BYTES));
            let (vote, meta) = first.take().unzip();
            parts.push(wire::SnapshotPart { vote, meta, data });
        }
        let request = self.identity.sign(tonic::Request::new(stream::iter(parts)));
        let call = self.client.install_snapshot(request);
        let response = tokio::select! {
            closed = cancel => return Err(closed.into()),
            response = within(&option, call) => response?,
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
        let request = self.request(message, &option);
        within(&option, self.client.transfer_leader(request)).await?;
        Ok(Ok(()))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RETRY_INTERVAL)))
    }
}
