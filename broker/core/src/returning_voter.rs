//! When a node of the metadata quorum that may have lost its disk takes part again.
//!
//! As a voter it has forgotten whom it voted for and what it acknowledged, so it asks the others.
//! Any majority that it was part of has at least one member among enough others. So no vote of its
//! own was for a later term than the highest one that enough others know, and nobody who leads in
//! an earlier term may count on it any more. It votes once it has all that the leader of that term
//! had: what it acknowledged before is in there. Others that have lost their disks as well cannot
//! tell, and count for nothing.
//!
//! Who votes may have changed since this node knew it. Each membership that a node tells of is
//! heeded: of each of them enough have to answer. One that this node is not part of counted no vote
//! of its own; of it a majority has to answer, so that none is in force that came later and has
//! this node in it.
//!
//! Where so many have lost their disks that too few others are left, they wait until one of those
//! disks is back, and say so. None goes on by the word of fewer: what the others alone had may be
//! applied somewhere already, or may come back with a disk.
//!
//! Where all others that vote have told and none of them leads, they may need its vote to elect
//! one: of a pair either does. Nobody counts any more on what it acknowledged, and whatever of that
//! was committed one of them has: so whoever has the last entry of all their logs has all of it. It
//! votes for such a one, and is elected itself once it is such a one, from the next term on: its
//! own forgotten votes were for earlier ones.
//!
//! Only a quorum that is being formed has no leader to wait for. It shows by the logs of the
//! others, and by all of them: what is committed is on some disk, though a broker that has just
//! started may not know that it is committed.

use std::collections::BTreeSet;
use std::fmt;

/// How many entries the formation writes: who the voters are. Each later one is a leader's, and a
/// majority that may vote has elected that leader.
const FORMATION_ENTRIES: u64 = 1;

/// The last entry of a log: of two logs the one with the later one has more, as leaders go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastEntry {
    /// The term in which it was written.
    pub term: u64,
    /// Who led then.
    pub leader: u64,
    /// Its place in the log.
    pub index: u64,
}

/// A node that may not vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    /// The node.
    pub node_id: u64,
    /// The voters by its settings: those that form the quorum.
    pub configured: BTreeSet<u64>,
    /// The voters by its own log; none where that says nothing.
    pub known: BTreeSet<u64>,
    /// Whether it has neither voted nor got an entry. Otherwise somebody has led, whom a majority
    /// has voted for.
    pub is_empty: bool,
    /// The term that its disk knows.
    pub term: u64,
    /// The last entry of its log.
    pub last: Option<LastEntry>,
}

/// What a voter answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub node_id: u64,
    /// The highest term that it knows.
    pub term: u64,
    /// Who leads in that term, as far as it knows.
    pub leader: Option<u64>,
    /// How many entries its log has, from the first one ever.
    pub log_end: u64,
    /// Whether it may not vote either.
    pub without_vote: bool,
    /// Whether it leads, and a majority has just answered it.
    pub is_heard: bool,
    /// Who votes, by its log; none where that says nothing.
    pub voters: BTreeSet<u64>,
    /// The last entry of its log, where it tells.
    pub last: Option<LastEntry>,
}

/// What the node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It asks again, and answers neither who leads nor who wants its vote.
    Ask,
    /// It follows whoever leads in `from_term` or later, without a vote.
    Follow {
        /// The first term in which it takes part.
        from_term: u64,
        /// How many entries it needs to vote from then on, where that can be told.
        entries: Option<u64>,
    },
    /// Nobody leads: it votes for whoever has all that it may have acknowledged, and then follows.
    Elect {
        /// The first term in which it takes part.
        from_term: u64,
        /// What the log of whom it votes for has at least.
        least: LastEntry,
        /// Whether it has that itself, and knows the last term, so that it may be elected.
        stands: bool,
    },
    /// It is no voter, and follows whoever leads in `from_term` or later until it becomes one.
    Observe {
        /// The first term in which it takes part.
        from_term: u64,
    },
    /// It votes from here on.
    Vote {
        /// The first term in which it takes part.
        from_term: u64,
        /// Whether it also writes the first entry of a new quorum.
        forms: bool,
    },
}

/// A voter that may not vote, and hears too few others that have not lost their metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// How many voters there are.
    voters: usize,
    /// How many have lost their metadata, as far as is known.
    pub lost: usize,
    /// How many do not answer.
    silent: usize,
    /// How many that have not lost theirs are needed.
    needed: usize,
}

