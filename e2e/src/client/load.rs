//! A producer and consumers that verify themselves (`e2e/clients/load.py`, on librdkafka).

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{bound_to_us, spawn, tail};
use crate::setup;

/// A running load.
pub struct Load {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// What was found when all was read back.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The whole answer.
    pub json: Value,
}

impl Load {
    /// Starts to produce to this topic; `flags` are those of the script.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(bootstrap: &str, topic: &str, flags: &[&str]) -> Result<Self> {
        let mut command = bound_to_us(setup::python());
        command.arg(setup::checkout().join("e2e/clients/load.py"));
        Self::start_by(command, bootstrap, topic, flags)
    }

    /// The same by this command, which runs the script wherever it does.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_by(
        mut command: Command,
        bootstrap: &str,
        topic: &str,
        flags: &[&str],
    ) -> Result<Self> {
        command
            .args(["--bootstrap", bootstrap, "--topic", topic])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = spawn(command)?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Ends the load, reads everything back and compares.
    ///
    /// # Errors
    /// It fails or takes longer than `timeout`.
    pub fn finish(mut self, timeout: Duration) -> Result<Verdict> {
        if let Some(mut stdin) = self.stdin.take() {
            stdin.flush()?;
        }
        let mut stdout = self.child.stdout.take().context("stdout is piped")?;
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        let deadline = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the load did not end within {timeout:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = reader.join().unwrap_or_default();
        ensure!(
            status.success(),
            "the load failed: {status}\n{}",
            tail(&text)
        );
        let last = text.lines().last().context("the load prints its verdict")?;
        Ok(Verdict {
            json: serde_json::from_str(last)?,
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Verdict {
    /// One of its numbers.
    ///
    /// # Panics
    /// It has no such number.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.json[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {}", self.json))
    }

    /// Everything acknowledged is there, where it was said to be, without a gap, and every record
    /// was acknowledged in the end.
    ///
    /// # Panics
    /// Something is missing.
    pub fn assert_nothing_lost(&self) {
        let expected = [("failed", 0), ("lost", 0), ("moved", 0), ("unseen", 0)];
        for (name, count) in expected {
            assert_eq!(self.count(name), count, "{name}: {}", self.json);
        }
        assert_eq!(
            self.json["gaps"].as_array().map(Vec::len),
            Some(0),
            "{}",
            self.json
        );
        assert!(self.count("acknowledged") > 0, "{}", self.json);
    }
}
