//! Which leader epoch began at which offset (KIP-101): what truncation after a change of leader is
//! decided by.

use crate::ids::{LeaderEpoch, Offset};

/// One leader epoch and the first offset that was written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub leader_epoch: LeaderEpoch,
    /// The first offset of the epoch.
    pub start_offset: Offset,
}

/// The epochs of a log in order.
///
/// Invariant: epochs and start offsets both rise strictly from entry to entry, but for the last
/// entry, which may start where the log ends (a leader that has appended nothing yet).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// The epochs as they were found in a log; entries that contradict an earlier one are dropped.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = EpochStart>) -> Self {
        let mut epochs = Self::default();
        for entry in entries {
            epochs.assign(entry.leader_epoch, entry.start_offset);
        }
        epochs
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.leader_epoch)
    }

    /// Notes that `leader_epoch` begins at `start_offset`. Does nothing where the epoch is known or
    /// older than the latest one, or where it is none.
    pub fn assign(&mut self, leader_epoch: LeaderEpoch, start_offset: Offset) {
        if leader_epoch <= self.latest().unwrap_or(LeaderEpoch::NONE) {
            return;
        }
        // an epoch in which nothing was written has no records to find: the newer one takes its
        // place
        while self
            .entries
            .last()
            .is_some_and(|last| last.start_offset >= start_offset)
        {
            self.entries.pop();
        }
        self.entries.push(EpochStart {
            leader_epoch,
            start_offset,
        });
    }

    /// Where the records of `leader_epoch` and of all older epochs end: the largest epoch not above
    /// the asked one, and the start of the next epoch (or the end of the log). An epoch older than
    /// all that is known ended where the oldest known one begins. `None` where the epoch is newer
    /// than the latest: an undefined answer, never a made-up one (KAFKA-6857).
    #[must_use]
    pub fn end_offset_for(
        &self,
        leader_epoch: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if leader_epoch < LeaderEpoch(0) || self.latest().is_none_or(|latest| leader_epoch > latest)
        {
            return None;
        }
        let next = self
            .entries
            .partition_point(|entry| entry.leader_epoch <= leader_epoch);
        let found = match next.checked_sub(1) {
            Some(place) => self.entries[place].leader_epoch,
            None => leader_epoch,
        };
        let end = self
            .entries
            .get(next)
            .map_or(log_end_offset, |entry| entry.start_offset);
        Some((found, end))
    }

    /// The epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let next = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        self.entries
            .get(next.checked_sub(1)?)
            .map(|entry| entry.leader_epoch)
    }

    /// Forgets the epochs that begin at or after `end_offset`: the log now ends there
    /// (KAFKA-10706).
    pub fn truncate_from_end(&mut self, end_offset: Offset) {
        self.entries.retain(|entry| entry.start_offset < end_offset);
    }

    /// Forgets the epochs that ended before `start_offset`; the one that covers it now begins
    /// there.
    pub fn truncate_from_start(&mut self, start_offset: Offset) {
        let next = self
            .entries
            .partition_point(|entry| entry.start_offset <= start_offset);
        if next > 1 {
            self.entries.drain(..next - 1);
        }
        if let Some(first) = self.entries.first_mut()
            && first.start_offset < start_offset
        {
            first.start_offset = start_offset;
        }
    }

    /// Forgets everything: the log starts anew at another offset.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests;
