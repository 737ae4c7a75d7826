//! The metadata quorum: openraft drives records into `core::metadata`, every broker gets the image.
//!
//! Every node runs one openraft node: a voter, or a follower without a vote.
//! `controller.quorum.voters` names the first voters; from then on who votes stands in the log. The
//! leader is the *active controller*: one task there decides requests one batch after another, each
//! batch becomes one entry, and a request is answered when its entry is applied. Other brokers
//! forward their requests over gRPC.
//!
//! # Layout, in reading order
//! - [`raft`]: openraft's types, on the wire and on disk
//! - [`log`], [`machine`]: the log, and the image that grows from it
//! - [`network`], [`service`]: calls to other nodes, and their calls here
//! - [`identity`]: that all of them are of one cluster
//! - [`formation`]: how a quorum begins, and how a node comes (back) to it
//! - [`voters`]: who votes, and how that changes
//! - [`submit`]: a request's way to the active controller, and its answer's way back
//! - [`active`]: the active controller's one task
//! - [`handle`], [`quorum`]: what the rest of the broker asks of all this
//! - [`lifecycle`]: this broker's registration, lease and controlled shutdown
//! - [`presence`]: the same of a controller that is no broker
//! - [`suspects`]: brokers that seem to be gone, before the active controller says so

pub mod active;
pub mod formation;
mod handle;
pub mod identity;
pub mod lifecycle;
pub mod log;
pub mod machine;
pub mod network;
pub mod presence;
mod quorum;
pub mod raft;
pub mod service;
pub mod submit;
pub mod suspects;
#[cfg(all(test, not(feature = "simulation")))]
mod tests;
mod voters;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_core::image::MetadataImage;
use ottla_core::metadata::Metadata;
use ottla_core::returning_voter::{LastEntry, Standstill};
use ottla_core::suspects::Suspects;
use ottla_storage::Disk;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use self::active::{Active, Message};
use self::formation::{Abstention, NO_TERM};
use self::identity::Identity;
use self::log::LogStore;
use self::machine::{Machine, Published, Raft, State};
use self::network::{Factory, Moved};
pub use self::quorum::{Quorum, QuorumNode};
pub use self::submit::{Ask, Error};
pub use self::voters::Refused;
use crate::config::Settings;
use crate::defaults;
use crate::env::Env;
use crate::peer::Peers;
use crate::threads;

/// How long one attempt may take before the active controller is looked for again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before asking again where no active controller was found.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// A start waits for room on a full disk, looking so often.
const FULL_START_RETRY: Duration = Duration::from_secs(5);

/// How long one wait for a change lasts before it is begun anew.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Requests that wait for the active controller's task.
const QUEUE_REQUESTS_MAX: usize = 1024;

/// The way to the metadata and to the active controller. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle(node {})", self.shared.settings.node_id)
    }
}

struct Shared {
    settings: Arc<Settings>,
    env: Env,
    peers: Peers,
    raft: Raft,
    log: LogStore,
    state: Arc<Mutex<State>>,
    messages: mpsc::Sender<Message>,
    identity: Identity,
    moved: Moved,
    /// What this node believes of others.
    suspects: watch::Sender<Suspects>,
    image: watch::Receiver<Arc<MetadataImage>>,
    applied: watch::Receiver<u64>,
    /// Whether this node may vote: see [`formation`].
    may_vote: AtomicBool,
    /// Why this voter waits, where too few others can tell what it has forgotten.
    standstill: watch::Sender<Option<Standstill>>,
    /// Where the log ended, for who asks whether others follow.
    ends: Mutex<quorum::Ends>,
    /// How this node stands, where it is a controller and no broker.
    presence: watch::Sender<presence::Standing>,
    /// What whoever leads has to have that this node votes for while it may not vote.
    votes_from: watch::Sender<Option<LastEntry>>,
    /// The first term in which this node takes part, in [`formation`]'s words.
    first_term: AtomicU64,
    abstention: Abstention,
    /// Held while the voters change.
    changing_voters: Arc<tokio::sync::Mutex<()>>,
    /// Until when the lease stands, by the node's clock in milliseconds.
    lease_until_ms: AtomicI64,
    data_disk: DataDisk,
    /// The epoch of this incarnation; −1 until registered.
    broker_epoch: AtomicI64,
}

/// What ails the data directory's disk.
#[derive(Debug, Default)]
struct DataDisk {
    /// It hangs: this broker beats no more.
    is_stalled: AtomicBool,
    /// It has no room for records: the beats say so.
    is_full: AtomicBool,
}

/// What changes the metadata of this node, for who carries it out before others see it.
pub struct Publisher {
    published: mpsc::UnboundedReceiver<Published>,
    identity: Identity,
    env: Env,
    suspects: watch::Sender<Suspects>,
    image: watch::Sender<Arc<MetadataImage>>,
    applied: watch::Sender<u64>,
}

