//! A rebalance: from the first reason for it to the answers to all who joined; and what time does.

use ottla_protocol::error::ErrorCode;

use super::super::{GroupId, Response, Step};
use super::{Classic, MemberId, State};
use crate::shard::Now;

/// What ends the wait for members to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// The first members of an empty group: more are likely to come, so even if all that are known
    /// have joined, wait; and again when others came meanwhile, up to the rebalance timeout.
    Initial {
        /// When this wait is over.
        at_ms: u64,
        /// How long the wait may be lengthened by.
        left_ms: u64,
        /// Whether somebody came during this wait.
        has_new_member: bool,
    },
    /// A running group: those who have not joined by then are removed.
    Rebalance {
        /// When.
        at_ms: u64,
    },
}

impl JoinTimer {
    fn at_ms(self) -> u64 {
        match self {
            Self::Initial { at_ms, .. } | Self::Rebalance { at_ms } => at_ms,
        }
    }
}

impl Classic {
    /// Somebody came in the first wait of an empty group.
    pub(super) fn note_new_member(&mut self) {
        if let Some(JoinTimer::Initial { has_new_member, .. }) = &mut self.join_timer {
            *has_new_member = true;
        }
    }

    /// There is a reason to rebalance: begins, or goes on with the one that runs.
    pub(in crate::group) fn rebalance(&mut self, id: &GroupId, step: &mut Step<'_>) {
        match self.state {
            State::PreparingRebalance => {}
            State::Empty => return self.begin_first_rebalance(step),
            State::CompletingRebalance => {
                self.abandon_generation(step);
                self.begin_rebalance(step);
            }
            State::Stable => self.begin_rebalance(step),
        }
        self.complete_join_if_all_joined(id, step);
    }

    fn begin_first_rebalance(&mut self, step: &mut Step<'_>) {
        let delay_ms = self.initial_delay_ms(step);
        let timeout_ms = u64::try_from(self.rebalance_timeout_ms()).unwrap_or(0);
        let at_ms = step.now.monotonic_ms + delay_ms;
        self.join_timer = Some(JoinTimer::Initial {
            at_ms,
            left_ms: timeout_ms.saturating_sub(delay_ms),
            has_new_member: false,
        });
        self.arm(at_ms);
        self.transition(State::PreparingRebalance, step.now);
    }

    fn initial_delay_ms(&self, step: &Step<'_>) -> u64 {
        u64::try_from(step.settings.initial_rebalance_delay_ms).unwrap_or(0)
    }

    fn begin_rebalance(&mut self, step: &mut Step<'_>) {
        self.sync_deadline_ms = None;
        self.await_joins(step.now);
    }

    /// All members are to join again.
    pub(super) fn await_joins(&mut self, now: Now) {
        self.transition(State::PreparingRebalance, now);
        self.wait_for_joins(now);
    }

    fn wait_for_joins(&mut self, now: Now) {
        let at_ms = now.after(self.rebalance_timeout_ms());
        self.join_timer = Some(JoinTimer::Rebalance { at_ms });
        self.arm(at_ms);
    }

    /// The generation gets no assignments: those who wait for theirs join again.
    fn abandon_generation(&mut self, step: &mut Step<'_>) {
        let waiting: Vec<_> = self
            .members
            .iter_mut()
            .filter_map(|(member_id, member)| {
                member.sync.take().map(|token| (member_id.clone(), token))
            })
            .collect();
        for (member_id, token) in waiting {
            step.decision
                .reply(token, super::sync_error(ErrorCode::RebalanceInProgress));
            self.heard_from(&member_id, step.now);
        }
    }

    /// Ends the wait as soon as nobody is missing; the first wait of a group lasts its time.
    pub(super) fn complete_join_if_all_joined(&mut self, id: &GroupId, step: &mut Step<'_>) {
        let is_first = matches!(self.join_timer, Some(JoinTimer::Initial { .. }));
        if self.state == State::PreparingRebalance
            && self.joined_count == self.members.len()
            && self.pending.is_empty()
            && !is_first
        {
            self.complete_join(id, step);
        }
    }

