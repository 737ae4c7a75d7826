//! The brokers' lives, as the active controller sees them: leases, fencing, and when it may decide.
//!
//! Leases live in memory only. Whoever begins to decide gives every unfenced broker a fresh one and
//! has a look whether its process is there at all. A lease ends by time, or with the process that
//! holds it:
//!
//! | what is seen | what follows |
//! |---|---|
//! | a beat | the lease of that incarnation begins anew |
//! | a connection with the broker breaks | [`Look`]s at its process |
//! | its address refuses, and this process closed its last connection from there | fenced |
//! | its address refuses, and that is all | nothing: a firewall does that, too |
//! | the lease has run out | fenced |
//!
//! A broker's lease is renewed, and a fenced broker is unfenced, only once it acts by metadata in
//! which it has lost what it lost: a broker that was cut off for a while and beats again would else
//! lead on, in the epochs of the past. Until then no reassignment removes a replica of it that is
//! in sync: its successor would commit what it does not know of, while its lease goes on.
//!
//! Invariants: every unfenced broker has a lease, whatever was asked for meanwhile; nobody is
//! fenced while a majority of the voters is out of reach.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_protocol::ids::{BrokerEpoch, NodeId};

use crate::image::delta::MetadataDelta;
use crate::image::record::Record;
use crate::image::{BrokerRegistration, MetadataImage};
use crate::metadata::FullDisks;
use crate::metadata::request::FenceBroker;
use crate::planted::{self, Planted};

/// When a broker that may be gone is looked at: after these waits, one after another. A process
/// that ends closes its connections before its listeners, some time apart.
const LOOK_WAITS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// How often a fencing that did not come about is asked for again.
const FENCE_INTERVAL: Duration = Duration::from_millis(100);

/// Bounds of the leases, and what else is due from time to time.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a lease lasts.
    pub session_timeout: Duration,
    /// How often preferred leaders are looked at, where that is wanted.
    pub rebalance_interval: Option<Duration>,
}

/// What a node knows of the metadata quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// The term that this node leads, where it leads.
    pub term_led: Option<u64>,
    /// How long ago a majority of the voters last accepted it as the leader.
    pub since_acked: Duration,
}

/// A node's part in the cluster's decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Another node decides, or nobody does.
    Follower,
    /// It leads, but a majority is out of reach: it must not decide. All leases end meanwhile.
    CutOff,
    /// It leads a new term, and must learn all that is committed before it calls
    /// [`Liveness::begin`].
    New(u64),
    /// It leads the same term as before, with a majority again: [`Liveness::begin`] is due.
    Back(u64),
    /// It decides.
    Active,
}

/// What is due by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Brokers whose leases have run out.
    pub fences: Vec<FenceBroker>,
    /// Whether preferred leaders are to be looked at.
    pub rebalances: bool,
}

/// A broker's lease.
#[derive(Clone, Copy, Debug)]
struct Lease {
    broker_epoch: BrokerEpoch,
    until: Duration,
}

/// The leases, and by which right this node keeps them.
#[derive(Clone, Debug)]
pub struct Liveness {
    settings: Settings,
    /// The term in which this node decides.
    term: Option<u64>,
    /// Whether a majority was out of reach in that term.
    was_cut_off: bool,
    leases: BTreeMap<NodeId, Lease>,
    /// The entry of the metadata log that was applied when the term began.
    begun_at: u64,
    /// The last entry since that took something from a broker: a leadership, or its lease.
    losses: BTreeMap<NodeId, u64>,
    /// Who has not said since to act by metadata that have it.
    unaware: BTreeSet<NodeId>,
    /// Whose disks have no room for records, by their last beats; and those of them that were asked
    /// to hand over and have not yet, with when they were first given no lease for that.
    full: BTreeMap<NodeId, Option<Duration>>,
    rebalance_at: Duration,
}

