//! How the voters of the metadata quorum become those that the spec wants, one at a time: brokers 0
//! to a number, or controllers that are no brokers. Pure.
//!
//! A node's file names at least those that vote: it is where it looks for them when it starts. So
//! the files name a voter before it votes, and until it votes no more.
//!
//! Invariant: a change is asked for only while every voter that stays follows closely, and of those
//! that leave at most one does not.

use std::collections::{BTreeMap, BTreeSet};

use crate::observed::ObservedQuorum;
use crate::spoken::node;
use crate::validated::dedicated;

/// The quorum, and what it is to be.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Those that are to vote.
    pub wanted: &'a BTreeSet<i32>,
    /// The voters that the file of each node names that exists.
    pub named: &'a BTreeMap<i32, BTreeSet<i32>>,
    /// The nodes that serve.
    pub serving: &'a BTreeSet<i32>,
    /// The quorum as the active controller has it.
    pub quorum: &'a ObservedQuorum,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Those vote that are to.
    Settled,
    /// That node is to vote.
    Add(i32),
    /// That node is to vote no more.
    Remove(i32),
    /// Something has to come first; half a sentence.
    Wait(String),
}

/// Plans.
#[must_use]
pub fn plan(facts: &Facts<'_>) -> Step {
    let voters = &facts.quorum.voters;
    let behind = voters.iter().filter(|(_, is_close)| !**is_close);
    let behind: BTreeSet<i32> = behind.map(|(id, _)| *id).collect();
    let leaves = |id: &&i32| !facts.wanted.contains(id);
    // Of those that leave one may be away for good.
    let lost = behind.iter().rev().find(leaves).copied();
    let mut others = behind.iter().filter(|id| Some(**id) != lost);
    let waits = others.next();
    let waits_for = |id: i32| Step::Wait(format!("voter {id} has not caught up"));
    if let Some(step) = add(facts, waits.map(|id| waits_for(*id))) {
        return step;
    }
    let mut goes = voters.keys().rev().filter(leaves).copied();
    let Some(goes) = goes.next() else {
        return Step::Settled;
    };
    let mut others = behind.iter().filter(|id| **id != goes);
    others
        .next()
        .map_or(Step::Remove(goes), |id| waits_for(*id))
}

/// An even number of voters tolerates no more failures than one less, and needs one more to be
/// there. So of several that are to vote the first gets its vote only when the next are there too.
fn add(facts: &Facts<'_>, waits: Option<Step>) -> Option<Step> {
    let voters: BTreeSet<i32> = facts.quorum.voters.keys().copied().collect();
    let missing: BTreeSet<i32> = facts.wanted.difference(&voters).copied().collect();
    let mut named = facts.named.values();
    if !missing.is_empty() && !named.all(|named| named.is_superset(facts.wanted)) {
        return Some(Step::Wait("not all nodes know of it yet".to_owned()));
    }
    let away = missing.difference(facts.serving).next();
    let mut next = missing.intersection(facts.serving);
    let next = next.find(|_| away.is_none() || voters.len().is_multiple_of(2));
    match (next, away) {
        (Some(id), _) => Some(waits.unwrap_or(Step::Add(*id))),
        (None, Some(id)) => Some(Step::Wait(format!("{} does not serve yet", node(*id)))),
        (None, None) => None,
    }
}