impl Returning {
    /// What it does by the newest answer of each other voter that gives one.
    #[must_use]
    pub fn next(&self, answers: &[Answer]) -> Next {
        if self.is_formed(answers) {
            return self.follow(answers);
        }
        let is_configured = self.configured.contains(&self.node_id);
        let others = answers
            .iter()
            .filter(|a| self.configured.contains(&a.node_id));
        if !is_configured || others.count() + 1 < self.configured.len() {
            return Next::Ask;
        }
        let from_term = answers.iter().map(|answer| answer.term).max();
        let is_first = self.configured.first() == Some(&self.node_id);
        Next::Vote {
            from_term: from_term.unwrap_or(0),
            forms: is_first && answers.iter().all(|answer| answer.log_end == 0),
        }
    }

    /// Whether somebody has led this quorum.
    fn is_formed(&self, answers: &[Answer]) -> bool {
        let is_used = |answer: &Answer| answer.log_end > FORMATION_ENTRIES;
        !self.is_empty || answers.iter().any(is_used)
    }

    /// Who votes, by all that is told of it.
    fn memberships<'a>(&'a self, answers: &'a [Answer]) -> BTreeSet<&'a BTreeSet<u64>> {
        let told = answers.iter().map(|answer| &answer.voters);
        let told = told.chain([&self.known]);
        let mut told: BTreeSet<_> = told.filter(|voters| !voters.is_empty()).collect();
        if told.is_empty() {
            told.insert(&self.configured);
        }
        told
    }

    /// How many others of these voters have to know.
    fn needed(&self, voters: &BTreeSet<u64>) -> usize {
        let majority = voters.len() / 2 + 1;
        match voters.contains(&self.node_id) {
            true => majority.min(voters.len().saturating_sub(1)),
            false => majority,
        }
    }

    fn follow(&self, answers: &[Answer]) -> Next {
        let memberships = self.memberships(answers);
        let votes = |answer: &&Answer| memberships.iter().any(|v| v.contains(&answer.node_id));
        let known = || answers.iter().filter(|a| !a.without_vote).filter(votes);
        let Some(from_term) = known().map(|answer| answer.term).max() else {
            return Next::Ask;
        };
        let lacks = |voters: &&BTreeSet<u64>| {
            let heard = known().filter(|answer| voters.contains(&answer.node_id));
            heard.count() < self.needed(voters)
        };
        if memberships.iter().any(lacks) {
            return Next::Ask;
        }
        let leads = |a: &&Answer| a.term == from_term && a.leader == Some(a.node_id);
        let leader = known().find(leads);
        if let Some(leader) = leader
            && !leader.voters.is_empty()
            && !leader.voters.contains(&self.node_id)
        {
            return Next::Observe { from_term };
        }
        if let Some(elect) = self.elect(&memberships, answers) {
            return elect;
        }
        let leader = leader.filter(|_| self.term >= from_term);
        let entries = leader.map(|leader| leader.log_end);
        Next::Follow { from_term, entries }
    }

    /// What it does where it votes, and all others that do have told that none of them leads.
    fn elect(&self, memberships: &BTreeSet<&BTreeSet<u64>>, answers: &[Answer]) -> Option<Next> {
        let voters: BTreeSet<u64> = memberships.iter().copied().flatten().copied().collect();
        if !voters.contains(&self.node_id) {
            return None;
        }
        let (mut term, mut least) = (0, None);
        for id in voters.iter().filter(|id| **id != self.node_id) {
            let other = answers.iter().find(|answer| answer.node_id == *id)?;
            if other.without_vote || other.leader == Some(*id) || other.voters.is_empty() {
                return None;
            }
            term = term.max(other.term);
            least = least.max(Some(other.last?));
        }
        let least = least?;
        Some(Next::Elect {
            from_term: term.saturating_add(1),
            least,
            stands: self.last >= Some(least) && self.term >= term,
        })
    }

    /// Why it waits, where it votes and too few that know answer; none while the quorum works
    /// without it.
    #[must_use]
    pub fn standstill(&self, answers: &[Answer]) -> Option<Standstill> {
        if !self.is_formed(answers) || answers.iter().any(|answer| answer.is_heard) {
            return None;
        }
        let memberships = self.memberships(answers);
        let mut own = memberships.iter().filter(|v| v.contains(&self.node_id));
        own.find_map(|voters| {
            let heard = answers.iter().filter(|a| voters.contains(&a.node_id));
            let (heard, lost) = (
                heard.clone().count(),
                heard.filter(|a| a.without_vote).count(),
            );
            let needed = self.needed(voters);
            (heard - lost < needed).then(|| Standstill {
                voters: voters.len(),
                lost: 1 + lost,
                silent: voters.len().saturating_sub(1 + heard),
                needed,
            })
        })
    }
}

