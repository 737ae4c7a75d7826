//! Runs the tests, several at a time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::catalogue::Test;
use super::secure::Secure;
use super::{Outcome, Row};
use crate::client::{Output, run as run_command, tool};
use crate::process::bound_to_us;
use crate::setup;

/// Longer than any test takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(240);

/// Tests that take long; they go first, so that the last ones to finish are short.
const LONG: [&str; 13] = [
    "0126", "0089", "0102", "0113", "0038", "0044", "0056", "0091", "0118", "0033", "0030", "0050",
    "0069",
];

/// Tests all of whose parts are left out in quick mode, so that they would pass by doing nothing.
const NOTHING_IN_QUICK_MODE: [&str; 4] = ["0045", "0082", "0126", "0142"];

/// What a run needs to know.
pub struct Suite<'a> {
    /// The suite's `tests` folder.
    pub folder: PathBuf,
    /// A cluster that creates topics by itself.
    pub creating: Address,
    /// One that does not.
    pub without_auto_create: Address,
    /// How the tests log in, where they have to.
    pub secure: Option<&'a Secure>,
    /// Where configuration, shims and the output of each test go.
    pub scratch: PathBuf,
    /// How many run at a time.
    pub lanes: usize,
}

/// Where the brokers of a cluster are.
#[derive(Clone, Debug, Default)]
pub struct Address {
    /// For the tests.
    pub tests: String,
    /// The listener on which clients show a certificate, where there is one.
    pub mutual: String,
    /// The one on which they show tokens.
    pub tokens: String,
}

impl Suite<'_> {
    /// Runs all tests and gives a row for each, in their order.
    ///
    /// # Errors
    /// The shims cannot be written.
    pub fn run(&self, tests: &[Test]) -> Result<Vec<Row>> {
        self.write_shims()?;
        let mut groups = groups(tests);
        groups.sort_by_key(|group| {
            !LONG
                .iter()
                .any(|long| tests[group[0]].name.starts_with(long))
        });
        let queue = Mutex::new(VecDeque::from(groups));
        let rows: Vec<_> = tests.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.lanes {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().expect("no lane panics").pop_front();
                        let Some(group) = next else { return };
                        for (at, row) in self.rows(tests, &group) {
                            announce(&row);
                            *rows[at].lock().expect("no lane panics") = Some(row);
                        }
                    }
                });
            }
        });
        let rows = rows
            .into_iter()
            .map(|row| row.into_inner().expect("no lane panics"));
        Ok(rows.map(|row| row.expect("every test has a row")).collect())
    }

    /// Runs what failed beside others once more, one at a time: the suite measures times. The
    /// clusters must be new ones: some tests find the topics of a first try that failed.
    ///
    /// # Errors
    /// The shims cannot be written.
    pub fn again(&self, tests: &[Test], rows: &mut [Row]) -> Result<()> {
        self.write_shims()?;
        for group in groups(tests) {
            if group.iter().any(|&at| rows[at].has_failed()) {
                for (at, row) in self.rows(tests, &group) {
                    println!("alone: {}", row.name);
                    announce(&row);
                    rows[at] = row;
                }
            }
        }
        Ok(())
    }

    /// The rows of the tests that one process runs.
    fn rows(&self, tests: &[Test], group: &[usize]) -> Vec<(usize, Row)> {
        let started = Instant::now();
        let first = &tests[group[0]];
        let outcomes: Vec<Outcome> = match first.left_out {
            Some(reason) => vec![Outcome::Skipped(reason.to_string())],
            None => match self.output(first) {
                Ok(output) => group
                    .iter()
                    .map(|&at| verdict(&tests[at].name, &output))
                    .collect(),
                Err(error) => {
                    vec![Outcome::Failed(shorten(&error.to_string())); group.len()]
                }
            },
        };
        let seconds = started.elapsed().as_secs_f64();
        let row = |(at, outcome): (&usize, Outcome)| {
            (
                *at,
                Row {
                    name: tests[*at].label(),
                    outcome,
                    seconds,
                },
            )
        };
        group.iter().zip(outcomes).map(row).collect()
    }

    /// Runs the process that has this test; the suite tells its tests apart by number only.
    fn output(&self, test: &Test) -> Result<Output> {
        let label = test.label().replace(' ', "-");
        let (address, scenario) = if test.without_auto_create {
            (&self.without_auto_create, "noautocreate")
        } else {
            (&self.creating, "default")
        };
        let (bootstrap, login) = match self.secure {
            None => (&address.tests, String::new()),
            Some(secure) if test.is_by_certificate() => {
                (&address.mutual, secure.settings_by_certificate())
            }
            Some(secure) if test.is_by_token() => (&address.tokens, secure.settings_by_token()),
            Some(secure) => (&address.tests, secure.settings()),
        };
        let config = self.scratch.join(format!("{label}.conf"));
        // the suite's limits leave little for the JVMs that some tests start
        let content = format!("bootstrap.servers={bootstrap}\ntest.timeout.multiplier=3\n{login}");
        std::fs::write(&config, content)?;
        let mut command = bound_to_us(&self.folder.join("test-runner"));
        if !NOTHING_IN_QUICK_MODE
            .iter()
            .any(|start| test.name.starts_with(start))
        {
            command.arg("-Q");
        }
        command
            .args(["-p1", "-L", "-s", scenario])
            .current_dir(&self.folder)
            .env("TESTS", test.number())
            .env("RDKAFKA_TEST_CONF", &config)
            .env("LD_LIBRARY_PATH", "../src:../src-cpp")
            .env("TEST_KAFKA_VERSION", "4.2.0")
            .env("KAFKA_PATH", &self.scratch)
            .env("BROKERS", bootstrap)
            .env_remove("CI");
        if let Some(secure) = self.secure {
            command.envs(secure.environment());
        }
        if let Some(part) = test.part {
            command.env("SUBTESTS", part);
        }
        let output = run_command(command, b"", TIMEOUT);
        let said = output
            .as_ref()
            .map_or_else(ToString::to_string, Output::all);
        std::fs::write(self.scratch.join(format!("{label}.log")), said)?;
        output
    }

    /// Kafka's shell scripts, as the suite calls them.
    fn write_shims(&self) -> Result<()> {
        let bin = self.scratch.join("bin");
        std::fs::create_dir_all(&bin)?;
        let flags = tool::class_path(&[]).join("' '");
        // its Java clients are compiled and started with Kafka's jars
        std::os::unix::fs::symlink(setup::kafka_jars(), self.scratch.join("libs"))?;
        let text = format!(
            "#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
             -cp \"$CLASSPATH:{}/*\" \"$@\"\n",
            setup::kafka_jars().display()
        );
        write_executable(&bin.join("kafka-run-class.sh"), &text)?;
        let login = self.secure.map_or_else(String::new, |secure| {
            format!(" --command-config {}", secure.properties().display())
        });
        for (name, class) in [
            ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
            ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
            ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
        ] {
            let text = format!(
                "#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC '{flags}' {class} \
                 \"$@\"{login}\n"
            );
            write_executable(&bin.join(name), &text)?;
        }
        Ok(())
    }
}

