//! `ottla-operator run`: KafkaClusters and KafkaTopics of a Kubernetes cluster.
//!
//! One process at a time works, by a Lease; the others wait for it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::{Client, Config};
use ottla_telemetry::serve;
use tokio::net::TcpListener;
use tracing::{error, info};

use crate::cluster::reconcile::Reconciler;
use crate::condition::now;
use crate::metrics::Telemetry;
use crate::object::ObjectKey;
use crate::platform::kubernetes::addresses::{anywhere, api_server};
use crate::platform::kubernetes::{PodOptions, Pods};
use crate::secrets::Secrets;
use crate::session::Session;
use crate::world::kubernetes::{Kubernetes, lease};

/// Where the operator itself serves `/metrics`, `/livez` and `/readyz`.
const HTTP_PORT: u16 = 8080;
/// How long a connection to the API server may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the API server may take to answer, webhooks included, which have 10 s by default.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a watch may be silent: longer than the 290 s after which the API server ends it.
const WATCH_SILENCE_TIMEOUT: Duration = Duration::from_secs(300);

/// What `ottla-operator run` is given.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A namespace to look after, several times where there are several; by default all
    #[arg(long = "namespace")]
    pub namespaces: Vec<String>,
    /// The brokers' image where a KafkaCluster names none
    #[arg(long, default_value = concat!("ottla-broker:", env!("CARGO_PKG_VERSION")))]
    pub broker_image: String,
    /// Whether brokers get a NetworkPolicy: clients from anywhere, the rest from brokers only
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub broker_network_policy: bool,
    /// A namespace whose pods may fetch brokers' metrics by that NetworkPolicy, several times where
    /// there are several; by default all
    #[arg(long = "metrics-namespace")]
    pub metrics_namespaces: Vec<String>,
    /// The namespace of the Lease; by default the pod's own
    #[arg(long)]
    pub lease_namespace: Option<String>,
    /// The Lease by which one operator works at a time: those of one name are one
    #[arg(long, default_value = "ottla-operator")]
    pub lease_name: String,
    /// Where /metrics, /livez and /readyz are served; by default on port 8080 of all addresses
    #[arg(long)]
    pub http: Option<String>,
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
    let telemetry = Telemetry::default();
    let all = || format!("{}:{HTTP_PORT}", anywhere(api_server().as_deref()));
    let http = options.http.clone().unwrap_or_else(all);
    let listener = TcpListener::bind(&http).await;
    let listener = listener.with_context(|| format!("--http {http} cannot be had"))?;
    tokio::spawn(serve(listener, Arc::new(telemetry.clone())));
    let (client, watcher) = clients(Config::infer().await?)?;
    let lease = lease::Lease::new(
        client.clone(),
        options.lease_namespace.clone(),
        options.lease_name.clone(),
    );
    info!("waits for the lease {}", lease.name());
    let held_since = tokio::select! {
        held_since = lease.acquire() => held_since,
        () = signals.next() => return Ok(()),
    };
    info!("holds the lease {}", lease.name());
    telemetry.metrics.leader.set(1);
    let metrics = telemetry.metrics.clone();
    let world = Kubernetes::new(&client, &watcher, &options.namespaces, telemetry);
    let watched = world.watched.clone();
    let pods = PodOptions {
        image: options.broker_image,
        has_network_policy: options.broker_network_policy,
        metrics_namespaces: asking(options.metrics_namespaces, options.lease_namespace),
    };
    let secrets = Secrets::of(client.clone());
    let reconciler = move |key: &ObjectKey| {
        let pods = Pods::new(client.clone(), watched.clone(), key, pods.clone());
        Reconciler::new(pods, secrets.clone())
    };
    let mut session = Session::new(world, reconciler, metrics, now);
    tokio::select! {
        () = session.run() => {}
        () = lease.keep(held_since) => anyhow::bail!("the lease is lost; another process goes on"),
        () = signals.next() => {}
    }
    lease.release().await;
    Ok(())
}

/// One client for calls, each of which ends, and one for watches, which may be silent for long; a
/// list or a watch on a connection that is dead ends too. Neither tries again by itself: who calls
/// knows whether the call is still wanted, and says meanwhile what it waits for.
fn clients(mut config: Config) -> kube::Result<(Client, Client)> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    config.read_timeout = Some(WATCH_SILENCE_TIMEOUT);
    let watcher = Client::try_from(config.clone())?;
    config.read_timeout = Some(ANSWER_TIMEOUT);
    config.reset_reader_on_write = true;
    Ok((Client::try_from(config)?, watcher))
}

/// From which namespaces brokers are asked by HTTP, where that is not open to all: those that are
/// named, and that of the operator, which asks what a restart would harm before it has a broker go.
fn asking(mut named: Vec<String>, own: Option<String>) -> Vec<String> {
    if !named.is_empty() {
        named.extend(own.filter(|own| !named.contains(own)));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::asking;
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Pod;
    use kube::Config;
    use kube::api::{Api, ListParams};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    /// Takes whatever comes, and answers nothing.
    async fn silence(listener: TcpListener) {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            open.push(tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_waits_for_ever_for_an_api_server_that_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(silence(listener));
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let (client, watcher) = super::clients(config).unwrap();
        for (client, longest) in [
            (client, super::ANSWER_TIMEOUT),
            (watcher, super::WATCH_SILENCE_TIMEOUT),
        ] {
            let begun = Instant::now();
            let pods: Api<Pod> = Api::default_namespaced(client);
            let all = ListParams::default();
            let listed = pods.list(&all);
            let listed = tokio::time::timeout(2 * longest, listed).await;
            assert!(listed.is_ok_and(|answer| answer.is_err()));
            assert!(begun.elapsed() <= longest + Duration::from_secs(1));
        }
    }

    #[test]
    fn the_operator_asks_brokers_wherever_metrics_are_closed_to_others() {
        let own = || Some("ottla-system".to_owned());
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(asking(named(&[]), own()), named(&[]), "open to all");
        let both = named(&["monitoring", "ottla-system"]);
        assert_eq!(asking(named(&["monitoring"]), own()), both);
        assert_eq!(asking(both.clone(), own()), both);
    }
}
