//! The clients: producers of every kind, consumers from offset 0 on, a group that commits.
//!
//! - `producer`: idempotent with acks=all and several batches in flight, or without a promise
//! - `consumer`: one partition from its beginning, by sessions and from followers too
//! - `group`: committed offsets
//! - `members`: generations of a group; `assigned`: one whose coordinator assigns
//! - `admin`: topics that come, go and come again
//! - `mover`: leaderships and replicas that move
//! - `trimmer`: records that are deleted
//! - `voters`: who votes in the metadata quorum
//! - `keeper`: a compacted topic
//! - `transactor`: a producer of transactions, as it is for `writer`, whose transactions span
//!   partitions and have zombies, and `transformer`, which reads, transforms and writes

pub mod admin;
pub mod assigned;
pub mod consumer;
pub mod group;
pub mod keeper;
pub mod members;
pub mod mover;
pub mod producer;
pub mod transactor;
pub mod transformer;
pub mod trimmer;
pub mod voters;
pub mod writer;

use std::time::Duration;

use ottla_protocol::ids::{ProducerEpoch, ProducerId};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::record_batch::Builder;

use crate::connection::{Connection, PRODUCE_TIMEOUT_MS};
use crate::world::{BUSY, Bug, IDLE, Shared, Slot};
use consumer::{Consumer, Reads};
use group::Committer;
use keeper::Keeper;
use members::Member;
use producer::{Acks, Plan, Producer};
use transformer::Transformer;
use writer::Writer;

/// How long a client waits before it asks again.
pub const PAUSE: Duration = Duration::from_millis(50);

/// How long producers rest at most between two batches, of which a seed draws one: some bugs want
/// much on its way, and a run with little takes a tenth of the time.
const PAUSES_MS: [usize; 3] = [25, 100, 400];

/// The pause of this run.
pub fn pause_max_ms(shared: &Shared) -> usize {
    PAUSES_MS[shared.random(13).below(PAUSES_MS.len())]
}

/// A batch for one partition, with acks=all.
fn produce_request((topic, index): (&str, i32), batch: Builder) -> ProduceRequest {
    ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: PRODUCE_TIMEOUT_MS as i32,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(batch.build()),
            }],
            ..TopicProduceData::default()
        }],
    }
}

/// The id of an idempotent producer, where the broker gives one.
async fn new_producer_id(connection: &mut Connection) -> Option<(ProducerId, ProducerEpoch)> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 1000,
        ..InitProducerIdRequest::default()
    };
    let answer = connection.ask(4, &request).await?;
    let (id, epoch) = (answer.producer_id, answer.producer_epoch);
    (answer.error_code == 0).then_some((ProducerId(id), ProducerEpoch(epoch)))
}

/// What all producers of a run do.
fn plans(pause_max_ms: usize) -> Vec<Plan> {
    let plan = |number: usize, slot: Slot, acks: Acks| Plan {
        number,
        slot,
        acks,
        pause_ms: match slot.topic().name {
            IDLE => 3200..5000,
            _ => 0..pause_max_ms,
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

/// In one run of so many there are transactions.
const TRANSACTIONS_ONE_IN: usize = 2;

fn has_transactions(shared: &Shared) -> bool {
    let sought = shared.with(|world| world.sought);
    shared.random(7).one_in(TRANSACTIONS_ONE_IN) || sought.is_some_and(Bug::is_of_transactions)
}

/// In one run of so many there is a compacted topic.
const COMPACTION_ONE_IN: usize = 3;

fn has_compaction(shared: &Shared) -> bool {
    shared.random(11).one_in(COMPACTION_ONE_IN) || is_compaction_sought(shared)
}

/// Whether a bug is sought that takes a compacted topic.
fn is_compaction_sought(shared: &Shared) -> bool {
    shared.with(|world| world.sought.is_some_and(Bug::is_of_compaction))
}

/// In one run of so many there is a group with the consumer protocol.
const ASSIGNED_ONE_IN: usize = 2;

fn has_assigned(shared: &Shared) -> bool {
    shared.random(14).one_in(ASSIGNED_ONE_IN)
}

/// Everything that writes.
pub async fn write(shared: Shared) {
    let producers = plans(pause_max_ms(&shared))
        .into_iter()
        .map(|plan| Producer::new(&shared, plan).run());
    let all = futures_util::future::join_all(producers);
    let committer = Committer::new(&shared).run();
    let admins = futures_util::future::join4(
        admin::recreate(&shared),
        mover::run(&shared),
        trimmer::run(&shared),
        voters::run(&shared),
    );
    let members = (0..members::COUNT).map(|number| Member::new(&shared, number).run());
    let assigned = (0..assigned::COUNT).filter(|_| has_assigned(&shared));
    let assigned = assigned.map(|number| assigned::Member::new(&shared, number).run());
    let members = futures_util::future::join(
        futures_util::future::join_all(members),
        futures_util::future::join_all(assigned),
    );
    let of_transactions = |count: usize| match has_transactions(&shared) {
        true => 0..count,
        false => 0..0,
    };
    let writers = of_transactions(writer::COUNT);
    let writers = writers.map(|number| Writer::new(&shared, number).run());
    let transformers = of_transactions(transformer::COUNT);
    let transformers = transformers.map(|number| Transformer::new(&shared, number).run());
    let transactional = futures_util::future::join(
        futures_util::future::join_all(writers),
        futures_util::future::join_all(transformers),
    );
    let keepers = (0..usize::from(has_compaction(&shared))).map(|_| Keeper::new(&shared).run());
    let keepers = futures_util::future::join_all(keepers);
    let others = futures_util::future::join(transactional, keepers);
    futures_util::future::join5(all, committer, members, admins, others).await;
}

/// Everything that reads.
pub async fn read(shared: Shared) {
    let consumers = Slot::all().map(|slot| Consumer::new(&shared, slot, Reads::All).run());
    let slots = Slot::all().filter(|_| has_transactions(&shared));
    let of_committed = slots
        .filter(|slot| slot.topic().name != IDLE)
        .map(|slot| Consumer::new(&shared, slot, Reads::Committed).run());
    futures_util::future::join_all(consumers.chain(of_committed)).await;
}
