//! One broker process and its folder.
//!
//! ```text
//! Stopped ──start──▶ Running ──exit──▶ Stopped (again after a back-off)
//!                      │ ▲
//!            stop asked│ │
//!                      ▼ │start
//!                    Stopping ──exit──▶ Stopped (at once where a restart was asked for)
//! ```

mod identity;
mod last_words;

use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::identity::{command_line, is_alive, signal};
use self::last_words::last_words;
use super::ports;
use super::settings_file::{parse_settings, render_settings};
use crate::platform::probe::{Unready, ask_ready};
use crate::platform::{BrokerState, Failure, Properties};

/// The file with a broker's settings.
pub const SETTINGS_FILE: &str = "broker.properties";
const PID_FILE: &str = "pid";
const LOG_FILE: &str = "log";
/// A log above this is put aside at the next start.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long a broker has to stop by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// The pause after the first exit; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// So many exits in a row are a crash loop.
const CRASH_LOOP_EXITS: u32 = 3;
/// A broker that was ready for so long has its exits forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);
/// How often ports in use are looked at again.
const PORT_RETRY: Duration = Duration::from_secs(1);
/// How often readiness is asked for, before and after it is there.
const PROBE_UNREADY: Duration = Duration::from_millis(20);
const PROBE_READY: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Life {
    Stopped { again_at: Option<Instant> },
    Running(Running),
    Stopping { running: Running, kill_at: Instant },
}

/// A process: started by us, or adopted from an operator that is gone.
#[derive(Debug)]
struct Running {
    pid: i32,
    child: Option<Child>,
    since: Instant,
}

/// A broker's process.
#[derive(Debug)]
pub struct Process {
    folder: PathBuf,
    binary: PathBuf,
    life: Life,
    settings: Properties,
    /// Whether it is to come back after it has stopped.
    wanted: bool,
    ready_since: Option<Instant>,
    probe_at: Instant,
    exits: u32,
    message: String,
    failure: Option<Failure>,
    /// What it did by itself and nobody was told of yet: the rest of a sentence each.
    events: Vec<String>,
    /// How it exited last, since a crash loop is told of once.
    last_exit: String,
}

impl Process {
    /// A broker that has yet to be started.
    pub fn new(folder: PathBuf, binary: PathBuf, settings: Properties) -> Self {
        Self {
            folder,
            binary,
            life: Life::Stopped { again_at: None },
            settings,
            wanted: true,
            ready_since: None,
            probe_at: Instant::now(),
            exits: 0,
            message: "starts".to_owned(),
            failure: None,
            events: Vec::new(),
            last_exit: String::new(),
        }
    }

