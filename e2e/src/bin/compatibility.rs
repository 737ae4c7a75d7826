//! `compatibility [--secure] [NAME …]`: runs librdkafka's test suite against three brokers and
//! writes its table into `docs/compatibility.md`; with `--secure` over TLS, as a user who has
//! logged in. With names (or beginnings of names) it runs those tests and writes nothing.
//! `OTTLA_SUITE_LANES` says how many tests run at a time.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use ottla_e2e::cluster::{Cluster, Server, Shape};
use ottla_e2e::setup;
use ottla_e2e::suite::catalogue::{self, Test};
use ottla_e2e::suite::run::{Address, Suite};
use ottla_e2e::suite::secure::{Secure, slow_ways};
use ottla_e2e::suite::{Outcome, Row, table};

/// A whole run with fewer than this has lost tests on the way: left out, or skipping themselves.
const PASSED_MIN: usize = 110;

fn main() -> Result<ExitCode> {
    let (options, names): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let is_secure = match options.as_slice() {
        [] => false,
        [option] if option == "--secure" => true,
        _ => bail!(
            "{} is not known; there is --secure alone",
            options.join(" ")
        ),
    };
    let folder = setup::provided("librdkafka")?.join("tests");
    let mut tests = catalogue::read(&folder, is_secure)?;
    let secure = is_secure.then(Secure::make).transpose()?;
    let secure = secure.as_ref();
    if !names.is_empty() {
        tests.retain(|test| {
            names
                .iter()
                .any(|name| test.label().starts_with(name.as_str()))
        });
    }
    let lanes = std::env::var("OTTLA_SUITE_LANES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4);

    let started = Instant::now();
    let first = Clusters::start(&tests, secure)?;
    let suite = first.suite(&folder, "suite-output", lanes)?;
    let mut rows = suite.run(&tests)?;
    drop(first);
    if lanes > 1 && rows.iter().any(Row::has_failed) {
        let second = Clusters::start(&tests, secure)?;
        let alone = second.suite(&folder, "suite-output-alone", 1)?;
        alone.again(&tests, &mut rows)?;
    }

    let count = |wanted: fn(&Outcome) -> bool| rows.iter().filter(|r| wanted(&r.outcome)).count();
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let failed = rows.iter().filter(|row| row.has_failed()).count();
    if names.is_empty() && Server::from_environment() == Server::Ottla {
        let page = setup::checkout().join("docs/compatibility.md");
        let before = std::fs::read_to_string(&page).unwrap_or_default();
        std::fs::write(page, table::page(&before, &rows, is_secure))?;
    }
    println!("output of each test: {}", suite.scratch.display());
    println!("librdkafka's suite took {} s", started.elapsed().as_secs());
    println!(
        "{passed} passed, {failed} failed, {} skipped",
        count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    );
    let is_whole = names.is_empty();
    Ok(if failed == 0 && (!is_whole || passed >= PASSED_MIN) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the tests run against.
struct Clusters<'a> {
    /// Creates topics by itself.
    creating: Cluster,
    /// Does not; there where a test wants it.
    plain: Option<Cluster>,
    secure: Option<&'a Secure>,
}

impl<'a> Clusters<'a> {
    fn start(tests: &[Test], secure: Option<&'a Secure>) -> Result<Self> {
        let shape = Shape::new("suite", 3)
            .with(
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            )
            .with("allow.everyone.if.no.acl.found", "true")
            // members that start a moment apart join together, as with Kafka's default of 3 s
            .with("group.initial.rebalance.delay.ms", "500");
        let plain = Shape::new("suite-plain", 3).with("auto.create.topics.enable", "false");
        let start = |shape: Shape| match secure {
            None => Cluster::start(shape),
            Some(secure) => {
                let cluster = Cluster::start(secure.shape(shape))?;
                secure.add_user(&cluster)?;
                Ok(cluster)
            }
        };
        let wants_plain = tests.iter().any(|test| test.without_auto_create);
        Ok(Clusters {
            creating: start(shape)?,
            plain: wants_plain.then(|| start(plain)).transpose()?,
            secure,
        })
    }

    fn suite(&self, folder: &Path, scratch: &str, lanes: usize) -> Result<Suite<'a>> {
        let address = |cluster: &Cluster| -> Result<Address> {
            Ok(match self.secure {
                None => Address {
                    tests: cluster.bootstrap(),
                    ..Address::default()
                },
                Some(_) => Address {
                    tests: cluster.bootstrap_of("USERS"),
                    mutual: slow_ways(&cluster.bootstrap_of("MUTUAL"))?,
                    tokens: cluster.bootstrap_of("TOKENS"),
                },
            })
        };
        let plain = self.plain.as_ref().map(address).transpose()?;
        Ok(Suite {
            folder: folder.to_path_buf(),
            creating: address(&self.creating)?,
            without_auto_create: plain.unwrap_or_default(),
            secure: self.secure,
            scratch: setup::scratch(scratch),
            lanes,
        })
    }
}
