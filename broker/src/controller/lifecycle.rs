//! This broker's life in the cluster: registration, the lease, controlled shutdown.
//!
//! One stream to the active controller carries beats one way and the broker's standing the other
//! way. The lease reaches from the *sending* of a beat that was answered, so it never ends later
//! here than at the controller. When the stream breaks the broker connects again at once; when the
//! process ends the stream breaks, and that is how the controller learns of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use futures_util::stream;
use ottla_core::image::record::{FeatureRangeRecord, FileConfigRecord};
use ottla_core::image::{Endpoint, MetadataImage};
use ottla_core::metadata::features::registered;
use ottla_core::metadata::request::RegisterBroker;
use ottla_core::planted::{self, Planted};
use ottla_protocol::ids::{BrokerEpoch, NodeId, Uuid};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::Handle;
use super::active::Message;
use crate::peer::wire;
use crate::threads;

/// How long to wait before connecting to the active controller again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(20);

/// How long a refused registration is left alone.
const REGISTER_INTERVAL: Duration = Duration::from_millis(200);

/// How often a stopping broker looks whether there is still a controller to wait for.
const ALONE_POLL: Duration = Duration::from_millis(30);

/// How often a stopping broker asks whether its leaderships have moved.
const HAND_OVER_POLL: Duration = Duration::from_millis(10);

/// How long a broker that leads nothing any more serves on: until the others know who leads now,
/// and clients have been told.
const LINGER: Duration = Duration::from_millis(100);

/// How long metadata may take to come to a broker that was told that it leads nothing any more.
const LEARN_TIMEOUT: Duration = Duration::from_secs(1);

/// So many looks in a row must find the majority gone: one of them may be restarting.
const ALONE_LOOKS: u32 = 3;

/// How the active controller sees this broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it has registered.
    pub is_registered: bool,
    /// Whether it may lead and be in sync.
    pub is_unfenced: bool,
    /// Whether it may stop.
    pub should_shut_down: bool,
}

/// What registration tells of this broker.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where clients reach it.
    pub listeners: Vec<Endpoint>,
    /// Where peers reach it.
    pub peer: Endpoint,
    /// The identity of its data directory.
    pub storage_id: Uuid,
    /// Whether its last incarnation ended in order.
    pub clean_shutdown: bool,
    /// Feature levels that this binary supports.
    pub features: Vec<FeatureRangeRecord>,
}

/// The way to this broker's life. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Life {
    applied_epoch: Arc<AtomicI64>,
    want_shut_down: Arc<AtomicBool>,
    beat_now: mpsc::Sender<()>,
    standing: watch::Receiver<Standing>,
}

impl Life {
    /// Says that the broker serves by metadata in which it has this epoch: it is ready once that
    /// is the epoch it registered with.
    pub fn set_applied(&self, epoch: BrokerEpoch) {
        if self.applied_epoch.swap(epoch.0, Ordering::AcqRel) == epoch.0 {
            return;
        }
        let _ = self.beat_now.try_send(()); // full: a beat is due anyway
    }

    /// How the active controller sees this broker.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Asks the active controller to move leaderships away, and waits until that is done; not
    /// longer than `timeout`, and not where there is no controller: the last brokers of a cluster
    /// that is being stopped have nobody left to ask.
    pub async fn shut_down(&self, handle: &Handle, timeout: Duration) {
        self.want_shut_down.store(true, Ordering::Release);
        let _ = self.beat_now.try_send(());
        let mut standing = self.standing.clone();
        let moved = async {
            // each beat tells how far it is
            while !standing.borrow_and_update().should_shut_down {
                tokio::time::sleep(HAND_OVER_POLL).await;
                let _ = self.beat_now.try_send(());
            }
        };
        let alone = async {
            let mut looks = 0;
            while handle.has_lease() && looks < ALONE_LOOKS {
                tokio::time::sleep(ALONE_POLL).await;
                looks = if handle.is_majority_gone().await {
                    looks + 1
                } else {
                    0
                };
            }
        };
        tokio::select! {
            () = moved => {
                // the controller knows before this broker does
                let (mut images, me) = (handle.subscribe(), handle.node_id());
                let known = images.wait_for(|image| !leads_what_others_could(image, me));
                let _ = tokio::time::timeout(LEARN_TIMEOUT, known).await;
                tokio::time::sleep(LINGER).await;
            }
            () = alone => info!("no controller is left to move leaderships away; stopping"),
            () = tokio::time::sleep(timeout) => {
                warn!("leaderships were not moved away within {timeout:?}; stopping anyway");
            }
        }
    }
}

