//! When a voter of the metadata quorum that may have lost its disk takes part again.
//!
//! It has forgotten whom it voted for and what it acknowledged, so it asks the other voters. Any
//! majority that it was part of has at least one member among enough others. So no vote of its own
//! was for a later term than the highest one that enough others know, and nobody who leads in an
//! earlier term may count on it any more. It votes once it has all that the leader of that term
//! had: what it acknowledged before is in there. Others that have lost their disks as well cannot
//! tell, and count for nothing.
//!
//! Where so many have lost their disks that too few others are left, they wait for an
//! administrator, who may consent to go by the word of one voter alone, as it is then: they vote
//! for no other, and follow it once it leads. What is committed is then what that one has.
//!
//! Only a quorum that is being formed has no leader to wait for. It shows by the logs of the
//! others, and by all of them: what is committed is on some disk, though a broker that has just
//! started may not know that it is committed.

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
    /// What an administrator consents to.
    pub consent: Option<Consent>,
    /// The voter by whose word alone it goes since then.
    pub alone: Option<u64>,
}

/// To go by the word of one voter alone, while its log has so many entries: it gets no more before
/// it leads, so an old consent is one to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who.
    pub node_id: u64,
    /// How many entries its log has, from the first one ever.
    pub entries: u64,
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
    /// The term of the last one.
    pub log_term: u64,
    /// Whether it may not vote either.
    pub without_vote: bool,
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
    /// From here on it goes by the word of this voter alone, and votes for it.
    GoBy(u64),
    /// It votes from here on.
    Vote {
        /// The first term in which it takes part.
        from_term: u64,
        /// Whether it also writes the first entry of a new quorum.
        forms: bool,
    },
}

