//! An administrator who moves replicas and leaderships while everything runs: a partition's
//! replicas are named, in another order or others than before, and the first of them is elected.
//! Some change their mind: a move is cancelled, at times twice.

use std::time::Duration;

use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, ElectLeadersRequest, ReassignablePartition,
    ReassignableTopic, TopicPartitions,
};
use ottla_storage::sim::Random;

use crate::cluster::brokers;
use crate::connection::Connection;
use crate::world::{Shared, Slot};

/// Who it is.
const NAME: &str = "mover";

/// How often leaderships move at most, of which a seed draws one; none where they never do.
const PACES_MS: [Option<usize>; 4] = [None, Some(150), Some(800), Some(4000)];

/// In one run of so many, partitions move to other brokers; in the others only leaderships do.
const OTHER_BROKERS_ONE_IN: usize = 2;

/// In one of those runs of so many, moves are cancelled, one of so many.
const CANCELS_ONE_IN: usize = 2;

/// Moves leaderships until the run ends.
pub async fn run(shared: &Shared) {
    let mut random = shared.random(2);
    let Some(pace_ms) = PACES_MS[random.below(PACES_MS.len())] else {
        return;
    };
    let moves_replicas = random.one_in(OTHER_BROKERS_ONE_IN);
    shared.join(NAME);
    shared.with(|world| world.moves_replicas = moves_replicas);
    let mut connection = Connection::new(shared, 0);
    let all = brokers();
    let slots: Vec<Slot> = Slot::all()
        .filter(|slot| moves_replicas || slot.topic().factor == all)
        .collect();
    if slots.is_empty() {
        return shared.leave(NAME);
    }
    let mut moods = shared.random(22);
    let cancels = moves_replicas && moods.one_in(CANCELS_ONE_IN);
    let mut slot = slots[0];
    while !shared.with(|world| world.is_ending) {
        // often there and back at once: what is on its way is of two epochs then
        if random.one_in(2) {
            let pause = 20 + random.below(pace_ms) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            slot = slots[random.below(slots.len())];
        }
        let order = order(&mut random, slot.topic().factor);
        let is_moved = elect(&mut connection, slot, order.clone()).await;
        shared.trace(format_args!("{slot} is to be on {order:?}: {is_moved}"));
        if !is_moved {
            connection.turn();
        }
        while cancels && moods.one_in(CANCELS_ONE_IN) {
            let pause = moods.below(200) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let is_answered = reassign(&mut connection, slot, None).await;
            shared.trace(format_args!(
                "{slot} is to stay where it was: {is_answered}"
            ));
        }
    }
    shared.leave(NAME);
}

/// So many brokers, in any order.
fn order(random: &mut Random, factor: usize) -> Vec<i32> {
    let mut left: Vec<i32> = (0..brokers() as i32).collect();
    (0..factor)
        .map(|_| left.swap_remove(random.below(left.len())))
        .collect()
}

/// Names a partition's replicas, or cancels that; says whether it was answered.
async fn reassign(connection: &mut Connection, slot: Slot, order: Option<Vec<i32>>) -> bool {
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: 1000,
        topics: vec![ReassignableTopic {
            name: slot.topic().name.to_owned(),
            partitions: vec![ReassignablePartition {
                partition_index: slot.partition(),
                replicas: order,
            }],
        }],
        ..AlterPartitionReassignmentsRequest::default()
    };
    connection.ask(0, &request).await.is_some()
}

/// Says whether both requests were answered.
async fn elect(connection: &mut Connection, slot: Slot, order: Vec<i32>) -> bool {
    let elect = ElectLeadersRequest {
        election_type: 0,
        topic_partitions: Some(vec![TopicPartitions {
            topic: slot.topic().name.to_owned(),
            partitions: vec![slot.partition()],
        }]),
        timeout_ms: 1000,
    };
    reassign(connection, slot, Some(order)).await && connection.ask(2, &elect).await.is_some()
}
