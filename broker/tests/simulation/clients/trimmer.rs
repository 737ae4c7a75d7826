//! An administrator who deletes records: what lies before an offset, never what is not committed.

use std::time::Duration;

use ottla_protocol::messages::offsets::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};

use crate::connection::Connection;
use crate::world::{BUSY, Shared, Slot};

/// Who it is.
const NAME: &str = "trimmer";

/// In one run of so many records are deleted.
const ONE_IN: usize = 3;

/// Deletes records of the topic with traffic until the run ends.
pub async fn run(shared: &Shared) {
    let mut random = shared.random(4);
    if !random.one_in(ONE_IN) {
        return;
    }
    shared.join(NAME);
    let mut connection = Connection::new(shared, 1);
    let slots: Vec<Slot> = Slot::of_topic(BUSY).collect();
    while !shared.with(|world| world.is_ending) {
        let pause = 100 + random.below(2000) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let slot = slots[random.below(slots.len())];
        let Some(leader) = connection.leader(slot).await else {
            continue;
        };
        connection.turn_to(leader.node);
        let end = shared.with(|world| world.checks.committed_end(slot));
        let offset = end - random.below(1 + end as usize / 2) as i64;
        // from now on it may happen, whatever is answered
        shared.with(|world| {
            let partition = world.checks.of(slot);
            partition.deleted_end = partition.deleted_end.max(offset);
        });
        let low_watermark = delete(&mut connection, slot, offset).await;
        shared.trace(format_args!(
            "{slot} is deleted up to {offset}: {low_watermark:?}"
        ));
    }
    shared.leave(NAME);
}

async fn delete(connection: &mut Connection, slot: Slot, offset: i64) -> Option<i64> {
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: slot.topic().name.to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: slot.partition(),
                offset,
            }],
        }],
        timeout_ms: 1000,
    };
    let answer = connection.ask(1, &request).await?;
    let partition = answer.topics.first()?.partitions.first()?;
    (partition.error_code == 0).then_some(partition.low_watermark)
}