/// Whether, by what `node` knows, it leads partitions that have another in-sync replica.
fn leads_what_others_could(image: &MetadataImage, node: NodeId) -> bool {
    let mut partitions = image
        .topics
        .values()
        .flat_map(|topic| topic.partitions.iter());
    partitions.any(|partition| partition.leader == Some(node) && partition.isr.len() > 1)
}

/// What this binary supports.
#[must_use]
pub fn features() -> Vec<FeatureRangeRecord> {
    let range = |(name, min, max): (&str, i16, i16)| FeatureRangeRecord {
        name: name.to_owned(),
        min,
        max,
    };
    registered().into_iter().map(range).collect()
}

/// How many beats go out in an interval while a lease is waited for.
const KEPT_WAITING_BEATS: u32 = 8;

/// The task's state.
struct Session {
    handle: Handle,
    registration: Registration,
    incarnation_id: Uuid,
    applied_epoch: Arc<AtomicI64>,
    want_shut_down: Arc<AtomicBool>,
    beat_now: mpsc::Receiver<()>,
    standing: watch::Sender<Standing>,
    number: u64,
    /// Whether the last answer gave no lease, though this broker is not fenced: it has not applied
    /// yet what a new active controller began with.
    is_kept_waiting: bool,
}

/// Starts the broker's life; it ends when the task's runtime does.
#[must_use]
pub fn start(handle: Handle, registration: Registration) -> Life {
    let (beat_sender, beat_now) = mpsc::channel(1);
    let (standing_sender, standing) = watch::channel(Standing::default());
    let applied_epoch = Arc::new(AtomicI64::new(-1));
    let want_shut_down = Arc::default();
    let session = Session {
        incarnation_id: handle.shared.env.random_uuid(),
        handle,
        registration,
        applied_epoch: Arc::clone(&applied_epoch),
        want_shut_down: Arc::clone(&want_shut_down),
        beat_now,
        standing: standing_sender,
        number: 0,
        is_kept_waiting: false,
    };
    threads::spawn(session.run());
    Life {
        applied_epoch,
        want_shut_down,
        beat_now: beat_sender,
        standing,
    }
}

impl Session {
    async fn run(mut self) {
        loop {
            self.register().await;
            while !self.serve().await {
                tokio::time::sleep(RECONNECT_INTERVAL).await;
            }
        }
    }

    /// Registers this incarnation, however long it takes.
    async fn register(&mut self) {
        let settings = &self.handle.shared.settings;
        loop {
            let request = RegisterBroker {
                node_id: self.handle.node_id(),
                cluster_id: self.handle.image().cluster_id.to_string(),
                incarnation_id: self.incarnation_id,
                storage_id: self.registration.storage_id,
                clean_shutdown: self.registration.clean_shutdown,
                listeners: self.registration.listeners.clone(),
                peer: self.registration.peer.clone(),
                rack: settings.broker_rack.clone(),
                features: self.registration.features.clone(),
                configs: Some(FileConfigRecord::of(&settings.statics)),
            };
            match self.handle.submit(request).await {
                Ok(Ok(epoch)) => {
                    info!("registered with broker epoch {epoch}");
                    self.handle
                        .shared
                        .broker_epoch
                        .store(epoch.0, Ordering::Release);
                    self.standing
                        .send_modify(|standing| standing.is_registered = true);
                    return;
                }
                Ok(Err(refusal)) => {
                    warn!("registration was refused: {}", refusal.message);
                }
                Err(error) => debug!("registration has to wait: {error}"),
            }
            tokio::time::sleep(REGISTER_INTERVAL).await;
        }
    }

    /// Beats to the active controller until the stream breaks; says whether to register again.
    async fn serve(&mut self) -> bool {
        self.wait_for_disk().await;
        match self.handle.active() {
            None => false,
            Some(node) if node == self.handle.node_id() => self.serve_here().await,
            Some(node) => {
                let Some(address) = self.handle.peer_address(node) else {
                    return false;
                };
                self.serve_there(node, &address).await
            }
        }
    }

    /// The active controller is this node's own task.
    async fn serve_here(&mut self) -> bool {
        loop {
            let sent_ms = self.handle.shared.env.now_ms();
            let (reply, answer) = oneshot::channel();
            let beat = self.beat();
            let message = Message::Beat { beat, reply };
            if self.handle.shared.messages.send(message).await.is_err() {
                return false;
            }
            let Ok(standing) = answer.await else {
                return false;
            };
            if self.take(&standing, sent_ms) {
                return true;
            }
            self.pause().await;
        }
    }

