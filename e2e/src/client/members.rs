//! Members of a consumer group that check each other (`e2e/clients/members.py`, on librdkafka).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{bound_to_us, spawn};
use crate::setup;

/// A group with its members, all in one process.
pub struct Members {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Members {
    /// A group without members yet, that is to read `topic`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn of(bootstrap: &str, topic: &str, group: &str, partitions: u32) -> Result<Self> {
        let mut command = bound_to_us(setup::python());
        command
            .arg(setup::checkout().join("e2e/clients/members.py"))
            .args(["--bootstrap", bootstrap, "--topic", topic])
            .args(["--group", group, "--partitions", &partitions.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = spawn(command)?;
        let stdin = child.stdin.take().context("stdin is piped")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        Ok(Self {
            child,
            stdin,
            stdout,
        })
    }

    /// Gives a command and takes its answer; see the script for both.
    ///
    /// # Errors
    /// The program ended, or a member has seen what must not be.
    pub fn tell(&mut self, command: &str) -> Result<Value> {
        writeln!(self.stdin, "{command}")?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("{command}: {line:?}"))?;
        let faults = answer["faults"].as_array().context("faults")?;
        ensure!(faults.is_empty(), "{command}: {answer}");
        Ok(answer)
    }

    /// Ends all members, and compares what they were told to be committed with what is.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn quit(mut self) -> Result<Value> {
        let answer = self.tell("quit")?;
        self.child.wait()?;
        Ok(answer)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        // after a failed test it still runs; otherwise this changes nothing
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
