//! An administrator who moves leaderships while everything runs: a partition's replicas are named
//! in another order, and the first of them is elected.

use std::time::Duration;

use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, ElectLeadersRequest, ReassignablePartition,
    ReassignableTopic, TopicPartitions,
};

use crate::connection::Connection;
use crate::world::{BROKERS, Shared, Slot};

/// Who it is.
const NAME: &str = "mover";

/// How often leaderships move at most, of which a seed draws one; none where they never do.
const PACES_MS: [Option<usize>; 4] = [None, Some(150), Some(800), Some(4000)];

/// Moves leaderships until the run ends.
pub async fn run(shared: &Shared) {
    let mut random = shared.random(2);
    let Some(pace_ms) = PACES_MS[random.below(PACES_MS.len())] else {
        return;
    };
    shared.join(NAME);
    let mut connection = Connection::new(0);
    let slots: Vec<Slot> = Slot::all()
        .filter(|slot| slot.topic().factor == BROKERS)
        .collect();
    let mut slot = slots[0];
    while !shared.with(|world| world.is_ending) {
        // often there and back at once: what is on its way is of two epochs then
        if random.one_in(2) {
            let pause = 20 + random.below(pace_ms) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            slot = slots[random.below(slots.len())];
        }
        let first = random.below(BROKERS);
        let order: Vec<i32> = (0..BROKERS)
            .map(|n| ((first + n) % BROKERS) as i32)
            .collect();
        let is_moved = elect(&mut connection, slot, order).await;
        shared.trace(format_args!("{slot} is to be led by {first}: {is_moved}"));
        if !is_moved {
            connection.turn();
        }
    }
    shared.leave(NAME);
}

/// Says whether both requests were answered.
async fn elect(connection: &mut Connection, slot: Slot, order: Vec<i32>) -> bool {
    let (name, partition) = (slot.topic().name.to_owned(), slot.partition());
    let reassign = AlterPartitionReassignmentsRequest {
        timeout_ms: 1000,
        topics: vec![ReassignableTopic {
            name: name.clone(),
            partitions: vec![ReassignablePartition {
                partition_index: partition,
                replicas: Some(order),
            }],
        }],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let elect = ElectLeadersRequest {
        election_type: 0,
        topic_partitions: Some(vec![TopicPartitions {
            topic: name,
            partitions: vec![partition],
        }]),
        timeout_ms: 1000,
    };
    connection.ask(0, &reassign).await.is_some() && connection.ask(2, &elect).await.is_some()
}
