//! One partition's change: who leads, who is in sync, who is eligible.
//!
//! Every change of a partition goes through [`Change`]: the caller says what it wants of replicas
//! and ISR, and
//! [`Change::finish`] completes a reassignment that is done, elects where the leader cannot stay,
//! keeps the eligible leader replicas, and counts the epochs. So the invariants of
//! [`PartitionRegistration`] are kept in one place.
//!
//! Who may lead, the first that there is:
//! 1. a member of the ISR that is active, in the order of the replicas, those first whose disks
//!    have room for records. A leader whose disk has none goes for one that has: what it has not
//!    written yet can never be acknowledged, and no time limit would put it out, as it does
//!    followers. It is asked to hand over first, which loses nothing; where its last records are on
//!    no disk that comes to nothing, and once its lease has run out another leads without;
//! 2. an eligible leader replica (ELR): it left the ISR while the ISR was below min ISR. The leader
//!    advances no high watermark then, so the replica still holds all that is committed (KIP-966).
//!    At level 0 of `eligible.leader.replicas.version` nobody becomes one: the last member of an
//!    ISR stays in it instead, and is waited for;
//! 3. who led last, where ISR and ELR are empty because their data is in doubt, and either there is
//!    no other replica or the topic's records are durable in memory only, so that nobody has more;
//! 4. with `unclean.leader.election.enable`, or asked for by name, any active replica: acknowledged
//!    records may go.

use std::collections::BTreeSet;

use ottla_protocol::ids::{LeaderEpoch, NodeId, PartitionEpoch};

use crate::config::Durability;
use crate::image::{MetadataImage, PartitionRegistration};
use crate::metadata::FullDisks;
use crate::planted::{self, Planted};

/// What kind of election is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// Elect only where the leader cannot stay.
    Online,
    /// Make the first replica the leader, where it is in sync.
    Preferred,
    /// Elect where there is no leader, from any replica.
    Unclean,
}

/// What a topic's configs say about elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules<'a> {
    /// min.insync.replicas.
    pub min_insync_replicas: usize,
    /// The same once the reassignments under way are done.
    pub min_insync_replicas_after: usize,
    /// unclean.leader.election.enable.
    pub allows_unclean: bool,
    /// Whether who leaves an ISR may stay eligible: the level of eligible.leader.replicas.version.
    pub keeps_eligible: bool,
    /// When acknowledged records are durable.
    pub durability: Durability,
    /// Brokers that may still lead in epochs of the past.
    pub unaware: &'a BTreeSet<NodeId>,
    /// Brokers whose disks have no room for records.
    pub full: &'a FullDisks,
}

/// A partition about to change.
pub(super) struct Change<'a> {
    image: &'a MetadataImage,
    old: &'a PartitionRegistration,
    /// What the partition is to be; the caller sets replicas and ISR.
    pub new: PartitionRegistration,
    rules: Rules<'a>,
    leaving: Option<NodeId>,
    arriving: Option<NodeId>,
    lost: Option<NodeId>,
    begins_epoch: bool,
}

impl<'a> Change<'a> {
    pub(super) fn of(
        image: &'a MetadataImage,
        old: &'a PartitionRegistration,
        rules: Rules<'a>,
    ) -> Self {
        Self {
            image,
            old,
            new: old.clone(),
            rules,
            leaving: None,
            arriving: None,
            lost: None,
            begins_epoch: false,
        }
    }

    /// `node` is about to be no candidate, whatever the image says yet, and leaves the ISR.
    pub(super) fn leaving(mut self, node: NodeId) -> Self {
        self.leaving = Some(node);
        self.new.isr.retain(|n| *n != node);
        self
    }

    /// `node` is about to be a candidate, whatever the image says yet.
    pub(super) fn arriving(mut self, node: NodeId) -> Self {
        self.arriving = Some(node);
        self
    }

    /// `node` no longer holds what it held: it is neither in sync nor eligible.
    pub(super) fn lost(mut self, node: NodeId) -> Self {
        self.lost = Some(node);
        self.new.isr.retain(|n| *n != node);
        self
    }

    /// Whoever leads begins a new epoch: what it knows of its followers is void, and no fetch of
    /// before counts.
    pub(super) fn begins_epoch(mut self) -> Self {
        self.begins_epoch = true;
        self
    }

    fn is_active(&self, node: NodeId) -> bool {
        if self.leaving == Some(node) {
            return false;
        }
        self.arriving == Some(node) || self.image.is_active(node)
    }

