//! Where the nodes of a cluster run: the seam between one reconcile and two platforms. What is said
//! of brokers here holds for dedicated controllers too: their ids tell them apart.
//!
//! A platform lays out where brokers live ([`Endpoints`]), keeps them running with the settings it
//! is given, and says how they are. It decides nothing: which broker is restarted when is not its
//! choice.
//!
//! Invariant: nothing here knows what a KafkaCluster says, only what of it was found to be valid.

pub mod kubernetes;
pub mod local;
mod pages;
#[cfg(test)]
pub mod paper;
mod probe;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::crd::cluster as crd;
use crate::crd::reach::{Advertised, ListenerType};
use crate::observed::RestartCheck;
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

/// Settings by Kafka's names, as a file holds them.
pub type Properties = BTreeMap<String, String>;

/// One listener that clients want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the spec.
    pub name: String,
    /// Its port in the spec.
    pub port: u16,
    /// Where it is reachable from.
    pub type_: ListenerType,
    /// What clients are told, where that is not what the platform assigns.
    pub advertised: Advertised,
    /// The port of the nodes for broker 0, where it is not assigned; each next broker has the next.
    pub first_node_port: Option<i32>,
    /// Whether it is for brokers and the operator, and for no client.
    pub is_for_brokers: bool,
}

impl From<&crd::Listener> for Listener {
    fn from(listener: &crd::Listener) -> Self {
        Self {
            name: listener.name.clone(),
            port: u16::try_from(listener.port).unwrap_or(u16::MAX),
            type_: listener.type_,
            advertised: listener.reach.advertised.clone(),
            first_node_port: listener.reach.service.node_ports.first_broker,
            is_for_brokers: false,
        }
    }
}

/// One listener for clients, as a platform lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEndpoint {
    /// The listener's name in the spec.
    pub name: String,
    /// `host:port` to listen on.
    pub bind: String,
    /// `host:port` that clients are told.
    pub advertised: String,
}

/// Where one broker lives, as its platform lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For clients, in the order of the spec.
    pub clients: Vec<ClientEndpoint>,
    /// `host:port` for peers to listen on.
    pub peer_bind: String,
    /// `host:port` that peers connect to.
    pub peer_advertised: String,
    /// `host:port` of `/metrics`, `/livez` and `/readyz`.
    pub http_bind: String,
    /// The data directory.
    pub log_dir: PathBuf,
    /// Where it finds its certificates.
    pub certificates: PathBuf,
    /// The zone the broker stands in.
    pub rack: Option<String>,
}

/// Why a broker does not come up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It exits again and again.
    CrashLooping,
    /// Somebody else listens on one of its ports.
    PortInUse,
    /// It cannot be placed on any node.
    Unschedulable,
    /// Its image cannot be had.
    ImagePull,
    /// Its volume cannot be had.
    Storage,
    /// The volume cannot grow.
    Growth,
    /// Kubernetes refuses to make its pod.
    Refused,
}

/// How a broker is, as its platform sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerState {
    /// Whether it serves: its `/readyz` says so.
    pub ready: bool,
    /// Whether it serves since a moment ago, so that what connects to it may yet be led elsewhere.
    pub settles: bool,
    /// Whether its process runs, and was not told to stop.
    pub runs: bool,
    /// What it does, or why it does not serve; one sentence without a full stop.
    pub message: String,
    /// Why it will not serve unless somebody acts, where that is so.
    pub failure: Option<Failure>,
    /// The settings that it runs with.
    pub running_with: Properties,
    /// Why it must be restarted though its settings are the same.
    pub restart: Option<String>,
    /// Whether it was stopped in order, by an earlier operator, and waits to be started.
    pub is_stopped: bool,
    /// Whether it was told to go for good, and is not gone yet.
    pub is_removed: bool,
}

/// The nodes of a cluster as they were observed.
#[derive(Clone, Copy, Debug)]
pub struct There<'a> {
    /// All of them.
    pub nodes: &'a BTreeMap<i32, BrokerState>,
    /// Those that are brokers.
    pub brokers: &'a BTreeMap<i32, BrokerState>,
}

