//! One transactional id, taken over by clients of every age and origin in turn, there and back:
//! each goes on where the one before ended, ends what that one left open, and that one is refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::kills::Plan;
use super::{committed, make_topic, on_three_brokers};
use crate::client::tool::java;
use crate::cluster::{Cluster, eventually};
use crate::process::{bound_to_us, spawn};
use crate::setup;

const TOPIC: &str = "matrix";
const ID: &str = "of-all";
const RECORDS_EACH: usize = 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
const MARKERS_TIMEOUT: Duration = Duration::from_secs(60);

/// The clients, in the order in which they take over first.
const CLIENTS: [&str; 7] = [
    "Java 0.11.0.3",
    "Java 2.8.2",
    "Java 3.9.1",
    "Java 4.0.1",
    "Java 4.3.1",
    "librdkafka 2.11.1",
    "franz-go 1.21.7",
];

/// All clients in turn: what was done and found. It kills nobody.
///
/// # Panics
/// One does not go on, or is not refused.
#[must_use]
pub fn run(_: Plan) -> String {
    on_three_brokers("matrix", take_turns)
}

fn take_turns(cluster: &mut Cluster) -> Result<String> {
    make_topic(&cluster.bootstrap(), TOPIC, 1)?;
    let mut turns: Vec<&str> = CLIENTS.to_vec();
    turns.extend(CLIENTS.iter().rev().skip(1));
    let mut before: Option<Writer> = None;
    for (turn, client) in turns.iter().enumerate() {
        let mut next = Writer::start(client, cluster, turn * RECORDS_EACH)?;
        next.expect("committed")?;
        if let Some(mut fenced) = before.replace(next) {
            fenced.go_on()?;
            fenced
                .expect("refused")
                .with_context(|| format!("{client} has the id"))?;
        }
    }
    let wanted: Vec<String> = (0..turns.len() * RECORDS_EACH)
        .map(|number| number.to_string())
        .collect();
    // the last one still holds a transaction open: what is stable ends before that
    eventually(MARKERS_TIMEOUT, || {
        let got = committed(cluster, TOPIC, 0)?;
        ensure!(got == wanted, "committed is {got:?}");
        Ok(())
    })?;
    Ok(format!(
        "one id went through {} hands: {} records, each once and in order; each of the {} that \
         lost it was refused",
        turns.len(),
        wanted.len(),
        turns.len() - 1
    ))
}

/// A client that has the id, or had it.
struct Writer {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Writer {
    fn start(name: &str, cluster: &Cluster, from: usize) -> Result<Self> {
        let mut command = program(name)?;
        command
            .args([&cluster.bootstrap(), TOPIC, ID, &from.to_string()])
            .arg(RECORDS_EACH.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(command)?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        Ok(Self {
            name: name.to_string(),
            child,
            lines,
        })
    }

    /// Waits for a line that begins with this.
    fn expect(&mut self, start: &str) -> Result<()> {
        let line = self.lines.recv_timeout(ANSWER_TIMEOUT);
        let line = line.with_context(|| format!("{}: no word of {start:?}", self.name))?;
        ensure!(
            line.starts_with(start),
            "{}: {line}, not {start}",
            self.name
        );
        Ok(())
    }

    /// Has it try to commit once more.
    fn go_on(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("stdin is piped")?;
        Ok(stdin.write_all(b"\n")?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client runs.
fn program(name: &str) -> Result<Command> {
    let (kind, version) = name.split_once(' ').context("a client has a version")?;
    match kind {
        "librdkafka" => {
            let mut command = bound_to_us(setup::python());
            command.arg(setup::checkout().join("e2e/proofs/writer.py"));
            Ok(command)
        }
        "franz-go" => Ok(bound_to_us(&setup::provided("franz")?.join("takeover"))),
        _ => {
            let folder = setup::provided("proofs")?;
            // before Kafka's own jars, which are what there is of the newest one
            let places = ["kit".to_string(), format!("client-{version}/*")];
            let places = places.map(|place| format!("{}/{place}", folder.display()));
            let mut command = java(&["-Xmx128M", "-XX:+UseSerialGC"], &places);
            command.arg("io.ottla.proofs.Writer");
            Ok(command)
        }
    }
}