    async fn serve_there(&mut self, node: ottla_protocol::ids::NodeId, address: &str) -> bool {
        let timeout = self.handle.shared.settings.session_timeout;
        let mut client = self.handle.shared.peers.client(node, address);
        let (beats, outgoing) = mpsc::channel::<wire::Beat>(1);
        let outgoing = stream::unfold(outgoing, |mut outgoing| async {
            outgoing.recv().await.map(|beat| (beat, outgoing))
        });
        // the answer's headers come at once, the first beat is under way with them
        let mut sent_ms = self.handle.shared.env.now_ms();
        if beats.send(self.beat()).await.is_err() {
            return false;
        }
        let connecting = client.session(outgoing);
        let Ok(Ok(standings)) = tokio::time::timeout(timeout, connecting).await else {
            return false;
        };
        let mut standings = standings.into_inner();
        loop {
            let answer = tokio::time::timeout(timeout, standings.message()).await;
            let Ok(Ok(Some(standing))) = answer else {
                return false;
            };
            self.handle.trust(node);
            if standing.number == self.number && self.take(&standing, sent_ms) {
                return true;
            }
            // a break is noticed at once, not at the next beat
            tokio::select! {
                () = self.pause() => {}
                broken = standings.message() => {
                    debug!("the active controller ended the session: {broken:?}");
                    self.handle.suspect(node);
                    return false;
                }
            }
            sent_ms = self.handle.shared.env.now_ms();
            if beats.send(self.beat()).await.is_err() {
                return false;
            }
        }
    }

    fn beat(&mut self) -> wire::Beat {
        self.number += 1;
        let broker_epoch = self.handle.shared.broker_epoch.load(Ordering::Acquire);
        wire::Beat {
            node_id: self.handle.node_id().0 as u64,
            broker_epoch,
            number: self.number,
            ready: self.applied_epoch.load(Ordering::Acquire) == broker_epoch,
            want_shut_down: self.want_shut_down.load(Ordering::Acquire),
            applied: Some(self.handle.applied()),
            disk_full: self.handle.shared.data_disk.is_full.load(Ordering::Acquire),
        }
    }

    /// Takes in an answer to a beat sent at `sent_ms`; says whether to register again.
    fn take(&mut self, answer: &wire::Standing, sent_ms: i64) -> bool {
        if answer.unknown {
            warn!("the active controller does not know this broker; registering again");
            return true;
        }
        self.is_kept_waiting = answer.lease_ms == 0 && !answer.is_fenced;
        let lease_until_ms = &self.handle.shared.lease_until_ms;
        let until = if answer.is_fenced {
            i64::MIN
        } else {
            let sent_ms = match planted::is(Planted::LeaseFromAnswer) {
                true => self.handle.shared.env.now_ms(),
                false => sent_ms,
            };
            // a lease that is not renewed still lasts as long as it was given
            let known = lease_until_ms.load(Ordering::Acquire);
            known.max(sent_ms.saturating_add_unsigned(answer.lease_ms))
        };
        lease_until_ms.store(until, Ordering::Release);
        let standing = Standing {
            is_registered: true,
            is_unfenced: !answer.is_fenced,
            should_shut_down: answer.should_shut_down,
        };
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            *known = standing;
            changed
        });
        false
    }

    /// Waits until the next beat is due.
    async fn pause(&mut self) {
        let interval = self.handle.shared.settings.heartbeat_interval;
        // what is missing is here in a moment, and the last controller's lease may end before
        let interval = match self.is_kept_waiting {
            true => interval / KEPT_WAITING_BEATS,
            false => interval,
        };
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            Some(()) = self.beat_now.recv() => {} // none comes once the node stops
        }
        self.wait_for_disk().await;
    }

    /// While the disk hangs no beat goes out: the lease runs out, and others lead. Whoever stops
    /// does not wait for it.
    async fn wait_for_disk(&self) {
        let interval = self.handle.shared.settings.heartbeat_interval;
        let disk = &self.handle.shared.data_disk;
        let is_stalled = || disk.is_stalled.load(Ordering::Acquire);
        while is_stalled() && !self.want_shut_down.load(Ordering::Acquire) {
            tokio::time::sleep(interval).await;
        }
    }
}
