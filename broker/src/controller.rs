//! The metadata quorum: openraft drives records into `core::metadata`, every broker gets the image.
//!
//! Every node runs one openraft node: a voter where `controller.quorum.voters` names it, otherwise
//! a follower without a vote. The leader is the *active controller*: one task there decides
//! requests one batch after another, each batch becomes one entry, and a request is answered when
//! its entry is applied. Other brokers forward their requests over gRPC.
//!
//! # Layout, in reading order
//! - [`raft`]: openraft's types, on the wire and on disk
//! - [`log`], [`machine`]: the log, and the image that grows from it
//! - [`network`], [`service`]: calls to other nodes, and their calls here
//! - [`identity`]: that all of them are of one cluster
//! - [`formation`]: how a quorum begins, and how a node comes (back) to it
//! - [`submit`]: a request's way to the active controller, and its answer's way back
//! - [`active`]: the active controller's one task
//! - [`lifecycle`]: this broker's registration, lease and controlled shutdown
//! - [`suspects`]: brokers that seem to be gone, before the active controller says so

pub mod active;
pub mod formation;
pub mod identity;
pub mod lifecycle;
pub mod log;
pub mod machine;
pub mod network;
pub mod raft;
pub mod service;
pub mod submit;
pub mod suspects;
#[cfg(all(test, not(feature = "simulation")))]
mod tests;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ottla_core::image::MetadataImage;
use ottla_core::metadata::Metadata;
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use ottla_storage::Disk;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::active::{Active, Message};
use self::identity::Identity;
use self::log::LogStore;
use self::machine::{Machine, Published, State};
use self::network::Factory;
use self::raft::Raft;
pub use self::submit::{Ask, Error};
use self::suspects::Suspects;
use crate::config::Settings;
use crate::env::Env;
use crate::peer::{Peers, wire};

/// How long one attempt may take before the active controller is looked for again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before asking again where no active controller was found.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

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
    suspects: Suspects,
    image: watch::Receiver<Arc<MetadataImage>>,
    applied: watch::Receiver<u64>,
    /// Whether this node may vote: see [`formation`].
    may_vote: AtomicBool,
    /// Until when the lease stands, by the node's clock in milliseconds.
    lease_until_ms: AtomicI64,
    /// The epoch of this incarnation; −1 until registered.
    broker_epoch: AtomicI64,
}

/// What changes the metadata of this node, for who carries it out before others see it.
pub struct Publisher {
    published: mpsc::UnboundedReceiver<Published>,
    identity: Identity,
    suspects: Suspects,
    image: watch::Sender<Arc<MetadataImage>>,
    applied: watch::Sender<u64>,
}

/// What DescribeQuorum shows.
#[derive(Clone, Debug, Default)]
pub struct Quorum {
    /// The active controller, where one is known.
    pub leader: Option<NodeId>,
    /// Its epoch (Raft's term).
    pub leader_epoch: i32,
    /// What is committed.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<QuorumNode>,
    /// Brokers that follow without a vote.
    pub observers: Vec<QuorumNode>,
}

/// One node of the quorum.
#[derive(Clone, Debug)]
pub struct QuorumNode {
    /// The node.
    pub node_id: NodeId,
    /// The end of its log, -1 where unknown.
    pub log_end_offset: i64,
    /// When it was last heard of, in milliseconds since 1970; -1 where unknown.
    pub last_fetch_ms: i64,
    /// When it last had everything, in milliseconds since 1970; -1 where unknown.
    pub last_caught_up_ms: i64,
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
        metadata,
    } = components;
    let dir = settings.log_dirs[0].join("metadata");
    disk.create_dir_all(&dir)?;
    let log = LogStore::open(Arc::clone(&disk), &dir, inline)?;
    let (published_sender, published) = mpsc::unbounded_channel();
    let machine = Machine::open(disk, &dir, metadata, published_sender)?;
    let state = machine.state();
    let factory = Factory {
        peers: peers.clone(),
        identity: identity.clone(),
        voters: settings.controller_quorum_voters.clone(),
    };
    let node_id = u64::try_from(settings.node_id.0).expect("node ids are validated");
    let config = Arc::new(raft::config(&settings).map_err(io::Error::other)?);
    let raft = Raft::new(node_id, config, factory, log.clone(), machine).await;
    let raft = raft.map_err(io::Error::other)?;
    let may_vote = !log.is_empty();
    raft.runtime_config().elect(may_vote);
    let (messages, inbox) = mpsc::channel(QUEUE_REQUESTS_MAX);
    let (image_sender, image) = watch::channel(Arc::default());
    let (applied_sender, applied) = watch::channel(0);
    let suspects = Suspects::new();
    let shared = Arc::new(Shared {
        settings,
        env,
        peers,
        raft,
        log,
        state,
        messages,
        identity: identity.clone(),
        suspects: suspects.clone(),
        image,
        applied,
        may_vote: AtomicBool::new(may_vote),
        lease_until_ms: AtomicI64::new(i64::MIN),
        broker_epoch: AtomicI64::new(-1),
    });
    let handle = Handle { shared };
    tokio::spawn(Active::new(handle.clone()).run(inbox));
    tokio::spawn(identity::watch(handle.clone()));
    let publisher = Publisher {
        published,
        identity,
        suspects,
        image: image_sender,
        applied: applied_sender,
    };
    Ok((handle, publisher))
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
            let now = Instant::now();
            self.suspects
                .follow(&before, &published.image, changed, now);
        }
        self.image.send_replace(published.image);
        self.applied.send_replace(published.applied);
    }
}

