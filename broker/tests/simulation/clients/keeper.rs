//! A client with a compacted topic: it writes values under a few keys, and reads all of them again
//! and again. The newest value of each key is there, and every record is where it was. That holds
//! of each replica that knows all that was acknowledged to be committed, whether or not it leads.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_broker::replica::Replicas;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::record::{self, NewRecord};
use ottla_protocol::record_batch::{self, Builder};
use ottla_storage::sim::Random;

use super::{PAUSE, admin, new_producer_id, produce_request};
use crate::checks::value_of;
use crate::connection::{Connection, FETCH_WAIT_MS, Leader};
use crate::world::Shared;

/// The topic.
pub const TOPIC: &str = "kept";

/// How many keys are written to at a time.
const KEYS: usize = 6;

/// In one run of so many the keys are others after so many records: what became of the old ones
/// stays as it is.
const DRIFTS_ONE_IN: usize = 2;
const DRIFT_RECORDS: usize = 40;

/// One record in so many takes its key's value away.
const TOMBSTONES_ONE_IN: usize = 8;

/// How often all is read at most before what was taken away counts as there.
const READS_MAX: usize = 5;

/// How many batches there are between two readings.
const BATCHES: usize = 12;

/// A key, and its value where it has one.
type Kept = (String, Option<String>);

/// The client.
pub struct Keeper {
    shared: Shared,
    random: Random,
    connection: Connection,
    leader: Option<Leader>,
    id: (ProducerId, ProducerEpoch),
    written: usize,
    drifts: bool,
    /// All that was acknowledged, by its offset.
    all: BTreeMap<i64, Kept>,
}

impl Keeper {
    pub fn new(shared: &Shared) -> Self {
        shared.join(TOPIC);
        Self {
            shared: shared.clone(),
            random: shared.random(10),
            connection: Connection::new(shared, 0),
            leader: None,
            id: (ProducerId::NONE, ProducerEpoch(-1)),
            written: 0,
            drifts: shared.random(25).one_in(DRIFTS_ONE_IN) || super::is_compaction_sought(shared),
            all: BTreeMap::new(),
        }
    }