/// Who is to vote: so many dedicated controllers, or where there are none, of so many brokers that
/// stay as many as the spec says, or 3, or 1 where there are fewer than 3.
#[must_use]
pub fn wanted(are_dedicated: i32, spec: Option<i32>, staying: i32) -> BTreeSet<i32> {
    if are_dedicated > 0 {
        return dedicated(are_dedicated);
    }
    let fits = spec.filter(|controllers| *controllers <= staying);
    let count = fits.unwrap_or(if staying >= 3 { 3 } else { 1 });
    (0..count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, who is to vote, whom each node's file names, the voters, `-` behind those
    /// that are behind, and the nodes that do not serve. `012` are brokers, `abc` controllers.
    const CASES: &str = "
        as it is                   : 012 : 012 012 012 : 0 1 2 : => Settled
        the last one first         : 012 : 01234 01234 01234 : 0 1 2 3 4 : => Remove(4)
        then the next              : 012 : 01234 01234 01234 01234 : 0 1 2 3 : => Remove(3)
        one that leaves is away    : 012 : 01234 01234 01234 : 0 1 2 3 4- : 4 => Remove(4)
        one that stays is behind   : 012 : 01234 : 0 1- 2 3 : => voter 1 has not caught up
        so is one that leaves too  : 0   : 012 012 012 : 0 1- 2 : => voter 1 has not caught up
        two that leave are lost    : 0   : 01234 01234 : 0 1- 2 3- 4 : => voter 1 has not caught up
        down to one                : 0   : 012 012 : 0 1 : => Remove(1)
        up from one                : 012 : 012 012 012 : 0 : => Add(1)
        and the next               : 012 : 012 012 012 : 0 1 : => Add(2)
        a file is older            : 012 : 012 0 012 : 0 : => not all nodes know of it yet
        it does not serve          : 012 : 012 012 012 : 0 : 1 => broker 1 does not serve yet
        a voter is behind          : 012 : 012 012 012 : 0 1- : => voter 1 has not caught up
        back while some have gone  : 01234 : 01234 01234 01234 : 0 1 2 3 : => Add(4)
        somebody took another vote : 012 : 0123 0123 0123 0123 : 0 1 3 : => Add(2)
        files name more            : 012 : 01234 01234 01234 : 0 1 2 : => Settled
        the first that is none     : abc : 012abc 012abc 012abc : 0 1 2 : => Add(1000)
        a broker's file is older   : abc : 012abc 012 : 0 1 2 : => not all nodes know of it yet
        files name others          : abc : 012ab 012ab : 0 1 2 : => not all nodes know of it yet
        one is not there yet      : abc : 012abc : 0 1 2 : b => controller 1001 does not serve yet
        nor the third from one    : 012 : 012 012 012 : 0 : 2 => broker 2 does not serve yet
        the next that is there     : abc : 012abc : 0 1 2 a : b => Add(1002)
        nobody else is there : abc : 012abc : 0 1 2 a : bc => controller 1001 does not serve yet
        all of them, then brokers  : abc : 012abc : 0 1 2 a b c : => Remove(2)
        the last broker            : abc : 012abc : 0 a b c : => Remove(0)
        a new one is behind        : abc : 012abc : 0 1 2 a b c- : => voter 1002 has not caught up
        only they                  : abc : abc : a b c : => Settled
        two less of them           : abc : abcde : a b c d e : => Remove(1004)
        back to brokers            : 012 : 012abc : a b c : => Add(0)
        back, one that goes is lost : 012 : 012abc : a b c- : => Add(0)
        back, two are lost         : 012 : 012abc : a b- c- : => voter 1001 has not caught up
        and no controller          : 012 : 012abc : 0 1 2 a b c : => Remove(1002)";

    fn id(letter: char) -> i32 {
        let letter = letter.to_digit(16).unwrap();
        i32::try_from(if letter < 10 { letter } else { letter + 990 }).unwrap()
    }

    #[test]
    fn voters_become_those_that_are_wanted_one_at_a_time() {
        for case in CASES.trim().lines() {
            let (told, outcome) = case.split_once("=>").unwrap();
            let parts: Vec<&str> = told.split(':').map(str::trim).collect();
            let ids = |text: &str| text.chars().map(id).collect::<BTreeSet<i32>>();
            let named = parts[2].split_whitespace().map(ids);
            let named: BTreeMap<i32, BTreeSet<i32>> = (0..).zip(named).collect();
            let voters = parts[3].split_whitespace();
            let voters = voters.map(|v| (id(v.chars().next().unwrap()), !v.ends_with('-')));
            let down = parts[4].split_whitespace().flat_map(str::chars).map(id);
            let down: BTreeSet<i32> = down.collect();
            let serving = (0..9).chain(dedicated(5)).filter(|id| !down.contains(id));
            let facts = Facts {
                wanted: &ids(parts[1]),
                named: &named,
                serving: &serving.collect(),
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
    fn who_votes_follows_from_the_spec_and_from_how_many_stay() {
        let count = |spec, staying| wanted(0, spec, staying).len();
        let default: Vec<usize> = (1..=6).map(|staying| count(None, staying)).collect();
        assert_eq!(default, [1, 1, 3, 3, 3, 3]);
        assert_eq!(
            [count(Some(5), 5), count(Some(1), 3), count(Some(5), 4)],
            [5, 1, 3]
        );
        assert_eq!(wanted(3, None, 1), [1000, 1001, 1002].into());
    }
}
