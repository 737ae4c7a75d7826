//! One contender in one row, once: a fresh cluster, an idle moment, a warm-up, the measured load.
//!
//! The load comes from Kafka's own ProducerPerformance, that of transactions from a program on
//! Kafka's own client, that of many transactional ids from [`open_ids`], that of connections from
//! [`handshakes`], the same for both. Its CPU time is not counted, but it shares the cores with the
//! brokers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::contender::Contender;
use super::row::{Load, PARTITIONS, RECORD_BYTES, Row};
use super::{handshakes, open_ids};
use crate::client::tool::Tool;
use crate::cluster::{Certificates, Cluster, Shape};
use crate::setup;

/// What is measured of records, each with its unit in its name. Less is better but for rates.
const OF_RECORDS: [&str; 8] = [
    "rate_mb_s",
    "cpu_s_per_gb",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "resident_mib_load",
    "resident_mib_idle",
    "start_ms",
];

/// The same where they are encrypted: also the rate as a share of what it is where they are not.
const OF_ENCRYPTED: [&str; 9] = [
    "rate_mb_s",
    "rate_of_plain",
    "cpu_s_per_gb",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "resident_mib_load",
    "resident_mib_idle",
    "start_ms",
];

/// What is measured of connections.
const OF_CONNECTIONS: [&str; 7] = [
    "connections_s",
    "cpu_s_per_1000",
    "p50_ms",
    "p99_ms",
    "resident_mib_load",
    "resident_mib_idle",
    "start_ms",
];

/// What is measured in a row.
#[must_use]
pub fn metrics(row: &Row) -> &'static [&'static str] {
    match row.load {
        Load::Encrypted => &OF_ENCRYPTED,
        Load::Handshakes => &OF_CONNECTIONS,
        _ => &OF_RECORDS,
    }
}

/// What is produced to.
const TOPIC: &str = "bench";

const IDLE: Duration = Duration::from_secs(3);
const LOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Measures one contender in one row.
///
/// # Errors
/// The cluster does not start or the load fails.
pub fn measure(contender: &Contender, row: &Row) -> Result<Value> {
    let measured = try_measure(contender, row);
    measured.with_context(|| format!("{} in the row {}", contender.name, row.name))
}

fn try_measure(contender: &Contender, row: &Row) -> Result<Value> {
    let name = contender.name.to_lowercase().replace(' ', "-");
    let mut shape = Shape::new(&format!("bench-{}-{name}", row.name), row.brokers);
    shape.server = contender.server;
    shape.build.clone_from(&contender.build);
    shape.heap = "1G".to_string();
    shape.racks = false;
    let certificates = match row.is_encrypted() {
        true => Some(Certificates::make("bench-certificates")?),
        false => None,
    };
    if let Some(certificates) = &certificates {
        shape = shape.encrypting(certificates);
    }
    let started = Instant::now();
    let mut cluster = Cluster::start(shape)?;
    let start_ms = started.elapsed().as_millis() as u64;
    std::thread::sleep(IDLE);
    let idle = cluster.resident_bytes()?;

    create_topic(&cluster, row)?;
    let by = certificates.as_ref();
    load(&cluster, row, by, row.warm_up_records)?;
    let cpu_before = cluster.cpu_seconds()?;
    let summary = load(&cluster, row, by, row.records)?;
    let cpu = cluster.cpu_seconds()? - cpu_before;
    let peak = cluster.resident_bytes_peak()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut figures = json!({
        "p50_ms": summary.p50_ms,
        "p99_ms": summary.p99_ms,
        "resident_mib_load": mib(peak),
        "resident_mib_idle": mib(idle),
        "start_ms": start_ms,
    });
    if row.load == Load::Handshakes {
        figures["connections_s"] = summary.per_second.into();
        figures["cpu_s_per_1000"] = (cpu * 1e3 / row.records as f64).into();
        return Ok(figures);
    }
    figures["rate_mb_s"] = (summary.per_second * RECORD_BYTES as f64 / 1e6).into();
    figures["cpu_s_per_gb"] = (cpu / row.gigabytes()).into();
    figures["p999_ms"] = summary.p999_ms.into();
    if row.load == Load::Encrypted {
        load(&cluster, row, None, row.warm_up_records)?;
        let plain = load(&cluster, row, None, row.records)?;
        figures["rate_of_plain"] = (summary.per_second / plain.per_second).into();
    }
    Ok(figures)
}

