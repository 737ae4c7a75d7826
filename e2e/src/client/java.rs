//! A load from Kafka's own Java client (VerifiableProducer), read back and compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::kcat::kcat;
use super::tool::java;
use crate::process::{Process, tail};

/// Idempotent, and patient with a broker that is away.
const SETTINGS: &str = "acks=all
enable.idempotence=true
retries=2147483647
delivery.timeout.ms=60000
request.timeout.ms=10000
linger.ms=5
";

/// A running load.
pub struct JavaLoad {
    process: Process,
    bootstrap: String,
    topic: String,
}

/// What came of it: nothing acknowledged was lost, doubled or elsewhere than was said.
#[derive(Clone, Copy, Debug)]
pub struct JavaVerdict {
    /// How many records were acknowledged.
    pub acknowledged: usize,
    /// The longest time in which none was.
    pub stall: Duration,
}

impl JavaLoad {
    /// Starts to produce so many records a second to this topic; `folder` has its files.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(bootstrap: &str, topic: &str, rate: u32, folder: &Path) -> Result<Self> {
        let settings = folder.join("producer.properties");
        std::fs::write(&settings, SETTINGS)?;
        let flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256M"];
        let mut command = java(&flags, &[]);
        command
            .arg("org.apache.kafka.tools.VerifiableProducer")
            .args(["--bootstrap-server", bootstrap, "--topic", topic])
            .args(["--throughput", &rate.to_string()])
            .arg("--command-config")
            .arg(&settings);
        Ok(Self {
            process: Process::start(command, &folder.join("java.log"))?,
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
        })
    }

    /// Ends the load, reads everything back and compares.
    ///
    /// # Errors
    /// Of what was acknowledged something is lost or doubled, a record was refused, or it does not
    /// end.
    pub fn finish(mut self, timeout: Duration) -> Result<JavaVerdict> {
        self.process.signal(Signal::TERM);
        self.process.wait(timeout)?;
        let said = self.process.output();
        let read = kcat(
            &self.bootstrap,
            &["-C", "-t", &self.topic, "-e", "-q", "-f", "%p %o %s\\n"],
            "",
        )?;
        judge(&said, &read.success()?.stdout)
    }
}

/// Compares what the producer says with what was read, a line `partition offset value` each.
fn judge(said: &str, read: &str) -> Result<JavaVerdict> {
    let mut found: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for line in read.lines() {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse::<i64>().ok();
        let place = number().zip(number()).context("a place")?;
        found
            .entry(words.next().context("a value")?)
            .or_default()
            .push(place);
    }
    let (mut acknowledged, mut stall, mut last) = (0, 0, None);
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if event["name"] == "producer_send_error" {
            anyhow::bail!("a record was refused: {event}");
        }
        if event["name"] != "producer_send_success" {
            continue;
        }
        let number = |field: &str| event[field].as_i64().with_context(|| line.to_owned());
        let place = (number("partition")?, number("offset")?);
        let value = event["value"].as_str().with_context(|| line.to_owned())?;
        let places = found.get(value).map(Vec::as_slice).unwrap_or_default();
        ensure!(
            places == [place],
            "{value} was acknowledged at {place:?}, read at {places:?}"
        );
        let now = number("timestamp")?;
        stall = stall.max(now - last.unwrap_or(now));
        last = Some(now);
        acknowledged += 1;
    }
    ensure!(acknowledged > 0, "nothing was acknowledged: {}", tail(said));
    let stall = Duration::from_millis(u64::try_from(stall).unwrap_or_default());
    Ok(JavaVerdict {
        acknowledged,
        stall,
    })
}

#[test]
fn what_is_lost_doubled_or_refused_is_seen() {
    let ack = |at: u64, value: u64, offset: u64| {
        format!(
            "{{\"timestamp\":{at},\"name\":\"producer_send_success\",\"key\":null,\
             \"value\":\"{value}\",\"topic\":\"t\",\"partition\":0,\"offset\":{offset}}}\n"
        )
    };
    let said = ack(1000, 7, 0) + "a log line\n" + &ack(1400, 8, 1) + &ack(1500, 9, 2);
    let verdict = judge(&said, "0 0 7\n0 1 8\n0 2 9\n").unwrap();
    assert_eq!(verdict.acknowledged, 3);
    assert_eq!(verdict.stall, Duration::from_millis(400));
    assert!(judge(&said, "0 0 7\n0 1 8\n").is_err());
    assert!(judge(&said, "0 0 7\n0 1 8\n0 2 9\n0 3 9\n").is_err());
    assert!(judge(&said, "0 0 7\n0 1 8\n0 3 9\n").is_err());
    assert!(judge("", "").is_err());
    let refused = said + "{\"timestamp\":1,\"name\":\"producer_send_error\"}\n";
    assert!(judge(&refused, "0 0 7\n0 1 8\n0 2 9\n").is_err());
}
