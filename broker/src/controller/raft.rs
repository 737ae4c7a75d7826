//! The types that openraft works with here, and their form on the wire and on disk.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{BasicNode, EntryPayload};

use crate::peer::wire;

openraft::declare_raft_types!(
    /// What the metadata quorum is made of: entries are batches of metadata records.
    pub Types:
        D = Records,
        R = (),
        NodeId = u64,
        Node = BasicNode,
        LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

/// Where openraft's tasks run and its random numbers come from.
#[cfg(not(feature = "simulation"))]
pub type Runtime = openraft::impls::TokioRuntime;

/// Where openraft's tasks run, with random numbers from the seed that the simulation sets.
#[cfg(feature = "simulation")]
pub type Runtime = openraft::rt::deterministic_rng::DeterministicRng<openraft::impls::TokioRuntime>;

/// A position in the metadata log.
pub type LogId = openraft::alias::LogIdOf<Types>;
/// Whom a node voted for.
pub type Vote = openraft::alias::VoteOf<Types>;
/// An entry of the metadata log.
pub type Entry = openraft::alias::EntryOf<Types>;
/// The voters and the followers without a vote.
pub type Membership = openraft::Membership<u64, BasicNode>;
/// A membership and where in the log it stands.
pub type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
/// What a snapshot contains.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;

/// Metadata records in their encoded form, one after the other: the payload of one entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Records(pub Bytes);

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.0.len())
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What came from a peer or from the disk lacks a part that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the metadata quorum lacks its {0}")]
pub struct Incomplete(pub &'static str);

/// A position on the wire.
#[must_use]
pub fn log_id_to_wire(id: &LogId) -> wire::LogId {
    let leader = id.leader_id;
    wire::LogId {
        term: leader.term,
        node_id: leader.node_id,
        index: id.index,
    }
}

/// A position from the wire.
#[must_use]
pub fn log_id_from_wire(id: &wire::LogId) -> LogId {
    let leader_id = openraft::impls::leader_id_adv::LeaderId {
        term: id.term,
        node_id: id.node_id,
    };
    LogId {
        leader_id,
        index: id.index,
    }
}

/// A vote on the wire.
#[must_use]
pub fn vote_to_wire(vote: &Vote) -> wire::VoteState {
    let leader = vote.leader_id();
    wire::VoteState {
        term: leader.term,
        node_id: leader.node_id,
        committed: vote.is_committed(),
    }
}

/// A vote from the wire.
#[must_use]
pub fn vote_from_wire(vote: &wire::VoteState) -> Vote {
    match vote.committed {
        true => Vote::new_committed(vote.term, vote.node_id),
        false => Vote::new(vote.term, vote.node_id),
    }
}

fn required_vote(vote: Option<&wire::VoteState>) -> Result<Vote, Incomplete> {
    vote.map(vote_from_wire).ok_or(Incomplete("vote"))
}

/// A membership on the wire.
#[must_use]
pub fn membership_to_wire(membership: &Membership) -> wire::Membership {
    let configs = membership.get_joint_config().iter();
    let nodes = membership.nodes();
    wire::Membership {
        configs: configs
            .map(|ids| wire::membership::NodeSet {
                node_ids: ids.iter().copied().collect(),
            })
            .collect(),
        nodes: nodes
            .map(|(id, node)| wire::membership::Node {
                node_id: *id,
                address: node.addr.clone(),
            })
            .collect(),
    }
}

/// A membership from the wire.
///
/// # Errors
/// [`Incomplete`].
pub fn membership_from_wire(membership: &wire::Membership) -> Result<Membership, Incomplete> {
    let configs = membership.configs.iter();
    let configs: Vec<BTreeSet<u64>> = configs
        .map(|set| set.node_ids.iter().copied().collect())
        .collect();
    let nodes: std::collections::BTreeMap<u64, BasicNode> = membership
        .nodes
        .iter()
        .map(|node| (node.node_id, BasicNode::new(&node.address)))
        .collect();
    Membership::new(configs, nodes).map_err(|_| Incomplete("nodes of voters"))
}

/// An entry on the wire and on disk.
#[must_use]
pub fn entry_to_wire(entry: &Entry) -> wire::Entry {
    use wire::entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(records) => Some(Payload::Records(records.0.clone())),
        EntryPayload::Membership(membership) => {
            Some(Payload::Membership(membership_to_wire(membership)))
        }
    };
    wire::Entry {
        log_id: Some(log_id_to_wire(&entry.log_id)),
        payload,
    }
}

/// An entry from the wire or from disk.
///
/// # Errors
/// [`Incomplete`].
pub fn entry_from_wire(entry: wire::Entry) -> Result<Entry, Incomplete> {
    use wire::entry::Payload;
    let log_id = entry.log_id.as_ref().ok_or(Incomplete("position"))?;
    let payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(Payload::Records(bytes)) => EntryPayload::Normal(Records(bytes)),
        Some(Payload::Membership(m)) => EntryPayload::Membership(membership_from_wire(&m)?),
    };
    Ok(Entry::new(log_id_from_wire(log_id), payload))
}

