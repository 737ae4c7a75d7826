//! A broker in 256 MiB, hostile clients of many kinds, and a good one beside them: the broker lives
//! within its memory, and the good client is served.

mod vectors;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use ottla_e2e::client::kcat::{broker_count, kcat};
use ottla_e2e::cluster::eventually;
use ottla_e2e::process::{Process, bound_to_us};
use ottla_e2e::setup;
use ottla_protocol::codec::Request;
use ottla_protocol::frame;
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;

use crate::start::is_measured;

/// What a broker has that is harassed.
pub const MEMORY_BYTES: u64 = 256 << 20;
const GROUPS: &str = "/sys/fs/cgroup/memory";

/// How long the good client is measured without the others.
pub const QUIET: Duration = Duration::from_secs(3);

/// A control group, gone with the test.
pub struct Group(PathBuf);

impl Group {
    /// None where this machine lets nobody make one.
    pub fn of(name: &str, memory_bytes: u64) -> Option<Self> {
        let path = Path::new(GROUPS).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let group = Self(path);
        let limit = group.0.join("memory.limit_in_bytes");
        std::fs::write(limit, memory_bytes.to_string()).ok()?;
        Some(group)
    }

    /// The file that a process writes its id to, to be in it.
    pub fn tasks(&self) -> PathBuf {
        self.0.join("tasks")
    }

    /// What this file of the group says.
    pub fn number(&self, file: &str) -> Result<u64> {
        Ok(std::fs::read_to_string(self.0.join(file))?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The frame of a request, with its size before it.
pub fn request<R: Request>(version: i16, body: &R) -> Vec<u8> {
    let segments = frame::request(version, 1, "somebody", body).expect("it encodes");
    segments.concat()
}

/// A produce of one record to partition 0.
pub fn produce(topic: &str, batch: BytesMut) -> Vec<u8> {
    let data = PartitionProduceData {
        index: 0,
        records: Some(batch),
    };
    let body = ProduceRequest {
        acks: -1,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    request(9, &body)
}

/// A batch of one record.
pub fn batch(value: &[u8]) -> BytesMut {
    let mut builder = Builder::new();
    builder.push(&NewRecord {
        timestamp_ms: 1_700_000_000_000,
        value: Some(value),
        ..NewRecord::default()
    });
    builder.build()
}

/// Sends and waits for the answer.
fn ask(stream: &mut TcpStream, frame: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(frame)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Produces one record after the other while `goes_on`; how long each took, in order of length.
fn good_client(address: &str, goes_on: &AtomicBool) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let frame = produce("good", batch(&[b'v'; 100]));
    let mut took = Vec::new();
    while goes_on.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = ask(&mut stream, &frame).context("the good client")?;
        took.push(began.elapsed());
        // id, tags, one topic of four letters, one partition 0; then the error
        let error = answer
            .get(4 + 1 + 1 + 5 + 1 + 4..)
            .and_then(|rest| rest.first_chunk::<2>());
        ensure!(
            error == Some(&[0, 0]),
            "the good client was refused: {answer:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    took.sort();
    Ok(took)
}

/// What 99 of 100 took at most.
pub fn p99(took: &[Duration]) -> Duration {
    took.get(took.len() * 99 / 100).copied().unwrap_or_default()
}

/// What the good client meets while `act` runs.
pub fn beside(address: &str, act: impl FnOnce() -> Result<()>) -> Result<Vec<Duration>> {
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let good = scope.spawn(|| good_client(address, &goes_on));
        let acted = act();
        goes_on.store(false, Ordering::Relaxed);
        let took = good.join().expect("it does not panic");
        acted?;
        took
    })
}

#[test]
fn hostile_clients_take_no_more_than_there_is() -> Result<()> {
    let Some(group) = Group::of("ottla-hostile", MEMORY_BYTES) else {
        println!("skipped: no control group can be made here");
        return Ok(());
    };
    let dir = setup::scratch("corpus");
    let port = setup::free_ports(1)[0];
    let broker = setup::binary("ottla-broker")?;
    let mut command = bound_to_us(Path::new("sh"));
    let (tasks, broker) = (group.tasks(), broker.display());
    let script = format!(
        "echo $$ > {} && exec {broker} dev --port {port}",
        tasks.display()
    );
    command.args(["-c", &script]).current_dir(&dir);
    let mut process = Process::start(command, &dir.join("log"))?;
    let address = format!("127.0.0.1:{port}");
    eventually(Duration::from_secs(20), || {
        ensure!(broker_count(&address) == Some(1));
        Ok(())
    })?;
    for topic in ["good", "t"] {
        kcat(&address, &["-P", "-t", topic], "record\n")?.success()?;
    }
    let more = format!("{}\n", "w".repeat(1000)).repeat(60_000);
    kcat(&address, &["-P", "-t", "t"], &more)?.success()?;

    let quiet = beside(&address, || {
        std::thread::sleep(QUIET);
        Ok(())
    })?;
    let mut held = Vec::new();
    let all = vectors::all();
    ensure!(all.len() >= 20);
    let harassed = beside(&address, || {
        for (name, attack) in &all {
            held.extend(attack(&address).with_context(|| name.to_string())?);
            std::thread::sleep(Duration::from_millis(300));
            ensure!(
                process.is_running(),
                "{name}: it ended: {}",
                process.output()
            );
        }
        std::thread::sleep(QUIET);
        Ok(())
    })?;
    let peak = group.number("memory.max_usage_in_bytes")? >> 20;
    println!(
        "{} vectors, {} connections held: p99 of the good client {:?} before, {:?} beside them; \
         {peak} MiB with the page cache, {} MiB of the process at most",
        all.len(),
        held.len(),
        p99(&quiet),
        p99(&harassed),
        process.resident_bytes_peak()? >> 20,
    );
    ensure!(process.is_running(), "it ended: {}", process.output());
    if is_measured() {
        ensure!(
            p99(&harassed) <= p99(&quiet) * 2,
            "the good client was held up"
        );
    }
    Ok(())
}
