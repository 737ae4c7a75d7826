//! Who votes in the metadata quorum, and how that changes: `voters` in core decides, openraft does
//! it by joint consensus, in two entries of the log.
//!
//! Both steps are taken in a task of their own, whoever asked and however long that one waits. What
//! an active controller left half done, the next one finishes: between the two steps majorities of
//! both sets of voters are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{BasicNode, ChangeMembers};
use ottla_core::voters::{Change, Member, Refusal, Sight, Step, decide};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::info;

use super::Raft;
use super::formation::{describe, own_end};
use super::raft::Types;
use super::{ATTEMPT_TIMEOUT, Handle, RETRY_INTERVAL};
use crate::peer::wire;
use crate::peer::wire::describe_response::Progress;
use crate::threads;

/// How long a change may look for the active controller and wait for its answer at most.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the voters are not changed: Kafka's code, and a sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub ErrorCode, pub String);

/// How an attempt ended.
pub(super) enum Attempt {
    /// It is as was asked for.
    Changed,
    /// This node is not the active controller, or has given that away.
    NotController,
    /// What it asked for cannot be.
    Refused(Refused),
    /// It may or may not have been carried out.
    Uncertain(String),
}

impl Handle {
    /// The voters by this node's log; none where that says nothing.
    pub(super) fn known_voters(&self) -> BTreeSet<u64> {
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().voter_ids().collect()
    }

    /// The voters, and where their peers reach them: by this node's log, or by its settings where
    /// that says nothing. Where settings name one, they win.
    #[must_use]
    pub fn voters(&self) -> BTreeMap<NodeId, String> {
        let configured = &self.shared.settings.controller_quorum_voters;
        let configured = configured
            .iter()
            .map(|voter| (voter.node_id, voter.address()));
        let configured: BTreeMap<NodeId, String> = configured.collect();
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let known = membership.voter_ids().map(|id| {
            let node_id = NodeId(id as i32);
            let told = || membership.get_node(&id).map(|node| node.addr.clone());
            let address = configured.get(&node_id).cloned().or_else(told);
            (node_id, address.unwrap_or_default())
        });
        let known: BTreeMap<NodeId, String> = known.collect();
        if known.is_empty() { configured } else { known }
    }

