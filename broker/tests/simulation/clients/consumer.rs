//! A consumer of one partition, from its beginning to the end of the run.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla_protocol::{record, record_batch};

use super::PAUSE;
use crate::checks::value_of;
use crate::connection::{Connection, Leader};
use crate::world::{BROKERS, Shared, Slot};

/// One consumer.
pub struct Consumer {
    shared: Shared,
    slot: Slot,
    connection: Connection,
    leader: Option<Leader>,
    next: i64,
}

fn name(slot: Slot) -> String {
    format!("consumer of {slot}")
}

impl Consumer {
    pub fn new(shared: &Shared, slot: Slot) -> Self {
        shared.join(&name(slot));
        Self {
            shared: shared.clone(),
            slot,
            connection: Connection::new(slot.index() % BROKERS),
            leader: None,
            next: 0,
        }
    }

    /// Reads until the run ends and everything committed is read.
    pub async fn run(mut self) {
        loop {
            let (is_ending, end) = self.shared.with(|world| {
                let end = world.checks.committed_end(self.slot);
                (world.is_ending && world.has_converged(), end)
            });
            if is_ending && self.next >= end {
                break;
            }
            if !self.fetch().await {
                tokio::time::sleep(PAUSE).await;
                self.leader = self.connection.leader(self.slot).await;
            }
        }
        self.shared.leave(&name(self.slot));
    }

    fn request(&self, leader: Leader) -> FetchRequest {
        FetchRequest {
            replica_id: -1,
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: self.slot.topic().name.to_owned(),
                partitions: vec![FetchPartition {
                    partition: self.slot.partition(),
                    current_leader_epoch: leader.epoch,
                    fetch_offset: self.next,
                    partition_max_bytes: 16 << 10,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }
    }

    /// Says whether the leader is worth asking again.
    async fn fetch(&mut self) -> bool {
        let Some(leader) = self.leader else {
            return false;
        };
        self.connection.turn_to(leader.node);
        let slot = self.slot;
        let committed_epoch = self.shared.with(|world| world.checks.committed_epoch(slot));
        let answer = self.connection.ask(12, &self.request(leader)).await;
        let topic = answer.and_then(|answer| answer.responses.into_iter().next());
        let Some(data) = topic.and_then(|topic| topic.partitions.into_iter().next()) else {
            return false;
        };
        match ErrorCode::from(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let what = format!("NonmonotonicPoll: {slot}@{} is out of range", self.next);
                self.shared.violate(what);
                return false;
            }
            _ => return false,
        }
        if leader.epoch < committed_epoch {
            self.shared.violate(format!(
                "StaleRead: broker {} serves {slot} in epoch {}, and {committed_epoch} had \
                 committed",
                leader.node, leader.epoch
            ));
        }
        self.take_in(data);
        true
    }

    fn take_in(&mut self, data: PartitionData) {
        let slot = self.slot;
        let bytes = data.records.unwrap_or_default().into_bytes();
        for batch in record_batch::iterate(&bytes).flatten() {
            let base = batch.header.base_offset.0;
            for found in record::iterate(batch.body(), batch.header.records_count).flatten() {
                let offset = base + i64::from(found.offset_delta);
                if offset < self.next {
                    continue; // a batch is read from its beginning
                }
                if offset > self.next {
                    let what = format!("PollSkip: {slot} skips {} to {offset}", self.next);
                    self.shared.violate(what);
                }
                let value = value_of(found.value.unwrap_or_default());
                self.shared
                    .with(|world| world.consumed(slot, offset, &value));
                self.next = offset + 1;
            }
        }
    }
}
