//! What is lost with the coordinator: the members of each group and the round they are in, when to
//! look at them again, and the image.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::group_records::GroupMetadataValue;

use super::classic::Classic;
use super::consumer::sessions::Sessions;
use super::consumer::state::{Consumer, MemberId};
use super::deadlines::Deadlines;
use super::membership::Membership;
use super::{Decision, GroupId, Response, Step};
use crate::image::MetadataImage;
use crate::shard::{Now, Reply};

/// The soft state of a shard of groups. Invariant: a group that the log has a generation of is
/// here; one that is not here is empty, and was never anything else.
#[derive(Clone, Debug)]
pub struct Soft {
    members: BTreeMap<GroupId, Membership>,
    pub(super) deadlines: Deadlines,
    /// The newest one.
    pub(super) image: MetadataImage,
}

impl Soft {
    pub(super) fn new(image: MetadataImage) -> Self {
        Self {
            members: BTreeMap::new(),
            deadlines: Deadlines::default(),
            image,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many requests are parked: joins and syncs that wait for other members.
    #[must_use]
    pub fn parked_count(&self) -> usize {
        let members = self.members.values();
        members.map(|group| group.classic.parked_count()).sum()
    }

    pub(super) fn classic(&self, id: &str) -> Option<&Classic> {
        self.members.get(id).map(|group| &group.classic)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.members.keys()
    }

    /// Runs `found` on a group and sees to its deadlines; says whether the group is here.
    pub(super) fn with(
        &mut self,
        id: &str,
        step: &mut Step<'_>,
        found: impl FnOnce(&GroupId, &mut Classic, &mut Step<'_>),
    ) -> bool {
        let Some((id, _)) = self.members.get_key_value(id) else {
            return false;
        };
        let id = id.clone();
        self.with_new(&id, step, found);
        true
    }

    /// The same with a group that may be new.
    pub(super) fn with_new(
        &mut self,
        id: &GroupId,
        step: &mut Step<'_>,
        found: impl FnOnce(&GroupId, &mut Classic, &mut Step<'_>),
    ) {
        let group = self.members.entry(id.clone()).or_default();
        found(id, &mut group.classic, step);
        self.deadlines.schedule(id, group);
        self.drop_vestige(id);
    }

    /// Visits the groups whose deadline came; gives the members of the consumer protocol whose time
    /// is over.
    pub(super) fn on_time(&mut self, step: &mut Step<'_>) -> Vec<(GroupId, BTreeSet<MemberId>)> {
        let mut all_over = Vec::new();
        while let Some(id) = self.deadlines.pop(step.now) {
            if let Some(group) = self.members.get_mut(&id) {
                group.visit_at_ms = None;
                let over = group.sessions.over(step.now);
                self.with_new(&id, step, |id, classic, step| classic.on_time(id, step));
                if !over.is_empty() {
                    all_over.push((id, over));
                }
            }
        }
        all_over
    }

    /// Runs `found` on the sessions of a group, which may be new, and sees to its deadlines.
    pub(super) fn with_sessions<T>(
        &mut self,
        id: &GroupId,
        found: impl FnOnce(&mut Sessions) -> T,
    ) -> T {
        let group = self.members.entry(id.clone()).or_default();
        let result = found(&mut group.sessions);
        self.deadlines.schedule(id, group);
        self.drop_vestige(id);
        result
    }

    /// The members of the consumer protocol begin their sessions anew.
    pub(super) fn begin_sessions(&mut self, id: &GroupId, group: &Consumer, now: Now, ms: i32) {
        self.with_sessions(id, |sessions| *sessions = Sessions::begin(group, now, ms));
    }

    /// The group is one of the consumer protocol from now on: whoever waits in it joins again.
    pub(super) fn become_consumers(
        &mut self,
        id: &GroupId,
        sessions: Sessions,
        decision: &mut Decision,
    ) {
        if let Some(mut classic) = self.forget(id) {
            classic.send_away(ErrorCode::RebalanceInProgress, decision);
        }
        self.with_sessions(id, |known| *known = sessions);
    }

    /// The group is one of the classic protocol from now on.
    pub(super) fn become_classic(&mut self, id: &GroupId, classic: Classic) {
        self.forget(id);
        let group = self.members.entry(id.clone()).or_default();
        group.classic = classic;
        self.deadlines.schedule(id, group);
    }

    /// Forgets a group that a rejected or forgotten request created.
    fn drop_vestige(&mut self, id: &GroupId) {
        if self.members.get(id).is_some_and(Membership::is_vestige) {
            self.forget(id);
        }
    }

    /// A group is gone.
    pub(super) fn forget(&mut self, id: &GroupId) -> Option<Classic> {
        let group = self.members.remove(id)?;
        self.deadlines.forget(id, &group);
        Some(group.classic)
    }

    /// The group begins with what the log says of it; whoever waits there is sent away.
    pub(super) fn restart(
        &mut self,
        id: &GroupId,
        generation: Option<&GroupMetadataValue>,
        now: Now,
    ) -> Vec<Reply<Response>> {
        let mut decision = Decision::default();
        if let Some(mut classic) = self.forget(id) {
            classic.send_away(ErrorCode::CoordinatorNotAvailable, &mut decision);
        }
        if let Some(generation) = generation {
            let group = self.members.entry(id.clone()).or_default();
            group.classic = Classic::restore(generation.clone(), now);
            self.deadlines.schedule(id, group);
        }
        decision.replies
    }
}
