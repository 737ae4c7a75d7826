//! Which leader epoch began at which offset (KIP-101).

use ottla_protocol::ids::{LeaderEpoch, Offset};

use super::EpochEndOffset;

/// Ascending in both; invariant: no entry starts at or after the log end, except one that was
/// assigned to a leader that has not appended yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs(pub(crate) Vec<(LeaderEpoch, Offset)>);

impl Epochs {
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|&(epoch, _)| epoch)
    }

    /// Whether [`Self::assign`] would change anything.
    pub(crate) fn is_news(&self, epoch: LeaderEpoch) -> bool {
        epoch.0 >= 0 && self.latest().is_none_or(|latest| epoch > latest)
    }

    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if !self.is_news(epoch) {
            return;
        }
        // an epoch that got no records gives way to the one that starts at the same place
        while self.0.last().is_some_and(|&(_, from)| from >= start) {
            self.0.pop();
        }
        self.0.push((epoch, start));
    }

    pub(crate) fn truncate_from_end(&mut self, end: Offset) {
        while self.0.last().is_some_and(|&(_, start)| start >= end) {
            self.0.pop();
        }
    }

    /// The epoch that the new start lies in keeps its place, beginning at the new start.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) {
        let below = self
            .0
            .iter()
            .take_while(|&&(_, from)| from <= start)
            .count();
        if below > 0 {
            self.0.drain(..below - 1);
            self.0[0].1 = start;
        }
    }

    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<EpochEndOffset> {
        let latest = self.latest()?;
        if epoch.0 < 0 || epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some(EpochEndOffset {
                leader_epoch: epoch,
                end_offset: log_end_offset,
            });
        }
        let after = self.0.partition_point(|&(known, _)| known <= epoch);
        let end_offset = self.0[after].1;
        // before all that is known: nothing of that epoch is here
        let leader_epoch = if after == 0 {
            epoch
        } else {
            self.0[after - 1].0
        };
        Some(EpochEndOffset {
            leader_epoch,
            end_offset,
        })
    }

    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.0.partition_point(|&(_, start)| start <= offset);
        after.checked_sub(1).map(|place| self.0[place].0)
    }
}

#[cfg(test)]
mod tests;
