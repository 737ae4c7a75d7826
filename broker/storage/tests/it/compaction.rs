//! Random appends, compactions and crashes: of each key the last value is there, and nothing else
//! is lost.

mod one_log;
mod transactional;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_protocol::ids::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicId, TopicIdPartition, Uuid,
};
use ottla_protocol::record::{self, NewRecord};
use ottla_protocol::record_batch::{self, Builder};
use ottla_storage::compaction::Owner;
use ottla_storage::sim::{Random, SimDisk};
use ottla_storage::{Compaction, Log, LogReader, LogSettings, Result, Settings, Store};

use crate::crash::{Quiet, identity, small};

const DIR: &str = "/data/store";
const DELETE_RETENTION_MS: i64 = 2_000;
const KEYS: usize = 12;
const RESERVE_BYTES: u64 = 1 << 30;

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    key: String,
    /// None: a tombstone.
    value: Option<String>,
    timestamp: i64,
}

/// What a log has.
struct Found {
    records: BTreeMap<i64, Written>,
    producers: BTreeMap<i64, i64>,
    /// After the last batch.
    end: i64,
}

/// Lets a compaction have the log; stops it after so many steps.
struct Holder<'a> {
    log: &'a mut Log,
    steps_left: usize,
}

impl Owner for Holder<'_> {
    fn goes_on(&mut self, _bytes: u64) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        self.steps_left > 0
    }

    fn with_log(&mut self, act: &mut dyn FnMut(&mut Log) -> Result<()>) -> Result<()> {
        act(self.log)
    }
}

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 2 << 10,
        index_interval_bytes: 300,
        retention_ms: -1,
        ..LogSettings::default()
    }
}

/// A store with a log of these batches, each a segment of its own, and nothing of it in memory.
fn opened_anew(
    disk: &SimDisk,
    terms: impl Fn() -> Settings,
    batches: impl IntoIterator<Item = BytesMut>,
) -> (Arc<Store>, Log) {
    let disk = Arc::new(disk.clone());
    let open = || Store::open(disk.clone(), Path::new(DIR), identity(), terms()).unwrap();
    let opened = open();
    let settings = LogSettings {
        segment_bytes: 1,
        ..settings()
    };
    let id = TopicIdPartition::default();
    let mut log = opened.store.create(id, "t".into(), settings).unwrap();
    for bytes in batches {
        log.append(bytes.freeze(), 0, 0).unwrap();
    }
    opened.store.close().unwrap();
    drop((log, opened));
    let mut opened = open();
    let mut log = opened.logs.remove(0);
    log.set_settings(settings);
    (opened.store, log)
}

fn batch(base: i64, epoch: i32, producer: i64, records: &[Written]) -> BytesMut {
    let mut builder = Builder::new();
    if producer >= 0 {
        builder = builder.producer(
            ProducerId(producer),
            ProducerEpoch(0),
            Sequence(base as i32),
        );
    }
    for record in records {
        builder.push(&NewRecord {
            timestamp_ms: record.timestamp,
            key: Some(record.key.as_bytes()),
            value: record.value.as_deref().map(str::as_bytes),
            headers: &[],
        });
    }
    let mut bytes = builder.build();
    record_batch::stamp(&mut bytes, Offset(base), LeaderEpoch(epoch));
    bytes
}

/// All records that a log has, and the last offset of each producer's batches. Batches ascend and
/// have their checksums.
fn read(log: &LogReader, bytes_max: usize) -> Found {
    let (mut records, mut producers) = (BTreeMap::new(), BTreeMap::new());
    let (mut from, end) = (log.log_start_offset(), log.log_end_offset());
    while from < end {
        let before = from;
        for slice in log.read(from, bytes_max, end).unwrap().perform().unwrap() {
            for batch in record_batch::iterate(&slice) {
                let batch = batch.unwrap();
                record_batch::check_crc(&batch).unwrap();
                let header = batch.header;
                assert!(header.next_offset() > from, "batches ascend");
                from = header.next_offset();
                if header.has_producer_id() {
                    producers.insert(header.producer_id.0, header.last_offset().0);
                }
                for found in record::iterate(batch.body(), header.records_count) {
                    let found = found.unwrap();
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let written = Written {
                        key: found.key.map(text).unwrap(),
                        value: found.value.map(text),
                        timestamp: header.base_timestamp + found.timestamp_delta,
                    };
                    let offset = header.base_offset.0 + i64::from(found.offset_delta);
                    records.insert(offset, written);
                }
            }
        }
        if from == before {
            break;
        }
    }
    Found {
        records,
        producers,
        end: from.0,
    }
}

