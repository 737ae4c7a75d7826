//! A node: builds every component, hands out the handles, runs until it is told to stop.
//!
//! The order of a start, and why: the listeners first (a port in use is told at once), then the
//! metadata quorum (the cluster's identity comes from it), then the data directory (which must be
//! of that cluster), then the partitions, then registration; clients are served from there on, and
//! the broker is ready when it is unfenced.

mod audit_topic;
mod certificates;
mod controllers;
mod hanging;
mod pages;
mod parts;
mod sockets;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ottla_core::metadata::Metadata;
use ottla_storage::disk::Lock;
use ottla_storage::{Disk, RealDisk, Store, snapshot_file};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use self::certificates::Certificates;
use self::parts::Parts;
use self::sockets::{Sockets, address_of, bootstrap_of, client_endpoints, peer_endpoint};
use crate::api::Context;
use crate::brokers::Brokers;
use crate::config::Settings;
use crate::controller::identity::Identity;
use crate::controller::lifecycle::{self, Life, Registration};
use crate::controller::service::{Service, TakesForwarded};
use crate::controller::{self, Components, Publisher, formation, presence};
use crate::defaults;
use crate::descriptors::Descriptors;
use crate::env::Env;
use crate::memory;
use crate::net::Net;
use crate::oauth::{self, Issuers};
use crate::peer::{self, Peers};
use crate::stream::Network;
use crate::threads;
use crate::tls;

/// How long connections may take to end once the node stops.
const CONNECTIONS_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a node looks whether its data directory failed.
const OFFLINE_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// How long the lock of a data directory is waited for: of a process that was killed the kernel
/// may still be closing the files.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the lock is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// Why a node cannot start or go on: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is not to be had.
    #[error("cannot listen on {address} for {name}: {error}; {mend}")]
    Listen {
        /// The listener.
        name: String,
        /// Its address.
        address: String,
        /// What the system says.
        error: io::Error,
        /// How to mend it.
        mend: &'static str,
    },
    /// The data directory is not to be used.
    #[error("cannot use the data directory {dir}: {error}; check its owner and mode, or log.dirs")]
    Directory {
        /// The directory.
        dir: String,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has the data directory.
    #[error("the data directory {dir} is in use by {holder}; stop it, or choose another log.dirs")]
    InUse {
        /// The directory.
        dir: String,
        /// Who has it.
        holder: String,
    },
    /// The data directory's content is not this broker's, or damaged.
    #[error(transparent)]
    Storage(#[from] ottla_storage::Error),
    /// The quorum's cluster is not the one that the settings name.
    #[error(
        "cluster.id is {wanted}, but the quorum that answers is cluster {found}; \
         correct cluster.id or controller.quorum.voters"
    )]
    Cluster {
        /// The setting.
        wanted: String,
        /// The quorum's.
        found: String,
    },
    /// A listener's certificates are not to be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The keys that tokens are signed by are not to be used.
    #[error(transparent)]
    Tokens(#[from] oauth::Error),
    /// The audit log cannot be begun.
    #[error(
        "cannot write the audit log {path}: {error}; \
         give a file in ottla.audit.log that may be written"
    )]
    Audit {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The audit log can have no such topic.
    #[error("ottla.audit.topic names no topic that clients may have: {0}; give another one")]
    AuditTopic(String),
    /// The metadata quorum does without this node.
    #[error("{0}")]
    Quorum(String),
}

/// What a node takes from its surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Clock and randomness.
    pub env: Env,
    /// Where its sockets are.
    pub network: Network,
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// Whether nothing may run in a thread of its own.
    pub inline: bool,
    /// After how many entries of the metadata log a snapshot is made.
    pub snapshot_entries: u64,
    /// How many connections of clients it may have.
    pub connections_max: usize,
    /// Bounds and sizes of its data directory.
    pub store: ottla_storage::Settings,
    /// How much memory the process may take; none where nothing limits it.
    pub memory_bytes_max: Option<u64>,
}

