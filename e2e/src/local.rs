//! `ottla-operator local DIR`: manifests as processes, with what a user sees of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Process, tail};
use crate::setup;

/// A running operator in local mode.
pub struct Local {
    process: Process,
    dir: PathBuf,
}

impl Local {
    /// Starts it on these manifests (name and text); data goes beside them.
    ///
    /// # Errors
    /// The manifests cannot be written or the operator cannot be started.
    pub fn start(dir: &Path, manifests: &[(&str, &str)]) -> Result<Self> {
        let folder = dir.join("manifests");
        std::fs::create_dir_all(&folder)?;
        for (name, text) in manifests {
            std::fs::write(folder.join(name), text)?;
        }
        Self::start_on(dir, &folder)
    }

    /// Starts it on a folder of manifests that is there.
    ///
    /// # Errors
    /// The operator cannot be started.
    pub fn start_on(dir: &Path, manifests: &Path) -> Result<Self> {
        let args = [
            "local".to_string(),
            manifests.display().to_string(),
            "--data-dir".to_string(),
            dir.join("data").display().to_string(),
        ];
        let log = dir.join("operator.log");
        let _ = std::fs::remove_file(&log);
        let process = Process::spawn(&setup::binary("ottla-operator")?, &args, &log)?;
        Ok(Self {
            process,
            dir: dir.to_path_buf(),
        })
    }

    /// Kills what is left of the brokers: only an operator that ends in order stops them.
    fn kill_brokers(&self) {
        for folder in std::fs::read_dir(self.dir.join("data"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let folder = folder.path();
            let pid = std::fs::read_to_string(folder.join("pid")).unwrap_or_default();
            let pid = pid.trim();
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            let is_ours = command.is_ok_and(|line| line.contains(&*folder.to_string_lossy()));
            if is_ours && let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// The operator's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where a broker keeps its data, `pid` and `log`.
    #[must_use]
    pub fn broker_dir(&self, pod: &str) -> PathBuf {
        self.dir.join("data").join(pod)
    }

    /// Writes or replaces a manifest; nothing is told to the operator.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        // written beside and moved, as an editor or git does
        let part = self.dir.join("manifest.part");
        std::fs::write(&part, text)?;
        Ok(std::fs::rename(
            part,
            self.dir.join("manifests").join(name),
        )?)
    }

    /// Removes a manifest.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_file(self.dir.join("manifests").join(name))?)
    }

    /// Waits for a line with all these words and gives it.
    ///
    /// # Errors
    /// It does not come in time, or the operator ends; the error has what it printed.
    pub fn wait_line(&mut self, words: &[&str], timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            let is_running = self.process.is_running();
            let text = self.process.output();
            let found = text
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(line) = found {
                return Ok(line.to_string());
            }
            if !is_running || Instant::now() > deadline {
                bail!(
                    "no line with {words:?} within {timeout:?}; printed:\n{}",
                    tail(&text)
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for `ready in N ms, bootstrap.servers=…` and gives both.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait_ready(&mut self) -> Result<(u64, String)> {
        let line = self.wait_line(
            &["ready in ", "bootstrap.servers="],
            Duration::from_secs(30),
        )?;
        let after = line.split("ready in ").nth(1).unwrap_or_default();
        let ms = after.split(' ').next().unwrap_or_default().parse()?;
        let servers = line.split("bootstrap.servers=").nth(1).unwrap_or_default();
        Ok((ms, servers.trim().to_string()))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // a test that wants brokers to outlive their operator has killed or stopped it by itself
        if self.process.is_running() {
            self.process.kill();
            self.kill_brokers();
        }
    }
}
