//! Hand-overs on their way to the controller, and what producers send meanwhile.
//!
//! What producers sent is appended in that order, wherever it is appended: while batches are on
//! their way to a leader, nothing goes another way, be it that this broker leads again. What other
//! brokers send on to here is appended at once all the same: it may be what is waited for.
//!
//! A transaction's batches wait too and are then refused, since the new leader has to ask for its
//! coordinator's consent. What a coordinator was to append here meanwhile is refused at once: it
//! takes that back, its clients look for the new one, and members keep their generation.

use std::sync::Arc;
use std::time::Duration;

use ottla_core::metadata::request::{HandOver, HandOverItem};
use ottla_core::partition::{Batch, HAND_OVER_MAX, Input, Origin, Reception};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId};
use tokio::sync::mpsc;
use tracing::debug;

use super::Shared;
use super::forward::Forwarded;
use super::partition::{AtHand, Replica, State, Waiter};
use super::place::Place;
use super::producer_state;
use super::sent::Sent;
use crate::peer::MESSAGE_BYTES_MAX;
use crate::threads;

/// The largest batch that is sent on: a message has room for a little more.
const FORWARDED_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 1024;

/// How many partitions go into one request.
const PARTITIONS_PER_REQUEST_MAX: usize = 1000;

/// Runs until the broker stops.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut asked: mpsc::UnboundedReceiver<(Arc<Replica>, LeaderEpoch)>,
) {
    while let Some(first) = asked.recv().await {
        if shared.is_stopping() {
            return;
        }
        let mut wanted = vec![first];
        while wanted.len() < PARTITIONS_PER_REQUEST_MAX
            && let Ok(next) = asked.try_recv()
        {
            wanted.push(next);
        }
        if let Err(Failed { is_refused, why }) = send(&shared, &wanted).await {
            debug!(partitions = wanted.len(), why, "not handed over");
            for (replica, leader_epoch) in wanted {
                replica.tell(Input::HandOverFailed {
                    leader_epoch,
                    is_refused,
                });
            }
        }
    }
}

/// The change of the leaders comes with the image.
async fn send(shared: &Shared, wanted: &[(Arc<Replica>, LeaderEpoch)]) -> Result<(), Failed> {
    let broker_epoch = shared.controller.broker_epoch();
    let item = |(replica, leader_epoch): &(Arc<Replica>, LeaderEpoch)| HandOverItem {
        topic_id: replica.id.topic_id,
        partition: replica.id.partition,
        leader_epoch: *leader_epoch,
    };
    let request = HandOver {
        node_id: shared.settings.node_id,
        broker_epoch: broker_epoch.ok_or_else(|| refused("this broker is not registered"))?,
        partitions: wanted.iter().map(item).collect(),
    };
    let submitting = shared.controller.submit(request);
    match tokio::time::timeout(HAND_OVER_MAX, submitting).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(refusal))) => Err(refused(refusal.message)),
        Ok(Err(error)) => Err(unknown(error.to_string())),
        Err(_) => Err(unknown("the controller did not answer in time")),
    }
}

/// Why nothing is known to be handed over.
struct Failed {
    is_refused: bool,
    why: String,
}

fn refused(why: impl Into<String>) -> Failed {
    Failed {
        is_refused: true,
        why: why.into(),
    }
}

fn unknown(why: impl Into<String>) -> Failed {
    Failed {
        is_refused: false,
        why: why.into(),
    }
}

impl Replica {
    /// Appends a batch, keeps it until a hand-over is over, or sends it on; says whether it was
    /// appended or refused here.
    pub(super) fn receive(self: &Arc<Self>, state: &mut State, sent: Sent) -> bool {
        self.release(state);
        self.take_up(state, sent)
    }

    /// Once a hand-over is over, what was kept goes on in its order; what came back from another
    /// broker before it.
    pub(super) fn release(self: &Arc<Self>, state: &mut State) {
        let now = self.shared.env.now();
        let mut back = state.on_the_way.take_back();
        if !back.is_empty() {
            back.append(&mut state.parked);
            state.parked = back;
        }
        state.parked.retain(|sent| {
            let is_wanted = sent.is_wanted();
            if !is_wanted {
                let batch = producer_state::data(&sent.header);
                self.shared.refused.refused(now, &sent.place, &batch);
            }
            is_wanted
        });
        let first = state.parked.first();
        let goes = match first.map(|first| reception(state, first, now)) {
            Some(Reception::Step) => true,
            Some(Reception::Forward(..)) => state.parked[0].takes_room(&self.shared.room),
            Some(Reception::Park) | None => false,
        };
        // whoever was sent on may go where others wait
        if !goes && !state.parked.iter().any(Sent::is_sent_on) {
            return;
        }
        for sent in std::mem::take(&mut state.parked) {
            self.take_up(state, sent);
        }
    }

    fn take_up(self: &Arc<Self>, state: &mut State, mut sent: Sent) -> bool {
        let now = self.shared.env.now();
        if sent.follows_untaken() {
            sent.untaken();
            return true;
        }
        let (acks, is_sent_on) = (sent.acks, sent.is_sent_on());
        let is_behind = state.parked.iter().any(|kept| !kept.is_sent_on());
        let reception = reception(state, &sent, now);
        let room = || sent.takes_room(&self.shared.room);
        let Some(reception) = reception.within(acks, is_sent_on, is_behind, room) else {
            sent.finds_no_room();
            return true;
        };
        match reception {
            Reception::Step if is_sent_on && !state.partition.takes(now, acks) => sent.untaken(),
            Reception::Step if is_sent_on => {
                for before in state.on_the_way.take_back_now() {
                    self.append(state, before);
                }
                self.append(state, sent);
            }
            Reception::Step => self.append(state, sent),
            Reception::Park => {
                state.parked.push(sent);
                self.watch_parked(state);
                return false;
            }
            Reception::Forward(leader, leader_epoch) => {
                return self.send_on(state, sent, (leader, leader_epoch));
            }
        }
        true
    }