impl Surroundings {
    /// This machine.
    #[must_use]
    pub fn real() -> Self {
        let descriptors = Descriptors::raised();
        Self {
            env: Env::real(),
            network: Network::Tcp,
            disk: Arc::new(RealDisk),
            inline: false,
            snapshot_entries: defaults::SNAPSHOT_ENTRIES,
            connections_max: descriptors.connections,
            store: ottla_storage::Settings {
                files_open_max: descriptors.files,
                ..ottla_storage::Settings::default()
            },
            memory_bytes_max: memory::limit(),
        }
    }

    /// What the controller is made of.
    fn components(&self, settings: &Arc<Settings>, peers: Peers, identity: Identity) -> Components {
        Components {
            settings: Arc::clone(settings),
            env: self.env.clone(),
            peers,
            identity,
            disk: Arc::clone(&self.disk),
            inline: self.inline,
            snapshot_entries: self.snapshot_entries,
            metadata: Metadata::new(settings.statics.clone()),
        }
    }

    /// What clients have of it.
    fn net(&self, settings: &Settings) -> Arc<Net> {
        let bytes_max = self.queued_bytes_max(settings);
        Net::new(settings, self.connections_max, bytes_max)
    }

    /// What requests, and what answers, hold at most: what the settings say, and no more than an
    /// eighth of all there is.
    fn queued_bytes_max(&self, settings: &Settings) -> usize {
        let eighth = self.memory_bytes_max.map(|bytes| bytes / 8);
        let eighth = eighth.and_then(|bytes| usize::try_from(bytes).ok());
        settings.queued_bytes_max.min(eighth.unwrap_or(usize::MAX))
    }
}

/// A node that runs.
pub struct Node {
    context: Arc<Context>,
    /// None of a controller that is no broker.
    life: Option<Life>,
    net: Arc<Net>,
    /// Ends what serves clients.
    stop_clients: watch::Sender<bool>,
    /// Ends what serves peers and scrapers.
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<()>>,
    bootstrap: Vec<String>,
    disk: Arc<dyn Disk>,
    _lock: Box<dyn Lock>,
}

