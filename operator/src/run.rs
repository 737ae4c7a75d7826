//! `ottla-operator run`: KafkaClusters and KafkaTopics of a Kubernetes cluster.
//!
//! ```text
//! watches ──objects──▶ session ──specs, pods──▶ a task per cluster ──▶ API server
//!                         ▲                         │  └─▶ a task for its topics ──▶ admin client
//!                         └──────── statuses ───────┘
//! writer  ◀──statuses, finalizers, events── session
//! ```
//! One process at a time works, by a Lease; the others wait for it.
//!
//! Invariant: an object that cannot be understood has a status that says so, and holds up no other.

mod brokers;
mod cache;
mod http;
mod lease;
mod session;
mod watches;
mod writer;

use std::process::ExitCode;

use kube::Client;
use tracing::{error, info};

/// What `ottla-operator run` is given.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The namespace to look after; by default all
    #[arg(long)]
    pub namespace: Option<String>,
    /// The brokers' image where a KafkaCluster names none
    #[arg(long, default_value = concat!("ottla-broker:", env!("CARGO_PKG_VERSION")))]
    pub broker_image: String,
    /// Whether brokers get a NetworkPolicy: clients from anywhere, the rest from brokers only
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub broker_network_policy: bool,
    /// The namespace of the Lease; by default the pod's own
    #[arg(long)]
    pub lease_namespace: Option<String>,
    /// Where /metrics, /livez and /readyz are served
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub http: String,
}

/// Runs until SIGTERM, or until another process holds the Lease.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("OTTLA_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,kube=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("no event loop can be had: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tasks = tokio::task::LocalSet::new();
    match tasks.block_on(&runtime, operate(options.clone())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn operate(options: Options) -> anyhow::Result<()> {
    let mut signals = crate::signals::Signals::listen();
    let page = http::Page::default();
    http::serve(&options.http, page.clone()).await?;
    let client = Client::try_default().await?;
    let lease = lease::Lease::new(client.clone(), options.lease_namespace.clone());
    info!("waits for the lease {}", lease.name());
    tokio::select! {
        () = lease.acquire() => {}
        () = signals.next() => return Ok(()),
    }
    info!("holds the lease {}", lease.name());
    let session = session::Session::new(client, &options, page);
    tokio::select! {
        () = session.run() => {}
        () = lease.keep() => anyhow::bail!("the lease is lost; another process goes on"),
        () = signals.next() => {}
    }
    lease.release().await;
    Ok(())
}
