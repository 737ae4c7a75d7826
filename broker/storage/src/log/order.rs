//! What headers are held against that no checksum covers.
//!
//! A batch's CRC begins at its attributes, so that a leader can stamp offset and epoch (Kafka's
//! format 2): a bit that turns over before is not seen by it. Of a length, a format or the CRC
//! itself it is, but neither of the base offset nor of the leader epoch. These follow from what
//! lies around a batch: it begins where the one before it ends, or later, ends where the next one
//! begins, or earlier, and has the epoch that the log knows of that offset.
//!
//! Where compaction left a gap beside a batch, an offset that moves within it is as good as any.

use ottla_protocol::ids::{LeaderEpoch, Offset};
use ottla_protocol::log::LeaderEpochs;
use ottla_protocol::record_batch::Header;

/// The batches of a segment, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Where the batch before ends: none begins below.
    next: Offset,
    /// None ends beyond.
    end: Offset,
    epochs: LeaderEpochs,
}

/// So much of a header says where its batch begins.
pub(crate) const BASE_OFFSET_BYTES: usize = 8;

impl Order {
    /// Of batches from `next` to `end`; epochs are looked at where some are given.
    pub(crate) fn new(next: Offset, end: Offset, epochs: LeaderEpochs) -> Self {
        Self { next, end, epochs }
    }

    /// The same from a batch on that is known to begin at `next`.
    pub(crate) fn from(self, next: Offset) -> Self {
        Self { next, ..self }
    }

    /// Goes over a batch, where it lies as it should before one that begins at `after`; `None`: it
    /// is the last, or nobody knows. One that begins where the one before it ends is right there,
    /// whatever the one behind it says: that one may be the damaged one.
    pub(crate) fn pass(
        &mut self,
        header: &Header,
        after: Option<Offset>,
    ) -> Result<(), &'static str> {
        let after = after.filter(|_| header.base_offset > self.next);
        let end = after.map_or(self.end, |after| after.min(self.end));
        if header.base_offset < self.next || header.next_offset() > end {
            return Err("a record batch's offsets are not between those of its neighbours");
        }
        let epoch = self.epochs.epoch_for(header.last_offset());
        if epoch.is_some_and(|epoch: LeaderEpoch| epoch != header.partition_leader_epoch) {
            return Err("a record batch's leader epoch is not the log's at its offset");
        }
        self.next = header.next_offset();
        Ok(())
    }
}

/// Where a batch begins, by the front of its header; `None`: there is less than that.
pub(crate) fn base_offset(bytes: &[u8]) -> Option<Offset> {
    let bytes = bytes.first_chunk::<BASE_OFFSET_BYTES>()?;
    Some(Offset(i64::from_be_bytes(*bytes)))
}