impl Node {
    /// Starts a node; it serves when this returns, and is ready when [`Self::ready`] says so.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn start(settings: Settings, around: Surroundings) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let lock = lock_directory(&settings, &*around.disk).await?;
        let identity = identify(&settings, &*around.disk)?;
        let certificates = Certificates::load(&settings, &around.env)?;
        let issuers = Issuers::load(&settings)?;
        let sockets = Sockets::bind(&settings, around.network).await?;
        let (stop, stopped) = watch::channel(false);
        let peers_name = settings.controller_listener_names.as_str();
        let peers = Peers::new(certificates.connector(around.network, Some(peers_name)));
        let links = peers.links.clone();
        let started = controller::start(around.components(&settings, peers, identity)).await;
        let (handle, mut publisher) = started.map_err(|error| directory_error(&settings, error))?;
        let forwarded: Arc<OnceLock<Box<dyn TakesForwarded>>> = Arc::default();
        let peer = peer_endpoint(&settings, sockets.peers.as_ref());
        let late_clients = controllers::LateClients::default();
        if let Some(listener) = sockets.peers {
            let service = Service::new(handle.clone(), Arc::clone(&forwarded));
            let tls = certificates.of(peers_name);
            let clients = late_clients.taken(&settings, around.network);
            let door = peer::Door::new(listener, tls, clients);
            threads::spawn(peer::serve(door, links, service, stopped.clone()));
        }
        threads::spawn(formation::run(handle.clone(), address_of(&peer)));
        let watching = tls::watch_files(certificates.all(), around.env.clone(), stopped.clone());
        threads::spawn(watching);
        let late = pages::LatePages::serve(sockets.http, handle.clone(), stopped.clone());
        let cluster_id = cluster_id(&settings, &handle, &mut publisher).await?;
        let between = settings.inter_broker_listener_name.as_deref();
        let connector = certificates.connector(around.network, between);
        let parts = Parts::open(&settings, &around, &handle, &cluster_id, &connector).await?;
        // this is the first and only time
        let _ = forwarded.set(Box::new(parts.replicas.clone()));
        let context = parts.context(&settings, &around.env, &handle, issuers)?;
        context.issuers.watch(&context.metrics, &stopped);
        context.quotas.follow(&handle.image());
        let listeners = client_endpoints(&settings, &sockets.clients);
        let bootstrap = bootstrap_of(&settings, &listeners, &peer);
        let registration = Registration {
            listeners,
            peer,
            storage_id: parts.storage_id,
            clean_shutdown: take_clean_mark(&settings, &*around.disk),
            features: lifecycle::features(),
        };
        let life = begin_life(&context, registration, parts.brokers, &stop);
        threads::spawn(publish(publisher, Arc::clone(&context), life.clone()));
        let net = around.net(&settings);
        late.tell(&context, life.as_ref(), &net, &certificates);
        let (stop_clients, clients_stopped) = watch::channel(false);
        late_clients.begin(&net, &context, &clients_stopped);
        let doors = certificates.doors(&context.settings, sockets.clients);
        let serve = |door| {
            let (net, context) = (Arc::clone(&net), Arc::clone(&context));
            threads::spawn(net.serve(door, context, clients_stopped.clone()))
        };
        let clients = doors.map(serve).collect();
        Ok(Self {
            context,
            life,
            net,
            stop_clients,
            stop,
            clients,
            bootstrap,
            disk: around.disk,
            _lock: lock,
        })
    }

    /// What API handlers work with.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Where clients reach it: `host:port` of each advertised listener; of a controller that is no
    /// broker, of that of controllers.
    #[must_use]
    pub fn bootstrap(&self) -> &[String] {
        &self.bootstrap
    }

    /// Waits until the broker is registered, unfenced and serving; of a controller that is no
    /// broker, until it follows the quorum.
    pub async fn ready(&self) {
        // the senders live as long as the node
        match &self.life {
            Some(life) => {
                let mut standing = life.standing();
                let _ = standing.wait_for(|standing| standing.is_unfenced).await;
            }
            None => {
                let mut presence = self.context.controller.presence();
                let _ = presence.wait_for(Result::is_ok).await;
            }
        }
    }

    /// Waits until the data directory or the metadata log fails, and says why. The process should
    /// end then: its broken connections tell the active controller at once, and its leaderships
    /// move.
    pub async fn failed(&self) -> String {
        loop {
            let failure = self.context.replicas.failure();
            if let Some(failure) = failure.or_else(|| self.context.controller.failure()) {
                return failure;
            }
            tokio::time::sleep(OFFLINE_CHECK_INTERVAL).await;
        }
    }

    /// Stops in order: leaderships move away, clients are let go, data is made durable.
    pub async fn stop(self) {
        let settings = &self.context.settings;
        if let Some(life) = self.life.filter(|_| settings.controlled_shutdown) {
            let patience = settings.controlled_shutdown_timeout;
            life.shut_down(&self.context.controller, patience).await;
        }
        // whoever waits for the other end is gone when the sends fail
        let _ = self.stop_clients.send(true);
        for client in self.clients {
            let _ = client.await;
        }
        self.context.replicas.take_no_more();
        let deadline = tokio::time::Instant::now() + CONNECTIONS_TIMEOUT;
        let is_waited_for = || self.net.open() > 0 || self.context.replicas.owes_outcomes();
        while is_waited_for() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.context.controller.stop().await;
        let _ = self.stop.send(true);
        match self.context.replicas.close() {
            Ok(()) => leave_clean_mark(&self.context.settings, &*self.disk),
            Err(error) => warn!("the data directory was not closed in order: {error}"),
        }
    }
}

/// Has the node registered as what it is; a controller that is no broker has no lease to keep.
fn begin_life(
    context: &Arc<Context>,
    registration: Registration,
    brokers: Brokers,
    stop: &watch::Sender<bool>,
) -> Option<Life> {
    let handle = context.controller.clone();
    if !context.settings.roles.broker {
        threads::spawn(presence::run(handle, registration.into()));
        return None;
    }
    let watch = hanging::watch(Arc::clone(context), brokers, stop.subscribe());
    threads::spawn(watch);
    Some(lifecycle::start(handle, registration))
}

