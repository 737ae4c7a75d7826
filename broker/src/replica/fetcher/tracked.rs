//! The partitions of one loop, and the fetch session that they are in.
//!
//! A session has the positions that its requests have named, up to the request in question. So an
//! answer is read by what the request said that it answers, however many went out since.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_core::partition::FetchPosition;
use ottla_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, TopicIdPartition, Uuid};
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState,
};
use tokio::time::Instant;

use super::super::partition::Replica;
use crate::config::Settings;

/// The pause before a partition that was refused is asked for again, at first and at most.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) fetch_offset: Offset,
    last_fetched_epoch: Option<LeaderEpoch>,
    log_start_offset: Offset,
}

impl From<FetchPosition> for Sent {
    fn from(position: FetchPosition) -> Self {
        Self {
            leader_epoch: position.leader_epoch,
            fetch_offset: position.fetch_offset,
            last_fetched_epoch: position.last_fetched_epoch,
            log_start_offset: position.log_start_offset,
        }
    }
}

#[derive(Debug)]
struct Tracked {
    replica: Arc<Replica>,
    /// As the session has it after all requests that went out; `None` where it does not.
    sent: Option<Sent>,
    /// As the session had it after the request whose answer came last.
    answered: Option<Sent>,
    retry_pause: Duration,
    retry_at: Option<Instant>,
}

/// What a request that waits for its answer has changed in the session.
#[derive(Debug)]
struct Asked {
    /// Which session, of those of this loop.
    session: u64,
    at: Instant,
    changes: Vec<(TopicIdPartition, Option<Sent>)>,
}

/// What became of one partition's part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It may be asked for again at once.
    GoesOn,
    /// What came is not on disk yet, or the log is being cut: the end of that says when to go on.
    Waits,
    /// It is asked for again later.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Partitions {
    tracked: HashMap<TopicIdPartition, Tracked>,
    /// Requests without an answer, oldest first: answers come in the order of requests.
    asked: VecDeque<Asked>,
    /// Who waits for a commit or a truncation.
    awaiting: BTreeSet<TopicIdPartition>,
    /// Whose position may have changed since it was sent.
    dirty: Vec<TopicIdPartition>,
    forgotten: Vec<TopicIdPartition>,
    /// Who was refused or is held back, and is asked for again: few at a time.
    retries: Vec<TopicIdPartition>,
    /// Counts sessions.
    session: u64,
    session_id: i32,
    session_epoch: i32,
}