/// Those of the nodes that are brokers.
#[must_use]
pub fn brokers(nodes: &BTreeMap<i32, BrokerState>) -> Cow<'_, BTreeMap<i32, BrokerState>> {
    if nodes.range(FIRST_CONTROLLER..).next().is_none() {
        return Cow::Borrowed(nodes);
    }
    let brokers = nodes.range(..FIRST_CONTROLLER);
    Cow::Owned(brokers.map(|(id, state)| (*id, state.clone())).collect())
}

/// How nodes that start would be others than those before, beside their settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remake {
    /// The ids of which nodes it is about.
    pub nodes: Range<i32>,
    /// What stands for all of it.
    pub fingerprint: String,
    /// What changes; a sentence without a full stop.
    pub what: String,
}

/// What becomes of `allowedFrom` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedFrom {
    /// It holds.
    Held,
    /// Nobody holds it: anybody may connect.
    Open,
    /// Whoever is on this machine may connect, and nobody else.
    ThisMachine,
}

/// Something that is not there at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYet {
    /// Whether it will not get better by itself.
    pub is_stuck: bool,
    /// What is missing, as one sentence.
    pub message: String,
}

/// The id of a volume that does not say what it is.
pub const UNREAD: &str = "?";

/// Where the data of a node are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What tells it from any that comes in its place. That of a folder is what it says itself, or
    /// [`UNREAD`], and behind an `@` its inode.
    pub id: String,
    /// Whether it is to go already, once nobody uses it.
    pub is_going: bool,
}

/// Whether a volume is the one that was noted. Where it is a folder, its place stands behind its
/// id, and for it where the id cannot be read.
#[must_use]
pub fn is_same_volume(noted: &str, has: &str) -> bool {
    let (id, place) = noted.split_once('@').unwrap_or((noted, ""));
    let (other, elsewhere) = has.split_once('@').unwrap_or((has, ""));
    match id == UNREAD || other == UNREAD {
        true => place == elsewhere,
        false => id == other,
    }
}

/// What a reconcile asks of the place where brokers run.
#[allow(
    async_fn_in_trait,
    reason = "each platform drives its reconciles in one task, so no future needs to be Send"
)]
pub trait Platform {
    /// How often a cluster is looked at while something is on its way.
    const BUSY_INTERVAL: Duration = Duration::from_millis(500);
    /// How often it is looked at while nothing is, though nothing is known to have changed.
    const QUIET_INTERVAL: Duration = Duration::from_secs(30);

    /// Whether the data of a node outlive its process without `spec.storage` too.
    const KEEPS_DATA: bool = false;

    /// Takes the spec that is carried out, before anything is laid out by it.
    fn follow(&mut self, _cluster: &ValidatedCluster) {}

    /// The settings with which brokers that exist would start again now.
    fn in_force(&self, states: &BTreeMap<i32, BrokerState>) -> BTreeMap<i32, Properties> {
        let states = states.iter();
        let settings = states.map(|(id, state)| (*id, state.running_with.clone()));
        settings.collect()
    }

    /// What the spec that is followed changes in nodes that start, beside their settings.
    fn remake(&self) -> Vec<Remake> {
        Vec::new()
    }

    /// Whether a broker runs that was made otherwise than those that start by the spec that is
    /// followed: from another image, say.
    fn has_older_brokers(&self) -> bool {
        false
    }

    /// The generation of the spec that brokers which start are made by; none where nobody knows.
    /// It outlives the operator.
    fn generation_in_force(&self) -> Option<i64> {
        None
    }

    /// Has brokers that start be as those before, whatever the spec says; or lets go of that.
    fn hold(&mut self, _is_held: bool) {}

    /// The version that brokers start with.
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// Where these nodes live: brokers, and dedicated controllers, which have no listener for
    /// clients.
    fn lay_out(&self, nodes: &BTreeSet<i32>, listeners: &[Listener]) -> BTreeMap<i32, Endpoints>;

    /// The hosts by which clients and brokers reach brokers, for their certificates: names, `*` for
    /// one part of a name, and addresses.
    fn hosts(&self) -> Vec<String> {
        vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
    }