    /// Says whether it was refused here instead.
    fn send_on(
        self: &Arc<Self>,
        state: &mut State,
        sent: Sent,
        (leader, leader_epoch): (NodeId, LeaderEpoch),
    ) -> bool {
        let now = self.shared.env.now();
        let judged = producer_state::data(&sent.header);
        let (refused, producers) = (&self.shared.refused, state.partition.producers());
        if refused.is_out_of_turn(now, &sent.place, &judged, producers) {
            // what was refused here may have gone to whoever leads since: only there they know
            sent.answer.send(Err(ErrorCode::NotLeaderOrFollower));
            return true;
        }
        // it has come again; where the leader refuses it too, its answer says so
        refused.came_again(&sent.place, &judged);
        let begins = state.on_the_way.is_clear();
        let turn = state
            .on_the_way
            .leaves((leader, leader_epoch), sent.is_sent_on());
        let forwarded = Forwarded {
            leader,
            leader_epoch,
            replica: Arc::<Self>::clone(self),
            sent,
            turn,
            begins,
        };
        let Err(forwarded) = self.shared.forward(forwarded) else {
            return false;
        };
        // the broker stops
        state.on_the_way.is_answered(turn);
        let answer = forwarded.sent.answer;
        answer.send(Err(ErrorCode::NotLeaderOrFollower));
        true
    }

    /// A hand-over that comes to nothing ends by the clock: what is kept does not wait until
    /// something else happens.
    fn watch_parked(self: &Arc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.is_parked_watched, true) {
            return;
        }
        let replica = Arc::clone(self);
        threads::spawn(async move {
            loop {
                tokio::time::sleep(HAND_OVER_MAX).await;
                let mut state = replica.lock();
                replica.release(&mut state);
                if state.parked.is_empty() {
                    state.is_parked_watched = false;
                    return;
                }
            }
        });
    }

    /// A batch that was sent on is not appended, or its sequence says so to whoever leads: once
    /// nothing is on its way any more, it goes where it belongs by then, before all that came after
    /// it. One that came by another broker goes back there.
    pub(super) fn come_back(self: &Arc<Self>, sent: Sent, turn: u64) {
        if !sent.is_wanted() {
            let batch = producer_state::data(&sent.header);
            return self.arrived((turn, &sent.place), &batch, false);
        }
        let mut state = self.lock();
        let is_sent_on = sent.is_sent_on();
        if let Some(sent) = state.on_the_way.comes_back(turn, sent, is_sent_on) {
            sent.untaken();
        }
        self.release(&mut state);
    }

    /// The leader has said what became of a batch that was sent on, or never will.
    pub(super) fn arrived(
        self: &Arc<Self>,
        (turn, place): (u64, &Place),
        batch: &Batch,
        is_appended: bool,
    ) {
        match is_appended {
            true => self.shared.refused.came_again(place, batch),
            false => {
                let now = self.shared.env.now();
                self.shared.refused.refused(now, place, batch);
            }
        }
        let mut state = self.lock();
        state.on_the_way.is_answered(turn);
        self.release(&mut state);
    }

    fn append(self: &Arc<Self>, state: &mut State, sent: Sent) {
        let Sent {
            place,
            membership,
            batch,
            header,
            frame_bytes,
            acks,
            answer,
            ..
        } = sent;
        let (refused, now) = (&self.shared.refused, self.shared.env.now());
        let judged = producer_state::data(&header);
        // whoever does not lead may lack what came before, and says that it does not lead
        let partition = &state.partition;
        if partition.is_leader()
            && refused.is_out_of_turn(now, &place, &judged, partition.producers())
        {
            return answer.send(Err(ErrorCode::OutOfOrderSequenceNumber));
        }
        let token = state.add_waiter(Waiter::Produce(answer));
        let input = Input::Produce {
            batch: judged,
            origin: Origin::Client(membership),
            acks,
            token,
        };
        let at_hand = AtHand::Produced { batch, frame_bytes };
        let appended = self.step(state, input, at_hand);
        match state
            .partition
            .producers()
            .knows_sequence(judged.producer_id)
        {
            true => refused.came_again(&place, &judged),
            false => refused.refused(now, &place, &judged),
        }
        if let Some(Waiter::Produce(answer)) = state.waiter(token) {
            answer.waiting(Arc::<Self>::clone(self), token);
        }
        if let Err(error) = appended
            && let Some(waiter) = state.take_waiter(token)
        {
            waiter.fail(error);
        }
    }
}

/// What becomes of a batch now.
fn reception(state: &State, sent: &Sent, now: Duration) -> Reception {
    let reception = state.partition.reception(now);
    match state.on_the_way.reception(reception, sent.is_sent_on()) {
        // its coordinator's consent is for one leader: its producer asks for another itself
        Reception::Forward(..) if sent.header.is_transactional() => Reception::Step,
        // no message between brokers is that large
        Reception::Forward(..) if sent.batch.len() > FORWARDED_BYTES_MAX => Reception::Step,
        reception => reception,
    }
}