impl Partitions {
    pub(super) fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    /// Whether a request waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Since when an answer is waited for: whatever was asked after, the oldest request is answered
    /// first.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.asked.front().map(|asked| asked.at)
    }

    /// Whether what came is still on its way to the disk.
    pub(super) fn awaits_commit(&self) -> bool {
        !self.awaiting.is_empty()
    }

    /// Until the leader has answered the first request of a session, which it does at once, there
    /// is no session to add to.
    fn is_beginning(&self) -> bool {
        self.session_epoch == 0 && self.is_waiting()
    }

    pub(super) fn add(&mut self, replica: Arc<Replica>) {
        let id = replica.id;
        let known = self.tracked.get(&id);
        let tracked = Tracked {
            replica,
            sent: known.and_then(|tracked| tracked.sent),
            answered: known.and_then(|tracked| tracked.answered),
            retry_pause: RETRY_PAUSE.0,
            retry_at: None,
        };
        self.tracked.insert(id, tracked);
        self.dirty.push(id);
    }

    pub(super) fn remove(&mut self, id: TopicIdPartition) {
        self.awaiting.remove(&id);
        if let Some(tracked) = self.tracked.remove(&id)
            && tracked.sent.is_some()
        {
            self.forgotten.push(id);
        }
    }

    /// What these hold is on disk.
    pub(super) fn flushed(&mut self, ids: Vec<TopicIdPartition>) {
        for id in &ids {
            self.awaiting.remove(id);
        }
        self.dirty.extend(ids);
    }

    /// No answer comes any more.
    pub(super) fn disconnected(&mut self) {
        self.asked.clear();
        self.restart_session();
    }

    /// The leader knows nothing of us any more.
    pub(super) fn restart_session(&mut self) {
        self.session += 1;
        self.session_id = 0;
        self.session_epoch = 0;
        self.forgotten.clear();
        self.retries.clear();
        for tracked in self.tracked.values_mut() {
            tracked.sent = None;
            tracked.answered = None;
            tracked.retry_at = None;
        }
        self.dirty = self.tracked.keys().copied().collect();
    }

    /// An answer has come; says whether it is of this session, whose partitions are now as they
    /// were after its request.
    pub(super) fn answered(&mut self) -> bool {
        let Some(asked) = self.asked.pop_front() else {
            return false;
        };
        if asked.session != self.session {
            return false;
        }
        for (id, sent) in asked.changes {
            if let Some(tracked) = self.tracked.get_mut(&id) {
                tracked.answered = sent;
            }
        }
        true
    }

    /// The leader names the session that it answers in.
    pub(super) fn continue_session(&mut self, session_id: i32) {
        if session_id == 0 {
            self.restart_session();
        } else if self.session_epoch == 0 {
            self.session_id = session_id;
            self.session_epoch = 1;
        }
    }

    /// What the answer that came last is for.
    pub(super) fn asked(&self, id: TopicIdPartition) -> Option<(Arc<Replica>, Sent)> {
        let tracked = self.tracked.get(&id)?;
        Some((Arc::clone(&tracked.replica), tracked.answered?))
    }

    /// An answer was taken in. One that was refused leaves the session, which would bring the same
    /// refusal with every answer, and is asked for again later.
    pub(super) fn taken_in(&mut self, id: TopicIdPartition, taken: Taken) {
        let Some(tracked) = self.tracked.get_mut(&id) else {
            return;
        };
        match taken {
            Taken::GoesOn => {
                tracked.retry_pause = RETRY_PAUSE.0;
                self.dirty.push(id);
            }
            Taken::Waits => {
                tracked.retry_pause = RETRY_PAUSE.0;
                self.awaiting.insert(id);
            }
            Taken::Refused => {
                tracked.retry_at = Some(Instant::now() + tracked.retry_pause);
                tracked.retry_pause = (tracked.retry_pause * 2).min(RETRY_PAUSE.1);
                self.retries.push(id);
                self.leave_session(id);
            }
        }
    }

    /// A partition that cannot say where it is must not be sent the same once more.
    fn leave_session(&mut self, id: TopicIdPartition) {
        let tracked = self.tracked.get_mut(&id);
        if tracked.is_some_and(|tracked| tracked.sent.take().is_some()) {
            self.forgotten.push(id);
        }
    }

    /// When a refused partition is due again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        if self.is_beginning() {
            return None;
        }
        let due = |id| self.tracked.get(id).and_then(|tracked| tracked.retry_at);
        self.retries.iter().filter_map(due).min()
    }

    /// The next request of the session: what changed since the last. None where one waits at the
    /// leader and this one would add nothing. `hold` says for how long a partition is held back;
    /// none is in the first request of a session, which must have something to ask for.
    pub(super) fn request(
        &mut self,
        settings: &Settings,
        broker_epoch: BrokerEpoch,
        leader: NodeId,
        hold: impl Fn(TopicIdPartition) -> Option<Duration>,
    ) -> Option<FetchRequest> {
        if self.is_beginning() {
            return None;
        }
        self.take_due_retries();
        let mut changes = Vec::new();
        let mut topics: BTreeMap<Uuid, Vec<FetchPartition>> = BTreeMap::new();
        for (id, sent) in self.new_positions(leader, hold) {
            self.forgotten.retain(|forgotten| *forgotten != id);
            let partitions = topics.entry(id.topic_id.0).or_default();
            partitions.push(fetch_partition(id, &sent, settings));
            changes.push((id, Some(sent)));
        }
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for id in self.forgotten.drain(..) {
            let partitions = forgotten.entry(id.topic_id.0).or_default();
            partitions.push(id.partition.0);
            changes.push((id, None));
        }
        if changes.is_empty() && self.is_waiting() {
            return None;
        }
        let session = self.session;
        let at = Instant::now();
        self.asked.push_back(Asked {
            session,
            at,
            changes,
        });
        let session_epoch = self.session_epoch;
        if session_epoch > 0 {
            self.session_epoch = session_epoch.checked_add(1).unwrap_or(1);
        }
        let topic = |(topic_id, partitions)| FetchTopic {
            topic_id,
            partitions,
            ..FetchTopic::default()
        };
        let forget = |(topic_id, partitions)| ForgottenTopic {
            topic_id,
            partitions,
            ..ForgottenTopic::default()
        };
        Some(FetchRequest {
            replica_state: ReplicaState {
                replica_id: settings.node_id.0,
                replica_epoch: broker_epoch.0,
            },
            max_wait_ms: settings.replica_fetch_wait_max.as_millis() as i32,
            min_bytes: 1,
            max_bytes: settings.replica_fetch_response_bytes_max,
            session_id: self.session_id,
            session_epoch,
            topics: topics.into_iter().map(topic).collect(),
            forgotten_topics_data: forgotten.into_iter().map(forget).collect(),
            ..FetchRequest::default()
        })
    }

    /// The positions that the session does not have yet. Who has none leaves the session: its
    /// records are on their way to the disk, or it changed hands and the news of that is on its
    /// way.
    fn new_positions(
        &mut self,
        leader: NodeId,
        hold: impl Fn(TopicIdPartition) -> Option<Duration>,
    ) -> Vec<(TopicIdPartition, Sent)> {
        for id in std::mem::take(&mut self.awaiting) {
            self.leave_session(id);
        }
        let mut positions = Vec::with_capacity(self.dirty.len());
        for id in std::mem::take(&mut self.dirty) {
            let Some(tracked) = self.tracked.get_mut(&id) else {
                continue;
            };
            if tracked.retry_at.is_some() {
                continue;
            }
            let position = tracked.replica.lock().partition.fetch_position();
            let Some(position) = position.filter(|position| position.leader == leader) else {
                self.leave_session(id);
                continue;
            };
            let wait = hold(id).filter(|_| self.session_epoch > 0);
            if let Some(wait) = wait {
                tracked.retry_at = Some(Instant::now() + wait);
                self.retries.push(id);
                self.leave_session(id);
                continue;
            }
            let sent = Sent::from(position);
            if tracked.sent.replace(sent) != Some(sent) {
                positions.push((id, sent));
            }
        }
        positions
    }

    fn take_due_retries(&mut self) {
        let now = Instant::now();
        let (tracked, dirty) = (&mut self.tracked, &mut self.dirty);
        self.retries.retain(|id| {
            let Some(tracked) = tracked.get_mut(id) else {
                return false;
            };
            match tracked.retry_at {
                Some(at) if at > now => true,
                _ => {
                    tracked.retry_at = None;
                    dirty.push(*id);
                    false
                }
            }
        });
    }
}

fn fetch_partition(id: TopicIdPartition, sent: &Sent, settings: &Settings) -> FetchPartition {
    FetchPartition {
        partition: id.partition.0,
        current_leader_epoch: sent.leader_epoch.0,
        fetch_offset: sent.fetch_offset.0,
        last_fetched_epoch: sent.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
        log_start_offset: sent.log_start_offset.0,
        partition_max_bytes: settings.replica_fetch_bytes_max,
        ..FetchPartition::default()
    }
}

#[cfg(test)]
mod tests;
