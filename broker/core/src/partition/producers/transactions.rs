//! The transactions of one partition: which are open, which have ended where not all in-sync
//! replicas know yet, and which were aborted.
//!
//! What a consumer may read that wants only what is committed ends at the first offset of the
//! oldest *unstable* transaction: one that is open, or whose marker is not below the high
//! watermark. Else a new leader, to which that marker has not come, would take back what this one
//! has shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_protocol::ids::{Offset, ProducerId};

use crate::planted::{self, Planted};

/// A transaction that has ended, with a marker that not all in-sync replicas have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreplicated {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
    /// Where the oldest transaction that was then open began, or what follows the marker: all
    /// aborted transactions that begin below have their markers here or before.
    pub last_stable_offset: Offset,
}

/// The transactions of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// The open ones, the oldest first.
    open: BTreeSet<(Offset, ProducerId)>,
    /// By their first offsets.
    unreplicated: BTreeMap<Offset, (Offset, ProducerId)>,
    /// In the order of their markers. As many as the log has markers of, so retention and
    /// compaction bound them: 32 bytes for each 140 of the log at the very worst.
    aborted: VecDeque<Aborted>,
}

impl Transactions {
    pub(super) fn begin(&mut self, start: Offset, producer: ProducerId) {
        self.open.insert((start, producer));
    }

    /// An open transaction is none.
    pub(super) fn forget(&mut self, start: Offset, producer: ProducerId) {
        self.open.remove(&(start, producer));
    }

    /// A marker has ended an open transaction.
    pub(super) fn end(
        &mut self,
        (producer_id, first_offset, marker): (ProducerId, Offset, Offset),
        is_aborted: bool,
    ) {
        self.open.remove(&(first_offset, producer_id));
        self.unreplicated
            .insert(first_offset, (marker, producer_id));
        if is_aborted {
            self.aborted.push_back(Aborted {
                producer_id,
                first_offset,
                last_offset: marker,
                last_stable_offset: self.first_open().unwrap_or(marker.plus(1)),
            });
        }
    }

    /// The newest marker is not in the log after all.
    pub(super) fn reopen(&mut self, producer: ProducerId, start: Offset, marker: Offset) {
        self.unreplicated.remove(&start);
        if self
            .aborted
            .back()
            .is_some_and(|last| last.last_offset == marker)
        {
            self.aborted.pop_back();
        }
        self.open.insert((start, producer));
    }

    pub(super) fn restore(&mut self, unreplicated: Vec<Unreplicated>, aborted: Vec<Aborted>) {
        let by_first = unreplicated
            .into_iter()
            .map(|ended| (ended.first_offset, (ended.last_offset, ended.producer_id)));
        self.unreplicated = by_first.collect();
        self.aborted = aborted.into();
    }

    pub(super) fn replicated(&mut self, high_watermark: Offset) {
        if !self.unreplicated.is_empty() {
            self.unreplicated
                .retain(|_, (marker, _)| *marker >= high_watermark);
        }
    }

    pub(super) fn truncate_from_start(&mut self, log_start_offset: Offset) {
        let gone = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < log_start_offset);
        self.aborted.drain(..gone);
    }

    /// Forgets what lies at or after `end`; the transactions that are open again by that.
    pub(super) fn truncate_from_end(&mut self, end: Offset) -> Vec<(ProducerId, Offset)> {
        let kept = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < end);
        self.aborted.truncate(kept);
        let mut reopened = Vec::new();
        self.unreplicated.retain(|first, (marker, id)| {
            if *marker >= end && *first < end {
                reopened.push((*id, *first));
            }
            *marker < end
        });
        self.open
            .extend(reopened.iter().map(|(id, first)| (*first, *id)));
        self.open.retain(|(start, _)| *start < end);
        reopened
    }

    pub(super) fn markers_removed(&mut self, offsets: &[Offset]) {
        let is_there = |aborted: &Aborted| offsets.binary_search(&aborted.last_offset).is_err();
        self.aborted.retain(is_there);
    }

    /// Whose transactions are open, the oldest first.
    pub(super) fn open_of(&self) -> impl Iterator<Item = ProducerId> {
        self.open.iter().map(|(_, producer)| *producer)
    }

    /// The first offset of the oldest open transaction.
    #[must_use]
    pub fn first_open(&self) -> Option<Offset> {
        self.open.first().map(|(start, _)| *start)
    }

    /// The first offset of the oldest transaction that is open, or that not all in-sync replicas
    /// know the end of.
    #[must_use]
    pub fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let mut ended = self.unreplicated.iter();
        let ended = ended.find(|(_, (marker, _))| *marker >= high_watermark);
        let ended = ended.map(|(first, _)| *first);
        let ended = ended.filter(|_| !planted::is(Planted::MarkerAtOnce));
        match (self.first_open(), ended) {
            (Some(open), Some(ended)) => Some(open.min(ended)),
            (open, ended) => open.or(ended),
        }
    }

    /// The aborted transactions of which there may be records at or after `from` and before
    /// `until`, in the order of their first offsets.
    #[must_use]
    pub fn aborted(&self, from: Offset, until: Offset) -> Vec<Aborted> {
        if planted::is(Planted::AbortedUntold) {
            return Vec::new();
        }
        let first = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < from);
        let mut found = Vec::new();
        for aborted in self.aborted.range(first..) {
            if aborted.first_offset < until {
                found.push(*aborted);
            }
            if aborted.last_stable_offset >= until {
                break; // whatever ended later began later
            }
        }
        found.sort_by_key(|aborted| aborted.first_offset);
        found
    }

    /// All aborted transactions that the log has markers of, in the order of these.
    #[must_use]
    pub fn all_aborted(&self) -> &VecDeque<Aborted> {
        &self.aborted
    }

    /// The transactions whose markers not all in-sync replicas have.
    pub fn unreplicated(&self) -> impl ExactSizeIterator<Item = Unreplicated> {
        let ended = self.unreplicated.iter();
        ended.map(|(first_offset, (last_offset, producer_id))| Unreplicated {
            producer_id: *producer_id,
            first_offset: *first_offset,
            last_offset: *last_offset,
        })
    }
}
