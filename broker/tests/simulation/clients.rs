//! The clients: producers of every kind, consumers from offset 0 on, a group that commits.
//!
//! - `producer`: idempotent with acks=all and several batches in flight, or without a promise
//! - `consumer`: one partition from its beginning, by sessions and from followers too
//! - `group`: committed offsets
//! - `members`: generations of a group
//! - `admin`: topics that come, go and come again
//! - `mover`: leaderships and replicas that move
//! - `trimmer`: records that are deleted

pub mod admin;
pub mod consumer;
pub mod group;
pub mod members;
pub mod mover;
pub mod producer;
pub mod trimmer;

use std::time::Duration;

use crate::world::{BUSY, IDLE, Shared, Slot};
use consumer::Consumer;
use group::Committer;
use members::Member;
use producer::{Acks, Plan, Producer};

/// How long a client waits before it asks again.
pub const PAUSE: Duration = Duration::from_millis(50);

/// What all producers of a run do.
fn plans() -> Vec<Plan> {
    let plan = |number: usize, slot: Slot, acks: Acks| Plan {
        number,
        slot,
        acks,
        pause_ms: match slot.topic().name {
            IDLE => 3200..5000,
            _ => 0..25,
        },
    };
    let mut plans: Vec<Plan> = Slot::all().map(|slot| plan(0, slot, Acks::All)).collect();
    for slot in Slot::of_topic(BUSY) {
        plans.push(plan(1, slot, Acks::All));
    }
    for (number, acks) in [(2, Acks::One), (3, Acks::None)] {
        plans.extend(
            Slot::of_topic(BUSY)
                .take(1)
                .map(|slot| plan(number, slot, acks)),
        );
    }
    plans
}

/// Everything that writes.
pub async fn write(shared: Shared) -> turmoil::Result {
    let producers = plans()
        .into_iter()
        .map(|plan| Producer::new(&shared, plan).run());
    let all = futures_util::future::join_all(producers);
    let committer = Committer::new(&shared).run();
    let admins = futures_util::future::join3(
        admin::recreate(&shared),
        mover::run(&shared),
        trimmer::run(&shared),
    );
    let members = (0..members::COUNT).map(|number| Member::new(&shared, number).run());
    let members = futures_util::future::join_all(members);
    futures_util::future::join4(all, committer, members, admins).await;
    Ok(())
}

/// Everything that reads.
pub async fn read(shared: Shared) -> turmoil::Result {
    let consumers = Slot::all().map(|slot| Consumer::new(&shared, slot).run());
    futures_util::future::join_all(consumers).await;
    Ok(())
}
