//! The metadata quorum as a whole: who is in it, how far each of them is, and leaving it in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use openraft::Instant;
use openraft::async_runtime::WatchReceiver;
use ottla_protocol::ids::NodeId;

use super::raft::{Types, log_id_to_wire};
use super::{ATTEMPT_TIMEOUT, Error, Handle};
use crate::peer::wire;

/// How long [`Ends`] are kept, and how far they are apart.
const ENDS_KEPT_MS: i64 = 10_000;
const ENDS_APART_MS: i64 = 100;

/// What DescribeQuorum shows.
#[derive(Clone, Debug, Default)]
pub struct Quorum {
    /// The active controller, where one is known.
    pub leader: Option<NodeId>,
    /// Its epoch (Raft's term).
    pub leader_epoch: i32,
    /// What is committed.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<QuorumNode>,
    /// Nodes that follow without a vote.
    pub observers: Vec<QuorumNode>,
}

/// One node of the quorum.
#[derive(Clone, Debug)]
pub struct QuorumNode {
    /// The node.
    pub node_id: NodeId,
    /// The end of its log, -1 where unknown.
    pub log_end_offset: i64,
    /// When it was last heard of, in milliseconds since 1970; -1 where unknown.
    pub last_fetch_ms: i64,
    /// When it last had everything, in milliseconds since 1970; -1 where unknown.
    pub last_caught_up_ms: i64,
}

/// Where the log of the active controller ended, as often as somebody asked how others follow.
///
/// While metadata are written the last entry is always on its way to others: who has all that was
/// there a moment ago had everything then.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// In which it is active: another term may have had another end.
    term: u64,
    /// Ends, and when they were looked at in milliseconds, the last one last.
    seen: VecDeque<(i64, i64)>,
}

impl Ends {
    fn look(&mut self, term: u64, end: i64, now: i64) {
        if self.term != term {
            *self = Self::default();
            self.term = term;
        }
        self.seen
            .retain(|(_, at)| (0..=ENDS_KEPT_MS).contains(&(now - at)));
        let last = self.seen.back();
        if last.is_none_or(|(_, at)| now - at >= ENDS_APART_MS) {
            self.seen.push_back((end, now));
        }
    }

    /// When who has all before `matched`, and was heard of last at `heard_ms`, had everything; -1
    /// where that is unknown.
    fn had_everything_ms(&self, end: i64, matched: i64, heard_ms: i64) -> i64 {
        if matched >= end {
            return heard_ms;
        }
        let mut seen = self.seen.iter().rev();
        let seen = seen.find(|(end, _)| *end <= matched);
        seen.map_or(-1, |(_, at)| heard_ms.min(*at))
    }
}