/// What a controller is made of.
pub struct Components {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Clock and randomness.
    pub env: Env,
    /// Connections to peers.
    pub peers: Peers,
    /// The cluster's id, where the data directory tells it.
    pub identity: Identity,
    /// Where the log and the snapshots are.
    pub disk: Arc<dyn Disk>,
    /// Whether to sync in the caller's task, as a simulation must.
    pub inline: bool,
    /// After how many entries of the log a snapshot is made.
    pub snapshot_entries: u64,
    /// The empty metadata machine, with this broker's static configs.
    pub metadata: Metadata,
}

/// Starts this node's part in the quorum.
///
/// # Errors
/// What the disk says of the log or the snapshot.
pub async fn start(components: Components) -> io::Result<(Handle, Publisher)> {
    let Components {
        settings,
        env,
        peers,
        identity,
        disk,
        inline,
        snapshot_entries,
        metadata,
    } = components;
    let dir = settings.log_dirs[0].join("metadata");
    disk.create_dir_all(&dir)?;
    let abstention = Abstention::new(Arc::clone(&disk), &dir, inline);
    let (log, may_vote) = open_log(&disk, &dir, inline, &abstention).await?;
    let (sender, published) = mpsc::unbounded_channel();
    let machine = Machine::open(disk, &dir, metadata, (sender, &peers.links), inline)?;
    let state = machine.state();
    let moved = Moved::default();
    let factory = Factory {
        peers: peers.clone(),
        identity: identity.clone(),
        voters: settings.controller_quorum_voters.clone(),
        moved: moved.clone(),
    };
    let raft = open_raft(&settings, snapshot_entries, factory, (log.clone(), machine)).await?;
    raft.runtime_config().elect(may_vote);
    let first_term = if may_vote { 0 } else { NO_TERM };
    let (messages, inbox) = mpsc::channel(QUEUE_REQUESTS_MAX);
    let (image_sender, image) = watch::channel(Arc::default());
    let (applied_sender, applied) = watch::channel(0);
    let suspects = watch::Sender::new(Suspects::default());
    let shared = Arc::new(Shared {
        settings,
        env: env.clone(),
        peers,
        raft,
        log,
        state,
        messages,
        identity: identity.clone(),
        moved,
        suspects: suspects.clone(),
        image,
        applied,
        may_vote: AtomicBool::new(may_vote),
        standstill: watch::Sender::default(),
        ends: Mutex::default(),
        presence: presence::begin(),
        votes_from: watch::Sender::default(),
        first_term: AtomicU64::new(first_term),
        abstention,
        changing_voters: Arc::default(),
        lease_until_ms: AtomicI64::new(i64::MIN),
        data_disk: DataDisk::default(),
        broker_epoch: AtomicI64::new(-1),
    });
    let handle = Handle { shared };
    threads::spawn(Active::new(handle.clone()).run(inbox));
    threads::spawn(identity::watch(handle.clone()));
    let publisher = Publisher {
        published,
        identity,
        env,
        suspects,
        image: image_sender,
        applied: applied_sender,
    };
    Ok((handle, publisher))
}

async fn open_raft(
    settings: &Settings,
    snapshot_entries: u64,
    factory: Factory,
    (log, machine): (LogStore, Machine),
) -> io::Result<Raft> {
    let node_id = u64::from(settings.node_id.0.unsigned_abs());
    let config = defaults::openraft(settings, snapshot_entries).map_err(io::Error::other)?;
    let raft = Raft::new(node_id, Arc::new(config), factory, log, machine).await;
    raft.map_err(io::Error::other)
}

/// Opens the log, once its disk is not full; says whether this node may vote by it.
async fn open_log(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    inline: bool,
    abstention: &Abstention,
) -> io::Result<(LogStore, bool)> {
    loop {
        let opened = LogStore::open(Arc::clone(disk), dir, inline).and_then(|log| {
            if log.is_empty() {
                abstention.begin()?;
            }
            Ok((log, !abstention.is_there()))
        });
        if !log::is_full(&opened) {
            return opened;
        }
        let dir = dir.display();
        warn!("this broker waits with its start: the disk of {dir} is full; free some space");
        tokio::time::sleep(FULL_START_RETRY).await;
    }
}

impl Publisher {
    /// The next image and what it changed, in the order of the log; several that wait come as one.
    pub async fn next(&mut self) -> Option<Published> {
        let mut next = self.published.recv().await?;
        while let Ok(later) = self.published.try_recv() {
            next.delta.merge(later.delta);
            next.image = later.image;
            next.applied = later.applied;
        }
        Some(next)
    }

    /// Lets everybody see it.
    pub fn done(&mut self, published: Published) {
        self.identity.learn(&published.image.cluster_id);
        let changed = &published.delta.brokers;
        if !changed.is_empty() {
            let before = self.image.borrow().clone();
            let now = self.env.now();
            self.suspects.send_if_modified(|suspects| {
                suspects.follow(&before, &published.image, changed, now);
                false // the image itself wakes who waits
            });
        }
        self.image.send_replace(published.image);
        self.applied.send_replace(published.applied);
    }
}