impl Standstill {
    /// How many have to get their metadata back, though all that do not answer did.
    fn missing(self) -> usize {
        (self.needed + self.lost).saturating_sub(self.voters)
    }

    /// Whether it stays though all are started.
    #[must_use]
    pub fn is_for_good(self) -> bool {
        self.missing() > 0
    }
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            voters,
            lost,
            silent,
            needed,
        } = self;
        write!(
            f,
            "{lost} of {voters} voters of the metadata quorum have lost their metadata, {silent} \
             do not answer, {needed} that have theirs are needed: "
        )?;
        match self.missing() {
            0 => write!(f, "start those that do not answer"),
            missing => write!(
                f,
                "bring back the disks of {missing} that lost theirs, or newest backups of their \
                 whole directories metadata; no voter goes on without"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, then the node: how many voters its settings name from 1 on, its term
    /// where it is not empty, `as` whom it is, where that is not the first that does not answer,
    /// `of` who votes by its log, and its `last` entry as `term.index`; then answers as `node@term
    /// leader end`, `of` and `last` the same, `lost` where it may not vote either, `heard` where it
    /// leads and a majority answers it.
    const CASES: &str = "
        both others, and one leads     : 3 @5 : 2@5 2 90, 3@5 2 80 => follow 5 up to 90
        an empty one hears them first  : 3 : 2@5 2 90, 3@5 2 80 => follow 5
        so does one of an earlier term : 3 @4 : 2@5 2 90, 3@5 2 80 => follow 5
        the leader alone is not enough : 3 @5 : 2@5 2 90 => ask
        nor is one that follows        : 3 @5 : 3@5 2 80 => ask
        a leader of the past           : 3 @6 : 2@5 2 90, 3@6 - 80 => follow 6
        the present one counts         : 3 @6 : 2@5 2 90, 3@6 3 80 => follow 6 up to 80
        nobody leads                   : 3 @5 : 2@5 - 90, 3@5 - 90 => follow 5
        the leader does not answer     : 5 @5 : 2@5 4 90, 3@5 4 90, 5@5 4 90 => follow 5
        three of four                  : 5 @5 : 2@5 4 90, 3@5 4 90, 4@5 4 95 => follow 5 up to 95
        two of four                    : 5 @5 : 3@5 4 90, 4@5 4 95 => ask
        who lost its disk cannot tell  : 5 @5 : 2@0 - 0 lost, 3@5 4 90, 4@5 4 95 => ask
        nor who catches up             : 5 @5 : 2@5 4 80 lost, 3@5 4 90, 4@5 4 95 => ask
        three of four that know        : 5 : 1@5 4 9, 2@0 - 0 lost, 3@5 4 9, 4@5 4 9 => follow 5
        two of three lost their disks  : 3 : 2@5 - 90, 3@0 - 0 lost => ask
        a pair has one other           : 2 @5 : 2@5 2 90 => follow 5 up to 90
        one alone that has entries     : 1 @5 : => ask
        a pair, nobody leads           : 2 @5 : 2@5 - 90 of 1+2 last 5.89 => elect from 6 by 5.89
        that lost its disk just now    : 2 : 2@5 - 90 of 1+2 last 5.89 => elect from 6 by 5.89
        it has what the other one has  : 2 @5 last 5.89 : 2@5 - 90 of 1+2 last 5.89 \
            => elect from 6 by 5.89 or itself
        a longer log of an earlier term: 2 @5 last 5.80 : 2@5 - 90 of 1+2 last 4.89 \
            => elect from 6 by 4.89 or itself
        it knows an earlier term only  : 2 @5 last 5.89 : 2@6 - 90 of 1+2 last 5.89 \
            => elect from 7 by 5.89
        one of the version before      : 2 @5 : 2@5 - 90 of 1+2 => follow 5
        one that knows no voters yet   : 2 @5 : 2@5 - 90 last 5.89 => follow 5
        it was just made a voter       : 1 as 2 of 1 : 1@5 - 9 of 1+2 last 5.8 \
            => elect from 6 by 5.8
        and has it in its log          : 1 @5 as 2 of 1+2 last 5.8 : 1@5 - 9 of 1+2 last 5.8 \
            => elect from 6 by 5.8 or itself
        all three have told            : 3 : 2@7 - 90 of 1+2+3 last 6.89, \
            3@7 - 80 of 1+2+3 last 7.79 => elect from 8 by 7.79
        one of them leads              : 3 : 2@7 2 90 of 1+2+3 last 6.89, \
            3@7 - 80 of 1+2+3 last 6.79 => follow 7
        one led before                 : 3 : 2@7 - 90 of 1+2+3 last 6.89, \
            3@6 3 80 of 1+2+3 last 6.79 => follow 7
        one more votes, and is silent  : 3 : 2@7 - 90 of 1+2+3+4 last 6.89, \
            3@7 - 9 of 1+2+3 last 6.8 => ask
        one of five lost its disk too  : 5 : 2@7 - 9 of 1+2+3+4+5 last 6.8, 3@0 - 0 lost, \
            4@7 - 9 of 1+2+3+4+5 last 6.8, 5@7 - 9 of 1+2+3+4+5 last 6.8 => follow 7
        it does not vote               : 2 as 3 : 1@5 - 9 of 1+2 last 5.8, 2@5 - 9 of 1+2 last 5.8 \
            => follow 5
        all have just started          : 3 : 2@7 - 90, 3@7 - 80 => follow 7
        only one has what is committed : 3 : 2@1 - 3, 3@1 - 2 => follow 1
        one that knows is enough       : 3 : 2@1 - 3 => ask
        one had begun to catch up      : 3 @1 : 2@1 - 2, 3@1 - 2 => follow 1
        a new one alone                : 1 : => form from 0
        new ones                       : 3 : 2@0 - 0 lost, 3@0 - 0 lost => form from 0
        another one forms              : 3 : 1@0 - 0 lost, 3@0 - 0 lost => vote from 0
        one that starts late           : 3 : 2@0 - 0 => ask
        of five, one that starts late  : 5 : 1@0 - 0 lost, 2@0 - 0, 3@0 - 0 => ask
        it is being formed             : 3 : 1@1 - 1, 3@0 - 0 => vote from 1
        by a candidate with a vote     : 3 : 1@1 - 1, 3@1 - 0 => vote from 1
        and is formed a moment ago     : 3 : 1@1 1 2, 3@1 1 1 => follow 1
        the first one lost its disk    : 3 : 2@1 - 1, 3@1 - 0 => vote from 1
        before anyone had an entry     : 3 : 2@1 - 0, 3@0 - 0 => form from 1
        one that the settings omit     : 1 as 2 : 1@5 1 90 of 1 => observe 5
        and nobody has begun           : 1 as 2 : 1@0 - 0 => ask
        an observer needs a majority   : 3 as 4 : 1@5 1 90 of 1+2+3 => ask
        two of three are one           : 3 as 4 : 1@5 1 90 of 1+2+3, 2@5 1 90 of 1+2+3 => observe 5
        with no leader it may yet vote : 3 as 4 : 1@5 - 9 of 1+2+3, 2@5 - 9 of 1+2+3 => follow 5
        it was made a voter meanwhile  : 1 as 2 : 1@5 1 90 of 1+2 => follow 5
        and has caught up              : 1 @5 as 2 of 1 : 1@5 1 90 of 1+2 => follow 5 up to 90
        not all know that it was       : 3 as 4 : 1@5 1 9 of 1+2+3+4, 2@5 1 8 of 1+2+3 => ask
        but enough do                  : 2 as 3 : 1@5 1 9 of 1+2+3, 2@5 1 8 of 1+2 => follow 5
        it votes no more               : 2 @5 as 3 : 1@5 1 9 of 1+2, 2@5 1 9 of 1+2 => observe 5
        more voters than were set up   : 1 as 9 : 1@5 1 90 of 1+2+3 => ask
        fewer, and two vote without it : 5 as 5 : 1@5 1 90 of 1+2+3, 2@5 1 90 of 1+2+3 => observe 5
        fewer, and it is one of them   : 4 as 3 : 1@5 1 9 of 1+2+3, 4@5 1 9 of 1+2+3 => ask";

    /// The same, with what the voter tells: how many do not answer, and whether it ends once those
    /// start, or once others bring their metadata back.
    const STANDSTILLS: &str = "
        the first has its metadata : 3 : 1@5 - 90, 3@0 - 0 lost => 2 of 3 lost, 0 silent, bring
        and led before, with others: 3 : 1@5 1 90, 3@0 - 0 lost => 2 of 3 lost, 0 silent, bring
        a majority answers one     : 3 @5 : 1@5 1 90 heard, 3@0 - 0 lost => nothing
        enough know                : 3 : 1@5 - 90, 3@5 - 80 => nothing
        one does not answer        : 3 : 1@5 - 90 => 1 of 3 lost, 1 silent, start
        enough may come back       : 5 : 1@5 - 90, 2@0 - 0 lost => 2 of 5 lost, 2 silent, start
        but not once three are lost: 5 : 1@5 - 9, 2@0 - 0 lost, 3@0 - 0 lost \
            => 3 of 5 lost, 1 silent, bring
        all are, one for the second time: 3 @5 : 1@0 - 0 lost, 3@0 - 0 lost \
            => 3 of 3 lost, 0 silent, bring
        nobody has formed it yet   : 3 : 1@0 - 0 lost, 3@0 - 0 lost => nothing
        nobody answers an empty one: 3 : => nothing";

    #[test]
    fn a_voter_takes_part_again_by_the_word_of_enough_others() {
        for case in CASES.trim().lines() {
            let (told, outcome) = case.split_once("=>").expect("an outcome");
            let parts: Vec<&str> = told.split(':').map(str::trim).collect();
            let answers = parts[2].split_terminator(',').map(answer);
            let answers: Vec<_> = answers.collect();
            let next = voter(parts[1], &answers).next(&answers);
            assert_eq!(shown(next), outcome.trim(), "{}", parts[0]);
        }
    }

    fn voter(text: &str, answers: &[Answer]) -> Returning {
        let own: Vec<&str> = text.split_whitespace().collect();
        let term = own.iter().find_map(|word| word.strip_prefix('@'));
        let count: u64 = own[0].parse().expect("a count");
        let is_free = |id: &u64| answers.iter().all(|answer| answer.node_id != *id);
        let told = after(&own, "as").map(|id| id.parse().expect("a node"));
        Returning {
            node_id: told.or((1..=count).find(is_free)).expect("a node"),
            configured: (1..=count).collect(),
            known: after(&own, "of").map(voters).unwrap_or_default(),
            is_empty: term.is_none(),
            term: term.map_or(0, |term| term.parse().expect("a term")),
            last: after(&own, "last").map(last),
        }
    }

    fn last(text: &str) -> LastEntry {
        let (term, index) = text.split_once('.').expect("an index");
        LastEntry {
            term: term.parse().expect("a term"),
            leader: 0,
            index: index.parse().expect("an index"),
        }
    }

    /// The word behind this one.
    fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
        let place = words.iter().position(|word| *word == name)?;
        Some(words[place + 1])
    }

    fn voters(text: &str) -> BTreeSet<u64> {
        let ids = text.split('+').map(|id| id.parse().expect("a node"));
        ids.collect()
    }

    fn answer(text: &str) -> Answer {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (node_id, term) = words[0].split_once('@').expect("a term");
        Answer {
            node_id: node_id.parse().expect("a node"),
            term: term.parse().expect("a term"),
            leader: words[1].parse().ok(),
            log_end: words[2].parse().expect("an end"),
            without_vote: words.contains(&"lost"),
            is_heard: words.contains(&"heard"),
            voters: after(&words, "of").map(voters).unwrap_or_default(),
            last: after(&words, "last").map(last),
        }
    }

    fn shown(next: Next) -> String {
        match next {
            Next::Ask => "ask".to_owned(),
            Next::Follow { from_term, entries } => {
                let entries = entries.map(|entries| format!(" up to {entries}"));
                format!("follow {from_term}{}", entries.unwrap_or_default())
            }
            Next::Observe { from_term } => format!("observe {from_term}"),
            Next::Elect {
                from_term,
                least: LastEntry { term, index, .. },
                stands,
            } => {
                let own = if stands { " or itself" } else { "" };
                format!("elect from {from_term} by {term}.{index}{own}")
            }
            Next::Vote { from_term, forms } => {
                let what = if forms { "form" } else { "vote" };
                format!("{what} from {from_term}")
            }
        }
    }

    #[test]
    fn a_voter_tells_why_it_waits_and_what_ends_that() {
        for case in STANDSTILLS.trim().lines() {
            let (told, outcome) = case.split_once("=>").expect("an outcome");
            let parts: Vec<&str> = told.split(':').map(str::trim).collect();
            let answers = parts[2].split_terminator(',').map(answer);
            let answers: Vec<_> = answers.collect();
            let told = match voter(parts[1], &answers).standstill(&answers) {
                None => "nothing".to_owned(),
                Some(why) => {
                    let end = if why.is_for_good() { "bring" } else { "start" };
                    assert!(why.to_string().contains(&format!(": {end} ")), "{why}");
                    let (lost, voters, silent) = (why.lost, why.voters, why.silent);
                    format!("{lost} of {voters} lost, {silent} silent, {end}")
                }
            };
            assert_eq!(told, outcome.trim(), "{}", parts[0]);
        }
    }
}
