//! The follower: where to fetch, where to truncate, what to append.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::{Assignment, Batch, Effect, Effects, Fetched, Partition, Role};
use crate::planted::{self, Planted};

/// What a follower knows.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    /// Whom to fetch from.
    pub(super) leader: Option<NodeId>,
    /// Our end and the beginning of what came, where the last answer left something out between.
    gap: Option<(Offset, Offset)>,
    /// When this replica handed its leadership over, if it did.
    pub(super) handed_over_at: Option<Duration>,
}

/// What a follower asks its leader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// Whom to ask.
    pub leader: NodeId,
    /// The epoch that leader is known by.
    pub leader_epoch: LeaderEpoch,
    /// The first offset that is missing. All before it is on this broker's disk, where durability
    /// is Fsync: the leader counts on it.
    pub fetch_offset: Offset,
    /// The epoch of the record before it, by the log itself: never by an answer, which may have
    /// been empty.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The first offset of our log.
    pub log_start_offset: Offset,
}

impl Partition {
    /// Where this replica goes on fetching; `None` unless it follows a leader, and while it holds
    /// what would not count yet, or may be about to be given up: to fetch is to say what is on this
    /// broker's disk.
    /// [`Effect::ResumeFetch`] tells when that is over.
    #[must_use]
    pub fn fetch_position(&self) -> Option<FetchPosition> {
        let Role::Follower(follower) = &self.role else {
            return None;
        };
        let is_counted = self.own_end_offset() == self.marks.log_end_offset;
        if !is_counted && !planted::is(Planted::UndurableFetch) {
            return None;
        }
        if self.is_doubted && !planted::is(Planted::FetchInDoubt) {
            return None;
        }
        Some(FetchPosition {
            leader: follower.leader?,
            leader_epoch: self.leader_epoch,
            fetch_offset: self.marks.log_end_offset,
            last_fetched_epoch: self
                .leader_epochs
                .latest()
                .filter(|_| !planted::is(Planted::LastEpochUntold)),
            log_start_offset: self.marks.log_start_offset,
        })
    }

    pub(super) fn follow(&mut self, now: Duration, assignment: &Assignment, effects: &mut Effects) {
        let is_same = matches!(&self.role, Role::Follower(f) if f.leader == assignment.leader)
            && assignment.leader_epoch == self.leader_epoch;
        self.leader_epoch = assignment.leader_epoch;
        self.partition_epoch = assignment.partition_epoch;
        if is_same {
            return;
        }
        let handed_over_at = self.handed_over_at(now);
        self.stop_leading(effects);
        // an epoch we led without appending anything is known to nobody else
        self.leader_epochs
            .truncate_from_end(self.marks.log_end_offset);
        self.role = Role::Follower(Follower {
            leader: assignment.leader,
            gap: None,
            handed_over_at,
        });
        if planted::is(Planted::TruncationToHighWatermark) {
            self.truncate_to(self.marks.high_watermark, effects);
        }
        effects.push(Effect::WakeAll);
        effects.push(Effect::FollowLeader);
    }

    pub(super) fn on_fetched(&mut self, fetched: &Fetched<'_>, effects: &mut Effects) {
        if !self.is_asked(fetched) {
            return; // the answer to a question nobody asks any more
        }
        match fetched.error {
            None => {}
            Some(ErrorCode::OffsetOutOfRange) => return self.on_out_of_range(fetched, effects),
            Some(_) => return, // the driver waits and asks again
        }
        if let Some((leader_epoch, end_offset)) = fetched.diverging {
            // nothing else in this answer holds for our log, its high watermark least of all
            // (KAFKA-14704)
            return self.truncate_to(self.agreed_end(leader_epoch, end_offset), effects);
        }
        if !self.is_believed(fetched.batches) {
            return;
        }
        self.append_fetched(fetched.batches, effects);
        let high_watermark = fetched.high_watermark.min(self.marks.log_end_offset);
        if high_watermark > self.marks.high_watermark {
            self.marks.high_watermark = high_watermark;
            effects.push(Effect::WakeConsumers);
        }
        self.move_log_start(fetched.log_start_offset, effects);
    }

    fn is_asked(&self, fetched: &Fetched<'_>) -> bool {
        matches!(&self.role, Role::Follower(f) if f.leader.is_some())
            && fetched.leader_epoch == self.leader_epoch
            && fetched.fetch_offset == self.marks.log_end_offset
    }

    /// Where [`Effect::TruncateTo`] will cut the log once this answer is taken in; `None`: it cuts
    /// nothing. The driver looks for the place first, since that takes its time.
    #[must_use]
    pub fn truncation(&self, fetched: &Fetched<'_>) -> Option<Offset> {
        let (leader_epoch, end) = fetched.diverging?;
        let offset = self.agreed_end(leader_epoch, end);
        let is_within = (self.marks.log_start_offset..self.marks.log_end_offset).contains(&offset);
        (is_within && fetched.error.is_none() && self.is_asked(fetched)).then_some(offset)
    }

    /// What comes goes on where our log ends, or nothing of the answer holds for it. Where
    /// compaction takes batches out, it may also begin later; and the leader of a topic that was
    /// compacted in its time says the same when it is asked once more.
    fn is_believed(&mut self, batches: &[Batch]) -> bool {
        let log_end_offset = self.marks.log_end_offset;
        let is_compacted = self.config.is_compacted;
        let Role::Follower(follower) = &mut self.role else {
            return false;
        };
        let base_offset = batches.first().map(|batch| batch.base_offset);
        let gap = base_offset
            .filter(|base_offset| *base_offset > log_end_offset)
            .map(|base_offset| (log_end_offset, base_offset));
        let before = std::mem::replace(&mut follower.gap, gap);
        gap.is_none() || is_compacted || gap == before
    }