    /// Writes and reads until the run ends.
    pub async fn run(mut self) {
        self.ask_for_id().await;
        while !self.shared.with(|world| world.is_ending) {
            for _ in 0..BATCHES {
                self.write().await;
                let pause = self.random.below(30) as u64;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            self.read_all().await;
            self.check_replicas();
        }
        self.read_all().await;
        self.check_replicas();
        self.shared.leave(TOPIC);
    }

    async fn look_for_leader(&mut self) -> Option<Leader> {
        if self.leader.is_none() {
            tokio::time::sleep(PAUSE).await;
            self.leader = self.connection.leader_of(TOPIC, 0).await;
        }
        let leader = self.leader?;
        self.connection.turn_to(leader.node);
        Some(leader)
    }

    async fn ask_for_id(&mut self) {
        loop {
            if let Some(id) = new_producer_id(&mut self.connection).await {
                self.id = id;
                return;
            }
            self.connection.turn();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes a batch, again until it is acknowledged.
    async fn write(&mut self) {
        let count = 1 + self.random.below(3);
        let records: Vec<Kept> = (0..count).map(|n| self.record(self.written + n)).collect();
        let request = self.request(&records);
        self.written += count;
        loop {
            if self.look_for_leader().await.is_none() {
                continue;
            }
            let answer = self.connection.ask(10, &request).await;
            let topic = answer.and_then(|answer| answer.responses.into_iter().next());
            let part = topic.and_then(|topic| topic.partition_responses.into_iter().next());
            match part.map(|part| (ErrorCode::from(part.error_code), part.base_offset)) {
                Some((ErrorCode::None, base)) => {
                    self.all.extend((base..).zip(records));
                    return;
                }
                Some((error, _)) if !error.is_retriable() => {
                    let what = format!("LostProducerState: {TOPIC} is refused: {error:?}");
                    return self.shared.violate(what);
                }
                Some(_) | None => self.leader = None,
            }
        }
    }

    fn record(&mut self, number: usize) -> Kept {
        let first = match self.drifts {
            true => number / DRIFT_RECORDS * KEYS,
            false => 0,
        };
        let key = format!("key-{}", first + self.random.below(KEYS));
        let is_tombstone = self.random.one_in(TOMBSTONES_ONE_IN);
        (key, (!is_tombstone).then(|| number.to_string()))
    }

    fn request(&mut self, records: &[Kept]) -> ProduceRequest {
        let (id, epoch) = self.id;
        let sequence = Sequence(self.written as i32);
        let mut builder = Builder::new().producer(id, epoch, sequence);
        let padding = ".".repeat(self.random.below(900));
        for (key, value) in records {
            let filled = value.as_ref().map(|value| format!("{value}{padding}"));
            builder.push(&NewRecord {
                timestamp_ms: self.shared.unix_ms(),
                key: Some(key.as_bytes()),
                value: filled.as_ref().map(String::as_bytes),
                ..NewRecord::default()
            });
        }
        produce_request((TOPIC, 0), builder)
    }

    /// Reads everything, and holds it against what was written. Who reads for longer than
    /// tombstones are kept, or while a clock jumps, may miss one: what is there still when it is
    /// read again at once counts.
    async fn read_all(&mut self) {
        let mut before = None;
        for _ in 0..READS_MAX {
            let begun_ms = self.shared.with(|world| world.now_ms);
            let Some(there) = self.read_once().await else {
                return;
            };
            let took_ms = self.shared.with(|world| world.now_ms) - begun_ms;
            let is_quick = took_ms < admin::DELETE_RETENTION_MS;
            if is_quick && before.as_ref() == Some(&there) {
                return self.shared.violate(there);
            }
            self.shared.trace(format_args!(
                "{there} after {took_ms} ms, and is read again"
            ));
            before = is_quick.then_some(there);
        }
        if let Some(there) = before {
            self.shared.violate(there);
        }
    }

    /// A key that is there though its value was taken away, by one reading.
    async fn read_once(&mut self) -> Option<String> {
        let end = self.all.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut next = 0;
        let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut count = 0;
        while next < end {
            let Some(read) = self.read(next).await else {
                self.leader = None;
                continue;
            };
            next = read.1.max(next);
            for (offset, kept) in read.0 {
                let known = self.all.get(&offset);
                if known != Some(&kept) {
                    let what = format!(
                        "InconsistentOffset: {TOPIC}@{offset} was read as {kept:?}, written was \
                         {known:?}"
                    );
                    self.shared.violate(what);
                }
                found.insert(kept.0, kept.1);
                count += 1;
            }
        }
        let mut there = None;
        for (key, value) in self.newest() {
            // what has no value any more may be gone altogether
            let known = found.get(key).unwrap_or(&None);
            let what = || format!("LostKey: {TOPIC} has {known:?} as {key}, newest was {value:?}");
            match value {
                Some(_) if known != value => self.shared.violate(what()),
                None if known != value => there = Some(what()),
                Some(_) | None => {}
            }
        }
        let all = self.all.len();
        self.shared
            .trace(format_args!("{TOPIC} has {count} records of {all}"));
        there
    }

    /// Looks at what brokers hold, each at one moment: compaction takes a value away before its
    /// tombstone.
    fn check_replicas(&self) {
        let newest = self.newest();
        let nodes = self.shared.with(|world| world.machines.len());
        for node in 0..nodes {
            let context = self.shared.with(|world| world.context(node));
            let found = context.and_then(|context| self.held(&context.replicas));
            for (key, value) in found.iter().flat_map(|_| &newest) {
                let known = found.as_ref().and_then(|found| found.get(*key));
                let known = known.unwrap_or(&None);
                if known != *value {
                    self.shared.violate(format!(
                        "LostKey: broker {node} has {known:?} of {TOPIC} as {key}, newest was \
                         {value:?}"
                    ));
                }
            }
        }
    }

    /// What a replica has of each key; `None` where it does not know all that was acknowledged to
    /// be committed, or is damaged.
    fn held(&self, replicas: &Replicas) -> Option<BTreeMap<String, Option<String>>> {
        let seen = replicas.inspect(TOPIC, 0)?;
        let (start, end) = (seen.marks.log_start_offset, seen.marks.high_watermark);
        let (last, _) = self.all.last_key_value()?;
        let mut found = BTreeMap::new();
        let mut next = start.0;
        while next < end.0 {
            let before = next;
            let bytes = replicas.inspect_log(&seen, Offset(next), end);
            for batch in record_batch::iterate(&bytes).flatten() {
                for record in record::iterate(batch.body(), batch.header.records_count).flatten() {
                    let key = value_of(record.key.unwrap_or_default());
                    found.insert(key, record.value.map(value_of));
                }
                next = batch.header.next_offset().0;
            }
            if next == before {
                return None;
            }
        }
        (next > *last).then_some(found)
    }

    /// Of each key what was acknowledged last.
    fn newest(&self) -> BTreeMap<&String, &Option<String>> {
        self.all.values().map(|(key, value)| (key, value)).collect()
    }

    /// What there is from an offset on, and where it goes on then.
    async fn read(&mut self, next: i64) -> Option<(Vec<(i64, Kept)>, i64)> {
        let leader = self.look_for_leader().await?;
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT_MS as i32,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: TOPIC.to_owned(),
                partitions: vec![FetchPartition {
                    current_leader_epoch: leader.epoch,
                    fetch_offset: next,
                    partition_max_bytes: 16 << 10,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let answer = self.connection.ask(12, &request).await?;
        let topic = answer.responses.into_iter().next()?;
        let data = topic.partitions.into_iter().next()?;
        if ErrorCode::from(data.error_code) != ErrorCode::None {
            return None;
        }
        let bytes = data.records.unwrap_or_default().into_bytes();
        let (mut records, mut end) = (Vec::new(), next);
        for batch in record_batch::iterate(&bytes).flatten() {
            let base = batch.header.base_offset.0;
            for found in record::iterate(batch.body(), batch.header.records_count).flatten() {
                let offset = base + i64::from(found.offset_delta);
                let key = value_of(found.key.unwrap_or_default());
                if offset >= next {
                    records.push((offset, (key, found.value.map(value_of))));
                }
            }
            end = end.max(batch.header.next_offset().0);
        }
        Some((records, end))
    }
}
