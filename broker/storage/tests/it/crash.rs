//! Random work on a disk that crashes: everything durable is there, nothing is invented.

use std::path::Path;
use std::sync::Arc;

use ottla_protocol::ids::{NodeId, Offset, TopicId, TopicIdPartition, Uuid};
use ottla_protocol::record_batch::Header;
use ottla_storage::sim::{Random, SimDisk};
use ottla_storage::{
    Committed, Error, Identity, Listener, Log, LogSettings, ProducerState, Result, Settings, Store,
};

use crate::batches::Batch;
use crate::model::{Model, observe};

const DIR: &str = "/data/store";
const LOGS: usize = 3;

pub struct Quiet;

impl Listener for Quiet {
    fn committed(&self, _: Committed) {}
    fn offline(&self, _: &Error) {}
    fn producer_state(&self, _: TopicIdPartition) -> Option<ProducerState> {
        None
    }
}

pub fn identity() -> Identity {
    Identity {
        cluster_id: "c".into(),
        node_id: NodeId(1),
        directory_id: Uuid(*b"0123456789abcdef"),
    }
}

pub fn small() -> Settings {
    Settings {
        wal_segment_bytes: 48 << 10,
        wal_segments_max: 3,
        memory_bytes_max: 24 << 10,
        flush_bytes: 8 << 10,
        files_open_max: 6,
        disk_reserve_bytes: 0,
        direct_bytes_min: 1500,
        ..Settings::default()
    }
}

pub fn log_settings() -> LogSettings {
    LogSettings {
        segment_bytes: 6 << 10,
        index_interval_bytes: 512,
        retention_bytes: 10 << 10,
        ..LogSettings::default()
    }
}

/// A log by name, over its deletions: every state it had, and from which on it was durable.
#[derive(Default)]
struct Track {
    log: Option<Log>,
    /// The incarnation and its state; `None`: there is none.
    history: Vec<Option<(TopicIdPartition, Model)>>,
    durable: usize,
}

impl Track {
    fn last(&self) -> Option<(TopicIdPartition, Model)> {
        self.history.last().cloned().flatten()
    }
}

