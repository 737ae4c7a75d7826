//! The audit log: who was denied what, and who has changed what, a line of JSON each.
//!
//! ```text
//! {"time_ms":1764460800000,"principal":"User:alice","address":"10.0.0.7","listener":"SECURE",
//!  "api":"CreateTopics","operation":"Create","resource":"Topic:orders","decision":"denied",
//!  "reason":"no ACL allows it"}
//! ```
//!
//! They go to a file, to a topic (`node::audit_topic`), or both. Nothing waits for them: what comes
//! faster than it can be written is dropped and counted. They never have a password, a token, a key
//! or a record in them.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ottla_core::acl::{Operation, ResourceType, Verdict};
use ottla_protocol::api::ApiKey;
use tokio::sync::mpsc;
use tracing::warn;

use crate::env::Env;
use crate::metrics::Metrics;

/// Lines that may wait to be written, on each way.
pub const LINES_MAX: usize = 4096;

/// The name that stands for the standard output in the place of a file.
const STANDARD_OUTPUT: &str = "-";

/// The ways to the audit log; without one, nothing is written.
#[derive(Debug)]
pub struct Audit {
    ways: Vec<mpsc::Sender<String>>,
    env: Env,
    metrics: Arc<Metrics>,
}

/// Who asks for something, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// `User:name`.
    pub principal: &'a str,
    /// Its address.
    pub host: IpAddr,
    /// The listener it came through.
    pub listener: &'a str,
    /// What it asks by.
    pub api: ApiKey,
}

impl Audit {
    /// Begins a log in this file, or on the standard output where the name is `-`; in no file where
    /// it is empty. Lines go that other way too, where there is one.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn start(
        path: &str,
        other_way: Option<mpsc::Sender<String>>,
        env: Env,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let out: Option<Box<dyn Write + Send>> = match path {
            "" => None,
            STANDARD_OUTPUT => Some(Box::new(io::stdout())),
            path => {
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(Path::new(path))?;
                Some(Box::new(file))
            }
        };
        let file = out.map(|out| {
            let (sender, receiver) = mpsc::channel(LINES_MAX);
            // a disk that hangs holds up this thread and nobody else
            tokio::task::spawn_blocking(move || write(receiver, out));
            sender
        });
        Ok(Self {
            ways: file.into_iter().chain(other_way).collect(),
            env,
            metrics,
        })
    }

    /// Whether anything is written at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Somebody was allowed or denied something.
    pub fn decided(
        &self,
        asker: Asker<'_>,
        operation: Operation,
        (resource_type, name): (ResourceType, &str),
        verdict: Verdict,
    ) {
        self.write(|line| {
            line.text("principal", asker.principal);
            line.text("address", &asker.host.to_string());
            line.text("listener", asker.listener);
            line.text("api", asker.api.name());
            line.text("operation", operation.name());
            line.text("resource", &format!("{}:{name}", resource_type.name()));
            let is_allowed = verdict.is_allowed();
            line.text("decision", if is_allowed { "allowed" } else { "denied" });
            line.text("reason", verdict.reason());
        });
    }

    /// Somebody could not show who it is.
    pub fn login_failed(&self, listener: &str, host: IpAddr, mechanism: &str, why: &str) {
        self.write(|line| {
            line.text("address", &host.to_string());
            line.text("listener", listener);
            line.text("mechanism", mechanism);
            line.text("decision", "denied");
            line.text("reason", why);
        });
    }

    fn write(&self, fill: impl FnOnce(&mut Line)) {
        if !self.is_on() {
            return;
        }
        let mut line = Line(format!("{{\"time_ms\":{}", self.env.unix_ms()));
        fill(&mut line);
        let line = line.0 + "}\n";
        for way in &self.ways {
            if way.try_send(line.clone()).is_err() {
                self.metrics.audit_dropped.inc();
            }
        }
    }
}

/// An object of JSON that is being written.
struct Line(String);

impl Line {
    fn text(&mut self, name: &str, value: &str) {
        let _ = write!(self.0, ",\"{name}\":\""); // a string takes everything
        for char in value.chars() {
            match char {
                '"' | '\\' => self.0.extend(['\\', char]),
                '\0'..='\x1f' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(char));
                }
                _ => self.0.push(char),
            }
        }
        self.0.push('"');
    }
}

/// Writes until nobody is left who could send a line.
fn write(mut lines: mpsc::Receiver<String>, mut out: Box<dyn Write + Send>) {
    let mut has_failed = false;
    while let Some(line) = lines.blocking_recv() {
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        match written {
            Err(error) if !has_failed => {
                warn!("the audit log cannot be written: {error}; its lines are lost until it can");
                has_failed = true;
            }
            Err(_) => {}
            Ok(()) => has_failed = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_line_is_json_whatever_the_names_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let metrics = Arc::new(Metrics::default());
        let env = Env::simulated(1, 5);
        let audit = Audit::start(path.to_str().unwrap(), None, env, metrics).unwrap();
        let asker = Asker {
            principal: "User:a\"\\\n",
            host: IpAddr::from([10, 0, 0, 7]),
            listener: "SECURE",
            api: ApiKey::CreateTopics,
        };
        let resource = (ResourceType::Topic, "orders");
        audit.decided(asker, Operation::Create, resource, Verdict::NoAllow);
        audit.login_failed("SECURE", asker.host, "PLAIN", "authentication failed");
        drop(audit);
        let written = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.lines().count() == 2 {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let text = written.await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_once(',').unwrap().1,
            "\"principal\":\"User:a\\\"\\\\\\u000a\",\"address\":\"10.0.0.7\",\
             \"listener\":\"SECURE\",\"api\":\"CreateTopics\",\"operation\":\"Create\",\
             \"resource\":\"Topic:orders\",\"decision\":\"denied\",\"reason\":\"no ACL allows it\"}"
        );
        assert!(lines[1].contains("\"mechanism\":\"PLAIN\",\"decision\":\"denied\""));
    }
}
