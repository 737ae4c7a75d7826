//! Transformers: what they read of one partition they write to another, with the offset up to which
//! they have read, in one transaction. Two of them have the same transactional id and replace each
//! other, so that each goes on where the other's committed offset says. Or each has its own, and
//! they take turns, as members of a group that is given a partition (KIP-447): then nothing but the
//! offset itself tells whether the other's last transaction, which may be about to end still, has.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::groups::{
    FindCoordinatorRequest, OffsetFetchRequest, OffsetFetchRequestTopic,
};
use ottla_protocol::record_batch;
use ottla_storage::sim::Random;

use super::PAUSE;
use super::transactor::{Ended, Rules, Transactor};
use crate::connection::{Connection, FETCH_WAIT_MS, Leader};
use crate::transactions::TRANSFORMED;
use crate::world::{BUSY, Shared, Slot};

/// How many there are.
pub const COUNT: usize = 2;

const GROUP: &str = "transformers";

/// In one run of so many they have ids of their own, one transaction in so many ends a turn, and
/// how long one waits for its turn between two looks.
const OWN_IDS_ONE_IN: usize = 2;
const TURN_ONE_IN: usize = 4;
const TURN_WAIT: Duration = Duration::from_millis(3);

/// How many records one transaction transforms at most.
const RECORDS_MAX: i64 = 20;

/// One transformer.
pub struct Transformer {
    shared: Shared,
    random: Random,
    number: usize,
    transactor: Transactor,
    transactions: usize,
    takes_turns: bool,
    /// What reads its input, and what reads its offset.
    reader: Connection,
    leader: Option<Leader>,
    coordinator: Connection,
    is_found: bool,
}

fn name(number: usize) -> String {
    format!("transformer {number}")
}

/// What it reads: every offset of it is a record, for nothing is deleted there.
fn input() -> Slot {
    Slot::of_topic("single").next().expect("there is one")
}

fn output() -> Slot {
    Slot::of_topic(BUSY).last().expect("there is one")
}

impl Transformer {
    pub fn new(shared: &Shared, number: usize) -> Self {
        let mut random = shared.random(600 + number as u64);
        let rules = match random.one_in(2) {
            true => Rules::First,
            false => Rules::Second,
        };
        shared.join(&name(number));
        let takes_turns = shared.random(18).one_in(OWN_IDS_ONE_IN);
        let id = match takes_turns {
            true => format!("transformer-{number}"),
            false => "transformer".to_owned(),
        };
        Self {
            shared: shared.clone(),
            random,
            number,
            transactor: Transactor::new(shared, &id, GROUP, rules),
            transactions: 0,
            takes_turns,
            reader: Connection::new(shared, 0),
            leader: None,
            coordinator: Connection::new(shared, 1),
            is_found: false,
        }
    }

