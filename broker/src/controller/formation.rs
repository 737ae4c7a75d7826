//! How a quorum begins, and how a node comes (back) to it.
//!
//! A fresh quorum is formed once: the voter with the lowest id does it, and only after every voter
//! has said that it has no entry. A voter without any while others have them has lost its disk, and
//! with it the memory of what it voted and acknowledged. What it does then, `returning_voter` in
//! core says; until it votes again, a mark on its disk keeps it from voting, however often it
//! starts. A node that is no voter has that mark too, asks the active controller to be sent the
//! metadata, and does the same once it is made a voter. Who votes, the log says; settings say who
//! forms the quorum, and whom to ask first.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::BasicNode;
use ottla_core::returning_voter::{Answer, LastEntry, Next, Returning, Standstill};
use ottla_protocol::ids::NodeId;
use ottla_storage::{Disk, snapshot_file};
use tracing::{error, info, warn};

use super::log::other;
use super::raft::{LogId, Types, log_id_from_wire};
use super::{Handle, WAIT_TIMEOUT};
use crate::config::Voter;
use crate::peer::wire;
use crate::peer::wire::describe_response::Progress;
use crate::threads;

/// The file that is there while this node may not vote.
const MARK: &str = "without-vote";

/// How long to wait before the mark is tried again that could not be removed.
const MARK_RETRY: Duration = Duration::from_secs(1);

/// How long a voter waits for the entries that it lacks before it asks anew what they are.
const ENTRIES_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the other voters are asked.
const ASK_INTERVAL: Duration = Duration::from_millis(25);

/// How long one of them may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// The first term in which a voter takes part that has not heard enough others.
pub(super) const NO_TERM: u64 = u64::MAX;

/// What the other voters say.
pub(super) struct Others {
    answers: Vec<Answer>,
    /// Where the voters are that they know of.
    voters: BTreeMap<NodeId, String>,
    /// The cluster's id by each that answered, empty where it does not know it.
    pub(super) clusters: Vec<String>,
}

