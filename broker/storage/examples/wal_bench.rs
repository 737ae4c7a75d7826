//! CPU and latency of appends, commits and flushes on a real directory.
//!
//! `cargo run --release -p ottla-storage --example wal_bench -- DIR [MIB] [buffered]`

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ids::{NodeId, PartitionIndex, TopicId, TopicIdPartition, Uuid};
use ottla_storage::{Identity, Log, LogSettings, RealDisk, Settings, Store};

struct Quiet;

impl ottla_storage::Listener for Quiet {
    fn committed(&self, _: ottla_storage::Committed) {}
    fn offline(&self, error: &ottla_storage::Error) {
        eprintln!("{error}");
    }
}

/// A batch of one big record; its CRC is right, so that recovery would take it.
fn batch(bytes: usize) -> Vec<u8> {
    let mut batch = vec![7; bytes];
    batch[..61].fill(0);
    batch[8..12].copy_from_slice(&(bytes as i32 - 12).to_be_bytes());
    batch[16] = 2;
    batch[57..61].copy_from_slice(&1_i32.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// User and system time of this process, from /proc (in ticks of 10 ms).
fn times() -> [Duration; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    [11, 12].map(|at| Duration::from_millis(ticks(at) * 10))
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or("");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    kib / 1024_u64
}

fn open(dir: &Path, direct: bool) -> (Arc<Store>, Vec<Log>) {
    let identity = Identity {
        cluster_id: "bench".into(),
        node_id: NodeId(0),
        directory_id: Uuid([1; 16]),
    };
    let settings = Settings {
        wal_direct: direct,
        ..Settings::default()
    };
    let begun = Instant::now();
    let opened = Store::open(Arc::new(RealDisk), dir, identity, settings).expect("opens");
    println!(
        "opened in {:?} with {} logs",
        begun.elapsed(),
        opened.logs.len()
    );
    let mut logs = opened.logs;
    for partition in logs.len() as i32..6 {
        let id = TopicIdPartition {
            topic_id: TopicId(Uuid([2; 16])),
            partition: PartitionIndex(partition),
        };
        let log = opened
            .store
            .create(id, "bench".into(), LogSettings::default());
        logs.push(log.expect("created"));
    }
    (opened.store, logs)
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}

/// One commit after another, each of `bytes` in batches of 16 KiB at most.
fn latency(store: &Store, logs: &mut [Log], bytes: usize, rounds: usize) {
    let one = batch(bytes.min(16 << 10));
    let (before, begun) = (times(), Instant::now());
    let mut waits = Vec::new();
    for round in 0..rounds {
        for part in 0..bytes / one.len() {
            let log = &mut logs[(round + part) % 6];
            append(log, &one);
        }
        let begun = Instant::now();
        store.commit().expect("commits");
        waits.push(begun.elapsed());
        store.maintain(&Quiet).expect("maintains");
    }
    let gigabytes = (bytes * rounds) as f64 / 1e9;
    println!(
        "commit of {:5} KiB: p50 {:?} p99 {:?} max {:?}; CPU-s per GB {:.2} user {:.2} system, \
         {:.0} MB/s",
        bytes >> 10,
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99),
        percentile(&mut waits, 1.0),
        (times()[0] - before[0]).as_secs_f64() / gigabytes,
        (times()[1] - before[1]).as_secs_f64() / gigabytes,
        gigabytes * 1000.0 / begun.elapsed().as_secs_f64(),
    );
}

fn append(log: &mut Log, batch: &[u8]) {
    let mut bytes = batch.to_vec();
    bytes[..8].copy_from_slice(&log.log_end_offset().0.to_be_bytes());
    let length = bytes.len();
    log.append(Bytes::from(bytes), length, 0).expect("appends");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let dir = Path::new(arguments.get(1).expect("a directory"));
    let mib: usize = arguments
        .get(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or(512);
    let direct = arguments.get(3).is_none_or(|word| word != "buffered");
    let (store, mut logs) = open(dir, direct);
    println!("first pass: files grow; second: they are recycled");
    for _ in 0..2 {
        latency(&store, &mut logs, 1 << 20, mib);
        latency(&store, &mut logs, 256 << 10, mib);
        latency(&store, &mut logs, 16 << 10, 1500);
    }
    println!("peak resident memory {} MiB", resident_mib());
    let begun = Instant::now();
    drop((store, logs));
    let (store, _) = open(dir, direct);
    println!(
        "closed without a checkpoint and opened again in {:?}",
        begun.elapsed()
    );
    store.close().expect("closes");
}