    /// The broker that lives in a folder, running or not; none where no broker ever did.
    pub fn take_over(folder: &Path, binary: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(SETTINGS_FILE)).ok()?;
        let settings = parse_settings(&text);
        let mut process = Self::new(folder.to_owned(), binary.to_owned(), settings);
        process.wanted = false;
        if let Some(pid) = process.pid_of_ours() {
            process.wanted = true;
            process.events.push(format!(
                "runs already (process {pid}), left by an operator that was killed; it is looked \
                 after again"
            ));
            process.life = Life::Running(Running {
                pid,
                child: None,
                since: Instant::now(),
            });
        }
        Some(process)
    }

    /// What it did by itself since this was last asked: its exits, and coming up.
    pub fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there is a process.
    pub fn is_running(&self) -> bool {
        !matches!(self.life, Life::Stopped { .. })
    }

    /// Asks it to stop in order and to stay down.
    pub fn request_stop(&mut self) {
        self.wanted = false;
        self.terminate();
    }

    /// Asks it to stop in order and to come back with other settings.
    pub fn restart_with(&mut self, settings: Properties) {
        self.settings = settings;
        self.wanted = true;
        self.exits = 0;
        self.failure = None;
        self.terminate();
        if let Life::Stopped { again_at } = &mut self.life {
            *again_at = None;
        }
    }

    /// Keeps settings for the next start.
    pub fn keep(&mut self, settings: Properties) {
        self.settings = settings;
        if let Err(error) = self.write_settings() {
            self.message = format!("{} cannot be written: {error}", self.file(SETTINGS_FILE));
        }
    }

    /// Has its folder be one where no broker lives; says whether it is.
    pub fn forget_settings(&self) -> bool {
        match std::fs::remove_file(self.folder.join(SETTINGS_FILE)) {
            Ok(()) => true,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Ends it without asking.
    pub fn kill(&mut self) {
        if let Life::Running(running) | Life::Stopping { running, .. } = &self.life {
            signal(running.pid, Signal::KILL);
        }
    }

    fn terminate(&mut self) {
        let life = std::mem::replace(&mut self.life, Life::Stopped { again_at: None });
        self.life = match life {
            Life::Running(running) => {
                signal(running.pid, Signal::TERM);
                self.ready_since = None;
                "stops".clone_into(&mut self.message);
                Life::Stopping {
                    running,
                    kill_at: Instant::now() + STOP_TIMEOUT,
                }
            }
            other => other,
        };
    }

    /// Notices an exit, starts what is to run, kills what does not stop.
    pub fn advance(&mut self, now: Instant) {
        let log = self.folder.join(LOG_FILE);
        match &mut self.life {
            Life::Running(running) => {
                if let Some(exit) = running.exit(&log) {
                    self.exited(now, Some(exit));
                } else {
                    self.forgive(now);
                }
            }
            Life::Stopping { running, kill_at } => {
                if running.exit(&log).is_some() {
                    self.exited(now, None);
                } else if now >= *kill_at {
                    signal(running.pid, Signal::KILL);
                }
            }
            Life::Stopped { .. } => {}
        }
        if let Life::Stopped { again_at } = self.life
            && self.wanted
            && again_at.is_none_or(|again_at| now >= again_at)
        {
            self.start(now);
        }
    }

    fn forgive(&mut self, now: Instant) {
        let steady = |since: Instant| now.duration_since(since) >= FORGIVEN_AFTER;
        if self.ready_since.is_some_and(steady) {
            self.exits = 0;
        }
    }

    /// `exit` says how, where nobody asked for it.
    fn exited(&mut self, now: Instant, exit: Option<String>) {
        self.ready_since = None;
        let _ = std::fs::remove_file(self.folder.join(PID_FILE));
        let mut again_at = None;
        if let Some(exit) = exit {
            self.exits += 1;
            let pause = BACKOFF_MIN * 2_u32.pow(self.exits.min(10) - 1);
            let pause = pause.min(BACKOFF_MAX);
            again_at = Some(now + pause);
            self.message = format!("{exit}; starts again in {} ms", pause.as_millis());
            if self.message != self.last_exit {
                self.last_exit.clone_from(&self.message);
                self.events.push(self.message.clone());
            }
            if self.exits >= CRASH_LOOP_EXITS {
                self.failure = Some(Failure::CrashLooping);
            }
        } else {
            "stopped".clone_into(&mut self.message);
        }
        self.life = Life::Stopped { again_at };
    }

    fn start(&mut self, now: Instant) {
        if let Some(sentence) = self.port_in_use() {
            self.message = sentence;
            self.failure = Some(Failure::PortInUse);
            self.life = Life::Stopped {
                again_at: Some(now + PORT_RETRY),
            };
            return;
        }
        if self.failure == Some(Failure::PortInUse) {
            self.failure = None;
        }
        match self.spawn() {
            Ok(child) => {
                self.probe_at = now;
                if self.exits == 0 {
                    "starts".clone_into(&mut self.message);
                }
                self.life = Life::Running(Running {
                    pid: i32::try_from(child.id()).expect("process ids are positive and 32 bits"),
                    child: Some(child),
                    since: now,
                });
            }
            Err(sentence) => {
                self.exits += 1;
                self.message = sentence;
                self.failure = Some(Failure::CrashLooping);
                self.life = Life::Stopped {
                    again_at: Some(now + BACKOFF_MAX),
                };
            }
        }
    }

    fn spawn(&self) -> Result<Child, String> {
        let place =
            |what: &str, error: std::io::Error| format!("{what} cannot be written: {error}");
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| place(&self.folder.display().to_string(), error))?;
        self.write_settings()
            .map_err(|error| place(&self.file(SETTINGS_FILE), error))?;
        let log = self
            .open_log()
            .map_err(|error| place(&self.file(LOG_FILE), error))?;
        let copy = log
            .try_clone()
            .map_err(|error| place(&self.file(LOG_FILE), error))?;
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(self.folder.join(SETTINGS_FILE))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            // Ctrl-C in the terminal is for the operator alone, which stops brokers in order.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", self.binary.display()))?;
        std::fs::write(self.folder.join(PID_FILE), format!("{}\n", child.id()))
            .map_err(|error| place(&self.file(PID_FILE), error))?;
        Ok(child)
    }

    fn open_log(&self) -> std::io::Result<File> {
        let path = self.folder.join(LOG_FILE);
        if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            std::fs::rename(&path, self.folder.join("log.old"))?;
        }
        File::options().create(true).append(true).open(path)
    }

    fn write_settings(&self) -> std::io::Result<()> {
        let new = self.folder.join("broker.properties.new");
        let mut file = File::create(&new)?;
        file.write_all(render_settings(&self.settings).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(new, self.folder.join(SETTINGS_FILE))
    }

    fn port_in_use(&self) -> Option<String> {
        let addresses = ["listeners", "ottla.http.listener"];
        addresses
            .iter()
            .filter_map(|key| self.settings.get(*key))
            .flat_map(|list| list.split(','))
            .filter_map(|address| address.rsplit_once(':')?.1.parse().ok())
            .find_map(ports::in_use)
    }

    /// The process of the pid file, where it lives and is the broker of this folder.
    fn pid_of_ours(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.folder.join(PID_FILE)).ok()?;
        let pid: i32 = text.trim().parse().ok().filter(|pid| *pid > 1)?;
        let settings = self.folder.join(SETTINGS_FILE);
        let command = command_line(pid)?;
        let ours = command
            .iter()
            .any(|argument| Path::new(argument) == settings);
        (ours && is_alive(pid)).then_some(pid)
    }

    /// `host:port` of its pages for probes.
    pub fn http_address(&self) -> Option<&str> {
        self.settings.get("ottla.http.listener").map(String::as_str)
    }

    /// Asks `/readyz`, as often as its state calls for.
    pub async fn probe(&mut self, now: Instant) {
        if !matches!(self.life, Life::Running(_)) || now < self.probe_at {
            return;
        }
        let Some(address) = self.settings.get("ottla.http.listener") else {
            return;
        };
        let answer = tokio::time::timeout(PROBE_TIMEOUT, ask_ready(address)).await;
        match answer {
            Ok(Ok(())) => {
                if self.ready_since.is_none() {
                    self.ready_since = Some(now);
                    self.last_exit.clear();
                    self.events.push("serves".to_owned());
                }
                self.failure = None;
                "serves".clone_into(&mut self.message);
                self.probe_at = now + PROBE_READY;
            }
            Ok(Err(Unready::Says(reason))) => {
                self.ready_since = None;
                self.message = format!("is not ready: {reason}");
                self.probe_at = now + PROBE_UNREADY;
            }
            Ok(Err(Unready::Silent)) | Err(_) => {
                if self.ready_since.take().is_some() {
                    "does not answer".clone_into(&mut self.message);
                }
                self.probe_at = now + PROBE_UNREADY;
            }
        }
    }

    /// How it is.
    pub fn state(&self, now: Instant) -> BrokerState {
        let mut message = self.message.clone();
        if let Life::Running(running) = &self.life
            && self.ready_since.is_none()
        {
            let seconds = now.duration_since(running.since).as_secs();
            if seconds >= 5 {
                message = format!("{message} (for {seconds} s)");
            }
        }
        BrokerState {
            // its address is its own, and led by nobody
            settles: false,
            ready: self.ready_since.is_some(),
            runs: matches!(self.life, Life::Running(_)),
            message,
            failure: self.failure,
            running_with: self.settings.clone(),
            restart: None,
            is_stopped: !self.wanted && !self.is_running(),
            is_removed: false,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Running {
    /// How it ended, where it has: the beginning of a sentence.
    fn exit(&mut self, log: &Path) -> Option<String> {
        let Some(child) = &mut self.child else {
            return (!is_alive(self.pid)).then(|| "exited".to_owned());
        };
        match child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.signal(), status.code()) {
                (Some(signal), _) => format!("was killed by signal {signal}"),
                (None, Some(code)) => format!("exited with code {code}{}", last_words(log)),
                (None, None) => "exited".to_owned(),
            }),
            Err(error) => Some(format!("cannot be waited for: {error}")),
        }
    }
}