    /// Listeners that have an address of their own for each of these brokers which somebody else
    /// assigns, and has not yet, with what is missing: a sentence.
    fn unassigned(
        &self,
        _listeners: &[crd::Listener],
        _brokers: Range<i32>,
    ) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The listeners with Services, Ingresses and routes of their own, as those are. While a
    /// restart waits they stay so.
    fn listeners_laid_out(&self) -> BTreeMap<String, crd::Listener> {
        BTreeMap::new()
    }

    /// What becomes of `allowedFrom` of listeners.
    fn allowed_from(&self) -> AllowedFrom {
        AllowedFrom::Held
    }

    /// Where clients connect first, by listener.
    fn bootstrap(&self, everywhere: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String>;

    /// Brings into being what brokers need before they start. `is_dynamic` is whether a running
    /// broker takes a change of a setting. Answers with what is not there though brokers can do
    /// without; says no, with the reasons, while brokers cannot be started or changed.
    async fn prepare(
        &mut self,
        desired: &BTreeMap<i32, Properties>,
        is_dynamic: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>>;

    /// What was asked for and is not there yet, one sentence each.
    fn pending(&self) -> Vec<String> {
        Vec::new()
    }

    /// The nodes of an earlier cluster of this name, of which data are there still. Asked where no
    /// broker exists.
    ///
    /// # Errors
    /// Why that is not known.
    async fn left_behind(&mut self) -> Result<BTreeSet<i32>, NotYet> {
        Ok(BTreeSet::new())
    }

    /// The nodes that exist, brokers and dedicated controllers, and how they are.
    async fn observe(&mut self) -> BTreeMap<i32, BrokerState>;

    /// Brings a broker into being that does not exist, or up again one that was stopped.
    async fn start(&mut self, broker: i32, settings: &Properties);

    /// Stops a broker in order and starts it with these settings. Returns at once; the broker is
    /// not ready until it has come back. Says so where it could not be stopped.
    async fn restart(&mut self, broker: i32, settings: &Properties) -> Result<(), NotYet>;

    /// The same for one that goes together with another, whose restart was not refused.
    async fn restart_beside(&mut self, broker: i32, settings: &Properties) -> Result<(), NotYet> {
        self.restart(broker, settings).await
    }

    /// Stops a broker in order and for good; its data stay where they are. Asked again until it
    /// exists no more. Nothing to do where [`Platform::prepare`] sees to it.
    async fn remove(&mut self, _broker: i32) {}

    /// What a broker says of a restart of another one, or of its own: what that would harm.
    ///
    /// # Errors
    /// Why it says nothing, as half a sentence.
    async fn restart_check(&mut self, _asked: i32, _of: i32) -> Result<RestartCheck, String> {
        Ok(RestartCheck::default())
    }

    /// The volume that a node has; none where it has none yet.
    ///
    /// # Errors
    /// Why that is not known.
    async fn volume(&mut self, _node: i32) -> Result<Option<Volume>, NotYet> {
        Ok(None)
    }

    /// Has a node give up this volume, for good and with what is on it, and come back with an empty
    /// one; without a volume, come back with one. Returns at once, and is asked again until
    /// [`Platform::volume`] is another. Says whether the volume goes with this call, which is told
    /// once, or that it could not be done.
    async fn replace(
        &mut self,
        _node: i32,
        _volume: Option<&Volume>,
        _settings: &Properties,
    ) -> Result<bool, NotYet> {
        Ok(false)
    }

    /// Keeps the settings for the broker's next start: it runs with them already.
    async fn keep(&mut self, broker: i32, settings: &Properties);

    /// What brokers did by themselves since this was last asked, one sentence each.
    fn take_events(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether something came of a step that nobody tells of and only the next step says.
    fn take_news(&mut self) -> bool {
        false
    }

    /// Stops all brokers in order, where they would not outlive the operator. `is_hurried` is asked
    /// again and again whether to kill instead.
    async fn stop(&mut self, _is_hurried: impl Fn() -> bool) {}

    /// Deletes the data of all brokers, which have been stopped.
    ///
    /// # Errors
    /// Those of the file system; what is left then can be deleted again.
    fn delete_data(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