    fn append_fetched(&mut self, batches: &[Batch], effects: &mut Effects) {
        // the leader returns whole batches: the first may begin before what we asked for
        let log_end_offset = self.marks.log_end_offset;
        let first = batches.partition_point(|batch| batch.next_offset() <= log_end_offset);
        let fresh = &batches[first..];
        self.begin_within(fresh, effects);
        if fresh.is_empty() || !self.is_continuation(fresh) {
            return;
        }
        effects.push(Effect::AppendFetched { first });
        for batch in fresh {
            self.leader_epochs
                .assign(batch.leader_epoch, batch.base_offset);
            if !planted::is(Planted::ProducersNotReplicated) {
                self.undos.extend(self.producers.appended(batch));
            }
            self.marks.log_end_offset = batch.next_offset();
        }
    }

    /// The leader's log may begin within a batch, since records are deleted by offset. A log that
    /// is empty there begins with that batch.
    fn begin_within(&mut self, batches: &[Batch], effects: &mut Effects) {
        let end = self.marks.log_end_offset;
        let is_empty = self.marks.log_start_offset == end;
        if let Some(batch) = batches.first()
            && is_empty
            && (Offset::ZERO..end).contains(&batch.base_offset)
        {
            self.truncate_fully_and_start_at(batch.base_offset, effects);
        }
    }

    /// A leader's batches go on where our log ends, in rising order of offset and epoch.
    fn is_continuation(&self, batches: &[Batch]) -> bool {
        let mut end = self.marks.log_end_offset;
        let mut leader_epoch = self.leader_epochs.latest().unwrap_or(LeaderEpoch::NONE);
        batches.iter().all(|batch| {
            let follows = batch.base_offset >= end
                && batch.last_offset_delta >= 0
                && batch.leader_epoch >= leader_epoch
                && batch.leader_epoch <= self.leader_epoch;
            end = batch.next_offset();
            leader_epoch = batch.leader_epoch;
            follows
        })
    }

    /// The leader's last epoch at or below our last one, and where it ends there. We cut where both
    /// logs still agree; if we lack that epoch, at the end of our last one before it, and ask again
    /// (KIP-279).
    fn agreed_end(&self, leader_epoch: LeaderEpoch, end: Offset) -> Offset {
        let log_end_offset = self.marks.log_end_offset;
        let offset = match self
            .leader_epochs
            .end_offset_for(leader_epoch, log_end_offset)
        {
            Some((own_epoch, own_end)) if own_epoch == leader_epoch => own_end.min(end),
            Some((_, own_end)) => own_end,
            None => end,
        };
        offset.min(log_end_offset)
    }

    fn truncate_to(&mut self, offset: Offset, effects: &mut Effects) {
        if offset < self.marks.log_start_offset {
            return self.truncate_fully_and_start_at(offset, effects);
        }
        if !planted::is(Planted::EpochsAfterTruncation) {
            self.leader_epochs.truncate_from_end(offset);
        }
        if offset >= self.marks.log_end_offset {
            return;
        }
        let keeps_producers = planted::is(Planted::ProducersNotTruncated);
        if !keeps_producers {
            self.producers.truncate_from_end(offset);
        }
        self.marks.log_end_offset = offset;
        self.marks.flushed_offset = self.marks.flushed_offset.min(offset);
        self.marks.high_watermark = self.marks.high_watermark.min(offset);
        effects.push(Effect::TruncateTo(offset));
        if !keeps_producers {
            effects.push(Effect::ReloadProducers);
        }
    }

    pub(super) fn on_truncated(&mut self, offset: Offset) {
        self.leader_epochs.truncate_from_end(offset);
        self.producers.truncate_from_end(offset);
        self.marks.log_end_offset = self.marks.log_end_offset.min(offset);
        self.marks.flushed_offset = self.marks.flushed_offset.min(offset);
        self.marks.high_watermark = self.marks.high_watermark.min(offset);
    }

    pub(super) fn truncate_fully_and_start_at(&mut self, offset: Offset, effects: &mut Effects) {
        self.leader_epochs.clear();
        self.producers.clear();
        self.marks.log_start_offset = offset;
        self.marks.high_watermark = offset; // KAFKA-9491
        self.marks.flushed_offset = Offset::ZERO; // that it begins there is not on disk yet
        self.marks.log_end_offset = offset;
        effects.push(Effect::TruncateFullyAndStartAt(offset));
    }

    /// The leader no longer has what we ask for, or never had. Only a log that ended before the
    /// leader's begins, or one without any record, starts anew there; any other is left alone and
    /// the question asked again.
    fn on_out_of_range(&mut self, fetched: &Fetched<'_>, effects: &mut Effects) {
        let is_behind = fetched.log_start_offset > self.marks.log_end_offset;
        let is_empty = self.marks.log_start_offset == self.marks.log_end_offset;
        if fetched.log_start_offset >= Offset::ZERO && (is_behind || is_empty) {
            self.truncate_fully_and_start_at(fetched.log_start_offset, effects);
        }
    }
}