/// An Append on the wire.
#[must_use]
pub fn append_to_wire(request: &AppendEntriesRequest<Types>) -> wire::AppendRequest {
    wire::AppendRequest {
        vote: Some(vote_to_wire(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id_to_wire),
        entries: request.entries.iter().map(entry_to_wire).collect(),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_wire),
    }
}

/// An Append from the wire.
///
/// # Errors
/// [`Incomplete`].
pub fn append_from_wire(
    request: wire::AppendRequest,
) -> Result<AppendEntriesRequest<Types>, Incomplete> {
    let entries = request
        .entries
        .into_iter()
        .map(entry_from_wire)
        .collect::<Result<_, _>>()?;
    Ok(AppendEntriesRequest {
        vote: required_vote(request.vote.as_ref())?,
        prev_log_id: request.prev_log_id.as_ref().map(log_id_from_wire),
        entries,
        leader_commit: request.leader_commit.as_ref().map(log_id_from_wire),
    })
}

/// The answer to an Append on the wire.
#[must_use]
pub fn appended_to_wire(response: &AppendEntriesResponse<Types>) -> wire::AppendResponse {
    use wire::append_response::Result::{Conflict, HigherVote, Partial, Success};
    let result = match response {
        AppendEntriesResponse::Success => Success(true),
        AppendEntriesResponse::PartialSuccess(id) => Partial(wire::PartialSuccess {
            log_id: id.as_ref().map(log_id_to_wire),
        }),
        AppendEntriesResponse::Conflict => Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => HigherVote(vote_to_wire(vote)),
    };
    wire::AppendResponse {
        result: Some(result),
    }
}

/// The answer to an Append from the wire.
///
/// # Errors
/// [`Incomplete`].
pub fn appended_from_wire(
    response: wire::AppendResponse,
) -> Result<AppendEntriesResponse<Types>, Incomplete> {
    use wire::append_response::Result::{Conflict, HigherVote, Partial, Success};
    Ok(match response.result.ok_or(Incomplete("result"))? {
        Success(_) => AppendEntriesResponse::Success,
        Partial(partial) => {
            AppendEntriesResponse::PartialSuccess(partial.log_id.as_ref().map(log_id_from_wire))
        }
        Conflict(_) => AppendEntriesResponse::Conflict,
        HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from_wire(&vote)),
    })
}

/// A Vote on the wire.
#[must_use]
pub fn ballot_to_wire(request: &VoteRequest<Types>) -> wire::VoteRequest {
    wire::VoteRequest {
        vote: Some(vote_to_wire(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_wire),
        leadership_transfer: request.leadership_transfer,
    }
}

/// A Vote from the wire.
///
/// # Errors
/// [`Incomplete`].
pub fn ballot_from_wire(request: &wire::VoteRequest) -> Result<VoteRequest<Types>, Incomplete> {
    let vote = required_vote(request.vote.as_ref())?;
    let last_log_id = request.last_log_id.as_ref().map(log_id_from_wire);
    let mut ballot = VoteRequest::new(vote, last_log_id);
    ballot.leadership_transfer = request.leadership_transfer;
    Ok(ballot)
}

/// The answer to a Vote on the wire.
#[must_use]
pub fn voted_to_wire(response: &VoteResponse<Types>) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.as_ref().map(log_id_to_wire),
    }
}

/// The answer to a Vote from the wire.
///
/// # Errors
/// [`Incomplete`].
pub fn voted_from_wire(response: &wire::VoteResponse) -> Result<VoteResponse<Types>, Incomplete> {
    let vote = required_vote(response.vote.as_ref())?;
    let last_log_id = response.last_log_id.as_ref().map(log_id_from_wire);
    Ok(VoteResponse::new(vote, last_log_id, response.granted))
}

/// What a snapshot contains, on the wire and on disk.
#[must_use]
pub fn snapshot_meta_to_wire(meta: &SnapshotMeta) -> wire::SnapshotMeta {
    wire::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_wire),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id_to_wire),
        membership: Some(membership_to_wire(meta.last_membership.membership())),
    }
}

/// What a snapshot contains, from the wire or from disk.
///
/// # Errors
/// [`Incomplete`].
pub fn snapshot_meta_from_wire(meta: &wire::SnapshotMeta) -> Result<SnapshotMeta, Incomplete> {
    let membership = meta.membership.as_ref().ok_or(Incomplete("membership"))?;
    let at = meta.membership_log_id.as_ref().map(log_id_from_wire);
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_from_wire),
        last_membership: StoredMembership::new(at, membership_from_wire(membership)?),
    })
}