struct Run {
    disk: SimDisk,
    random: Random,
    store: Option<Arc<Store>>,
    log: Option<Log>,
    /// All that was ever appended and not truncated, by offset.
    written: BTreeMap<i64, Written>,
    /// The last offset of each producer.
    producers: BTreeMap<i64, i64>,
    /// The log's end, and below which offset nothing may be lost.
    end: i64,
    durable: i64,
    /// Nothing above was ever compacted.
    clean_end: i64,
    epoch: i32,
    clock: i64,
    /// It was truncated to where compaction had removed what was there.
    was_cut_deep: bool,
    /// What was written, and the clean end, before a truncation that may be lost still.
    before_cut: Option<(BTreeMap<i64, Written>, i64)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut run = Self {
            disk: SimDisk::new(seed),
            random: Random::new(!seed),
            store: None,
            log: None,
            written: BTreeMap::new(),
            producers: BTreeMap::new(),
            end: 0,
            durable: 0,
            clean_end: 0,
            epoch: 1,
            clock: 1_000_000,
            was_cut_deep: false,
            before_cut: None,
        };
        run.open();
        let id = TopicIdPartition {
            topic_id: TopicId(Uuid([1; 16])),
            ..TopicIdPartition::default()
        };
        let store = run.store();
        run.log = Some(store.create(id, "t".into(), settings()).unwrap());
        store.commit().unwrap();
        run
    }

    fn store(&self) -> Arc<Store> {
        self.store.clone().expect("open")
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("exists")
    }

    fn open(&mut self) {
        (self.store, self.log) = (None, None);
        self.disk.heal();
        let disk = Arc::new(self.disk.clone());
        let opened = Store::open(disk, Path::new(DIR), identity(), small()).expect("opens");
        self.store = Some(opened.store);
        self.log = opened.logs.into_iter().next();
        if let Some(log) = &mut self.log {
            log.set_settings(settings());
        }
    }

    fn restart(&mut self) {
        if self.random.one_in(3) {
            self.disk.kill();
        } else {
            self.disk.crash();
        }
        self.open();
        let end = self.log().log_end_offset().0;
        if let Some((written, clean_end)) = self.before_cut.take()
            && end > self.end
        {
            self.end = written.keys().last().map_or(0, |last| last + 1);
            (self.written, self.clean_end) = (written, clean_end);
        }
        assert!(
            (self.durable..=self.end).contains(&end),
            "{} {end}",
            self.durable
        );
        self.cut(end);
        self.durable = end;
        self.check(false);
    }

    fn cut(&mut self, end: i64) {
        drop(self.written.split_off(&end));
        self.end = end;
        self.durable = self.durable.min(end);
        self.clean_end = self.clean_end.min(end);
        // a producer's batch before its last one may be gone: its state is what the log has
        self.producers = read(self.log(), 1 << 20).producers;
    }

    fn step(&mut self) -> Result<()> {
        match self.random.below(30) {
            0..15 => self.append(),
            15..18 => self.commit(),
            18 => self.store().maintain(&Quiet),
            19..21 => self.store().checkpoint(&Quiet),
            21..26 => self.compact(),
            26 => self.truncate(),
            27 => {
                self.check(false);
                Ok(())
            }
            28 => {
                let calls = self.random.below(40) as u64;
                self.disk.fail_after(calls);
                Ok(())
            }
            _ => {
                self.restart();
                Ok(())
            }
        }
    }

    fn append(&mut self) -> Result<()> {
        let mut records = Vec::new();
        for _ in 0..=self.random.below(5) {
            self.clock += self.random.below(50) as i64;
            let value = "v".repeat(self.random.below(80));
            records.push(Written {
                key: format!("k{}", self.random.below(KEYS)),
                value: (!self.random.one_in(5)).then(|| format!("{}{value}", self.clock)),
                timestamp: self.clock,
            });
        }
        let producer = self.random.below(6) as i64 - 3;
        let bytes = batch(self.end, self.epoch, producer, &records);
        let (now, base) = (self.clock, self.end);
        self.log().append(bytes.freeze(), 1 << 20, now)?;
        self.end += records.len() as i64;
        self.written.extend((base..).zip(records));
        if producer >= 0 {
            self.producers.insert(producer, self.end - 1);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.store().commit()?;
        self.durable = self.end;
        self.before_cut = None;
        Ok(())
    }

    fn truncate(&mut self) -> Result<()> {
        let low = if self.random.one_in(4) {
            self.clean_end / 2
        } else {
            self.clean_end
        };
        let to = low + self.random.below((self.end - low).max(1) as usize) as i64;
        let end = self.log().truncate_to(Offset(to))?.0;
        assert!(end <= to);
        let is_deep = end < self.clean_end;
        self.before_cut = Some((self.written.clone(), self.clean_end));
        self.cut(end);
        self.epoch += 1;
        if is_deep {
            // what was superseded by what is gone now: only what is there can be there
            let found = read(self.log(), 1 << 20).records;
            self.written.retain(|offset, _| found.contains_key(offset));
            self.was_cut_deep = true;
        }
        self.commit()
    }

    fn compact(&mut self) -> Result<()> {
        // only what is committed everywhere is compacted, and so is durable here
        self.commit()?;
        let terms = Compaction {
            until: Offset(self.end),
            now_ms: self.clock,
            delete_retention_ms: DELETE_RETENTION_MS,
            forgets: true,
            keys_bytes_max: [0, 1 << 16][self.random.below(2)],
            buffer_bytes: [1, 700, 1 << 16][self.random.below(3)],
            producers: self
                .producers
                .iter()
                .map(|(id, last)| (ProducerId(*id), Offset(*last)))
                .collect(),
            aborted: Vec::new(),
        };
        let steps_left = if self.random.one_in(4) {
            self.random.below(30)
        } else {
            usize::MAX
        };
        if self.random.one_in(5) {
            let calls = self.random.below(60) as u64;
            self.disk.fail_after(calls);
        }
        // even a compaction that fails may have begun to remove
        let log = self.log.as_mut().expect("exists");
        let sealed = log.cleanliness();
        let checkpointed = sealed.checkpointed_offset.0;
        self.clean_end = self.clean_end.max(checkpointed);
        let reader = log.reader();
        let done = reader.compact(&terms, &mut Holder { log, steps_left })?;
        self.disk.heal();
        self.check(!done.is_stopped && done.clean_end_offset.0 == self.clean_end);
        Ok(())
    }

    /// What is missing was superseded, or is a tombstone that was kept for long enough.
    fn check(&mut self, is_clean: bool) {
        let bytes_max = [1, 600, 1 << 20][self.random.below(3)];
        let (clean_end, clock) = (self.clean_end, self.clock);
        let all = read(self.log.as_ref().expect("exists"), bytes_max);
        let found = all.records;
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for (offset, record) in self.written.range(..clean_end) {
            newest.insert(&record.key, *offset);
        }
        for (offset, record) in &self.written {
            let is_newest = *offset >= clean_end || newest[record.key.as_str()] == *offset;
            let is_due = *offset < clean_end
                && record.value.is_none()
                && clock - record.timestamp >= DELETE_RETENTION_MS;
            match found.get(offset) {
                Some(there) => assert_eq!(there, record, "at {offset}"),
                None => assert!(!is_newest || is_due, "{record:?} at {offset} is lost"),
            }
            assert!(
                !is_clean || is_newest || !found.contains_key(offset),
                "{record:?} at {offset} is superseded and still there"
            );
        }
        assert!(found.keys().all(|offset| self.written.contains_key(offset)));
        let is_whole = all.end == self.end || self.was_cut_deep;
        assert!(is_whole, "a follower comes to the end");
        assert_eq!(
            all.producers, self.producers,
            "the last batch of each producer is there"
        );
        self.ask(&found);
    }

    /// Reads from anywhere begin at the next batch, and a time finds the first record from then on.
    fn ask(&mut self, found: &BTreeMap<i64, Written>) {
        if self.end == 0 {
            return;
        }
        let from = self.random.below(self.end as usize) as i64;
        let log = self.log.as_ref().expect("exists");
        let read = log.read(Offset(from), 1, Offset(self.end)).unwrap();
        let first = read.perform().unwrap().concat();
        let Some((offset, record)) = found.range(from..).next() else {
            return;
        };
        let header = record_batch::Header::read(&first).expect("there is one at least");
        assert!(header.last_offset().0 >= from && header.base_offset.0 <= *offset);
        let by_time = log.offset_for_timestamp(record.timestamp).unwrap();
        let wanted = found
            .iter()
            .find(|(_, other)| other.timestamp >= record.timestamp);
        assert_eq!(
            by_time.map(|found| found.offset.0),
            wanted.map(|(offset, _)| *offset)
        );
    }
}

fn run(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..150 {
        if run.step().is_err() {
            run.restart();
        }
    }
}

#[test]
fn the_last_value_of_each_key_survives() {
    // SEED runs one, SEEDS that many
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(80), |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
