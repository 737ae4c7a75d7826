//! Which records stay: decided from what is known, without a disk or a clock.

use std::collections::BTreeMap;

use ottla_protocol::ids::{Offset, ProducerId};
use ottla_protocol::record::Record;
use ottla_protocol::record_batch::Header;

use super::keys::Keys;
use super::transactions::{Aborted, Standing};

/// What one compaction goes by.
///
/// Of each key the record with the highest offset stays. A tombstone stays for some time after
/// the first compaction that saw it (which removed all older records of its key, and notes the
/// end of that time in the batch), so that whoever reads from the start sees it, and longer while
/// there is a replica that may not have it.
///
/// What was aborted goes at once, and supersedes nothing. The marker of a transaction stays until
/// nothing of it is left, and then for as long as a tombstone.
pub(super) struct Retention<'a> {
    pub(super) keys: &'a Keys,
    /// All records below are in `keys`, or were in those of an earlier compaction.
    pub(super) end_offset: Offset,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    /// Whether what was kept for so long goes.
    pub(super) forgets: bool,
    /// The last offset of each idempotent producer.
    pub(super) producers: &'a BTreeMap<ProducerId, Offset>,
    /// The transactions that were aborted, even those whose markers are at or above `end_offset`.
    /// All others that begin below it were committed.
    pub(super) aborted: &'a Aborted,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How many of its records stay.
    pub(super) kept: usize,
    /// How many were looked at.
    pub(super) seen: usize,
    /// Whether tombstones that compaction knows of are among those that stay, or a marker that has
    /// nothing more to end.
    pub(super) has_tombstone: bool,
    /// The delete horizon to set.
    pub(super) new_horizon: Option<i64>,
}

impl Verdict {
    /// Nothing about the batch changes.
    pub(super) fn is_whole(&self) -> bool {
        self.kept == self.seen && self.seen > 0 && self.new_horizon.is_none()
    }
}