    /// Makes a node that follows a voter, or takes a voter's vote; done once that is committed.
    ///
    /// # Errors
    /// [`Refused`]; where it says that the time is over, it may yet be carried out.
    pub async fn change_voter(&self, change: Change, patience: Duration) -> Result<(), Refused> {
        let deadline = Instant::now() + patience.min(CHANGE_TIMEOUT);
        let mut last = "no active controller was reached in time".to_owned();
        let mut may_be_done = false;
        let done = match change {
            Change::Add(_) => ErrorCode::DuplicateVoter,
            Change::Remove(_) => ErrorCode::VoterNotFound,
        };
        loop {
            let attempt = tokio::time::timeout_at(deadline, self.attempt_change(change)).await;
            match attempt {
                Ok(Attempt::Changed) => return Ok(()),
                Ok(Attempt::Refused(refused)) if may_be_done && refused.0 == done => return Ok(()),
                // who lags may catch up meanwhile
                Ok(Attempt::Refused(Refused(ErrorCode::RequestTimedOut, why))) => last = why,
                Ok(Attempt::Refused(refused)) => return Err(refused),
                Ok(Attempt::Uncertain(why)) => (last, may_be_done) = (why, true),
                Ok(Attempt::NotController) => {}
                Err(_) => "the active controller did not answer in time".clone_into(&mut last),
            }
            if Instant::now() + RETRY_INTERVAL >= deadline {
                return Err(Refused(ErrorCode::RequestTimedOut, last));
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn attempt_change(&self, change: Change) -> Attempt {
        let Some(node) = self.active() else {
            return Attempt::NotController;
        };
        if node == self.node_id() {
            return self.change_voter_here(change).await;
        }
        let Some(address) = self.peer_address(node) else {
            return Attempt::NotController;
        };
        let (node_id, adds) = match change {
            Change::Add(node_id) => (node_id, true),
            Change::Remove(node_id) => (node_id, false),
        };
        let mut client = self.shared.peers.client(node, &address);
        let message = wire::ChangeVoterRequest { node_id, adds };
        let request = self.shared.identity.sign(tonic::Request::new(message));
        match client.change_voter(request).await {
            Ok(answer) => from_wire(answer.into_inner()),
            Err(status) => Attempt::Uncertain(status.message().to_owned()),
        }
    }

    /// The same, where this node is the active controller.
    pub(super) async fn change_voter_here(&self, change: Change) -> Attempt {
        let raft = &self.shared.raft;
        if !raft.is_leader() {
            return Attempt::NotController;
        }
        let step = match decide(change, &self.sight(change).await) {
            Ok(step) => step,
            Err(Refusal { code, message }) => return Attempt::Refused(Refused(code, message)),
        };
        if let Step::HandOver(other) = step {
            info!("node {other} is to be the active controller: this one gives its vote away");
            let me = self.node_id().0 as u64;
            hand_over(raft, me, other, self.election_timeout()).await;
            return Attempt::NotController;
        }
        let changes = match change {
            Change::Add(node) => ChangeMembers::AddVoterIds([node].into()),
            Change::Remove(node) => ChangeMembers::RemoveVoters([node].into()),
        };
        let Some(begun) = self.begin(changes) else {
            return Attempt::Uncertain("another change of the voters is under way".to_owned());
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, begun).await {
            Ok(Ok(Ok(()))) => {
                info!("the voters have changed: {change:?}");
                Attempt::Changed
            }
            Ok(Ok(Err(why))) => Attempt::Uncertain(why),
            Ok(Err(_)) => Attempt::Uncertain("this node stops".to_owned()),
            Err(_) => Attempt::Uncertain("no majority has taken it in time".to_owned()),
        }
    }

    /// Has the voters changed, both steps, though nobody may wait for it; none while another change
    /// is under way.
    fn begin(
        &self,
        changes: ChangeMembers<u64, BasicNode>,
    ) -> Option<oneshot::Receiver<Result<(), String>>> {
        let changing = Arc::clone(&self.shared.changing_voters);
        let changing = changing.try_lock_owned().ok()?;
        let (done, outcome) = oneshot::channel();
        let raft = self.shared.raft.clone();
        threads::spawn(async move {
            let changed = raft.change_membership(changes, true).await;
            drop(changing);
            // whoever asked may have gone
            let _ = done.send(changed.map(drop).map_err(|error| error.to_string()));
        });
        Some(outcome)
    }

    /// Takes the second step of a change of which the first one is committed, where nobody else
    /// does: who began it has gone.
    pub(super) fn finish_change(&self) {
        let is_half_done = {
            let metrics = self.shared.raft.metrics();
            let metrics = metrics.borrow_watched();
            let stored = &metrics.membership_config;
            let is_joint = stored.membership().get_joint_config().len() > 1;
            is_joint
                && stored
                    .log_id()
                    .is_some_and(|at| Some(at) <= metrics.last_applied)
        };
        // nobody is added: that is what openraft wants to be told
        if is_half_done
            && self
                .begin(ChangeMembers::AddVoterIds(BTreeSet::new()))
                .is_some()
        {
            info!("a change of the voters that was half done is finished");
        }
    }

    /// Has a voter lead, where this node does and votes no more: it was elected while a change was
    /// half done that takes its vote, and finished that. openraft has it lead on, as it is a member
    /// still, but whoever returns without its disk looks for a leader among the voters.
    pub(super) fn give_up_without_vote(&self) {
        let me = self.node_id().0 as u64;
        let successor = {
            let metrics = self.shared.raft.metrics();
            let metrics = metrics.borrow_watched();
            let stored = &metrics.membership_config;
            let is_committed = stored
                .log_id()
                .is_some_and(|at| Some(at) <= metrics.last_applied);
            let membership = stored.membership();
            let votes = membership.voter_ids().any(|id| id == me);
            let has = |id: &u64| metrics.replication.as_ref()?.get(id).copied().flatten();
            let best = membership.voter_ids().max_by_key(has);
            best.filter(|_| is_committed && !votes)
        };
        let Some(successor) = successor else {
            return;
        };
        let changing = Arc::clone(&self.shared.changing_voters);
        let Ok(changing) = changing.try_lock_owned() else {
            return;
        };
        info!("node {successor} is to be the active controller: this one votes no more");
        let (raft, patience) = (self.shared.raft.clone(), self.election_timeout());
        threads::spawn(async move {
            hand_over(&raft, me, successor, patience).await;
            drop(changing);
        });
    }

    fn election_timeout(&self) -> Duration {
        self.shared.settings.election_timeout
    }

    /// The quorum as this node sees it, which leads: by the word of the voters, and of the node
    /// that is to become one.
    async fn sight(&self, change: Change) -> Sight {
        let (me, own) = (self.node_id().0 as u64, self.describe());
        let asked = |node: &&Progress| match change {
            Change::Add(new) => node.voter || node.node_id == new,
            Change::Remove(_) => node.voter,
        };
        let whom = own.progress.iter().filter(asked);
        let whom = whom.filter(|node| node.node_id != me).map(|node| {
            let node_id = NodeId(node.node_id as i32);
            let address = self.peer_address(node_id);
            (node_id, address.unwrap_or_else(|| node.address.clone()))
        });
        let answers = describe(self, &whom.collect()).await;
        let lately = self.shared.settings.election_timeout;
        let members = own.progress.iter().map(|node| {
            let answer = answers.iter().find(|answer| answer.node_id == node.node_id);
            let follows = answer.is_some_and(|answer| follows(answer, &own, node, lately));
            let is_me = node.node_id == me;
            let member = Member {
                is_voter: node.voter,
                is_there: is_me || follows,
                may_vote: match answer {
                    Some(answer) => answer.term == own.term && !answer.without_vote,
                    None => is_me && self.may_vote(),
                },
                never_votes: answer.is_some_and(|a| a.never_votes),
                log_end: match answer {
                    Some(answer) => own_end(answer),
                    None => u64::try_from(node.log_end_offset).unwrap_or(0),
                },
            };
            (node.node_id, member)
        });
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        Sight {
            leader: me,
            members: members.collect(),
            is_under_way: membership.get_joint_config().len() > 1,
        }
    }

    fn may_vote(&self) -> bool {
        self.shared.may_vote.load(Ordering::Acquire)
    }
}

/// Has another node lead, and waits for that a while. openraft takes no more entries from here on:
/// where the other one does not come to lead, the voters elect one.
async fn hand_over(raft: &Raft, me: u64, other: u64, patience: Duration) {
    let _ = raft.trigger().transfer_leader(other).await;
    let is_moved =
        move |m: &openraft::RaftMetrics<Types>| m.current_leader.is_some_and(|id| id != me);
    let wait = raft.wait(Some(patience));
    let _ = wait.metrics(is_moved, "another leader").await;
}

/// Whether a node that answers takes what the leader sends, which describes itself as `leader` and
/// the node as `node`: it is of this cluster and term, and was heard lately.
fn follows(
    answer: &wire::DescribeResponse,
    leader: &wire::DescribeResponse,
    node: &Progress,
    lately: Duration,
) -> bool {
    let itself = leader.progress.iter();
    let mut itself = itself.filter(|itself| itself.node_id == leader.node_id);
    let now = itself.next().map_or(0, |itself| itself.last_fetch_ms);
    answer.term == leader.term
        && answer.cluster_id == leader.cluster_id
        && now.abs_diff(node.last_fetch_ms) <= lately.as_millis() as u64
}

/// How an attempt ended, for who asked.
pub(super) fn to_wire(
    attempt: Attempt,
    leader: Option<u64>,
) -> Result<wire::ChangeVoterResponse, String> {
    use wire::change_voter_response::{self as response, Result as Answer};
    let result = match attempt {
        Attempt::Changed => Answer::Changed(true),
        Attempt::NotController => Answer::NotController(wire::NotController { leader }),
        Attempt::Refused(Refused(code, message)) => {
            let code = i32::from(code.code());
            Answer::Refused(response::Refused { code, message })
        }
        Attempt::Uncertain(why) => return Err(why),
    };
    Ok(wire::ChangeVoterResponse {
        result: Some(result),
    })
}

fn from_wire(answer: wire::ChangeVoterResponse) -> Attempt {
    use wire::change_voter_response::Result as Answer;
    match answer.result {
        Some(Answer::Changed(_)) => Attempt::Changed,
        Some(Answer::Refused(refused)) => {
            let code = i16::try_from(refused.code).ok().map(ErrorCode::from);
            let code = code.unwrap_or(ErrorCode::UnknownServerError);
            Attempt::Refused(Refused(code, refused.message))
        }
        Some(Answer::NotController(_)) | None => Attempt::NotController,
    }
}
