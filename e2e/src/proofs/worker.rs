//! A worker of Kafka Connect in distributed mode, exactly once, its own topics on our brokers.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::kills::Kills;
use crate::client::tool::java;
use crate::cluster::{Cluster, eventually};
use crate::process::{Process, tail};
use crate::setup;

const START_TIMEOUT: Duration = Duration::from_secs(180);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often is asked whether a connector has failed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A worker; dropped, it is killed.
pub(super) struct Worker {
    process: Process,
    settings: PathBuf,
    log: PathBuf,
    port: u16,
    looked: Instant,
    failures: u32,
    /// Whether it has answered since it was started, and how many that had were killed.
    answered: bool,
    killed_at_work: u32,
}

impl Worker {
    /// Starts one with these settings besides those that every worker has.
    pub(super) fn start(cluster: &Cluster, more: &[(&str, &str)]) -> Result<Self> {
        let port = setup::free_ports(1)[0];
        let mut text = format!(
            "bootstrap.servers={}\nlisteners=http://127.0.0.1:{port}\ngroup.id=connect\n\
             exactly.once.source.support=enabled\noffset.flush.interval.ms=2000\n\
             session.timeout.ms=10000\nconsumer.isolation.level=read_committed\n\
             offset.storage.partitions=5\n",
            cluster.bootstrap()
        );
        for topic in ["offset", "config", "status"] {
            writeln!(text, "{topic}.storage.topic=connect-{topic}")?;
            writeln!(text, "{topic}.storage.replication.factor=3")?;
        }
        for (key, value) in more {
            writeln!(text, "{key}={value}")?;
        }
        let settings = cluster.dir().join("worker.properties");
        std::fs::write(&settings, text)?;
        let log = cluster.dir().join("worker.log");
        let process = launch(&settings, &log)?;
        Ok(Self {
            process,
            settings,
            log,
            port,
            looked: Instant::now(),
            failures: 0,
            answered: false,
            killed_at_work: 0,
        })
    }

    /// Kills what is due, the worker included, and starts again what was killed or has failed.
    pub(super) fn step(&mut self, kills: &mut Kills, cluster: &mut Cluster) -> Result<()> {
        if kills.step(cluster)? {
            self.killed_at_work += u32::from(self.answered);
            self.process.kill();
        }
        self.start_again()
    }

    /// Starts it where it is no more.
    fn start_again(&mut self) -> Result<()> {
        if self.process.ended().is_some() {
            self.process = launch(&self.settings, &self.log)?;
            self.answered = false;
        }
        Ok(())
    }

    /// Has it run a connector, as soon as it answers.
    pub(super) fn configure(&self, connector: &Value) -> Result<()> {
        let name = name(connector)?;
        let path = format!("/connectors/{name}/config");
        eventually(START_TIMEOUT, || {
            self.ask("PUT", &path, &connector.to_string(), START_TIMEOUT)
        })
        .with_context(|| self.said())?;
        Ok(())
    }

    /// Starts it again where it has ended, and a connector's tasks that have failed, as whoever
    /// runs Connect does; it does not do so by itself. Nothing is said where the worker does not
    /// answer: it may just have been killed.
    pub(super) fn revive(&mut self, connector: &Value) -> Result<()> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        self.start_again()?;
        let name = name(connector)?;
        let status = self.ask(
            "GET",
            &format!("/connectors/{name}/status"),
            "",
            ANSWER_TIMEOUT,
        );
        self.answered |= status.is_ok();
        if status.is_ok_and(|status| status.contains("\"state\":\"FAILED\"")) {
            let path = format!("/connectors/{name}/restart?includeTasks=true&onlyFailed=true");
            self.failures += u32::from(self.ask("POST", &path, "", ANSWER_TIMEOUT).is_ok());
        }
        Ok(())
    }

    /// How many times something that had failed was started again.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// How many that had answered were killed: the others were still coming up.
    pub(super) fn killed_at_work(&self) -> u32 {
        self.killed_at_work
    }

    /// The last lines of its log.
    pub(super) fn said(&self) -> String {
        tail(&self.process.output())
    }

    /// Its answer to a request, without the head.
    fn ask(&self, method: &str, path: &str, body: &str, timeout: Duration) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(timeout))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: connect\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(body.to_string())
    }
}

fn name(connector: &Value) -> Result<&str> {
    connector["name"].as_str().context("a connector has a name")
}

fn launch(settings: &Path, log: &Path) -> Result<Process> {
    let mut command = java(&["-Xmx256M", "-XX:+UseSerialGC"], &[]);
    command
        .arg("org.apache.kafka.connect.cli.ConnectDistributed")
        .arg(settings);
    Process::start(command, log)
}