    /// The partition after the change, or none where nothing changes.
    pub(super) fn finish(mut self, election: Election) -> Option<PartitionRegistration> {
        self.complete_reassignment();
        let unclean = self.elect(election);
        self.keep_last_in_sync();
        self.keep_eligible(unclean);
        self.keep_successor();
        if self.new == *self.old && !self.begins_epoch {
            return None;
        }
        let has_removed = |node: &NodeId| !self.new.replicas.contains(node);
        let bumps = self.new.leader != self.old.leader
            || unclean
            || self.begins_epoch
            || self.old.replicas.iter().any(has_removed);
        if bumps && !planted::is(Planted::EpochKept) {
            self.new.leader_epoch = LeaderEpoch(self.old.leader_epoch.0 + 1);
        }
        self.new.partition_epoch = PartitionEpoch(self.old.partition_epoch.0 + 1);
        self.check();
        Some(self.new)
    }

    /// A reassignment is done once every added replica is in sync, the ISR without the removed
    /// ones is neither empty nor, by our own act, below min ISR, and none of the removed leads.
    fn complete_reassignment(&mut self) {
        if !self.new.is_reassigning() {
            return;
        }
        let target = self.new.target_replicas();
        let isr = self.new.isr.iter().filter(|n| target.contains(n));
        let mut isr: Vec<NodeId> = isr.copied().collect();
        if planted::is(Planted::UnsyncedReassignment) {
            isr.clone_from(&target);
        }
        let least = self.rules.min_insync_replicas_after;
        let needed = least.min(target.len()).max(1);
        let mut added = target
            .iter()
            .filter(|n| self.new.adding_replicas.contains(n));
        let is_in_sync = isr.len() >= needed && added.all(|n| isr.contains(n));
        if is_in_sync && !self.waits_for_removed(&target) {
            self.new.replicas = target;
            self.new.isr = isr;
            self.new.adding_replicas.clear();
            self.new.removing_replicas.clear();
        }
    }

    /// Whether a replica that is removed may still lead, in an epoch of the past: as long as it is
    /// in sync, nothing is committed that it does not know of, and it serves no stale reads. Where
    /// it leads in this epoch, another one does from now on, as soon as there is one that may.
    fn waits_for_removed(&mut self, target: &[NodeId]) -> bool {
        if planted::is(Planted::LeaderRemoved) {
            return false;
        }
        let may_lead = |n: &NodeId| self.image.is_unfenced(*n) && self.leaving != Some(*n);
        let removed = |n: &NodeId| !target.contains(n) && self.new.isr.contains(n);
        let mut waited_for = self
            .new
            .replicas
            .iter()
            .filter(|n| removed(n) && may_lead(n));
        if waited_for.clone().any(|n| self.new.leader == Some(*n)) {
            let fits = |n: &&NodeId| self.new.isr.contains(n) && self.is_active(**n);
            let next = target.iter().find(fits).copied();
            self.new.leader = next.or(self.new.leader);
            return true;
        }
        waited_for.any(|n| self.rules.unaware.contains(n))
    }

    /// Chooses the leader; says whether acknowledged records may be gone with that.
    fn elect(&mut self, election: Election) -> bool {
        let in_sync = |c: &Self, n: NodeId| c.new.isr.contains(&n) && c.is_active(n);
        let preferred = self.new.replicas.first().copied();
        if let Some(node) = preferred
            && election == Election::Preferred
            && in_sync(self, node)
            && self.has_room(node)
        {
            match self.is_led() {
                true => self.new.successor = Some(node),
                false => self.new.leader = Some(node),
            }
            return false;
        }
        if self.is_led() {
            return false;
        }
        let replicas = self.new.replicas.clone();
        let first = |c: &Self, may: &dyn Fn(NodeId) -> bool| {
            let mut fit = replicas.iter().copied();
            fit.find(|n| may(*n) && c.is_active(*n))
        };
        let in_isr = |n| self.new.isr.contains(&n);
        let has_room = |n| in_isr(n) && self.has_room(n);
        if let Some(node) = first(self, &has_room).or_else(|| first(self, &in_isr)) {
            self.new.leader = Some(node);
            return false;
        }
        let eligible = |n| self.is_eligible(n);
        if let Some(node) = first(self, &eligible) {
            self.lead_alone(node);
            return false;
        }
        let last_known = |n| self.may_lead_as_last_known(n);
        if let Some(node) = first(self, &last_known) {
            self.lead_alone(node);
            return true;
        }
        let allowed = self.rules.allows_unclean
            || election == Election::Unclean
            || planted::is(Planted::UncleanElection);
        if let Some(node) = first(self, &|_| allowed) {
            self.lead_alone(node);
            return true;
        }
        self.new.leader = None;
        false
    }

    /// Whether the leader can stay. One on its way out stays until there is another: `leaving` is
    /// what forces it out.
    fn is_led(&self) -> bool {
        self.new.leader.is_some_and(|n| {
            let is_here = self.arriving == Some(n) || self.image.is_unfenced(n);
            let stays = is_here && self.leaving != Some(n) && !self.gives_way(n);
            self.new.isr.contains(&n) && stays
        })
    }

    fn has_room(&self, node: NodeId) -> bool {
        !self.rules.full.brokers.contains(&node)
    }

