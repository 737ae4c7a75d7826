//! One child process, and what the kernel says about it.
//!
//! Invariant: no child outlives the test program. Each is killed when its [`Process`] is dropped,
//! and by the kernel (the parent-death signal) when the program itself is killed.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running child. Its stdout and stderr go to one log file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with these arguments; what it prints is appended to `log`.
    ///
    /// # Errors
    /// The log cannot be opened or the program cannot be started.
    pub fn spawn(program: &Path, args: &[String], log: &Path) -> Result<Self> {
        let mut command = bound_to_us(program);
        command.args(args);
        Self::start(command, log)
    }

    /// Starts a command made by [`bound_to_us`].
    ///
    /// # Errors
    /// The log cannot be opened or the program cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = spawn(command)?;
        Ok(Self {
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends a signal; nothing happens where it has ended already.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            let pid = Pid::from_raw(self.child.id() as i32).expect("a child's pid is not 0");
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub fn stop(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait(timeout)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!(
            "still running after {timeout:?}; it printed:\n{}",
            tail(&self.output())
        )
    }

    /// How it ended; nothing while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time it has used, user and system, in seconds.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // the name in parentheses may hold spaces; what follows has fixed places
        let after_name = stat.rsplit(')').next().context("stat has a name")?;
        let fields: Vec<_> = after_name.split_whitespace().collect();
        let ticks = |at: usize| -> Result<f64> {
            Ok(fields
                .get(at)
                .context("stat is too short")?
                .parse::<u64>()? as f64)
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// Memory it holds now, in bytes.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.status_kib("VmRSS:").map(|kib| kib * 1024)
    }

    /// The most memory it has held, in bytes.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_bytes_peak(&self) -> Result<u64> {
        self.status_kib("VmHWM:").map(|kib| kib * 1024)
    }

    fn status_kib(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let value = line.with_context(|| format!("{field} is missing: has it ended?"))?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What Linux calls USER_HZ; the same on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A command whose process the kernel kills when this program ends, however it ends.
#[must_use]
pub fn bound_to_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Spawns from a thread that lives as long as the program: the parent-death signal is sent when the
/// thread that spawned the child ends, and a test's thread ends with its test.
///
/// # Errors
/// The program cannot be started.
pub fn spawn(command: Command) -> Result<Child> {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let program = format!("{command:?}");
    let (answer, result) = channel();
    spawner
        .send((command, answer))
        .context("the spawning thread is gone")?;
    result
        .recv()?
        .with_context(|| format!("starting {program}"))
}

/// What a text says of a panic, and its last lines: enough to see why something failed.
#[must_use]
pub fn tail(text: &str) -> String {
    const LINES_MAX: usize = 40;
    const OF_PANIC_MAX: usize = 5;
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(LINES_MAX);
    let panic = lines[..last]
        .iter()
        .position(|line| line.contains(" panicked at "));
    let panic = panic.map_or(&[][..], |at| &lines[at..last.min(at + OF_PANIC_MAX)]);
    [panic, &lines[last..]].concat().join("\n")
}

/// Whether the status says it was killed by this signal.
#[must_use]
pub fn was_killed_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal.as_raw())
}
