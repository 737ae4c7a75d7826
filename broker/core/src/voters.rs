//! Whether the voters of the metadata quorum may change now, one at a time.
//!
//! A change is begun only where it leaves a quorum that works: of the voters that are to be, as of
//! those that are, a majority follows closely and votes. Whoever is to vote has to be there and to
//! have what the others have, or nothing more would be committed until then. A leader gives its
//! leadership away before it gives its vote.

use std::collections::BTreeMap;

use ottla_protocol::error::ErrorCode;

/// A node is close if it lacks no more entries than this.
const LAG_ENTRIES_MAX: u64 = 100;

/// What is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node that follows becomes a voter.
    Add(u64),
    /// A voter follows on without a vote.
    Remove(u64),
}

/// A node of the quorum as the active controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether it votes by the newest membership.
    pub is_voter: bool,
    /// Whether it has answered just now, and follows the active controller or is it.
    pub is_there: bool,
    /// Whether it may vote, as it has told just now: it has not lost its disk.
    pub may_vote: bool,
    /// Whether it is no controller, and never votes.
    pub never_votes: bool,
    /// How many entries its log has.
    pub log_end: u64,
}

/// The quorum as the active controller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The active controller.
    pub leader: u64,
    /// All nodes of the membership.
    pub members: BTreeMap<u64, Member>,
    /// Whether an earlier change is half done: what it wanted may be asked for again.
    pub is_under_way: bool,
}

/// What the active controller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It writes the change.
    Write,
    /// It has that voter lead first, which is to be asked then.
    HandOver(u64),
}

/// Why nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// A sentence without a full stop.
    pub message: String,
}

