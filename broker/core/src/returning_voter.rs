//! When a voter of the metadata quorum that may have lost its disk takes part again.
//!
//! It has forgotten whom it voted for and what it acknowledged, so it asks the other voters. Any
//! majority that it was part of has at least one member among enough others. So no vote of its own
//! was for a later term than the highest one that enough others know, and nobody who leads in an
//! earlier term may count on it any more. It votes once it has all that the leader of that term
//! had: what it acknowledged before is in there. Others that have lost their disks as well cannot
//! tell, and count for nothing.
//!
//! Where so many have lost their disks that too few others are left, they wait until one of those
//! disks is back, and say so. None goes on by the word of fewer: what the others alone had may be
//! applied somewhere already, or may come back with a disk.
//!
//! Only a quorum that is being formed has no leader to wait for. It shows by the logs of the
//! others, and by all of them: what is committed is on some disk, though a broker that has just
//! started may not know that it is committed.

use std::fmt;

/// How many entries the formation writes: who the voters are. Each later one is a leader's, and a
/// majority that may vote has elected that leader.
const FORMATION_ENTRIES: u64 = 1;

/// A voter that may not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returning {
    /// How many voters there are, this one included.
    pub voters: usize,
    /// Whether this is the voter that forms the quorum.
    pub is_first: bool,
    /// Whether it has neither voted nor got an entry. Otherwise somebody has led, whom a majority
    /// has voted for.
    pub is_empty: bool,
    /// The term that its disk knows.
    pub term: u64,
}

/// What another voter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// What the voter does.
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
        if answers.len() + 1 < self.voters {
            return Next::Ask;
        }
        let from_term = answers.iter().map(|answer| answer.term).max();
        Next::Vote {
            from_term: from_term.unwrap_or(0),
            forms: self.is_first && answers.iter().all(|answer| answer.log_end == 0),
        }
    }

    /// Whether somebody has led this quorum.
    fn is_formed(&self, answers: &[Answer]) -> bool {
        let is_used = |answer: &Answer| answer.log_end > FORMATION_ENTRIES;
        !self.is_empty || answers.iter().any(is_used)
    }

    /// How many others have to know.
    fn needed(&self) -> usize {
        (self.voters / 2 + 1).min(self.voters.saturating_sub(1))
    }

    fn follow(&self, answers: &[Answer]) -> Next {
        let known = || answers.iter().filter(|answer| !answer.without_vote);
        let Some(from_term) = known().map(|answer| answer.term).max() else {
            return Next::Ask;
        };
        if known().count() < self.needed() {
            return Next::Ask;
        }
        let leads = |a: &&Answer| a.term == from_term && a.leader == Some(a.node_id);
        let leader = known().find(leads).filter(|_| self.term >= from_term);
        let entries = leader.map(|leader| leader.log_end);
        Next::Follow { from_term, entries }
    }

    /// Why it waits, where too few that know answer; none while the quorum works without it.
    #[must_use]
    pub fn standstill(&self, answers: &[Answer]) -> Option<Standstill> {
        let without_vote = answers.iter().filter(|answer| answer.without_vote).count();
        let (needed, known) = (self.needed(), answers.len() - without_vote);
        let works = answers.iter().any(|answer| answer.is_heard);
        let stands = self.is_formed(answers) && known < needed && !works;
        stands.then(|| Standstill {
            voters: self.voters,
            lost: 1 + without_vote,
            silent: self.voters.saturating_sub(1 + answers.len()),
            needed,
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

    /// Each line: a case, the voter as `voters`, its term where it is not empty and whether it is
    /// the first one, then answers as `node@term leader end`, `lost` where it may not vote either,
    /// `heard` where it leads and a majority answers it.
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
        all have just started          : 3 : 2@7 - 90, 3@7 - 80 => follow 7
        only one has what is committed : 3 : 2@1 - 3, 3@1 - 2 => follow 1
        one that knows is enough       : 3 : 2@1 - 3 => ask
        one had begun to catch up      : 3 @1 : 2@1 - 2, 3@1 - 2 => follow 1
        a new one alone                : 1 first : => form from 0
        new ones                       : 3 first : 2@0 - 0 lost, 3@0 - 0 lost => form from 0
        another one forms              : 3 : 1@0 - 0 lost, 3@0 - 0 lost => vote from 0
        one that starts late           : 3 first : 2@0 - 0 => ask
        of five, one that starts late  : 5 : 1@0 - 0 lost, 2@0 - 0, 3@0 - 0 => ask
        it is being formed             : 3 : 1@1 - 1, 3@0 - 0 => vote from 1
        by a candidate with a vote     : 3 : 1@1 - 1, 3@1 - 0 => vote from 1
        and is formed a moment ago     : 3 : 1@1 1 2, 3@1 1 1 => follow 1
        the first one lost its disk    : 3 first : 2@1 - 1, 3@1 - 0 => vote from 1
        before anyone had an entry     : 3 first : 2@1 - 0, 3@0 - 0 => form from 1";

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
            let next = voter(parts[1]).next(&answers.collect::<Vec<_>>());
            assert_eq!(shown(next), outcome.trim(), "{}", parts[0]);
        }
    }

    fn voter(text: &str) -> Returning {
        let own: Vec<&str> = text.split_whitespace().collect();
        let term = own.iter().find_map(|word| word.strip_prefix('@'));
        Returning {
            voters: own[0].parse().expect("a count"),
            is_first: own.contains(&"first"),
            is_empty: term.is_none(),
            term: term.map_or(0, |term| term.parse().expect("a term")),
        }
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
        }
    }

    fn shown(next: Next) -> String {
        match next {
            Next::Ask => "ask".to_owned(),
            Next::Follow { from_term, entries } => {
                let entries = entries.map(|entries| format!(" up to {entries}"));
                format!("follow {from_term}{}", entries.unwrap_or_default())
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
            let told = match voter(parts[1]).standstill(&answers) {
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