/// Tests by process: those of one number and scenario are one, unless they are parts or left out.
fn groups(tests: &[Test]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, test) in tests.iter().enumerate() {
        let together = groups.iter_mut().find(|group| {
            let other = &tests[group[0]];
            let whole = test.part.is_none() && test.left_out.is_none() && other.left_out.is_none();
            whole
                && other.number() == test.number()
                && other.without_auto_create == test.without_auto_create
        });
        match together {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

fn write_executable(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// Reads the suite's own summary: `| 0012_produce_consume | PASSED | 3.2s | reason`.
fn verdict(name: &str, output: &Output) -> Outcome {
    let text = without_colours(&output.all());
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let summary = lines.find(|line| line.split('|').nth(1).is_some_and(|n| n.trim() == name));
    let Some(summary) = summary else {
        return Outcome::Failed(
            first_failure(&text).unwrap_or_else(|| {
                format!("it ended with code {} and left no summary", output.code)
            }),
        );
    };
    let fields: Vec<_> = summary.split('|').map(str::trim).collect();
    let why = shorten(&fields[4..].join(" "));
    match fields[2] {
        "PASSED" if output.code == 0 => Outcome::Passed,
        "SKIPPED" => Outcome::Skipped(why),
        state => Outcome::Failed(if why.is_empty() {
            state.to_string()
        } else {
            why
        }),
    }
}

/// The suite's own words: `### Test "…" failed at …: ###`, and what follows.
fn first_failure(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("### Test"));
    let place = lines
        .next()?
        .split(" failed at ")
        .nth(1)?
        .split(" at ")
        .next()?;
    Some(shorten(&format!(
        "{place} {}",
        lines.next().unwrap_or_default()
    )))
}

fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split("\x1b[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 160;
    text.chars()
        .filter(|c| !c.is_control())
        .take(CHARACTERS_MAX)
        .collect()
}

fn announce(row: &Row) {
    match &row.outcome {
        Outcome::Skipped(_) => {}
        Outcome::Passed => println!("passed  {:6.1} s  {}", row.seconds, row.name),
        Outcome::Failed(why) => println!("FAILED  {:6.1} s  {}: {why}", row.seconds, row.name),
    }
}

#[test]
fn summaries_are_read() {
    let said = |line: &str, code| Output {
        code,
        stdout: format!("|\x1b[32m 0012_produce_consume   | {line}\n"),
        stderr: String::new(),
    };
    let name = "0012_produce_consume";
    assert_eq!(
        verdict(name, &said("    PASSED |   3.200s \x1b[0m|", 0)),
        Outcome::Passed
    );
    let failed = verdict(name, &said("    FAILED |   3.2s | no leader", 1));
    assert_eq!(failed, Outcome::Failed("no leader".into()));
    let skipped = verdict(name, &said("   SKIPPED |   0.0s | too old", 0));
    assert_eq!(skipped, Outcome::Skipped("too old".into()));
    let crashed = said(
        "\n### Test \"x\" failed at a.c:1:f() at Sun: ###\nno offset",
        1,
    );
    assert_eq!(
        verdict("0013", &crashed),
        Outcome::Failed("a.c:1:f() no offset".into())
    );
}
