//! What of a partition that was handed over is on its way to its new leader, and what waits behind.
//!
//! Invariant: what producers sent here is tried in the order in which they sent it, whatever comes
//! back and in which order. What another broker sends on to here never waits for what this one has
//! sent on: it may be what that waits for.

use std::collections::BTreeSet;

use super::Reception;
use ottla_protocol::ids::{LeaderEpoch, NodeId};

/// The batches of one partition, by whatever the driver knows them.
#[derive(Debug)]
pub struct OnTheWay<T> {
    /// To whom those went that are counted, and in which epoch: what went to the same broker in an
    /// earlier one may come back by it.
    to: Option<(NodeId, LeaderEpoch)>,
    /// The turns of those that are not answered yet.
    away: BTreeSet<u64>,
    /// The turn of the next one that leaves.
    next_turn: u64,
    /// What came back, with its turn, to go on once nothing is on its way.
    back: Vec<(u64, T)>,
}

impl<T> Default for OnTheWay<T> {
    fn default() -> Self {
        Self {
            to: None,
            away: BTreeSet::new(),
            next_turn: 0,
            back: Vec::new(),
        }
    }
}

impl<T> OnTheWay<T> {
    /// What becomes of a batch, given what the partition says; `is_sent_on`: it came by another
    /// broker.
    #[must_use]
    pub fn reception(&self, of_partition: Reception, is_sent_on: bool) -> Reception {
        let goes_along = match of_partition {
            Reception::Forward(leader, epoch) => {
                self.to == Some((leader, epoch)) && self.back.is_empty()
            }
            Reception::Step | Reception::Park => false,
        };
        match !self.is_clear() && !is_sent_on && !goes_along {
            true => Reception::Park,
            false => of_partition,
        }
    }

    /// Whether nothing is on its way, so that what leaves now has nothing before it.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.away.is_empty()
    }

    /// A batch leaves for the leader of an epoch; gives its turn.
    pub fn leaves(&mut self, to: (NodeId, LeaderEpoch), is_sent_on: bool) -> u64 {
        // what another broker sends on may go elsewhere than what is on its way
        if self.is_clear() || !is_sent_on {
            self.to = Some(to);
        }
        self.next_turn += 1;
        self.away.insert(self.next_turn);
        self.next_turn
    }

    /// The one of this turn is answered for good.
    pub fn is_answered(&mut self, turn: u64) {
        self.away.remove(&turn);
    }

    /// One is in no log by its way, or would be known again: it goes on later.
    pub fn comes_back(&mut self, turn: u64, batch: T) {
        self.is_answered(turn);
        self.back.push((turn, batch));
    }

    /// What came back, in its order, once nothing is on its way; before what came since.
    pub fn take_back(&mut self) -> Vec<T> {
        match self.is_clear() {
            true => self.take_back_now(),
            false => Vec::new(),
        }
    }

    /// The same, for what was sent before a batch that comes by another broker; but nothing that
    /// left after one that is on its way still.
    pub fn take_back_now(&mut self) -> Vec<T> {
        self.back.sort_by_key(|(turn, _)| *turn);
        let first_away = self.away.first().copied().unwrap_or(u64::MAX);
        let end = self.back.partition_point(|(turn, _)| *turn < first_away);
        self.back.drain(..end).map(|(_, batch)| batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: NodeId = NodeId(1);
    const C: NodeId = NodeId(2);
    const TO_B: Reception = Reception::Forward(B, LeaderEpoch(1));
    const TO_C: Reception = Reception::Forward(C, LeaderEpoch(2));

    /// A partition of which so many batches have left for B.
    fn left(count: usize) -> (OnTheWay<&'static str>, Vec<u64>) {
        let mut way = OnTheWay::default();
        let turns = (0..count)
            .map(|_| way.leaves((B, LeaderEpoch(1)), false))
            .collect();
        (way, turns)
    }

    #[test]
    fn what_comes_back_goes_on_in_the_order_in_which_it_left() {
        let (mut way, turns) = left(3);
        way.comes_back(turns[2], "third");
        way.comes_back(turns[0], "first");
        assert!(way.take_back().is_empty(), "the second is on its way");
        way.comes_back(turns[1], "second");
        assert_eq!(way.take_back(), ["first", "second", "third"]);
        assert!(way.take_back().is_empty());
    }

    #[test]
    fn nothing_overtakes_what_is_on_its_way_or_has_come_back() {
        let (mut way, turns) = left(2);
        assert_eq!(way.reception(TO_B, false), TO_B, "behind the others");
        assert_eq!(way.reception(TO_C, false), Reception::Park);
        let later = Reception::Forward(B, LeaderEpoch(3));
        assert_eq!(
            way.reception(later, false),
            Reception::Park,
            "they may be on their way back"
        );
        assert_eq!(way.reception(Reception::Step, false), Reception::Park);
        way.comes_back(turns[0], "first");
        assert_eq!(way.reception(TO_B, false), Reception::Park);
        way.is_answered(turns[1]);
        assert!(way.is_clear());
        assert_eq!(way.take_back(), ["first"]);
        assert_eq!(way.reception(TO_C, false), TO_C);
        assert_eq!(way.reception(Reception::Step, false), Reception::Step);
    }

    #[test]
    fn what_another_broker_sends_on_waits_for_nothing_that_was_sent_on_from_here() {
        let (mut way, turns) = left(2);
        way.comes_back(turns[0], "first");
        assert_eq!(way.reception(Reception::Step, true), Reception::Step);
        assert_eq!(way.reception(TO_C, true), TO_C);
        assert_eq!(way.take_back_now(), ["first"], "which was sent before it");
        way.leaves((C, LeaderEpoch(2)), true);
        assert_eq!(way.reception(TO_C, false), Reception::Park, "one is at B");
        assert_eq!(way.reception(Reception::Park, true), Reception::Park);
    }

    #[test]
    fn what_another_broker_sends_on_takes_back_nothing_that_left_after_what_is_away() {
        let (mut way, turns) = left(3);
        way.comes_back(turns[2], "third");
        assert!(way.take_back_now().is_empty(), "two before it are away");
        way.comes_back(turns[0], "first");
        assert_eq!(way.take_back_now(), ["first"]);
        way.comes_back(turns[1], "second");
        assert_eq!(way.take_back(), ["second", "third"]);
    }
}