/// Brings this node into the quorum, however long that takes, and makes it a voter whenever it
/// becomes one. `address` is where its peers reach it.
pub async fn run(handle: Handle, address: String) {
    if handle.shared.may_vote.load(Ordering::Acquire) {
        if !handle.shared.settings.is_voter() {
            join(&handle, &address).await;
        }
        return;
    }
    let mut follows = false;
    let mut lost_told = 0;
    let mut heard = BTreeMap::new();
    loop {
        if handle.is_active() {
            // it was elected since it has what it lacked, whoever answers now
            let from_term = handle.shared.first_term.load(Ordering::Acquire);
            return allow_votes(&handle, from_term).await;
        }
        let others = ask(&handle, &heard).await;
        heard.extend(others.voters);
        let returning = returning(&handle);
        let standstill = returning.standstill(&others.answers);
        // who answers changes all the time; what it comes to does where more are lost
        if let Some(why) = standstill.filter(|why| why.is_for_good() && why.lost > lost_told) {
            lost_told = why.lost;
            error!("{why}");
        }
        handle.stands_still(standstill);
        let next = returning.next(&others.answers);
        handle.help_elect(next);
        match next {
            Next::Ask => {}
            Next::Elect { from_term, .. } => {
                handle.shared.first_term.store(from_term, Ordering::Release);
            }
            Next::Observe { from_term } => {
                handle.shared.first_term.store(from_term, Ordering::Release);
                join(&handle, &address).await;
                if !becomes_voter(&handle).await {
                    return; // the node stops
                }
                info!("this node is a voter now; it votes once it has caught up");
                follows = true;
            }
            Next::Follow { from_term, entries } => {
                handle.shared.first_term.store(from_term, Ordering::Release);
                if !std::mem::replace(&mut follows, true) {
                    warn!("this voter has lost its metadata; it votes once it has caught up");
                }
                if let Some(entries) = entries
                    && catch_up(&handle, entries).await
                {
                    return allow_votes(&handle, from_term).await;
                }
            }
            Next::Vote { from_term, forms } => {
                allow_votes(&handle, from_term).await;
                if forms {
                    form(&handle).await;
                }
                return;
            }
        }
        if handle.shared.applied.has_changed().is_err() {
            return; // the node stops, and applies nothing more
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// This node, which may not vote.
fn returning(handle: &Handle) -> Returning {
    let voters = &handle.shared.settings.controller_quorum_voters;
    Returning {
        node_id: handle.node_id().0 as u64,
        configured: voters.iter().map(|voter| voter.node_id.0 as u64).collect(),
        known: handle.known_voters(),
        is_empty: handle.shared.log.is_empty(),
        term: handle.shared.log.term(),
        last: handle.shared.log.last().as_ref().map(last_entry),
    }
}

impl Handle {
    /// Why this voter waits, where it hears too few others that have not lost their metadata.
    #[must_use]
    pub fn standstill(&self) -> Option<Standstill> {
        *self.shared.standstill.borrow()
    }

    /// Has this node vote for whoever has enough, and be elected, while `next` says so.
    fn help_elect(&self, next: Next) {
        let (least, stands) = match next {
            Next::Elect { least, stands, .. } => (Some(least), stands),
            _ => (None, false),
        };
        self.shared.votes_from.send_replace(least);
        self.shared.raft.runtime_config().elect(stands);
    }

    fn stands_still(&self, why: Option<Standstill>) {
        self.shared.standstill.send_replace(why);
    }
}

/// Waits until this node is a voter by its log; says whether it is, or the node stops.
async fn becomes_voter(handle: &Handle) -> bool {
    let me = handle.node_id().0 as u64;
    let votes = move |metrics: &openraft::RaftMetrics<Types>| {
        let membership = metrics.membership_config.membership();
        membership.voter_ids().any(|id| id == me)
    };
    loop {
        let wait = handle.shared.raft.wait(Some(WAIT_TIMEOUT));
        match wait.metrics(votes, "a voter by the log").await {
            Ok(_) => return true,
            Err(openraft::metrics::WaitError::Timeout(..)) => {}
            Err(_) => return false,
        }
    }
}

/// The mark of a voter that may not vote.
pub(super) struct Abstention {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    inline: bool,
}

impl Abstention {
    /// In the controller's directory.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, inline: bool) -> Self {
        let path = dir.join(MARK);
        Self { disk, path, inline }
    }

    pub(super) fn is_there(&self) -> bool {
        self.disk.exists(&self.path)
    }

    pub(super) fn begin(&self) -> io::Result<()> {
        snapshot_file::write(&*self.disk, &self.path, b"").map_err(other)
    }

    async fn end(&self) -> io::Result<()> {
        let (disk, path) = (Arc::clone(&self.disk), self.path.clone());
        let remove = move || {
            match disk.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
        };
        let removed = threads::blocking(self.inline, remove).await;
        removed.unwrap_or_else(|| Err(io::Error::other("the process ends")))
    }
}

/// From here on this node votes, also when it starts again. Then its disk is empty, or knows
/// `from_term` or a later one: nothing of an earlier term was taken.
async fn allow_votes(handle: &Handle, from_term: u64) {
    while let Err(error) = handle.shared.abstention.end().await {
        warn!("this voter does not vote: {error}");
        tokio::time::sleep(MARK_RETRY).await;
    }
    handle.shared.first_term.store(from_term, Ordering::Release);
    handle.shared.may_vote.store(true, Ordering::Release);
    handle.shared.raft.runtime_config().elect(true);
}

async fn form(handle: &Handle) {
    let voters = &handle.shared.settings.controller_quorum_voters;
    let node = |v: &Voter| (v.node_id.0 as u64, BasicNode::new(v.address()));
    let nodes: BTreeMap<u64, BasicNode> = voters.iter().map(node).collect();
    match handle.shared.raft.initialize(nodes).await {
        Ok(()) => info!("formed a metadata quorum of {} voters", voters.len()),
        Err(error) => warn!("the metadata quorum was not formed: {error}"),
    }
}

/// Whether so many entries are here now. What a leader had and did not commit may never come.
async fn catch_up(handle: &Handle, entries: u64) -> bool {
    let mut applied = handle.shared.applied.clone();
    // the first one has the index 0
    let wait = applied.wait_for(|applied| applied + 1 >= entries);
    let waited = tokio::time::timeout(ENTRIES_TIMEOUT, wait).await;
    matches!(waited, Ok(Ok(_)))
}

/// Asks all voters that this node knows of, by its settings and its log, and those that were
/// `heard` of.
pub(super) async fn ask(handle: &Handle, heard: &BTreeMap<NodeId, String>) -> Others {
    let mut whom = handle.voters();
    let configured = handle.shared.settings.controller_quorum_voters.iter();
    for voter in configured {
        whom.insert(voter.node_id, voter.address());
    }
    for (node, address) in heard {
        whom.entry(*node).or_insert_with(|| address.clone());
    }
    whom.remove(&handle.node_id());
    let answers = describe(handle, &whom).await;
    let clusters = answers.iter().map(|answer| answer.cluster_id.clone());
    let nodes = answers.iter().flat_map(|answer| &answer.progress);
    let voters = nodes.filter(|node| node.voter && !node.address.is_empty());
    let lately = handle.shared.settings.election_timeout;
    Others {
        clusters: clusters.collect(),
        voters: voters
            .map(|node| (NodeId(node.node_id as i32), node.address.clone()))
            .collect(),
        answers: answers.iter().map(|told| answer(told, lately)).collect(),
    }
}

/// What these nodes say of the quorum, those that answer in time.
pub(super) async fn describe(
    handle: &Handle,
    whom: &BTreeMap<NodeId, String>,
) -> Vec<wire::DescribeResponse> {
    let asked = whom.iter().map(|(node, address)| async {
        let mut client = handle.shared.peers.client(*node, address);
        let answer = client.describe(wire::DescribeRequest {});
        let answer = tokio::time::timeout(ASK_TIMEOUT, answer).await;
        answer.ok()?.ok().map(|answer| answer.into_inner())
    });
    let answers = futures_util::future::join_all(asked).await;
    answers.into_iter().flatten().collect()
}

fn answer(told: &wire::DescribeResponse, lately: Duration) -> Answer {
    let voters = told.progress.iter().filter(|node| node.voter);
    Answer {
        node_id: told.node_id,
        term: told.term,
        leader: told.leader,
        log_end: own_end(told),
        without_vote: told.without_vote,
        is_heard: is_heard(told, lately),
        voters: voters.map(|node| node.node_id).collect(),
        last: (told.last_log_id.as_ref()).map(|id| last_entry(&log_id_from_wire(id))),
    }
}

/// An entry in the words of core.
pub(super) fn last_entry(id: &LogId) -> LastEntry {
    LastEntry {
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        index: id.index,
    }
}

/// Whether the answering node leads, and a majority has answered it so lately, by its own clock.
/// openraft takes it for the leader also while nobody does.
fn is_heard(answer: &wire::DescribeResponse, lately: Duration) -> bool {
    let me = answer.node_id;
    let now = own(answer).map_or(0, |own| own.last_fetch_ms);
    let voters = || answer.progress.iter().filter(|p| p.voter);
    let heard = voters().filter(|p| now.abs_diff(p.last_fetch_ms) <= lately.as_millis() as u64);
    answer.leader == Some(me) && 2 * heard.count() > voters().count()
}

/// What the answering node says of itself.
fn own(answer: &wire::DescribeResponse) -> Option<&Progress> {
    answer.progress.iter().find(|p| p.node_id == answer.node_id)
}

/// How many entries the log of the answering node has.
pub(super) fn own_end(answer: &wire::DescribeResponse) -> u64 {
    // a node without an entry knows no voters, and itself not as one of them
    own(answer)
        .and_then(|own| u64::try_from(own.log_end_offset).ok())
        .unwrap_or(0)
}

/// Asks one voter after another until the active controller has taken this node in. Done at every
/// start: the address may have changed.
async fn join(handle: &Handle, address: &str) {
    use wire::join_response::Result as Answer;
    let request = wire::JoinRequest {
        node_id: handle.node_id().0 as u64,
        address: address.to_owned(),
        cluster_id: handle.image().cluster_id.to_string(),
    };
    loop {
        for (voter, address) in handle.voters() {
            let mut client = handle.shared.peers.client(voter, &address);
            let call = client.join(request.clone());
            let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(2), call).await else {
                continue;
            };
            match answer.into_inner().result {
                Some(Answer::Joined(_)) => return,
                Some(Answer::Refused(reason)) => warn!("not taken into the cluster: {reason}"),
                Some(Answer::NotController(_)) | None => {}
            }
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}
