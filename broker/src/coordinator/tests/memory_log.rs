//! A log in memory, whose commits and failures the test decides.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use ottla_core::partition::Origin;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use ottla_protocol::record_batch;
use tokio::sync::watch;

use super::super::log::{Later, Log, Part};

#[derive(Default)]
struct State {
    batches: Vec<Bytes>,
    end: i64,
    is_held: bool,
    refusal: Option<ErrorCode>,
    /// What is told of batches that are in the log all the same.
    loss: Option<ErrorCode>,
}

/// A log that commits at once, unless it is held.
pub(super) struct MemoryLog {
    state: Mutex<State>,
    high_watermark: watch::Sender<i64>,
}

impl MemoryLog {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            high_watermark: watch::channel(0).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    /// From now on nothing is committed.
    pub(super) fn hold(&self) {
        self.state().is_held = true;
    }

    /// Commits all there is, and what comes.
    pub(super) fn release(&self) {
        let mut state = self.state();
        state.is_held = false;
        self.high_watermark.send_replace(state.end);
    }

    pub(super) fn refuse(&self, error: Option<ErrorCode>) {
        self.state().refusal = error;
    }

    pub(super) fn lose(&self, error: Option<ErrorCode>) {
        self.state().loss = error;
    }

    pub(super) fn batch_count(&self) -> usize {
        self.state().batches.len()
    }
}

impl Log for MemoryLog {
    fn append(
        &self,
        _: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        mut batch: BytesMut,
        _: Origin,
    ) -> Result<Later<Offset>, ErrorCode> {
        let mut state = self.state();
        if let Some(error) = state.refusal {
            return Err(error);
        }
        let base = Offset(state.end);
        record_batch::stamp(&mut batch, base, leader_epoch);
        let batch = batch.freeze();
        let header = record_batch::RecordBatch::first(&batch)
            .expect("a whole batch")
            .header;
        state.end = header.next_offset().0;
        state.batches.push(batch.clone());
        if !state.is_held {
            self.high_watermark.send_replace(state.end);
        }
        let (end, mut mark) = (state.end, self.high_watermark.subscribe());
        let loss = state.loss;
        Ok(Box::pin(async move {
            let reached = mark.wait_for(|mark| *mark >= end).await;
            match (reached, loss) {
                (Ok(_), None) => Ok(base),
                (_, Some(error)) => Err(error),
                (Err(_), None) => Err(ErrorCode::NotLeaderOrFollower),
            }
        }))
    }

    fn read(&self, _: TopicIdPartition, _: LeaderEpoch, from: Offset, _: usize) -> Later<Part> {
        let state = self.state();
        let header = |batch: &Bytes| {
            record_batch::RecordBatch::first(batch)
                .expect("a whole batch")
                .header
        };
        // one batch at a time, so that loading has to go on
        let next = state
            .batches
            .iter()
            .find(|batch| header(batch).next_offset() > from);
        let part = Part {
            batches: next.cloned().into_iter().collect(),
            log_start_offset: Offset::ZERO,
            high_watermark: Offset(*self.high_watermark.borrow()),
            log_end_offset: Offset(state.end),
        };
        Box::pin(async move { Ok(part) })
    }
}