fn create_topic(cluster: &Cluster, row: &Row) -> Result<()> {
    let replicas = row.brokers.to_string();
    Tool::at("TopicCommand", &cluster.bootstrap())
        .args(&[
            "--create",
            "--topic",
            TOPIC,
            "--replication-factor",
            &replicas,
        ])
        .args(&["--partitions", &PARTITIONS.to_string()])
        .run()?;
    Ok(())
}

/// What a load says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// How many records, or what else it is of, there were each second.
    pub per_second: f64,
    /// The latency that half of them have at most.
    pub p50_ms: f64,
    /// The same of 99 %.
    pub p99_ms: f64,
    /// The same of 99.9 %.
    pub p999_ms: f64,
}

impl Summary {
    /// Of these latencies, of what took so long together.
    ///
    /// # Errors
    /// There are none.
    pub fn of(mut latencies: Vec<Duration>, took: Duration) -> Result<Self> {
        ensure!(!latencies.is_empty(), "nothing was measured");
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (latencies.len() as f64 * share) as usize;
            latencies[place.min(latencies.len() - 1)].as_secs_f64() * 1e3
        };
        Ok(Self {
            per_second: latencies.len() as f64 / took.as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
        })
    }
}

/// Has clients do what the row is about, over TLS where there are certificates.
fn load(
    cluster: &Cluster,
    row: &Row,
    certificates: Option<&Certificates>,
    records: u64,
) -> Result<Summary> {
    let load = match (row.load, certificates) {
        (Load::OpenIds, _) => return open_ids::load(&cluster.bootstrap(), TOPIC, records),
        (Load::Handshakes, Some(certificates)) => {
            let authority = certificates.authority();
            return handshakes::load(&cluster.bootstrap_encrypted(), &authority, records);
        }
        (Load::Transactions { records: each }, _) => transactions(cluster, records / each, each)?,
        (_, None) => plain(&cluster.bootstrap(), row, records),
        (_, Some(certificates)) => {
            let settings = certificates.of_java();
            let settings = settings.each_ref().map(String::as_str);
            plain(&cluster.bootstrap_encrypted(), row, records).args(&settings)
        }
    };
    let output = load.timeout(LOAD_TIMEOUT).run()?;
    let line = output.line_with(&["records sent", "99.9th"])?;
    let before = |words: &str| number_before(line, words);
    Ok(Summary {
        per_second: before(" records/sec")?,
        p50_ms: before(" ms 50th")?,
        p99_ms: before(" ms 99th")?,
        p999_ms: before(" ms 99.9th")?,
    })
}

fn transactions(cluster: &Cluster, transactions: u64, each: u64) -> Result<Tool> {
    let kit = setup::provided("proofs")?.join("kit");
    let counts = [transactions, each, RECORD_BYTES].map(|count| count.to_string());
    Ok(Tool::long_in("io.ottla.proofs.Committer", &kit)
        .args(&[&cluster.bootstrap(), TOPIC])
        .args(&counts.each_ref().map(String::as_str)))
}

fn plain(bootstrap: &str, row: &Row, records: u64) -> Tool {
    Tool::long_at("ProducerPerformance", bootstrap)
        .args(&["--topic", TOPIC, "--num-records", &records.to_string()])
        .args(&["--record-size", &RECORD_BYTES.to_string()])
        .args(&["--throughput", &row.records_per_second.to_string()])
        .args(&["--command-property", &format!("acks={}", row.acks)])
        .args(&["linger.ms=5", "batch.size=65536", "buffer.memory=67108864"])
}

/// The number that stands right before these words.
fn number_before(line: &str, words: &str) -> Result<f64> {
    let end = line
        .find(words)
        .with_context(|| format!("no '{words}' in {line}"))?;
    let start = line[..end].rfind([' ', '(']).map_or(0, |at| at + 1);
    Ok(line[start..end].parse()?)
}

#[test]
fn the_summary_is_read() {
    let line = "500000 records sent, 30217.6 records/sec (29.51 MB/sec), 948.20 ms avg latency, \
                2087.00 ms max latency, 948 ms 50th, 1900 ms 95th, 1950 ms 99th, 2087 ms 99.9th.";
    assert_eq!(number_before(line, " records/sec").unwrap(), 30217.6);
    assert_eq!(number_before(line, " ms 50th").unwrap(), 948.0);
    assert_eq!(number_before(line, " ms 99.9th").unwrap(), 2087.0);
}
