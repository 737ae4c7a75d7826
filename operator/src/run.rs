//! `ottla-operator run`: KafkaClusters and KafkaTopics of a Kubernetes cluster.
//!
//! One process at a time works, by a Lease; the others wait for it.

use std::process::ExitCode;

use kube::Client;
use tracing::{error, info};

use crate::cluster::build::pods::{CONFIG_MAP, DATA_DIR, DATA_VOLUME, RACK};
use crate::cluster::build::{Surroundings, build, metadata, services};
use crate::cluster::reconcile::Reconciler;
use crate::cluster::validate::ValidatedCluster;
use crate::crd::KafkaCluster;
use crate::object::ObjectKey;
use crate::platform::kubernetes::apply::dynamic;
use crate::platform::kubernetes::watched::Watched;
use crate::platform::kubernetes::{Blueprint, Names, Pods};
use crate::session::Session;
use crate::world::kubernetes::{Kubernetes, http, lease};

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
    let world = Kubernetes::new(&client, options.namespace.as_deref(), page);
    let watched = world.watched.clone();
    let reconciler = move |key: &ObjectKey| reconciler(&client, &watched, &options, key);
    let mut session = Session::new(world, reconciler);
    tokio::select! {
        () = session.run() => {}
        () = lease.keep() => anyhow::bail!("the lease is lost; another process goes on"),
        () = signals.next() => {}
    }
    lease.release().await;
    Ok(())
}

/// Begins to reconcile a cluster as pods.
fn reconciler(
    client: &Client,
    watched: &Watched,
    options: &Options,
    key: &ObjectKey,
) -> Reconciler<Pods> {
    let pods = Pods::new(
        client.clone(),
        watched.clone(),
        &key.namespace,
        &key.name,
        names(&key.name),
    );
    let image = options.broker_image.clone();
    let has_policy = options.broker_network_policy;
    Reconciler::new(pods).following(move |cluster, valid, pods| {
        pods.follow(blueprint(cluster, valid, &image, has_policy));
    })
}

/// The names that the builder gives to a cluster's objects.
fn names(cluster: &str) -> Names {
    Names {
        headless: services::headless(cluster),
        bootstrap: services::bootstrap(cluster),
        config_map_annotation: CONFIG_MAP,
        rack_annotation: RACK,
        volume: DATA_VOLUME,
        data_dir: DATA_DIR,
        external: services::external,
        external_bootstrap: services::external_bootstrap,
    }
}

fn blueprint(
    cluster: &KafkaCluster,
    valid: &ValidatedCluster,
    image: &str,
    has_network_policy: bool,
) -> Blueprint {
    let uid = cluster.metadata.uid.clone().unwrap_or_default();
    let config_map = k8s_openapi::api::core::v1::ConfigMap {
        metadata: metadata(valid, &uid, String::new()),
        ..Default::default()
    };
    let rack_key = valid.rack.as_ref().map(|rack| rack.topology_key.clone());
    let volume_size = valid.storage.as_ref().map(|storage| storage.size.clone());
    let valid = valid.clone();
    let image = image.to_owned();
    Blueprint {
        build: Box::new(move |existing| {
            let is_first = existing.config_map.is_empty();
            let around = Surroundings {
                uid: uid.clone(),
                image: image.clone(),
                volume_size: existing.volume_size,
                placed: existing.placed,
                config_map: existing.config_map,
            };
            let resources = build(&valid, &around);
            let services = resources.services.iter();
            let mut objects: Vec<_> = services.map(|s| dynamic("v1", "Service", s)).collect();
            let budget = &resources.disruption_budget;
            objects.push(dynamic("policy/v1", "PodDisruptionBudget", budget));
            if has_network_policy {
                let policy = &resources.network_policy;
                objects.push(dynamic("networking.k8s.io/v1", "NetworkPolicy", policy));
            }
            // Without settings there is nothing yet for pods to start with.
            if !is_first {
                let set = dynamic("apps/v1", "StatefulSet", &resources.stateful_set);
                objects.push(set);
            }
            objects
        }),
        config_map,
        volume_size,
        rack_key,
    }
}
