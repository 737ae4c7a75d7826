//! The requests of a connection that are not answered yet, in their order.
//!
//! Invariant: a Produce is polled until its records are appended, but from its second poll on not
//! before the one ahead of it has appended its own. At its first, when it begins, it asks whatever
//! has to be asked, all of them at once. What it appends there needs no consent, which a partition
//! says of none but the next batch of a producer (`Partition::verification`): so what one producer
//! sends in order to a partition is appended in order.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use crate::api::{self, Answered, Begun};
use crate::budget::Share;

/// What became of a request: its answer, where it wants one.
type Outcome = Result<Option<Answered>, api::Error>;

/// A request that has begun; its share of the budget goes back when it is answered.
enum Slot {
    Done(Answered),
    Waiting(Waiting),
}

/// A request that goes on.
pub(super) struct Waiting {
    pub(super) future: api::Answer,
    pub(super) pipelined_max: usize,
    pub(super) begun: Option<Begun>,
    pub(super) share: Share,
}

impl Waiting {
    /// Whether what it brings is still to be appended.
    fn is_unappended(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| !begun.is_done())
    }

    /// Whether it goes on whoever has the turn.
    fn is_one_of_few(&self) -> bool {
        self.pipelined_max <= api::FETCHES_MAX
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Line {
    slots: VecDeque<Slot>,
    /// How many bytes the requests have that wait.
    bytes: usize,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none of them wants to have fewer beside it than there are.
    pub(super) fn admits_more(&self) -> bool {
        self.slots.iter().all(|slot| match slot {
            Slot::Done(_) => true,
            Slot::Waiting(waiting) => self.slots.len() < waiting.pipelined_max,
        })
    }

    /// One more waits.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.bytes += waiting.share.bytes();
        self.slots.push_back(Slot::Waiting(waiting));
    }

    /// One more is answered, and waits for its turn.
    pub(super) fn push_done(&mut self, answered: Answered) {
        self.slots.push_back(Slot::Done(answered));
    }

    /// What became of the first, where it is answered: it leaves the line.
    pub(super) fn poll_first(&mut self, context: &mut Context<'_>) -> Option<Outcome> {
        let outcome = match self.slots.front_mut()? {
            Slot::Done(answered) => Ok(Some(std::mem::take(answered))),
            Slot::Waiting(waiting) => match waiting.future.as_mut().poll(context) {
                Poll::Ready(outcome) => {
                    self.bytes -= waiting.share.bytes();
                    outcome
                }
                Poll::Pending => return None,
            },
        };
        self.slots.pop_front();
        Some(outcome)
    }

    /// Polls those that go on though it is not their turn: a fetch, for all fetches of all
    /// connections wait behind one that waits for memory and is not polled; and a Produce whose
    /// records are not appended yet. Fetches are the last ones, as few begin beside them. Says
    /// whether any is done.
    ///
    /// # Errors
    /// One has failed: the connection ends, and polls it no more.
    pub(super) fn poll_others(
        &mut self,
        context: &mut Context<'_>,
        is_first_polled: bool,
    ) -> Result<bool, api::Error> {
        let fetches_from = self.slots.len().saturating_sub(api::FETCHES_MAX);
        let (mut is_held, mut moved) = (false, false);
        for (place, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Waiting(waiting) = slot else {
                continue;
            };
            let is_polled = place == 0 && is_first_polled;
            let is_due = match waiting.is_one_of_few() {
                true => place >= fetches_from,
                false => waiting.is_unappended() && !is_held,
            };
            if is_due
                && !is_polled
                && let Poll::Ready(outcome) = waiting.future.as_mut().poll(context)
            {
                self.bytes -= waiting.share.bytes();
                *slot = Slot::Done(outcome?.unwrap_or_default());
                moved = true;
                continue;
            }
            is_held |= waiting.is_unappended();
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;
    use crate::budget::Budget;

    /// A Produce: what it waits for before it appends, and what it waits for then.
    fn produce(line: &mut Line) -> (oneshot::Sender<()>, oneshot::Sender<()>, Begun) {
        let (consent, consented) = oneshot::channel();
        let (commit, committed) = oneshot::channel();
        let begun = Begun::default();
        let appended = begun.clone();
        let mut future: api::Answer = Box::pin(async move {
            let _ = consented.await;
            appended.done();
            let _ = committed.await;
            Ok(None)
        });
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        line.wait(Waiting {
            future,
            pipelined_max: usize::MAX,
            begun: Some(begun.clone()),
            share: Budget::new(1).share(),
        });
        (consent, commit, begun)
    }

    fn poll(line: &mut Line) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut answered = 0;
        while line.poll_first(&mut context).is_some() {
            answered += 1;
        }
        assert!(line.poll_others(&mut context, true).is_ok());
        answered
    }

    #[test]
    fn a_produce_is_appended_while_the_one_before_waits_for_its_commit() {
        let mut line = Line::default();
        let (consent_1, commit_1, begun_1) = produce(&mut line);
        let (consent_2, commit_2, begun_2) = produce(&mut line);
        consent_1.send(()).unwrap();
        consent_2.send(()).unwrap();
        assert_eq!(poll(&mut line), 0);
        assert!(begun_1.is_done() && begun_2.is_done());
        commit_2.send(()).unwrap();
        assert_eq!(
            poll(&mut line),
            0,
            "answers leave in the order of the requests"
        );
        commit_1.send(()).unwrap();
        assert_eq!(poll(&mut line), 2);
        assert!(line.is_empty());
    }

    #[test]
    fn none_is_appended_before_the_one_that_was_sent_before_it() {
        let mut line = Line::default();
        let (consent_1, _commit_1, begun_1) = produce(&mut line);
        let (consent_2, _commit_2, begun_2) = produce(&mut line);
        let (consent_3, _commit_3, begun_3) = produce(&mut line);
        consent_3.send(()).unwrap();
        consent_2.send(()).unwrap();
        poll(&mut line);
        assert!(!begun_1.is_done() && !begun_2.is_done() && !begun_3.is_done());
        consent_1.send(()).unwrap();
        poll(&mut line);
        assert!(begun_1.is_done() && begun_2.is_done() && begun_3.is_done());
    }
}
