//! Apache Kafka's own command-line tools, unmodified: classes in its jars.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Output, run};
use crate::cluster::secured;
use crate::process::bound_to_us;
use crate::setup;

const TIMEOUT: Duration = Duration::from_secs(180);

/// A tool with its arguments.
pub struct Tool {
    command: Command,
    input: String,
    timeout: Duration,
}

impl Tool {
    /// The tool of this class, such as `org.apache.kafka.tools.TopicCommand`; a name without dots
    /// is looked for in `org.apache.kafka.tools`.
    #[must_use]
    pub fn new(class: &str) -> Self {
        // short-lived: compiling well and collecting in parallel would cost more than they bring
        let flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256M"];
        Self::with_flags(class, &flags, &[])
    }

    /// A tool that runs for long, with the heap that Kafka's own script gives it.
    #[must_use]
    pub fn long_at(class: &str, bootstrap: &str) -> Self {
        Self::with_flags(class, &["-Xmx512M"], &[]).reaching(bootstrap)
    }

    /// A tool whose machine has these flags.
    #[must_use]
    pub fn flagged(class: &str, flags: &[&str]) -> Self {
        Self::with_flags(class, flags, &[])
    }

    /// A program of ours in this folder, which runs for long.
    #[must_use]
    pub fn long_in(class: &str, folder: &Path) -> Self {
        Self::with_flags(class, &["-Xmx512M"], &[folder.display().to_string()])
    }

    fn with_flags(class: &str, flags: &[&str], places: &[String]) -> Self {
        let mut command = java(flags, places);
        let whole = if class.contains('.') {
            ""
        } else {
            "org.apache.kafka.tools."
        };
        command.arg(format!("{whole}{class}"));
        Self {
            command,
            input: String::new(),
            timeout: TIMEOUT,
        }
    }

    /// A tool that is told `--bootstrap-server`.
    #[must_use]
    pub fn at(class: &str, bootstrap: &str) -> Self {
        Self::new(class).reaching(bootstrap)
    }

    /// Tells it where the brokers are, and how to log in where it has to.
    fn reaching(self, bootstrap: &str) -> Self {
        match secured::way(bootstrap) {
            None => self.args(&["--bootstrap-server", bootstrap]),
            Some(way) => self
                .args(&["--bootstrap-server", &way.bootstrap, "--command-config"])
                .args(&[&way.properties.display().to_string()]),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Adds arguments written as one line, separated by spaces.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.command.args(line.split_whitespace());
        self
    }

    /// What it reads from stdin.
    #[must_use]
    pub fn input(mut self, input: &str) -> Self {
        self.input = input.to_string();
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it, whatever its exit code.
    ///
    /// # Errors
    /// It cannot be started or does not end in time.
    pub fn output(self) -> Result<Output> {
        run(self.command, self.input.as_bytes(), self.timeout)
    }

    /// Runs it to a successful end.
    ///
    /// # Errors
    /// It exits with another code than 0.
    pub fn run(self) -> Result<Output> {
        self.output()?.success()
    }
}

/// Java with these flags, which finds Kafka's classes and before them what is in these places; the
/// class to run comes next.
#[must_use]
pub fn java(flags: &[&str], places: &[String]) -> Command {
    let mut command = bound_to_us(Path::new("java"));
    command.args(flags).args(class_path(places));
    command
}

/// The flags with which Java finds Kafka's classes, what is in these places, and its logging.
#[must_use]
pub fn class_path(places: &[String]) -> Vec<String> {
    let logging = setup::checkout().join("e2e/clients/log4j2.properties");
    let mut class_path = places.to_vec();
    class_path.push(format!("{}/*", setup::kafka_jars().display()));
    vec![
        format!("-Dlog4j2.configurationFile={}", logging.display()),
        "-cp".to_string(),
        class_path.join(":"),
    ]
}