impl Liveness {
    /// A node that does not decide.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            term: None,
            was_cut_off: false,
            leases: BTreeMap::new(),
            begun_at: 0,
            losses: BTreeMap::new(),
            unaware: BTreeSet::new(),
            full: BTreeMap::new(),
            rebalance_at: Duration::ZERO,
        }
    }

    /// The term in which this node decides.
    pub fn term(&self) -> Option<u64> {
        self.term
    }

    /// This node's part as of now.
    pub fn observe(&mut self, quorum: Quorum) -> Part {
        let Some(term) = quorum.term_led else {
            self.forget();
            return Part::Follower;
        };
        if self.is_cut_off(quorum) {
            self.was_cut_off = true;
            return Part::CutOff;
        }
        match self.term {
            Some(known) if known == term && self.was_cut_off => Part::Back(term),
            Some(known) if known == term => Part::Active,
            _ => Part::New(term),
        }
    }

    /// What leads goes on leading without a majority, so leading alone is no right to decide.
    fn is_cut_off(&self, quorum: Quorum) -> bool {
        quorum.since_acked >= self.settings.session_timeout * 2 / 3
    }

    /// Whether it has decided in the term that it leads still, and may go on.
    pub fn decides(&self, quorum: Quorum) -> bool {
        self.term.is_some() && quorum.term_led == self.term && !self.is_cut_off(quorum)
    }

    /// Decides from now on, in this term, by the image as of entry `applied`: every unfenced broker
    /// gets a fresh lease and a look.
    pub fn begin(
        &mut self,
        now: Duration,
        term: u64,
        (image, applied): (&MetadataImage, u64),
    ) -> Vec<Look> {
        self.begun_at = applied;
        self.losses.clear();
        if self.term != Some(term) {
            self.rebalance_at = now + self.settings.rebalance_interval.unwrap_or_default();
        }
        self.term = Some(term);
        self.was_cut_off = false;
        self.leases.clear();
        self.full.clear();
        self.complete(now, image);
        let nodes: Vec<NodeId> = self.leases.keys().copied().collect();
        self.unaware = nodes.iter().copied().collect();
        nodes
            .into_iter()
            .filter_map(|node| self.look(node))
            .collect()
    }

    /// Gives a lease to each unfenced broker that has none of its epoch.
    fn complete(&mut self, now: Duration, image: &MetadataImage) {
        let until = now + self.settings.session_timeout;
        for broker in image.unfenced_brokers() {
            let broker_epoch = broker.broker_epoch;
            let known = self.leases.get(&broker.node_id);
            if known.is_none_or(|lease| lease.broker_epoch < broker_epoch) {
                self.leases.insert(
                    broker.node_id,
                    Lease {
                        broker_epoch,
                        until,
                    },
                );
            }
        }
    }

    /// A broker beats.
    pub fn beat(&mut self, now: Duration, node: NodeId, broker_epoch: BrokerEpoch) {
        let until = now + self.settings.session_timeout;
        let known = self.leases.get(&node);
        if known.is_none_or(|lease| lease.broker_epoch <= broker_epoch) {
            self.leases.insert(
                node,
                Lease {
                    broker_epoch,
                    until,
                },
            );
        }
    }

    /// A broker that beats says whether its disk has room for records. While it has none and is to
    /// hand over, it gets no lease: what is stuck on such a disk ends no hand-over, and another may
    /// lead without one only once none stands.
    pub fn disk(
        &mut self,
        now: Duration,
        (node, broker_epoch): (NodeId, BrokerEpoch),
        is_full: bool,
        image: &MetadataImage,
    ) {
        let known = self.leases.get(&node);
        if known.is_none_or(|lease| lease.broker_epoch != broker_epoch) {
            return;
        }
        if !is_full {
            self.full.remove(&node);
            return;
        }
        let hands_over = image.topics.values().any(|topic| {
            let mut partitions = topic.indexed();
            partitions.any(|(_, p)| p.leader == Some(node) && p.successor.is_some())
        });
        let since = self.full.entry(node).or_default();
        *since = hands_over.then(|| since.unwrap_or(now));
    }

    /// Whose disks have no room for records.
    pub fn full_disks(&self, now: Duration) -> FullDisks {
        let has_ended = |since: &Option<Duration>| {
            since.is_some_and(|since| now >= since + self.settings.session_timeout)
        };
        let ended = self.full.iter().filter(|(_, since)| has_ended(since));
        FullDisks {
            brokers: self.full.keys().copied().collect(),
            without_lease: ended.map(|(node, _)| *node).collect(),
        }
    }

    /// Records that changed the image `before` are committed as entry `index`.
    pub fn committed(&mut self, before: &MetadataImage, records: &[Record], index: u64) {
        // a leadership may have come and gone within the entry
        let mut image = before.clone();
        let mut ignored = MetadataDelta::default();
        for record in records {
            let loser = match record {
                Record::Broker(record) if record.fenced => Some(NodeId(record.node_id)),
                _ => record.replaced_leader(&image),
            };
            image.replay(record, &mut ignored);
            self.losses.extend(loser.map(|node| (node, index)));
            self.unaware.extend(loser);
        }
    }

    /// Who may not have heard yet of what it has lost.
    pub fn unaware(&self) -> &BTreeSet<NodeId> {
        &self.unaware
    }

    /// A broker acts by the metadata up to entry `applied`. Says whether it has heard with that of
    /// all that it has lost, and had not before.
    pub fn hears(&mut self, node: NodeId, applied: Option<u64>) -> bool {
        self.has_seen_losses(node, applied) && self.unaware.remove(&node)
    }

    /// Whether a broker that acts by the metadata up to entry `applied` knows of all that it has
    /// lost. One that does not say so is older than the question.
    pub fn has_seen_losses(&self, node: NodeId, applied: Option<u64>) -> bool {
        if planted::is(Planted::UnseenLosses) {
            return true;
        }
        let loss = self.losses.get(&node).copied().unwrap_or_default();
        applied.is_none_or(|applied| applied >= loss.max(self.begun_at))
    }

    /// How long a lease lasts for a broker, from its beat on; nothing where it is not renewed, nor
    /// where this node does not lead any more in the term that it began: nobody waits then.
    /// Another controller may have been elected right after a majority last accepted this one; it
    /// lets old leases run out before it fences anybody, so they are counted from then.
    pub fn lease(&self, quorum: Quorum, node: NodeId, applied: Option<u64>) -> Duration {
        let leads = self.term.is_some() && quorum.term_led == self.term;
        let is_withheld = self.full.get(&node).is_some_and(Option::is_some);
        if !leads || is_withheld || !self.has_seen_losses(node, applied) {
            return Duration::ZERO;
        }
        self.settings
            .session_timeout
            .saturating_sub(quorum.since_acked)
    }

    /// The look at a broker whose connection broke.
    pub fn look(&self, node_id: NodeId) -> Option<Look> {
        let broker_epoch = self.leases.get(&node_id)?.broker_epoch;
        Some(Look {
            node_id,
            broker_epoch,
            count: 0,
        })
    }

    /// This node is not sure any more of what is committed: the term begins anew for it.
    pub fn forget(&mut self) {
        self.term = None;
        self.leases.clear();
    }

    /// What is due by itself, given what is committed.
    pub fn due(&mut self, now: Duration, image: &MetadataImage) -> Due {
        self.complete(now, image);
        let mut due = Due::default();
        self.leases.retain(|&node_id, lease| {
            if lease.until > now {
                return true;
            }
            let broker_epoch = lease.broker_epoch;
            let stands = |b: &BrokerRegistration| !b.fenced && b.broker_epoch == broker_epoch;
            if !image.broker(node_id).is_some_and(|broker| stands(broker)) {
                return false;
            }
            // the lease goes once the fencing is committed
            lease.until = now + FENCE_INTERVAL;
            due.fences.push(FenceBroker {
                node_id,
                broker_epoch,
            });
            true
        });
        if let Some(interval) = self.settings.rebalance_interval
            && self.rebalance_at <= now
        {
            self.rebalance_at = now + interval;
            due.rebalances = true;
        }
        due
    }

    /// When the next lease runs out.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.leases.values().map(|lease| lease.until).min()
    }
}

/// What a look at a broker's address found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The address refuses connections.
    pub refuses: bool,
    /// This node's last connection with the broker was with that very address, and it was the
    /// broker's side that closed it: closed in order, not reset, as the system does it for a
    /// process that ends. It has not registered since: another process of it would be there.
    pub was_closed: bool,
}

/// Looks at a broker that may be gone, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    node_id: NodeId,
    broker_epoch: BrokerEpoch,
    count: usize,
}

impl Look {
    /// Which broker.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// How long to wait before the next look; none where it has been looked at enough, and its
    /// lease decides.
    pub fn next_wait(&mut self) -> Option<Duration> {
        let wait = LOOK_WAITS.get(self.count).copied();
        self.count += 1;
        wait
    }

    /// What is to be done about what was found. A refusal alone proves nothing: a firewall rejects,
    /// a Service has no endpoints for a moment, an address was given to somebody else.
    pub fn conclude(&self, sight: Sight) -> Option<FenceBroker> {
        let is_proven = sight.was_closed || planted::is(Planted::RefusalIsDeath);
        let is_gone = sight.refuses && is_proven;
        is_gone.then_some(FenceBroker {
            node_id: self.node_id,
            broker_epoch: self.broker_epoch,
        })
    }
}