impl Handle {
    /// This broker.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.settings.node_id
    }

    /// The newest metadata that this broker has applied.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.shared.image.borrow())
    }

    /// Wakes at every new image.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.shared.image.clone()
    }

    /// This incarnation's epoch, once it is registered.
    #[must_use]
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        let epoch = self.shared.broker_epoch.load(Ordering::Acquire);
        (epoch >= 0).then_some(BrokerEpoch(epoch))
    }

    /// Whether this broker's lease stands. Without it there may be other leaders by now: a leader
    /// then acknowledges nothing that they might not know of, and serves no reads.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        if self.shared.env.ignores_leases() {
            return true;
        }
        self.shared.env.now_ms() < self.shared.lease_until_ms.load(Ordering::Acquire)
    }

    /// Why this node takes no part in the quorum, where its metadata log failed or is another
    /// cluster's.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if let Some(sentence) = self.shared.identity.among_strangers() {
            return Some(sentence);
        }
        let metrics = self.shared.raft.metrics();
        let failed = metrics.borrow_watched().running_state.clone().err()?;
        Some(format!(
            "the metadata log failed: {failed}; mend the disk and start again"
        ))
    }

    /// The active controller, as far as this node knows.
    #[must_use]
    pub fn active(&self) -> Option<NodeId> {
        let leader = self.shared.raft.metrics().borrow_watched().current_leader;
        leader.map(|id| NodeId(id as i32))
    }

    /// Whether this node is the active controller.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.shared.raft.is_leader()
    }

    /// The index of the last entry of the metadata log that this broker has applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.shared.applied.borrow()
    }

    /// Where a node listens for peers: voters by the settings, others by their registration.
    #[must_use]
    pub fn peer_address(&self, node: NodeId) -> Option<String> {
        let voters = &self.shared.settings.controller_quorum_voters;
        if let Some(voter) = voters.iter().find(|voter| voter.node_id == node) {
            return Some(voter.address());
        }
        let image = self.image();
        let peer = &image.brokers.get(&node)?.peer;
        Some(format!("{}:{}", peer.host, peer.port))
    }

    /// The state of the quorum, as the active controller sees it.
    ///
    /// # Errors
    /// [`Error::NoController`].
    pub async fn quorum(&self) -> Result<Quorum, Error> {
        let described = match self.active().ok_or(Error::NoController)? {
            node if node == self.node_id() => self.describe(),
            node => {
                let address = self.peer_address(node).ok_or(Error::NoController)?;
                let mut client = self.shared.peers.client(node, &address);
                let call = client.describe(wire::DescribeRequest {});
                let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, call).await;
                let answer = answer.map_err(|_| Error::TimedOut)?;
                answer.map_err(|_| Error::NoController)?.into_inner()
            }
        };
        let node = |p: &wire::describe_response::Progress| QuorumNode {
            node_id: NodeId(p.node_id as i32),
            log_end_offset: p.log_end_offset,
            last_fetch_ms: p.last_fetch_ms,
            last_caught_up_ms: p.last_caught_up_ms,
        };
        let nodes = described.progress.iter();
        Ok(Quorum {
            leader: described.leader.map(|id| NodeId(id as i32)),
            leader_epoch: described.term as i32,
            high_watermark: described.committed as i64 + 1,
            voters: nodes.clone().filter(|p| p.voter).map(node).collect(),
            observers: nodes.filter(|p| !p.voter).map(node).collect(),
        })
    }

    /// The voters other than this node whose processes are there.
    async fn other_voters(&self) -> Vec<NodeId> {
        let voters = self.shared.settings.controller_quorum_voters.iter();
        let looks = voters
            .filter(|voter| voter.node_id != self.node_id())
            .map(|voter| async {
                let is_there = self.shared.peers.probe(&voter.address()).await;
                is_there.then_some(voter.node_id)
            });
        let found = futures_util::future::join_all(looks).await;
        found.into_iter().flatten().collect()
    }

    /// Whether the processes of so many voters are gone that the rest cannot have a controller.
    pub(crate) async fn is_majority_gone(&self) -> bool {
        let there = self.other_voters().await.len() + usize::from(self.shared.settings.is_voter());
        there <= self.shared.settings.controller_quorum_voters.len() / 2
    }

    /// Leaves the quorum in order: hands the leadership to another voter, then stops.
    pub async fn stop(&self) {
        let raft = &self.shared.raft;
        if raft.is_leader() {
            let me = u64::try_from(self.node_id().0).unwrap_or_default();
            // who is not there cannot take over; if it does not work out, the others elect
            if let Some(other) = self.other_voters().await.first() {
                let other = u64::try_from(other.0).unwrap_or_default();
                let _ = raft.trigger().transfer_leader(other).await;
                let wait = raft.wait(Some(self.shared.settings.election_timeout));
                let moved = |m: &openraft::RaftMetrics<raft::Types>| {
                    m.current_leader.is_some_and(|id| id != me)
                };
                let _ = wait.metrics(moved, "another leader").await;
            }
        }
        let _ = raft.shutdown().await;
    }
}