    /// The first in sync that could lead and has room for records.
    fn with_room(&self) -> Option<NodeId> {
        let fits = |n: &NodeId| self.has_room(*n) && self.is_active(*n);
        self.new.isr.iter().copied().find(fits)
    }

    /// Whether it leads, has no room for records, came to nothing with its hand-over, and another
    /// could lead that has room.
    fn gives_way(&self, node: NodeId) -> bool {
        self.old.leader == Some(node)
            && self.old.successor.is_some()
            && self.rules.full.without_lease.contains(&node)
            && self.with_room().is_some()
    }

    /// A leader without room for records is to hand over to who has some.
    pub(super) fn name_who_has_room(&mut self, node: NodeId) {
        if self.old.leader == Some(node) && self.old.successor.is_none() {
            self.new.successor = self.with_room();
        }
    }

    /// The leader hands over, if its successor may still lead.
    pub(super) fn hand_over(&mut self) {
        if let Some(node) = self.new.successor
            && self.new.isr.contains(&node)
            && self.is_active(node)
        {
            self.new.leader = Some(node);
        }
    }

    /// A successor is another than the leader, in sync and active; a new leader begins without one.
    fn keep_successor(&mut self) {
        let stays = |n: &NodeId| {
            self.new.leader == self.old.leader
                && self.new.leader.is_some_and(|leader| leader != *n)
                && self.new.isr.contains(n)
                && self.is_active(*n)
        };
        self.new.successor = self.new.successor.filter(stays);
    }

    fn lead_alone(&mut self, node: NodeId) {
        self.new.leader = Some(node);
        self.new.isr = vec![node];
    }

    /// Eligible already, or as of this change: it leaves an ISR that was at its minimum.
    fn is_eligible(&self, node: NodeId) -> bool {
        let held_all = self.old.elr.contains(&node) || self.old.isr.contains(&node);
        held_all && self.lost != Some(node) && self.new.replicas.contains(&node)
    }

    fn may_lead_as_last_known(&self, node: NodeId) -> bool {
        let is_sole = self.new.replicas == [node];
        let nobody_has_more = is_sole || self.rules.durability == Durability::Replicated;
        let others = self.old.elr.iter().chain(&self.new.isr);
        let has_better = others.into_iter().any(|n| self.lost != Some(*n));
        let was_last = self.old.leader == Some(node) || self.old.last_known_elr == [node];
        was_last && nobody_has_more && !has_better
    }

    /// Where nobody is kept as eligible, the last one in sync stays in the ISR when it goes: once
    /// it is back, it leads.
    fn keep_last_in_sync(&mut self) {
        let stays = |n: &NodeId| self.lost != Some(*n) && self.new.replicas.contains(n);
        let had = self.old.isr.iter().copied().filter(stays);
        if !self.rules.keeps_eligible && self.new.isr.is_empty() {
            self.new.isr = had.collect();
        }
    }

    fn keep_eligible(&mut self, unclean: bool) {
        // as leaders count, or one of them would commit what the eligible lack
        let settled = self.new.settled_replicas();
        let needed = self.rules.min_insync_replicas.min(settled);
        let is_enough = self.new.isr.len() >= needed && !planted::is(Planted::EligibleForGood);
        // who was kept while it was the rule still is all there is to choose from
        let is_over = !self.rules.keeps_eligible && !self.new.isr.is_empty();
        if unclean || is_enough || is_over {
            self.new.elr.clear();
        } else {
            let fit = |n: &NodeId| self.is_eligible(*n) && !self.new.isr.contains(n);
            let held_all = self.old.elr.iter().chain(&self.old.isr).copied();
            let mut elr: Vec<NodeId> = held_all.filter(fit).collect();
            elr.sort_unstable();
            elr.dedup();
            self.new.elr = elr;
        }
        match (self.new.leader, self.old.leader) {
            (Some(_), _) => self.new.last_known_elr.clear(),
            (None, Some(last)) => self.new.last_known_elr = vec![last],
            (None, None) => {}
        }
    }

    fn check(&self) {
        let new = &self.new;
        let known = |nodes: &[NodeId]| nodes.iter().all(|n| new.replicas.contains(n));
        assert!(known(&new.isr), "ISR within replicas");
        assert!(known(&new.elr), "ELR within replicas");
        let both = new.elr.iter().any(|n| new.isr.contains(n));
        assert!(!both, "ELR and ISR disjoint");
        let leads_in_sync = new.leader.is_none_or(|n| new.isr.contains(&n));
        assert!(leads_in_sync, "a leader is in its ISR");
        let is_other = new
            .successor
            .is_none_or(|n| new.isr.contains(&n) && new.leader != Some(n));
        assert!(is_other, "a successor is in the ISR and does not lead yet");
        assert!(!new.replicas.is_empty(), "a partition has replicas");
    }
}
