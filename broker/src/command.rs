//! The command line: `ottla-broker --config FILE`, `ottla-broker dev`, and the pages of the docs.

#![allow(
    clippy::disallowed_methods,
    reason = "the process around a node, which no simulation runs"
)]

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use ottla_core::config::settings::EXIT_CODE_REFUSED;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::config::{self, Settings};
use crate::defaults;
use crate::metrics;
use crate::node::{Node, Surroundings};

/// What is logged where `OTTLA_LOG` does not say otherwise. openraft's front logs as an error that
/// it is asked while it stops, or while it does what another asked; who asks is told anyway.
const LOG_FILTER: &str = "warn,ottla_broker=info,openraft=error,openraft::raft=off";

/// The same for `dev`, where the log goes to the terminal.
const DEV_LOG_FILTER: &str = "warn,openraft=error,openraft::raft=off";

/// Every setting, from the table; a test keeps the page fresh.
const SETTINGS: &str = include_str!("../../docs/configuration.md");

/// How long a broker waits to be told its rack before it starts without.
const RACK_TIMEOUT: Duration = Duration::from_secs(30);
const RACK_POLL: Duration = Duration::from_millis(50);

/// A Kafka-compatible broker.
#[derive(Debug, Parser)]
#[command(name = "ottla-broker", version, arg_required_else_help = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Run a broker with the settings of this properties file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take broker.rack from this file, and wait for a while until it holds something: a pod learns
    /// its zone only after it was placed.
    #[arg(long, value_name = "FILE", requires = "config")]
    rack_file: Option<PathBuf>,
    /// Only say what is wrong with the settings, and exit with 78 if anything is.
    #[arg(long, requires = "config")]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one broker on 127.0.0.1, without any configuration.
    Dev(Dev),
    /// Print all settings, as docs/configuration.md has them.
    Settings,
    /// Print all metrics, as docs/metrics.md has them.
    Metrics,
}

#[derive(Debug, Args)]
struct Dev {
    /// The port for clients.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Where data is kept; without it, in a temporary directory that goes with the process.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs what the arguments say.
#[must_use]
pub fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = Arguments::parse();
    let outcome = match (arguments.config, arguments.command) {
        (Some(path), _) if arguments.check => match config::read(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        },
        (Some(path), _) => {
            config::read(&path)
                .map_err(anyhow::Error::from)
                .and_then(|mut settings| {
                    if let Some(path) = &arguments.rack_file {
                        settings.broker_rack = wait_for_rack(path);
                    }
                    run(settings, started, LOG_FILTER)
                })
        }
        (None, Some(Command::Dev(dev))) => run_dev(&dev, started),
        (None, Some(Command::Settings)) => print(SETTINGS),
        (None, Some(Command::Metrics)) => print(&metrics::docs()),
        (None, None) => Ok(()), // clap has shown the help
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // nothing is left to do where even stderr is closed
            let _ = writeln!(std::io::stderr(), "ottla-broker: {error:#}");
            if error.is::<config::Error>() {
                return ExitCode::from(EXIT_CODE_REFUSED);
            }
            ExitCode::FAILURE
        }
    }
}

/// The content of the file as soon as there is any; none if nobody writes it in time.
fn wait_for_rack(path: &Path) -> Option<String> {
    let deadline = Instant::now() + RACK_TIMEOUT;
    loop {
        let rack = std::fs::read_to_string(path).unwrap_or_default();
        let rack = rack.trim();
        if !rack.is_empty() {
            return Some(rack.to_owned());
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(RACK_POLL);
    }
}

fn print(page: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(page.as_bytes())?)
}

fn run_dev(dev: &Dev, started: Instant) -> anyhow::Result<()> {
    let temporary = std::env::temp_dir().join(format!("ottla-dev-{}", std::process::id()));
    let dir = dev.data_dir.as_ref().unwrap_or(&temporary);
    let outcome = run(Settings::dev(dir, dev.port)?, started, DEV_LOG_FILTER);
    if dev.data_dir.is_none() {
        // what is left over goes with the machine's temporary files
        let _ = std::fs::remove_dir_all(&temporary);
    }
    outcome
}

fn run(settings: Settings, started: Instant, log: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("OTTLA_LOG").unwrap_or_else(|_| EnvFilter::new(log));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = defaults::runtime(&settings)?;
    runtime.block_on(serve(settings, started))
}

/// Runs until SIGTERM or SIGINT; a second one does not wait for an orderly end.
async fn serve(settings: Settings, started: Instant) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut stop = std::pin::pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    let node = tokio::select! {
        node = Node::start(settings, Surroundings::real()) => node?,
        () = &mut stop => return Ok(()),
    };
    tokio::select! {
        () = node.ready() => {
            let bootstrap = node.bootstrap().join(",");
            let ms = started.elapsed().as_millis();
            let what = match node.context().settings.roles.broker {
                true => "servers",
                false => "controllers",
            };
            print(&format!("ready in {ms} ms, bootstrap.{what}={bootstrap}\n"))?;
        }
        failure = node.failed() => anyhow::bail!(failure),
        () = &mut stop => {
            node.stop().await;
            return Ok(());
        }
    }
    tokio::select! {
        () = &mut stop => {}
        failure = node.failed() => anyhow::bail!(failure),
    }
    info!("stopping");
    let mut again = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = node.stop() => {}
        _ = again.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}