/// Decides.
///
/// # Errors
/// A [`Refusal`]; nothing is changed then.
pub fn decide(change: Change, sight: &Sight) -> Result<Step, Refusal> {
    let refused = |code, message: String| Err(Refusal { code, message });
    let leads_with = sight.members.get(&sight.leader);
    let end = leads_with.map_or(0, |leader| leader.log_end);
    let is_close = |member: &Member| member.log_end.saturating_add(LAG_ENTRIES_MAX) >= end;
    let voters = || sight.members.iter().filter(|(_, member)| member.is_voter);
    let works = |(_, member): &(&u64, &Member)| member.may_vote && is_close(member);
    match change {
        Change::Add(node) => {
            let Some(member) = sight.members.get(&node) else {
                let message = format!("node {node} does not follow the metadata quorum");
                return refused(ErrorCode::InvalidRequest, message);
            };
            if member.is_voter && !sight.is_under_way {
                let message = format!("node {node} is a voter already");
                return refused(ErrorCode::DuplicateVoter, message);
            }
            if member.never_votes {
                let message = format!("node {node} is no controller by its process.roles");
                return refused(ErrorCode::InvalidRequest, message);
            }
            if !member.is_there {
                let message = format!("node {node} does not answer, or does not follow");
                return refused(ErrorCode::RequestTimedOut, message);
            }
            if !is_close(member) {
                let lacks = end.saturating_sub(member.log_end);
                let message = format!("node {node} still lacks {lacks} entries of the metadata");
                return refused(ErrorCode::RequestTimedOut, message);
            }
            // each of them: an even number tolerates no more than the one below
            if let Some((id, _)) = voters().find(|v| *v.0 != node && !works(v)) {
                let message = format!("voter {id} does not follow closely, or does not vote yet");
                return refused(ErrorCode::RequestTimedOut, message);
            }
            Ok(Step::Write)
        }
        Change::Remove(node) => {
            let is_voter = sight.members.get(&node).is_some_and(|m| m.is_voter);
            if !is_voter && !sight.is_under_way {
                let message = format!("node {node} is no voter");
                return refused(ErrorCode::VoterNotFound, message);
            }
            let staying = || voters().filter(|(id, _)| **id != node);
            if staying().next().is_none() {
                let message = format!("node {node} is the only voter");
                return refused(ErrorCode::InvalidRequest, message);
            }
            let working = staying().filter(works).count();
            if working <= staying().count() / 2
                || voters().filter(works).count() <= voters().count() / 2
            {
                let all = staying().count();
                let message =
                    format!("only {working} of the {all} voters that stay follow closely");
                return refused(ErrorCode::RequestTimedOut, message);
            }
            if node != sight.leader {
                return Ok(Step::Write);
            }
            let best = staying()
                .filter(works)
                .max_by_key(|(id, m)| (m.log_end, std::cmp::Reverse(**id)));
            let best = best.map(|(id, _)| *id).filter(|_| !sight.is_under_way);
            Ok(best.map_or(Step::Write, Step::HandOver))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, the nodes as `node@end`, the leader first, with `-` before those that do
    /// not vote, `--` before those that never do, `!` behind those that do not answer, and `half`
    /// where a change is half done; then what is to change.
    const CASES: &str = "
        one more                        : 0@9 -1@9 : +1 => write
        a second one                    : 0@9 1@9 -2@9 : +2 => write
        who does not follow             : 0@9 : +1 => InvalidRequest
        who is no controller            : 0@9 --1@9 : +1 => InvalidRequest
        who votes                       : 0@9 1@9 : +1 => DuplicateVoter
        who lacks much                  : 0@900 -1@9 : +1 => RequestTimedOut
        one that is away                : 0@9 -1@9! : +1 => RequestTimedOut
        one that is away, half done     : 0@9 1@9! half : +1 => RequestTimedOut
        while another is away           : 0@9 1@9! -2@9 : +2 => RequestTimedOut
        while another is behind         : 0@900 1@9 -2@900 : +2 => RequestTimedOut
        one that was half done          : 0@9 1@9 half : +1 => write
        one less                        : 0@9 1@9 2@9 : -2 => write
        one that is gone                : 0@9 1@9 2@9! : -2 => write
        of two, while the other is away : 0@9 1@9! 2@9 : -2 => RequestTimedOut
        of two, one that is gone        : 0@9 1@9! : -1 => RequestTimedOut
        the last one                    : 0@9 -1@9 : -0 => InvalidRequest
        the leader                      : 0@9 1@8 2@9 : -0 => hand over to 2
        the leader, of two              : 0@9 1@8 : -0 => hand over to 1
        the leader, half done           : 0@9 1@8 half : -0 => write
        who does not vote               : 0@9 -1@9 : -1 => VoterNotFound
        once more, half done            : 0@9 1@9 -2@9 half : -2 => write";

    #[test]
    fn voters_change_one_at_a_time_where_the_quorum_works() {
        for case in CASES.trim().lines() {
            let (told, outcome) = case.split_once("=>").expect("an outcome");
            let parts: Vec<&str> = told.split(':').map(str::trim).collect();
            let mut nodes = parts[1]
                .split_whitespace()
                .filter(|w| *w != "half")
                .map(member);
            let (leader, first) = nodes.next().expect("a leader");
            let sight = Sight {
                leader,
                members: nodes.chain([(leader, first)]).collect(),
                is_under_way: parts[1].contains("half"),
            };
            let (sign, node) = parts[2].split_at(1);
            let node = node.parse().expect("a node");
            let change = match sign {
                "+" => Change::Add(node),
                _ => Change::Remove(node),
            };
            let shown = match decide(change, &sight) {
                Ok(Step::Write) => "write".to_owned(),
                Ok(Step::HandOver(to)) => format!("hand over to {to}"),
                Err(refusal) => format!("{:?}", refusal.code),
            };
            assert_eq!(shown, outcome.trim(), "{}", parts[0]);
        }
    }

    fn member(text: &str) -> (u64, Member) {
        let plain = text.trim_start_matches('-').trim_end_matches('!');
        let (id, end) = plain.split_once('@').expect("an end");
        let member = Member {
            is_voter: !text.starts_with('-'),
            is_there: !text.ends_with('!'),
            may_vote: !text.ends_with('!') && !text.starts_with('-'),
            never_votes: text.starts_with("--"),
            log_end: end.parse().expect("an end"),
        };
        (id.parse().expect("a node"), member)
    }
}
