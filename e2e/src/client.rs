//! Clients we did not write, run as their users run them.

pub mod java;
pub mod kcat;
pub mod load;
pub mod members;
pub mod tool;
pub mod transactions;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{spawn, tail};

/// What a client that has ended left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// Everything it printed, for looking for a word.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// This output where it says it succeeded.
    ///
    /// # Errors
    /// It exited with another code than 0.
    pub fn success(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "exit code {}\n{}",
            self.code,
            tail(&self.all())
        );
        Ok(self)
    }

    /// The line that has all these words.
    ///
    /// # Errors
    /// No line has.
    pub fn line_with(&self, words: &[&str]) -> Result<&str> {
        let lines = self.stdout.lines().chain(self.stderr.lines());
        let mut found = lines.filter(|line| words.iter().all(|word| line.contains(word)));
        found
            .next()
            .with_context(|| format!("no line with {words:?} in\n{}", tail(&self.all())))
    }
}

/// Runs a command to its end with this on its stdin.
///
/// # Errors
/// It cannot be started or does not end within `timeout`; then it is killed.
pub fn run(mut command: Command, input: &[u8], timeout: Duration) -> Result<Output> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let what = format!("{command:?}");
    let mut child = spawn(command)?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let input = input.to_vec();
    std::thread::spawn(move || stdin.write_all(&input));
    let stdout = reader(child.stdout.take().context("stdout is piped")?);
    let stderr = reader(child.stderr.take().context("stderr is piped")?);
    let code = wait(&mut child, timeout);
    let output = Output {
        code: code.unwrap_or(-1),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    };
    match code {
        Some(_) => Ok(output),
        None => bail!(
            "{what} ran longer than {timeout:?}\n{}",
            tail(&output.all())
        ),
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The exit code, or nothing where it had to be killed.
fn wait(child: &mut Child, timeout: Duration) -> Option<i32> {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.code().unwrap_or(-1)),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}