impl Returning {
    /// What it does by the newest answer of each other voter that gives one.
    #[must_use]
    pub fn next(&self, answers: &[Answer]) -> Next {
        let is_used = |answer: &Answer| answer.log_end > FORMATION_ENTRIES;
        if !self.is_empty || answers.iter().any(is_used) {
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

    /// How many others have to know.
    fn enough(&self) -> usize {
        (self.voters / 2 + 1).min(self.voters.saturating_sub(1))
    }

    /// Why it waits, where that does not end by itself, and what ends it.
    #[must_use]
    pub fn standstill(&self, answers: &[Answer]) -> Option<String> {
        let lost = 1 + answers.iter().filter(|a| a.without_vote).count();
        let (voters, enough) = (self.voters, self.enough());
        if self.alone.is_some() || voters - lost >= enough {
            return None;
        }
        let Consent { node_id, entries } = Consent::to(best(answers)?);
        Some(format!(
            "{lost} of {voters} voters have lost their metadata, and {enough} that have not are \
             needed; where those disks are gone for good, set \
             ottla.quorum.recover.from={node_id}@{entries} on the brokers that lost theirs and \
             restart them: they go by what broker {node_id} has, and what only others had \
             committed is lost"
        ))
    }

    fn follow(&self, answers: &[Answer]) -> Next {
        let enough = self.enough();
        let known = || answers.iter().filter(|answer| !answer.without_vote);
        let Some(from_term) = known().map(|answer| answer.term).max() else {
            return Next::Ask;
        };
        match self.alone {
            Some(alone) if !known().any(|answer| answer.node_id == alone) => return Next::Ask,
            None if known().count() < enough => {
                let best = best(answers).map(Consent::to);
                let consented = self.consent.filter(|consent| Some(*consent) == best);
                return consented.map_or(Next::Ask, |consent| Next::GoBy(consent.node_id));
            }
            Some(_) | None => {}
        }
        let leads = |a: &&Answer| a.term == from_term && a.leader == Some(a.node_id);
        let leader = known().find(leads).filter(|_| self.term >= from_term);
        let entries = leader.map(|leader| leader.log_end);
        Next::Follow { from_term, entries }
    }
}

impl Consent {
    fn to(answer: &Answer) -> Self {
        Self {
            node_id: answer.node_id,
            entries: answer.log_end,
        }
    }
}

/// Of those that know, the one that the others could elect.
fn best(answers: &[Answer]) -> Option<&Answer> {
    let known = answers.iter().filter(|answer| !answer.without_vote);
    known.max_by_key(|answer| (answer.log_term, answer.log_end, answer.node_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, the voter as `voters`, its term where it is not empty, whether it is the
    /// first one, `by=` whom it goes alone and `ok=` what is consented to; then answers as
    /// `node@term leader end`, `lost` where it may not vote either, `in` the last entry's term.
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
        before anyone had an entry     : 3 first : 2@1 - 0, 3@0 - 0 => form from 1
        one that knows, by consent     : 3 ok=2@90 : 2@5 - 90, 3@0 - 0 lost => go by 2
        it has got more since          : 3 ok=2@90 : 2@5 - 91, 3@0 - 0 lost => ask
        not one that has lost its disk : 3 ok=3@90 : 2@5 - 90, 3@5 - 90 lost => ask
        there are enough without that  : 3 ok=2@90 : 2@5 - 90, 3@5 - 80 => follow 5
        the other has a later entry    : 5 ok=2@90 : 2@6 - 90 in5, 3@6 - 80 in6 => ask
        that one then                  : 5 ok=3@80 : 2@6 - 90 in5, 3@6 - 80 in6 => go by 3
        it goes by that one            : 3 by=2 : 2@5 - 90, 3@0 - 0 lost => follow 5
        which leads by now             : 3 @6 by=2 : 2@6 2 91, 3@6 2 0 lost => follow 6 up to 91
        and is not there               : 3 @6 by=2 : 3@6 2 0 lost => ask";

    #[test]
    fn a_voter_takes_part_again_by_the_word_of_enough_others() {
        for case in CASES.trim().lines() {
            let (told, outcome) = case.split_once("=>").expect("an outcome");
            let parts: Vec<&str> = told.split(':').map(str::trim).collect();
            let own: Vec<&str> = parts[1].split_whitespace().collect();
            let term = own.iter().find_map(|word| word.strip_prefix('@'));
            let voter = Returning {
                voters: own[0].parse().expect("a count"),
                is_first: own.contains(&"first"),
                is_empty: term.is_none(),
                term: term.map_or(0, |term| term.parse().expect("a term")),
                consent: own
                    .iter()
                    .find_map(|word| word.strip_prefix("ok="))
                    .map(|ok| {
                        let (node_id, entries) = ok.split_once('@').expect("entries");
                        Consent {
                            node_id: node_id.parse().expect("a node"),
                            entries: entries.parse().expect("a count"),
                        }
                    }),
                alone: (own.iter().find_map(|word| word.strip_prefix("by=")))
                    .map(|by| by.parse().expect("a node")),
            };
            let answers = parts[2].split_terminator(',').map(answer);
            let next = voter.next(&answers.collect::<Vec<_>>());
            assert_eq!(shown(next), outcome.trim(), "{}", parts[0]);
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
            log_term: (words.iter().find_map(|word| word.strip_prefix("in")))
                .map_or(0, |term| term.parse().expect("a term")),
            without_vote: words.contains(&"lost"),
        }
    }

    fn shown(next: Next) -> String {
        match next {
            Next::Ask => "ask".to_owned(),
            Next::Follow { from_term, entries } => {
                let entries = entries.map(|entries| format!(" up to {entries}"));
                format!("follow {from_term}{}", entries.unwrap_or_default())
            }
            Next::GoBy(node_id) => format!("go by {node_id}"),
            Next::Vote { from_term, forms } => {
                let what = if forms { "form" } else { "vote" };
                format!("{what} from {from_term}")
            }
        }
    }

    #[test]
    fn a_voter_tells_why_it_waits_for_good_and_what_ends_that() {
        let voter = |voters| Returning {
            voters,
            is_first: false,
            is_empty: true,
            term: 0,
            consent: None,
            alone: None,
        };
        let answers = ["2@5 - 90", "3@0 - 0 lost"].map(answer);
        let told = voter(3)
            .standstill(&answers)
            .expect("two of three are lost");
        assert!(
            told.starts_with("2 of 3 voters have lost their metadata"),
            "{told}"
        );
        assert!(told.contains("ottla.quorum.recover.from=2@90 "), "{told}");
        assert_eq!(
            voter(5).standstill(&answers),
            None,
            "the others may be down"
        );
        assert_eq!(
            voter(3).standstill(&answers[..1]),
            None,
            "the third is down"
        );
        let alone = Returning {
            alone: Some(2),
            ..voter(3)
        };
        assert_eq!(alone.standstill(&answers), None);
    }
}