impl Handle {
    /// The state of the quorum, as the active controller sees it.
    ///
    /// # Errors
    /// [`Error::NoController`].
    pub async fn quorum(&self) -> Result<Quorum, Error> {
        let described = match self.active().ok_or(Error::NoController)? {
            node if node == self.node_id() => self.describe(),
            node => {
                let address = self.peer_address(node).ok_or(Error::NoController)?;
                let mut client = self.shared.peers.client(node, &address);
                let call = client.describe(wire::DescribeRequest {});
                let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, call).await;
                let answer = answer.map_err(|_| Error::TimedOut)?;
                answer.map_err(|_| Error::NoController)?.into_inner()
            }
        };
        let node = |p: &wire::describe_response::Progress| QuorumNode {
            node_id: NodeId(p.node_id as i32),
            log_end_offset: p.log_end_offset,
            last_fetch_ms: p.last_fetch_ms,
            last_caught_up_ms: p.last_caught_up_ms,
        };
        let nodes = described.progress.iter();
        Ok(Quorum {
            leader: described.leader.map(|id| NodeId(id as i32)),
            leader_epoch: described.term as i32,
            high_watermark: described.committed as i64 + 1,
            voters: nodes.clone().filter(|p| p.voter).map(node).collect(),
            observers: nodes.filter(|p| !p.voter).map(node).collect(),
        })
    }

    /// The voters other than this node whose processes are there.
    async fn other_voters(&self) -> Vec<NodeId> {
        let mut voters = self.voters();
        voters.remove(&self.node_id());
        let looks = voters.iter().map(|(voter, address)| async {
            let is_there = self.shared.peers.probe(address).await;
            is_there.then_some(*voter)
        });
        let found = futures_util::future::join_all(looks).await;
        found.into_iter().flatten().collect()
    }

    /// Whether the processes of so many voters are gone that the rest cannot have a controller.
    pub(crate) async fn is_majority_gone(&self) -> bool {
        let voters = self.voters();
        let me = usize::from(voters.contains_key(&self.node_id()));
        self.other_voters().await.len() + me <= voters.len() / 2
    }

    /// Leaves the quorum in order: hands the leadership to another voter, then stops.
    pub async fn stop(&self) {
        let raft = &self.shared.raft;
        if raft.is_leader() {
            let me = u64::try_from(self.node_id().0).unwrap_or_default();
            // who is not there cannot take over; if it does not work out, the others elect
            if let Some(other) = self.other_voters().await.first() {
                let other = u64::try_from(other.0).unwrap_or_default();
                let _ = raft.trigger().transfer_leader(other).await;
                let wait = raft.wait(Some(self.shared.settings.election_timeout));
                let moved =
                    |m: &openraft::RaftMetrics<Types>| m.current_leader.is_some_and(|id| id != me);
                let _ = wait.metrics(moved, "another leader").await;
            }
        }
        let _ = raft.shutdown().await;
    }

    /// What this node knows of the quorum.
    pub(crate) fn describe(&self) -> wire::DescribeResponse {
        use wire::describe_response::Progress;
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        let now = self.shared.env.unix_ms();
        let membership = &metrics.membership_config;
        let voters: Vec<u64> = membership.membership().voter_ids().collect();
        let me = self.node_id().0 as u64;
        // openraft's figures lag, at a start by everything; who lost its disk goes by them
        let end = metrics.last_log_index.map_or(0, |index| index + 1);
        let end = end.max(self.shared.log.end()) as i64;
        let mut ends = (self.shared.ends.lock()).unwrap_or_else(PoisonError::into_inner);
        ends.look(metrics.current_term, end, now);
        let known = membership.membership().nodes();
        let known = known.map(|(id, node)| (*id, node.addr.clone()));
        let mut nodes: BTreeMap<u64, String> = known.collect();
        nodes.entry(me).or_default();
        let progress = nodes.into_iter().map(|(id, address)| {
            let matched = metrics
                .replication
                .as_ref()
                .and_then(|all| all.get(&id)?.as_ref());
            let log_end_offset = match matched {
                _ if id == me => end,
                Some(log_id) => log_id.index as i64 + 1,
                None => -1,
            };
            let heard = metrics
                .heartbeat
                .as_ref()
                .and_then(|all| all.get(&id)?.as_ref());
            let heard_ms = match heard {
                _ if id == me => now,
                Some(at) => now - at.elapsed().as_millis() as i64,
                None => -1,
            };
            Progress {
                node_id: id,
                voter: voters.contains(&id),
                log_end_offset,
                last_fetch_ms: heard_ms,
                last_caught_up_ms: ends.had_everything_ms(end, log_end_offset, heard_ms),
                address,
            }
        });
        wire::DescribeResponse {
            node_id: me,
            cluster_id: self.image().cluster_id.to_string(),
            leader: metrics.current_leader,
            term: metrics.current_term.max(self.shared.log.term()),
            committed: metrics.local_committed.map_or(0, |id| id.index),
            progress: progress.collect(),
            last_log_id: self.shared.log.last().as_ref().map(log_id_to_wire),
            without_vote: !self.shared.may_vote.load(Ordering::Acquire),
            never_votes: !self.shared.settings.roles.controller,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ends;

    #[test]
    fn who_lacks_what_is_written_just_now_had_everything_a_moment_ago() {
        let mut ends = Ends::default();
        let mut told = Vec::new();
        // an entry each 20 ms, and a look each 250 ms
        for look in 0..40 {
            let (now, end) = (100_000 + look * 250, 1000 + look * 12);
            ends.look(1, end, now);
            let mut ago = |matched: i64| match ends.had_everything_ms(end, matched, now) {
                -1 => told.push("unknown".to_owned()),
                at => told.push((now - at).to_string()),
            };
            if look == 39 {
                // the one that has it all, lacks one, follows slowly, has stopped, knows nothing
                for matched in [end, end - 1, end - 30, 1005, -1] {
                    ago(matched);
                }
            }
        }
        assert_eq!(told, ["0", "250", "750", "9750", "unknown"]);
        assert_eq!(
            ends.had_everything_ms(1468, 1467, 5),
            5,
            "not after it was heard of"
        );
        ends.look(2, 1468, 110_000);
        assert_eq!(
            ends.had_everything_ms(1468, 1467, 110_000),
            -1,
            "of another term"
        );
        ends.look(2, 1469, 50_000);
        assert_eq!(ends.seen.len(), 1, "a clock that was set back forgets");
    }
}
