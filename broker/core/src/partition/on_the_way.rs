//! What of a partition that was handed over is on its way to its new leader, and what waits behind.
//!
//! Invariant: what producers sent here is tried in the order in which they sent it, whatever comes
//! back and in which order. What another broker sends on to here never waits for what this one has
//! sent on: it may be what that waits for. So one that comes back goes back to that broker, which
//! sends it on again in its turn: kept here, it would wait for a batch of this broker's that went
//! round by the other one, which waits for it, and neither broker would append anything of the
//! partition until they give up.
//!
//! Whoever sent a batch may have stopped waiting while it is on its way, so the room for those has
//! a bound of its own.

use std::collections::BTreeSet;

use super::{Acks, Reception};
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

    /// One is in no log by its way, or would be known again: it goes on later. Gives back what
    /// another broker has sent on, for that to keep.
    #[must_use]
    pub fn comes_back(&mut self, turn: u64, batch: T, is_sent_on: bool) -> Option<T> {
        self.is_answered(turn);
        if is_sent_on {
            return Some(batch);
        }
        self.back.push((turn, batch));
        None
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

impl Reception {
    /// The same within the bounds of what is on its way and of what is kept though nobody waits;
    /// None where there is no room. `is_behind`: another that was sent before it is kept.
    #[must_use]
    pub fn within(
        self,
        acks: Acks,
        is_sent_on: bool,
        is_behind: bool,
        takes_room: impl FnOnce() -> bool,
    ) -> Option<Self> {
        let is_awaited = acks != Acks::None;
        match self {
            Self::Step => Some(self),
            Self::Forward(..) if is_sent_on || !is_behind => match takes_room() {
                true => Some(self),
                // it goes once there is room, and what comes then behind it; the broker that sent
                // it on keeps it itself
                false => (is_awaited && !is_sent_on).then_some(Self::Park),
            },
            // what is kept is dropped soon after nobody waits for it any more
            Self::Forward(..) | Self::Park => (is_awaited || takes_room()).then_some(Self::Park),
        }
    }
}

/// The partitions of which one stream to a leader carries batches, one behind the other. Those that
/// left for an earlier stream may be on their way back.
#[derive(Debug)]
pub struct Begun<P>(BTreeSet<P>);

impl<P> Default for Begun<P> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<P: Ord> Begun<P> {
    /// Whether the stream takes a batch, `begins`: one that left with no other on its way. Else it
    /// comes back, behind those that left before it.
    pub fn takes(&mut self, partition: P, begins: bool, is_sent_on: bool) -> bool {
        if begins {
            self.0.insert(partition);
            return true;
        }
        is_sent_on || self.0.contains(&partition)
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

    /// One that a producer sent here comes back.
    fn comes_back(way: &mut OnTheWay<&'static str>, turn: u64, batch: &'static str) {
        assert_eq!(way.comes_back(turn, batch, false), None);
    }

    /// Two brokers, each of which has handed over to the other: this one lags, and gets its own
    /// batch sent on by the other. Both go by a third leader then, who does not know it yet.
    #[test]
    fn what_went_round_by_another_broker_comes_home() {
        let (mut here, own) = left(1);
        let mut there = OnTheWay::default();
        let over_there = there.leaves((C, LeaderEpoch(2)), true);
        let again = here.leaves((NodeId(3), LeaderEpoch(3)), true);
        assert_eq!(here.comes_back(again, "own", true), Some("own"));
        assert_eq!(there.comes_back(over_there, "own", true), Some("own"));
        assert!(there.is_clear());
        comes_back(&mut here, own[0], "own");
        assert_eq!(here.take_back(), ["own"]);
    }

    #[test]
    fn what_comes_back_goes_on_in_the_order_in_which_it_left() {
        let (mut way, turns) = left(3);
        comes_back(&mut way, turns[2], "third");
        comes_back(&mut way, turns[0], "first");
        assert!(way.take_back().is_empty(), "the second is on its way");
        comes_back(&mut way, turns[1], "second");
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
        comes_back(&mut way, turns[0], "first");
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
        comes_back(&mut way, turns[0], "first");
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
        comes_back(&mut way, turns[2], "third");
        assert!(way.take_back_now().is_empty(), "two before it are away");
        comes_back(&mut way, turns[0], "first");
        assert_eq!(way.take_back_now(), ["first"]);
        comes_back(&mut way, turns[1], "second");
        assert_eq!(way.take_back(), ["second", "third"]);
    }

    #[test]
    fn a_stream_takes_no_batch_before_those_that_left_for_an_earlier_one() {
        let (mut way, turns) = left(1);
        let mut second = Begun::default();
        assert_eq!(way.reception(TO_B, false), TO_B, "the first is away still");
        let begins = way.is_clear();
        let later = way.leaves((B, LeaderEpoch(1)), false);
        comes_back(&mut way, turns[0], "first"); // its stream has ended
        assert!(!second.takes(0, begins, false));
        comes_back(&mut way, later, "second");
        assert_eq!(way.take_back(), ["first", "second"]);
        assert!(second.takes(0, way.is_clear(), false));
        way.leaves((B, LeaderEpoch(1)), false);
        assert!(second.takes(0, way.is_clear(), false), "behind the first");
        assert!(!second.takes(1, false, false), "another partition");
        assert!(second.takes(1, false, true), "another broker's waits never");
        assert!(!second.takes(1, false, false), "and begins nothing");
    }

    #[test]
    fn what_is_on_its_way_has_room_whatever_its_acks_are() {
        use Reception::{Park, Step};
        let within = |of: Reception, acks, has_room| of.within(acks, false, false, || has_room);
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            assert_eq!(within(TO_B, acks, true), Some(TO_B));
            assert_eq!(within(Step, acks, false), Some(Step));
            assert_eq!(within(Park, acks, true), Some(Park));
            let kept = (acks != Acks::None).then_some(Park);
            assert_eq!(within(TO_B, acks, false), kept, "{acks:?}");
            assert_eq!(within(Park, acks, false), kept, "{acks:?}");
            assert_eq!(
                TO_B.within(acks, false, true, || true),
                Some(Park),
                "behind"
            );
            assert_eq!(TO_B.within(acks, true, true, || true), Some(TO_B));
            assert_eq!(TO_B.within(acks, true, false, || false), None);
        }
    }
}
