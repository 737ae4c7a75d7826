//! How the voters of the metadata quorum become those that the spec wants: brokers 0 to a number,
//! one at a time. Pure.
//!
//! A broker's file names at least those that vote: it is where it looks for them when it starts. So
//! the files name a voter before it votes, and until it votes no more.
//!
//! Invariant: a change is asked for only while every voter that stays follows closely.

use std::collections::{BTreeMap, BTreeSet};

use crate::observed::ObservedQuorum;

/// The quorum, and what it is to be.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The brokers 0 to this − 1 are to vote.
    pub wanted: i32,
    /// How many voters the file of each broker names that exists.
    pub named: &'a BTreeMap<i32, i32>,
    /// The brokers that serve.
    pub serving: &'a BTreeSet<i32>,
    /// The quorum as the active controller has it.
    pub quorum: &'a ObservedQuorum,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Those vote that are to.
    Settled,
    /// That broker is to vote.
    Add(i32),
    /// That broker is to vote no more.
    Remove(i32),
    /// Something has to come first; half a sentence.
    Wait(String),
}

/// Plans.
#[must_use]
pub fn plan(facts: &Facts<'_>) -> Step {
    let voters = &facts.quorum.voters;
    let behind = |leaves: Option<i32>| {
        let mut behind = voters
            .iter()
            .filter(|(id, is_close)| !**is_close && Some(**id) != leaves);
        let (id, _) = behind.next()?;
        Some(Step::Wait(format!("voter {id} has not caught up")))
    };
    if let Some(id) = (0..facts.wanted).find(|id| !voters.contains_key(id)) {
        if facts.named.values().any(|named| *named < facts.wanted) {
            return Step::Wait("not all brokers know of it yet".to_owned());
        }
        if !facts.serving.contains(&id) {
            return Step::Wait(format!("broker {id} does not serve yet"));
        }
        return behind(None).unwrap_or(Step::Add(id));
    }
    match voters.keys().next_back().filter(|id| **id >= facts.wanted) {
        Some(last) => behind(Some(*last)).unwrap_or(Step::Remove(*last)),
        None => Step::Settled,
    }
}

/// How many brokers are to vote, of so many that stay: what the spec says, or 3, or 1 where there
/// are fewer than 3.
#[must_use]
pub fn wanted(spec: Option<i32>, staying: i32) -> i32 {
    let fits = spec.filter(|controllers| *controllers <= staying);
    fits.unwrap_or(if staying >= 3 { 3 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, how many are to vote, how many each broker's file names, the voters, `-`
    /// behind those that are behind, and the brokers that do not serve.
    const CASES: &str = "
        as it is                   : 3 : 3 3 3 : 0 1 2 : => Settled
        the last one first         : 3 : 5 5 5 5 5 : 0 1 2 3 4 : => Remove(4)
        then the next              : 3 : 5 5 5 5 5 : 0 1 2 3 : => Remove(3)
        one that leaves is away    : 3 : 5 5 5 5 5 : 0 1 2 3 4- : 4 => Remove(4)
        one that stays is behind   : 3 : 5 5 5 5 5 : 0 1- 2 3 4 : => voter 1 has not caught up
        so is one that leaves too  : 1 : 3 3 3 : 0 1- 2 : => voter 1 has not caught up
        down to one                : 1 : 3 3 : 0 1 : => Remove(1)
        up from one                : 3 : 3 3 3 : 0 : => Add(1)
        and the next               : 3 : 3 3 3 : 0 1 : => Add(2)
        a file is older            : 3 : 3 1 3 : 0 : => not all brokers know of it yet
        it does not serve          : 3 : 3 3 3 : 0 : 1 => broker 1 does not serve yet
        a voter is behind          : 3 : 3 3 3 : 0 1- : => voter 1 has not caught up
        back while some have gone  : 5 : 5 5 5 5 5 : 0 1 2 3 : => Add(4)
        somebody took another vote : 3 : 4 4 4 4 : 0 1 3 : => Add(2)
        files name more            : 3 : 5 5 5 : 0 1 2 : => Settled";

    #[test]
    fn voters_become_those_that_are_wanted_one_at_a_time() {
        for case in CASES.trim().lines() {
            let (told, outcome) = case.split_once("=>").unwrap();
            let parts: Vec<&str> = told.split(':').map(str::trim).collect();
            let named = parts[2].split_whitespace().map(|n| n.parse().unwrap());
            let named: BTreeMap<i32, i32> = (0..).zip(named).collect();
            let voters = parts[3].split_whitespace();
            let voters =
                voters.map(|v| (v.trim_end_matches('-').parse().unwrap(), !v.ends_with('-')));
            let down: BTreeSet<i32> = parts[4]
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            let facts = Facts {
                wanted: parts[1].parse().unwrap(),
                named: &named,
                serving: &named
                    .keys()
                    .copied()
                    .filter(|id| !down.contains(id))
                    .collect(),
                quorum: &ObservedQuorum {
                    leader: 0,
                    voters: voters.collect(),
                },
            };
            let shown = match plan(&facts) {
                Step::Wait(why) => why,
                other => format!("{other:?}"),
            };
            assert_eq!(shown, outcome.trim(), "{}", parts[0]);
        }
    }

    #[test]
    fn how_many_vote_follows_from_how_many_stay() {
        let default: Vec<i32> = (1..=6).map(|staying| wanted(None, staying)).collect();
        assert_eq!(default, [1, 1, 3, 3, 3, 3]);
        assert_eq!(
            [wanted(Some(5), 5), wanted(Some(1), 3), wanted(Some(5), 4)],
            [5, 1, 3]
        );
    }
}