impl Retention<'_> {
    /// Whether the batch stays as it is, without a look at its records.
    pub(super) fn is_beyond(&self, header: &Header) -> bool {
        header.base_offset >= self.end_offset
    }

    /// Whether a batch stays though none of its records does: by the last batch of a producer its
    /// next one is judged.
    pub(super) fn is_needed_empty(&self, header: &Header) -> bool {
        header.has_producer_id()
            && self.producers.get(&header.producer_id) == Some(&header.last_offset())
    }

    /// Whether the record stays.
    pub(super) fn keeps(&self, header: &Header, standing: Standing, record: &Record<'_>) -> bool {
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        if offset >= self.end_offset {
            return true;
        }
        let is_over = || {
            let horizon = header.delete_horizon();
            self.forgets && horizon.is_some_and(|at| self.now_ms >= at)
        };
        match standing {
            Standing::Data => {}
            Standing::Aborted => return false,
            Standing::Marker { is_last } => return !(is_last && is_over()),
        }
        let Some(key) = record.key else {
            // from before the topic was compacted: nothing can ever supersede it
            return false;
        };
        let is_superseded = self.keys.newest(key).is_some_and(|newest| newest > offset);
        let is_due_tombstone = record.value.is_none() && is_over();
        !is_superseded && !is_due_tombstone
    }

    /// Judges a batch by its records.
    pub(super) fn judge<'r, E>(
        &self,
        header: &Header,
        standing: Standing,
        records: impl Iterator<Item = Result<Record<'r>, E>>,
    ) -> Result<Verdict, E> {
        let mut verdict = Verdict::default();
        for record in records {
            let record = record?;
            verdict.seen += 1;
            if self.keeps(header, standing, &record) {
                verdict.kept += 1;
                verdict.has_tombstone |= match standing {
                    Standing::Marker { is_last } => is_last,
                    _ => record.value.is_none(),
                };
            }
        }
        // of a batch that is not covered whole the next compaction decides
        verdict.has_tombstone &= header.last_offset() < self.end_offset;
        if verdict.has_tombstone && header.delete_horizon().is_none() {
            verdict.new_horizon = Some(self.now_ms.saturating_add(self.delete_retention_ms));
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ottla_protocol::ids::LeaderEpoch;
    use ottla_protocol::record::{self, NewRecord};
    use ottla_protocol::record_batch::{self, Builder, RecordBatch};

    use super::*;

    fn batch(base_offset: i64, records: &[(Option<&str>, Option<&str>)]) -> BytesMut {
        let mut builder = Builder::new();
        for (key, value) in records {
            builder.push(&NewRecord {
                timestamp_ms: 1,
                key: key.map(str::as_bytes),
                value: value.map(str::as_bytes),
                headers: &[],
            });
        }
        let mut bytes = builder.build();
        record_batch::stamp(&mut bytes, Offset(base_offset), LeaderEpoch(0));
        bytes
    }

    fn judge(retention: &Retention<'_>, bytes: &[u8]) -> Verdict {
        let header = Header::read(bytes).unwrap();
        let batch = RecordBatch::first(bytes).unwrap();
        let records = record::iterate(batch.body(), header.records_count);
        retention.judge(&header, Standing::Data, records).unwrap()
    }

    fn verdict(kept: usize, seen: usize, new_horizon: Option<i64>) -> Verdict {
        Verdict {
            kept,
            seen,
            has_tombstone: new_horizon.is_some(),
            new_horizon,
        }
    }

    #[test]
    fn the_newest_of_each_key_stays() {
        let mut keys = Keys::new(1 << 16);
        for (key, offset) in [("a", 12), ("b", 11), ("gone", 13)] {
            assert!(keys.note(key.as_bytes(), Offset(offset)));
        }
        let producers = BTreeMap::from([(ProducerId(5), Offset(11))]);
        let mut retention = Retention {
            keys: &keys,
            end_offset: Offset(14),
            now_ms: 1000,
            delete_retention_ms: 50,
            forgets: true,
            producers: &producers,
            aborted: &Aborted::default(),
        };
        let one = Some("1");
        let old = batch(10, &[(Some("a"), one), (Some("b"), one)]);
        assert_eq!(judge(&retention, &old), verdict(1, 2, None));
        let unknown = batch(10, &[(Some("c"), one), (None, one)]);
        assert_eq!(
            judge(&retention, &unknown),
            verdict(1, 2, None),
            "no key, no place"
        );
        let tombstone = batch(13, &[(Some("gone"), None)]);
        assert_eq!(judge(&retention, &tombstone), verdict(1, 1, Some(1050)));
        let later = batch(13, &[(Some("gone"), None), (Some("a"), one)]);
        assert_eq!(
            judge(&retention, &later),
            verdict(2, 2, None),
            "not covered whole"
        );

        let read = RecordBatch::first(&tombstone).unwrap();
        let marked = read
            .compacted(read.body(), Some(1050), &mut |_| true)
            .unwrap();
        retention.now_ms = 1049;
        let kept = Verdict {
            has_tombstone: true,
            ..verdict(1, 1, None)
        };
        assert_eq!(judge(&retention, &marked), kept);
        retention.now_ms = 1050;
        retention.forgets = false;
        assert_eq!(
            judge(&retention, &marked),
            kept,
            "a replica may not have it"
        );
        retention.forgets = true;
        assert_eq!(judge(&retention, &marked), verdict(0, 1, None));
    }

    #[test]
    fn what_is_not_covered_stays_whole() {
        let (keys, producers) = (Keys::new(0), BTreeMap::from([(ProducerId(5), Offset(11))]));
        let retention = Retention {
            keys: &keys,
            end_offset: Offset(14),
            now_ms: 0,
            delete_retention_ms: 0,
            forgets: true,
            producers: &producers,
            aborted: &Aborted::default(),
        };
        let header = |base| Header::read(&batch(base, &[(None, None)])).unwrap();
        assert!(!retention.is_beyond(&header(13)));
        assert!(retention.is_beyond(&header(14)));
        let of_producer = |base| Header {
            producer_id: ProducerId(5),
            ..header(base)
        };
        assert!(retention.is_needed_empty(&of_producer(11)));
        assert!(!retention.is_needed_empty(&of_producer(10)));
        assert!(!retention.is_needed_empty(&header(11)));
    }
}