/// Carries changes of the metadata to the partitions and the coordinator before others see them.
async fn publish(mut publisher: Publisher, context: Arc<Context>, life: Option<Life>) {
    let me = context.controller.node_id();
    while let Some(published) = publisher.next().await {
        let (image, delta) = (Arc::clone(&published.image), published.delta.clone());
        context.replicas.follow(image, delta).await;
        context
            .coordinator
            .apply(&published.image, &published.delta);
        if published.delta.client_quotas {
            context.quotas.follow(&published.image);
        }
        let epoch = published
            .image
            .brokers
            .get(&me)
            .map(|broker| broker.broker_epoch);
        publisher.done(published);
        if let (Some(epoch), Some(life)) = (epoch, &life) {
            life.set_applied(epoch);
        }
    }
}

/// Waits until the quorum tells which cluster this is, and checks that it is the right one.
async fn cluster_id(
    settings: &Settings,
    handle: &controller::Handle,
    publisher: &mut Publisher,
) -> Result<String, Error> {
    while handle.image().cluster_id.is_empty() {
        tokio::select! {
            published = publisher.next() => {
                let stopped = || Error::Quorum("the metadata quorum stopped on this node".into());
                publisher.done(published.ok_or_else(stopped)?);
            }
            () = tokio::time::sleep(OFFLINE_CHECK_INTERVAL) => {
                if let Some(failure) = handle.failure() {
                    return Err(Error::Quorum(failure));
                }
            }
        }
    }
    let found = handle.image().cluster_id.to_string();
    match &settings.cluster_id {
        Some(wanted) if *wanted != found => Err(Error::Cluster {
            wanted: wanted.clone(),
            found,
        }),
        _ => {
            info!("cluster {found}");
            Ok(found)
        }
    }
}

/// Where an orderly end leaves its mark.
fn clean_mark(settings: &Settings) -> PathBuf {
    settings.log_dirs[0].join("metadata").join("clean")
}

/// Whether the last process ended in order; the mark goes, so that it speaks of one process only.
fn take_clean_mark(settings: &Settings, disk: &dyn Disk) -> bool {
    let mark = clean_mark(settings);
    disk.exists(&mark)
        && disk.remove_file(&mark).is_ok()
        && mark.parent().is_some_and(|dir| disk.sync_dir(dir).is_ok())
}

fn leave_clean_mark(settings: &Settings, disk: &dyn Disk) {
    if let Err(error) = snapshot_file::write(disk, &clean_mark(settings), b"clean") {
        warn!("an orderly end could not be noted: {error}");
    }
}

/// Of which cluster the data directory is, where it is not new. It must be this node's before the
/// quorum takes up what is in it.
fn identify(settings: &Settings, disk: &dyn Disk) -> Result<Identity, Error> {
    let identity = Identity::default();
    let dir = &settings.log_dirs[0];
    let Some(stored) = Store::identify(disk, dir)? else {
        return Ok(identity);
    };
    if stored.node_id != settings.node_id {
        return Err(Error::Storage(ottla_storage::Error::Foreign {
            dir: dir.clone(),
            found: format!("node {}", stored.node_id),
            expected: format!("node {}", settings.node_id),
        }));
    }
    identity.learn(&stored.cluster_id);
    Ok(identity)
}

async fn lock_directory(settings: &Settings, disk: &dyn Disk) -> Result<Box<dyn Lock>, Error> {
    let dir = settings.log_dirs[0].join("metadata");
    let failed = |error| directory_error(settings, error);
    disk.create_dir_all(&dir).map_err(failed)?;
    let holder = format!("process {}", std::process::id());
    let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match disk.lock(&dir.join(".lock"), &holder).map_err(failed)? {
            Ok(lock) => return Ok(lock),
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOCK_INTERVAL).await;
            }
            Err(holder) => {
                let dir = settings.log_dirs[0].display().to_string();
                return Err(Error::InUse { dir, holder });
            }
        }
    }
}

fn directory_error(settings: &Settings, error: io::Error) -> Error {
    Error::Directory {
        dir: settings.log_dirs[0].display().to_string(),
        error,
    }
}