    /// Transforms until the run ends; the first one waits for the other, and tells of the offset.
    pub async fn run(mut self) {
        while !self.shared.with(|world| world.is_ending) {
            if self.transactor.begin_anew().await.is_ok() && self.awaits_turn().await {
                let from = self.position().await;
                self.transform(from).await;
                let number = self.number;
                self.shared.with(|world| world.told.ends_turn(number));
            }
            // the other one's turn
            match self.takes_turns {
                true => tokio::time::sleep(TURN_WAIT).await,
                false => self.rest(1500).await,
            }
        }
        if self.number == 0 {
            let others = (1..COUNT).map(name);
            for other in others {
                while self.shared.with(|world| world.clients.contains(&other)) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // whatever one of them left open is aborted with this
            while self.transactor.begin_anew().await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            let until = self.position().await;
            self.shared.with(|world| world.told.transformed(until));
        }
        self.shared.leave(&name(self.number));
    }

    /// Waits until nobody else transforms; says whether that was before the end.
    async fn awaits_turn(&mut self) -> bool {
        let number = self.number;
        while self.takes_turns && !self.shared.with(|world| world.told.takes_turn(number)) {
            if self.shared.with(|world| world.is_ending) {
                return false;
            }
            tokio::time::sleep(TURN_WAIT).await;
        }
        true
    }

    async fn rest(&mut self, most_ms: usize) {
        let pause = self.random.below(most_ms) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// One transaction after the other, as long as none is refused.
    async fn transform(&mut self, mut from: i64) {
        while !self.shared.with(|world| world.is_ending) {
            let until = self.read(from).await;
            if until == from {
                self.rest(100).await;
                continue;
            }
            self.transactions += 1;
            let (number, count) = (self.number, self.transactions);
            let transaction = format!("{TRANSFORMED}{number}.{count}");
            let values: Vec<String> = (from..until)
                .map(|n| format!("{transaction}-{n}"))
                .collect();
            let is_written = self.transactor.write(output(), &values).await.is_ok();
            if self.random.one_in(6) {
                self.rest(2500).await; // long enough for the other one, and for the coordinator
            }
            let is_whole =
                is_written && self.transactor.commit_offset(input(), until).await.is_ok();
            let is_over = self.takes_turns && self.random.one_in(TURN_ONE_IN);
            if is_over && is_whole {
                // Who asks from now on for what is stable waits for the end, whatever it is.
                self.shared.with(|world| world.told.ends_turn(number));
            }
            let ended = self.transactor.end(is_whole).await;
            self.shared.trace(format_args!(
                "{transaction} is {from}..{until}, whole: {is_whole}, {ended:?}"
            ));
            let told = match ended {
                Ended::AsAsked => Some(is_whole),
                Ended::Refused => Some(false),
                Ended::Unknown => (!is_whole).then_some(false),
            };
            if let Some(is_committed) = told {
                self.shared
                    .with(|world| world.told.ended(&transaction, is_committed));
            }
            if !is_whole || ended != Ended::AsAsked || is_over {
                return;
            }
            from = until;
        }
    }

    /// Up to where there is something to transform, from an offset on.
    async fn read(&mut self, from: i64) -> i64 {
        let Some(leader) = self.leader else {
            tokio::time::sleep(PAUSE).await;
            self.leader = self.reader.leader(input()).await;
            return from;
        };
        self.reader.turn_to(leader.node);
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT_MS as i32,
            min_bytes: 1,
            max_bytes: 1 << 20,
            isolation_level: 1,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: input().topic().name.to_owned(),
                partitions: vec![FetchPartition {
                    partition: input().partition(),
                    current_leader_epoch: leader.epoch,
                    fetch_offset: from,
                    partition_max_bytes: 16 << 10,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let answer = self.reader.ask(12, &request).await;
        let topic = answer.and_then(|answer| answer.responses.into_iter().next());
        let data = topic.and_then(|topic| topic.partitions.into_iter().next());
        let Some(data) = data.filter(|data| data.error_code == 0) else {
            self.leader = None;
            return from;
        };
        let bytes = data.records.unwrap_or_default().into_bytes();
        let last = record_batch::iterate(&bytes).flatten().last();
        let end = last.map_or(from, |batch| batch.header.next_offset().0);
        end.clamp(from, from + RECORDS_MAX)
    }

    /// Where to go on, by what is committed.
    async fn position(&mut self) -> i64 {
        loop {
            if let Some(position) = self.ask_position().await {
                return position;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_position(&mut self) -> Option<i64> {
        if !self.is_found {
            self.find().await?;
        }
        let request = OffsetFetchRequest {
            group_id: GROUP.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: input().topic().name.to_owned(),
                partition_indexes: vec![input().partition()],
            }]),
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        let answer = self.coordinator.ask(7, &request).await;
        let answer = answer.filter(|answer| answer.error_code == 0);
        self.is_found = answer.is_some();
        let topic = answer?.topics.into_iter().next()?;
        let part = topic.partitions.into_iter().next()?;
        let is_stable = ErrorCode::from(part.error_code) == ErrorCode::None;
        is_stable.then_some(part.committed_offset.max(0))
    }

    async fn find(&mut self) -> Option<()> {
        self.coordinator.turn();
        let request = FindCoordinatorRequest {
            key: GROUP.to_owned(),
            ..FindCoordinatorRequest::default()
        };
        let answer = self.coordinator.ask(3, &request).await;
        let found = answer.filter(|answer| answer.error_code == 0)?;
        let node = usize::try_from(found.node_id).ok()?;
        self.coordinator.turn_to(node);
        self.is_found = true;
        Some(())
    }
}
