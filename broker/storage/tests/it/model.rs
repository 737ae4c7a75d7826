//! What a log should be: the plainest thing that has the same behaviour.

use bytes::Bytes;
use ottla_protocol::ids::Offset;
use ottla_storage::LogReader;

/// A log's visible state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub start: i64,
    pub end: i64,
    pub epochs: Vec<(i32, i64)>,
    /// Base offset, next offset, epoch, bytes.
    pub batches: Vec<(i64, i64, i32, Bytes)>,
}

impl Model {
    pub fn append(&mut self, base: i64, next: i64, epoch: i32, bytes: Bytes) {
        self.assign(epoch, base);
        self.batches.push((base, next, epoch, bytes));
        self.end = next;
    }

    pub fn assign(&mut self, epoch: i32, start: i64) {
        if self.epochs.last().is_none_or(|last| epoch > last.0) {
            self.epochs.retain(|old| old.1 < start);
            self.epochs.push((epoch, start));
        }
    }

    pub fn truncate(&mut self, offset: i64) {
        if offset >= self.end {
            return;
        }
        let first = self.batches.iter().find(|batch| batch.1 > offset);
        let end = first.map_or(offset, |batch| batch.0.min(offset));
        if offset < self.start || end < self.start {
            return self.start_at(offset);
        }
        self.batches.retain(|batch| batch.1 <= end);
        self.epochs.retain(|epoch| epoch.1 < end);
        self.end = end;
    }

    pub fn start_at(&mut self, offset: i64) {
        *self = Self {
            start: offset,
            end: offset,
            ..Self::default()
        };
    }

    pub fn log_start(&mut self, offset: i64) {
        if offset <= self.start {
            return;
        }
        self.start = offset;
        self.batches.retain(|batch| batch.1 > offset);
        let below = self.epochs.iter().filter(|epoch| epoch.1 <= offset).count();
        if below > 0 {
            self.epochs.drain(..below - 1);
            self.epochs[0].1 = offset;
        }
    }
}

/// All that a log shows, read in pieces of `bytes_max`.
pub fn observe(log: &LogReader, bytes_max: usize) -> Model {
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    let epochs = log
        .leader_epochs()
        .entries()
        .iter()
        .map(|entry| (entry.leader_epoch.0, entry.start_offset.0))
        .collect();
    let mut model = Model {
        start,
        end,
        epochs,
        batches: Vec::new(),
    };
    let mut from = start;
    while from < end {
        let read = log
            .read(Offset(from), bytes_max, Offset(end))
            .expect("readable");
        let slices = read.perform().expect("readable");
        let before = from;
        for slice in slices {
            for found in ottla_protocol::record_batch::headers(&slice) {
                let (at, header) = found.expect("whole batches");
                let bytes = slice.slice(at..at + header.bytes());
                from = header.next_offset().0;
                let (base, epoch) = (header.base_offset.0, header.partition_leader_epoch.0);
                assert!(from > before, "a read goes on");
                model.batches.push((base, from, epoch, bytes));
            }
        }
        if from == before {
            break;
        }
    }
    model
}
