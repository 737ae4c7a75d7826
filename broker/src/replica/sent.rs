//! What producers sent, on its way into a log.

use std::sync::Arc;

use bytes::BytesMut;
use ottla_core::partition::{Acks, Appended, Membership};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::record_batch::Header;
use ottla_storage::log::pins_too_much;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pending::Answer;
use super::place::Place;
use crate::controller::service::Series;

/// The most bytes that are on their way to leaders, or kept though nobody waits for them: acks=0.
/// What finds no room waits, or is dropped, as with acks=0 it may be.
pub(super) const ON_THE_WAY_BYTES_MAX: usize = 32 << 20;

/// A batch that a producer sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The partition, as the producer names it.
    pub(super) place: Place,
    /// How it takes part in a transaction.
    pub(super) membership: Membership,
    pub(super) batch: BytesMut,
    pub(super) header: Header,
    /// How large the request is that it came in.
    pub(super) frame_bytes: usize,
    pub(super) acks: Acks,
    pub(super) answer: Answer<Appended>,
    /// With those of its partition that the same broker sends on, where it came by another.
    pub(super) series: Option<Series>,
    /// Its share of [`ON_THE_WAY_BYTES_MAX`].
    pub(super) share: Option<OwnedSemaphorePermit>,
}

impl Sent {
    /// Whether it is still to be appended: a producer that waits no more may send it again.
    pub(super) fn is_wanted(&self) -> bool {
        self.acks == Acks::None || self.answer.is_awaited()
    }

    /// Whether it came by another broker.
    pub(super) fn is_sent_on(&self) -> bool {
        self.series.is_some()
    }

    /// Takes its share of the room, unless it has one; false: there is not so much. From then on it
    /// keeps no frame alive that is much larger than it is: its request's share may go back.
    pub(super) fn takes_room(&mut self, room: &Arc<Semaphore>) -> bool {
        if self.share.is_some() {
            return true;
        }
        // one that is larger has all of it
        let bytes = self.batch.len().min(ON_THE_WAY_BYTES_MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.share = Arc::clone(room).try_acquire_many_owned(bytes).ok();
        if self.share.is_some() && pins_too_much(self.batch.len(), self.frame_bytes) {
            self.batch = BytesMut::from(&self.batch[..]);
            self.frame_bytes = self.batch.len();
        }
        self.share.is_some()
    }

    /// Whether one that the same broker has sent on before it was not taken, and comes again.
    pub(super) fn follows_untaken(&self) -> bool {
        self.series.as_ref().is_some_and(Series::is_broken_off)
    }

    /// It is not taken here, nor is what follows it on its stream before it has come again. Called
    /// under the partition's lock, as what looks at [`Sent::follows_untaken`] is.
    pub(super) fn untaken(self) {
        if let Some(series) = &self.series {
            series.break_off();
        }
        self.answer.untaken();
    }

    /// There is no room for it: the broker that sent it on keeps it; a producer that waits for
    /// nothing (acks=0) loses it.
    pub(super) fn finds_no_room(self) {
        match self.is_sent_on() {
            true => self.untaken(),
            false => self.answer.send(Err(ErrorCode::RequestTimedOut)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ottla_protocol::ids::TopicId;
    use ottla_protocol::record::NewRecord;
    use ottla_protocol::record_batch::Builder;

    use super::super::pending::{Pending, Source, Waiting};
    use super::super::place::TopicKey;
    use super::*;

    fn sent(series: Option<&Series>, frame_bytes: usize) -> (Sent, Waiting<Appended>) {
        let pending = Pending::new(1);
        let mut builder = Builder::new();
        builder.push(&NewRecord::default());
        let batch = BytesMut::from(&builder.build()[..]);
        let sent = Sent {
            place: (TopicKey::Id(TopicId::default()), 0),
            membership: Membership::default(),
            header: Header::read(&batch).expect("a batch"),
            batch,
            frame_bytes,
            acks: Acks::None,
            answer: pending.answer(0),
            series: series.cloned(),
            share: None,
        };
        (sent, Waiting(pending))
    }

    #[tokio::test]
    async fn what_follows_a_batch_that_was_kept_and_then_not_taken_is_not_taken_before_it() {
        let series = Series::default();
        let (kept, answer) = sent(Some(&series), 0);
        let (next, _) = sent(Some(&series), 0);
        assert!(!next.follows_untaken());
        kept.untaken();
        assert!(next.follows_untaken());
        assert!(!sent(Some(&Series::default()), 0).0.follows_untaken());
        let answers = answer.answers(Duration::ZERO).await;
        assert_eq!(answers[0].source, Source::Untaken);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_answered_all_the_same() {
        let room = Arc::new(Semaphore::new(0));
        let (mut unawaited, answer) = sent(None, 0);
        assert!(!unawaited.takes_room(&room));
        unawaited.finds_no_room();
        assert!(answer.is_done());
        let series = Series::default();
        let (other, answer) = sent(Some(&series), 0);
        other.finds_no_room();
        assert!(answer.is_done() && series.is_broken_off());
    }

    #[test]
    fn a_small_batch_with_a_share_of_the_room_leaves_its_frame() {
        let room = Arc::new(Semaphore::new(ON_THE_WAY_BYTES_MAX));
        let (mut small, _answer) = sent(None, 1 << 20);
        let (bytes, before) = (small.batch.len(), small.batch.as_ptr());
        assert!(small.takes_room(&room) && small.takes_room(&room));
        assert_eq!(room.available_permits(), ON_THE_WAY_BYTES_MAX - bytes);
        assert_ne!(small.batch.as_ptr(), before);
        drop(small);
        assert_eq!(room.available_permits(), ON_THE_WAY_BYTES_MAX);
    }
}