struct Run {
    disk: SimDisk,
    random: Random,
    store: Option<Arc<Store>>,
    tracks: Vec<Track>,
    epoch: i32,
    clock: i64,
    ids: u8,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut tracks = Vec::new();
        tracks.resize_with(LOGS, || Track {
            history: vec![None],
            ..Track::default()
        });
        let mut run = Self {
            disk: SimDisk::new(seed),
            random: Random::new(!seed),
            store: None,
            tracks,
            epoch: 0,
            clock: 1_000_000,
            ids: 0,
        };
        run.open();
        run
    }

    fn open(&mut self) {
        self.store = None;
        let disk = Arc::new(self.disk.clone());
        if self.random.one_in(3) {
            self.disk.fail_after(self.random.below(30) as u64);
        }
        let open = || Store::open(disk.clone(), Path::new(DIR), identity(), small());
        let opened = open().unwrap_or_else(|_| {
            if self.random.one_in(2) {
                self.disk.kill()
            } else {
                self.disk.crash()
            }
            open().expect("opens")
        });
        self.disk.heal();
        self.store = Some(opened.store);
        let mut found: Vec<Option<Log>> = (0..LOGS).map(|_| None).collect();
        for mut log in opened.logs {
            log.set_settings(log_settings());
            let place: usize = log.topic_partition().topic[1..].parse().expect("our name");
            assert!(found[place].replace(log).is_none(), "one log a name");
        }
        for (track, log) in self.tracks.iter_mut().zip(found) {
            let seen = log.as_ref().map(|log| (log.id(), observe(log, 2000)));
            let matches = |state: &&Option<(TopicIdPartition, Model)>| **state == seen;
            let allowed = &track.history[track.durable..];
            assert!(
                allowed.iter().any(|state| matches(&state)),
                "found: {}\nbut from the durable one on the states were:\n{}",
                describe(&seen),
                allowed.iter().map(describe).collect::<Vec<_>>().join("\n"),
            );
            if let Some(log) = &log {
                assert_eq!(log.durable_end_offset(), log.log_end_offset());
            }
            track.history = vec![seen];
            track.durable = 0;
            track.log = log;
        }
    }

    fn step(&mut self) -> Result<()> {
        let place = self.random.below(LOGS);
        match self.random.below(40) {
            0..22 => self.append(place),
            22..27 => self.commit(),
            27..29 => self.store().maintain(&Quiet),
            29 => self.store().checkpoint(&Quiet),
            30..32 => self.truncate(place),
            32 => self.move_start(place),
            33 => self.create_or_delete(place),
            34..36 => self.retain(place),
            36..38 => self.compare(place),
            _ => self.interrupt(),
        }
    }

    fn store(&self) -> Arc<Store> {
        self.store.clone().expect("open")
    }

    fn append(&mut self, place: usize) -> Result<()> {
        let Some((id, mut model)) = self.tracks[place].last() else {
            return self.create_or_delete(place);
        };
        let mut bytes = Vec::new();
        self.clock += 10;
        for _ in 0..=self.random.below(3) {
            let batch = Batch {
                base_offset: model.end,
                records: 1 + self.random.below(5) as i32,
                leader_epoch: self.epoch,
                timestamp: self.clock,
                value_bytes: self.random.below(400),
                fill: self.random.next_u64() as u8,
            };
            let built = batch.build();
            bytes.extend_from_slice(&built);
            model.append(batch.base_offset, batch.next_offset(), self.epoch, built);
        }
        let frame_bytes = bytes.len() * (1 + self.random.below(20));
        let log = self.tracks[place].log.as_mut().expect("exists");
        let appended = log.append(bytes.into(), frame_bytes, self.clock)?;
        assert_eq!(appended.log_end_offset.0, model.end);
        self.tracks[place].history.push(Some((id, model)));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.store().commit()?;
        for track in &mut self.tracks {
            track.durable = track.history.len() - 1;
            if let Some(log) = &track.log {
                assert_eq!(log.durable_end_offset(), log.log_end_offset());
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Log, &mut Model) -> Result<()>,
    ) -> Result<()> {
        let track = &mut self.tracks[place];
        let (Some((id, mut model)), Some(log)) = (track.last(), track.log.as_mut()) else {
            return Ok(());
        };
        change(log, &mut model)?;
        track.history.push(Some((id, model)));
        Ok(())
    }

    fn truncate(&mut self, place: usize) -> Result<()> {
        let (back, fully) = (self.random.below(30) as i64, self.random.one_in(6));
        self.epoch += 1;
        self.change(place, |log, model| {
            let offset = (model.end - back).max(0);
            if fully {
                log.truncate_fully_and_start_at(Offset(offset))?;
                model.start_at(offset);
            } else {
                let end = log.truncate_to(Offset(offset))?;
                model.truncate(offset);
                assert_eq!(end.0, model.end);
            }
            Ok(())
        })
    }

    fn move_start(&mut self, place: usize) -> Result<()> {
        let part = self.random.below(10) as i64;
        self.change(place, |log, model| {
            let offset = model.start + (model.end - model.start) * part / 10;
            log.set_log_start_offset(Offset(offset))?;
            model.log_start(offset);
            Ok(())
        })
    }

    fn retain(&mut self, place: usize) -> Result<()> {
        let now = self.clock;
        self.change(place, |log, model| {
            if let Some(start) = log.apply_retention(now, Offset(model.end))? {
                model.log_start(start.0);
            }
            Ok(())
        })
    }

    fn create_or_delete(&mut self, place: usize) -> Result<()> {
        let store = self.store();
        self.ids += 1;
        let topic_id = TopicId(Uuid([self.ids; 16]));
        let id = TopicIdPartition {
            topic_id,
            ..TopicIdPartition::default()
        };
        let track = &mut self.tracks[place];
        if let Some(log) = track.log.take() {
            store.delete(log)?;
            track.history.push(None);
        } else {
            track.log = Some(store.create(id, format!("t{place}").into(), log_settings())?);
            track.history.push(Some((id, Model::default())));
        }
        Ok(())
    }

    fn compare(&mut self, place: usize) -> Result<()> {
        let bytes_max = [1, 700, 5000, 100_000][self.random.below(4)];
        let track = &self.tracks[place];
        let (Some((_, model)), Some(log)) = (track.last(), &track.log) else {
            return Ok(());
        };
        assert_eq!(observe(log, bytes_max), model);
        if model.end > model.start {
            let from = model.start + self.random.below((model.end - model.start) as usize) as i64;
            let read = log.read(Offset(from), 1, Offset(model.end))?.perform()?;
            let found = model
                .batches
                .iter()
                .find(|batch| batch.1 > from)
                .expect("within");
            assert_eq!(read, vec![found.3.clone()]);
        }
        for (_, _, _, bytes) in model.batches.iter().take(1) {
            let header = Header::read_placed(bytes).expect("a batch");
            let found = log
                .offset_for_timestamp(header.max_timestamp)?
                .expect("there is one");
            assert!(found.timestamp >= header.max_timestamp);
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Result<()> {
        match self.random.below(6) {
            0 => {
                let calls = self.random.below(40) as u64;
                self.disk.fail_after(calls);
                return Ok(());
            }
            1 => self.disk.kill(),
            2 => self.store().close()?,
            _ => self.disk.crash(),
        }
        self.restart();
        Ok(())
    }

    fn restart(&mut self) {
        for track in &mut self.tracks {
            track.log = None;
        }
        self.open();
    }
}

fn describe(state: &Option<(TopicIdPartition, Model)>) -> String {
    let Some((id, model)) = state else {
        return "none".into();
    };
    let Model {
        start,
        end,
        epochs,
        batches,
    } = model;
    let batch = |batch: &(i64, i64, i32, bytes::Bytes)| {
        format!("{}..{}:{:08x}", batch.0, batch.1, crc32c::crc32c(&batch.3))
    };
    let batches: Vec<_> = batches.iter().map(batch).collect();
    format!("{id} {start}..{end} {epochs:?} [{}]", batches.join(" "))
}

fn run(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..150 {
        if run.step().is_err() {
            // a failed fsync or write took the directory offline: only a restart helps
            run.disk.heal();
            if run.random.one_in(2) {
                assert!(
                    run.store().commit().is_err(),
                    "once offline, always offline"
                );
            }
            if run.random.one_in(2) {
                run.disk.kill()
            } else {
                run.disk.crash()
            }
            run.restart();
        }
    }
}

#[test]
fn what_is_durable_survives_and_nothing_is_invented() {
    // SEED runs one, SEEDS that many
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(100), |seed| seed..seed + 1);
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = result {
            eprintln!("SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
