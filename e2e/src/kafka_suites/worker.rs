//! A JVM that runs one class after the other. One that hangs or ends is replaced, and the rest of
//! its class goes on in the next.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Case, Outcome};
use crate::process::bound_to_us;

/// A test that says nothing for longer does not end.
const SILENCE_MAX: Duration = Duration::from_secs(240);

/// What a worker is started with.
pub struct Jvm {
    /// Its class path.
    pub class_path: String,
    /// The binary of the broker.
    pub broker: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
    /// The configuration of the tests' own logging.
    pub logging: PathBuf,
}

/// What a class is run with.
pub struct Task<'a> {
    /// Its full name.
    pub class: &'a str,
    /// The methods to run, a regular expression; empty for all.
    pub methods: String,
    /// The methods to leave out.
    pub left_out: Vec<String>,
}

/// A property that a test set and that the broker was started without.
pub type Refused = (String, String);

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    /// Each run of each test.
    pub cases: Vec<Case>,
    /// Names and reasons.
    pub refused: Vec<Refused>,
}

/// The process, started when there is something to do.
pub struct Worker<'a> {
    jvm: &'a Jvm,
    process: Option<Process>,
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

enum Answer {
    Begin(String),
    Test(Case),
    Refused(Refused),
    End,
}

impl<'a> Worker<'a> {
    /// One that is not yet started.
    #[must_use]
    pub fn new(jvm: &'a Jvm) -> Self {
        Self { jvm, process: None }
    }

    /// Runs a class to its end.
    ///
    /// # Errors
    /// No JVM can be started.
    pub fn run(&mut self, mut task: Task<'_>) -> Result<Report> {
        let mut report = Report::default();
        while let Some(stuck) = self.run_until_stuck(&task, &mut report)? {
            // what has told need not run again, and what is stuck would be again
            task.left_out.push(stuck);
            let told = report.cases.iter().map(|case| case.method.clone());
            task.left_out.extend(told);
        }
        Ok(report)
    }

    /// Gives the method at which the JVM did not go on.
    fn run_until_stuck(&mut self, task: &Task<'_>, report: &mut Report) -> Result<Option<String>> {
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(start(self.jvm)?),
        };
        let left_out = task.left_out.join("|");
        let _ = writeln!(
            process.requests,
            "{}\t{}\t{left_out}",
            task.class, task.methods
        );
        let mut current: Option<String> = None;
        loop {
            let why = match process.answers.recv_timeout(SILENCE_MAX) {
                Ok(line) => match read(&line) {
                    Some(Answer::Begin(method)) => {
                        current = Some(method);
                        continue;
                    }
                    Some(Answer::Test(case)) => {
                        current = None;
                        report.cases.push(case);
                        continue;
                    }
                    Some(Answer::Refused(refused)) => {
                        report.refused.push(refused);
                        continue;
                    }
                    Some(Answer::End) => return Ok(None),
                    None => continue,
                },
                Err(RecvTimeoutError::Timeout) => {
                    format!("no end after {} s", SILENCE_MAX.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => "the JVM ended".to_string(),
            };
            self.process = None;
            let is_whole_class = current.is_none();
            let method = current.unwrap_or_else(|| "(class)".to_string());
            report.cases.push(Case {
                class: task.class.to_string(),
                method: method.clone(),
                outcome: Outcome::Failed(why),
                seconds: SILENCE_MAX.as_secs_f64(),
            });
            return Ok((!is_whole_class).then_some(method));
        }
    }
}

/// The brokers that it started go with it: they are in its process group.
impl Drop for Process {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn start(jvm: &Jvm) -> Result<Process> {
    let mut command = bound_to_us(Path::new("java"));
    let property = |name: &str, path: &Path| format!("-D{name}={}", path.display());
    command
        .args(["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        // Mockito puts itself into this JVM
        .arg("-XX:+EnableDynamicAgentLoading")
        .arg(property("ottla.broker", &jvm.broker))
        .arg(property("ottla.logs", &jvm.logs))
        .arg(property("log4j2.configurationFile", &jvm.logging))
        .arg(property("java.io.tmpdir", &jvm.logs.join("data")))
        .args(["-cp", &jvm.class_path, "io.ottla.suites.Worker"])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().context("starting java")?;
    let requests = child.stdin.take().context("its stdin is a pipe")?;
    let stdout = child.stdout.take().context("its stdout is a pipe")?;
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(Process {
        child,
        requests,
        answers,
    })
}

fn read(line: &str) -> Option<Answer> {
    let fields: Vec<&str> = line.split('\t').collect();
    Some(match fields[..] {
        ["end"] => Answer::End,
        ["begin", _, method] => Answer::Begin(method.to_string()),
        ["refused", name, value, why] => {
            Answer::Refused((name.to_string(), format!("{why} (it was {value})")))
        }
        ["test", class, method, outcome, seconds, why] => Answer::Test(Case {
            class: class.to_string(),
            method: method.to_string(),
            outcome: match outcome {
                "passed" => Outcome::Passed,
                "internals" => Outcome::Internals(asked_for(why)),
                "skipped" => Outcome::Skipped,
                _ => Outcome::Failed(why.to_string()),
            },
            seconds: seconds.parse().unwrap_or_default(),
        }),
        _ => return None,
    })
}

/// Of the words of a failure those that name the object inside the broker.
fn asked_for(why: &str) -> String {
    let from = why.find("asks for ").unwrap_or_default();
    let words = &why[from..];
    let end = words.find(',').unwrap_or(words.len());
    words[..end].to_string()
}

#[test]
fn answers_are_read() {
    let Some(Answer::Test(case)) =
        read("test\ta.BTest\tone\tinternals\t1.5\tOutOfReach: asks for Log.x, which is; y")
    else {
        panic!("a test");
    };
    assert_eq!(case.label(), "BTest#one");
    assert_eq!(case.outcome, Outcome::Internals("asks for Log.x".into()));
    assert!(matches!(read("end"), Some(Answer::End)));
    assert!(read("a library says hello").is_none());
}