    /// The next generation begins with those who joined.
    fn complete_join(&mut self, id: &GroupId, step: &mut Step<'_>) {
        let missing = self
            .members
            .iter()
            .filter(|(_, member)| member.join.is_none());
        let gone = missing.filter(|(_, member)| member.instance_id.is_none());
        for member_id in gone
            .map(|(member_id, _)| member_id.clone())
            .collect::<Vec<_>>()
        {
            self.remove_member(&member_id, step.decision);
        }
        if self.members.is_empty() {
            self.join_timer = None;
            return self.become_empty(id, step);
        }
        if !self.elect_leader() {
            // only static members, none of which joined: they stay until their sessions are over
            return self.wait_for_joins(step.now);
        }
        self.join_timer = None;
        self.generation += 1;
        self.protocol_name = self.select_protocol();
        self.transition(State::CompletingRebalance, step.now);
        self.answer_joins(step);
        let at_ms = step.now.after(self.rebalance_timeout_ms());
        self.sync_deadline_ms = Some(at_ms);
        self.arm(at_ms);
    }

    fn answer_joins(&mut self, step: &mut Step<'_>) {
        let member_ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
                member.owes_sync = true;
                if let Some(parked) = member.join.take() {
                    self.joined_count -= 1;
                    let response = self.joined(&member_id);
                    step.decision
                        .reply(parked.token, Response::JoinGroup(response));
                }
            }
            self.heard_from(&member_id, step.now);
        }
        assert_eq!(
            self.joined_count, 0,
            "a completed join leaves nobody parked"
        );
    }

    /// A leader that joined stays; else the first who joined takes over. False where nobody joined.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |member_id: &MemberId| {
            self.members
                .get(member_id)
                .is_some_and(|member| member.join.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let Some(member_id) = self.members.keys().find(|member_id| has_joined(member_id)) else {
            return false;
        };
        self.leader = Some(member_id.clone());
        true
    }

    fn become_empty(&mut self, id: &GroupId, step: &mut Step<'_>) {
        assert_eq!(self.joined_count, 0, "an empty group has no parked joins");
        self.generation += 1;
        self.protocol_name = None;
        self.leader = None;
        self.sync_deadline_ms = None;
        self.transition(State::Empty, step.now);
        self.write(id, step.decision);
    }

    /// Everything whose time came.
    pub(in crate::group) fn on_time(&mut self, id: &GroupId, step: &mut Step<'_>) {
        let now_ms = step.now.monotonic_ms;
        let pending_before = self.pending.len();
        self.pending.retain(|_, deadline_ms| *deadline_ms > now_ms);
        let is_over = |deadline_ms: Option<u64>| deadline_ms.is_some_and(|at| at <= now_ms);
        let sync_is_over = is_over(self.sync_deadline_ms);
        if sync_is_over {
            self.sync_deadline_ms = None;
        }
        let gone: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(_, member)| {
                is_over(member.deadline_ms()) || (sync_is_over && member.owes_sync)
            })
            .map(|(member_id, _)| member_id.clone())
            .collect();
        for member_id in &gone {
            self.remove_member(member_id, step.decision);
        }
        if !gone.is_empty() {
            self.rebalance(id, step);
        } else if self.pending.len() < pending_before {
            self.complete_join_if_all_joined(id, step);
        }
        self.join_timer_on_time(id, step);
        self.arm_again();
    }

    fn join_timer_on_time(&mut self, id: &GroupId, step: &mut Step<'_>) {
        let Some(timer) = self
            .join_timer
            .filter(|timer| timer.at_ms() <= step.now.monotonic_ms)
        else {
            return;
        };
        match timer {
            JoinTimer::Initial {
                left_ms,
                has_new_member: true,
                ..
            } if left_ms > 0 => {
                let delay_ms = self.initial_delay_ms(step);
                let at_ms = step.now.monotonic_ms + delay_ms.min(left_ms);
                let left_ms = left_ms.saturating_sub(delay_ms);
                let has_new_member = false;
                self.join_timer = Some(JoinTimer::Initial {
                    at_ms,
                    left_ms,
                    has_new_member,
                });
            }
            JoinTimer::Initial { .. } | JoinTimer::Rebalance { .. } => self.complete_join(id, step),
        }
    }

    /// Finds the earliest deadline left.
    fn arm_again(&mut self) {
        let sessions = self
            .members
            .values()
            .filter_map(|member| member.deadline_ms());
        let pending = self.pending.values().copied();
        let timers = self
            .join_timer
            .map(JoinTimer::at_ms)
            .into_iter()
            .chain(self.sync_deadline_ms);
        self.armed_ms = sessions.chain(pending).chain(timers).min();
    }
}
