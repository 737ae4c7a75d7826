//! The partitions of one loop, and the fetch session that they are in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ottla_core::partition::FetchPosition;
use ottla_protocol::error::ErrorCode;
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
    /// As the session has it; `None` where it does not.
    sent: Option<Sent>,
    retry_pause: Duration,
    retry_at: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Partitions {
    tracked: HashMap<TopicIdPartition, Tracked>,
    /// Whose position may have changed since it was sent.
    dirty: Vec<TopicIdPartition>,
    forgotten: Vec<TopicIdPartition>,
    /// Who was refused and is asked for again; few, or everything is broken.
    retries: Vec<TopicIdPartition>,
    session_id: i32,
    session_epoch: i32,
}

impl Partitions {
    pub(super) fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    pub(super) fn add(&mut self, replica: Arc<Replica>) {
        let id = replica.id;
        let sent = self.tracked.get(&id).and_then(|tracked| tracked.sent);
        let tracked = Tracked {
            replica,
            sent,
            retry_pause: RETRY_PAUSE.0,
            retry_at: None,
        };
        self.tracked.insert(id, tracked);
        self.dirty.push(id);
    }

    pub(super) fn remove(&mut self, id: TopicIdPartition) {
        if let Some(tracked) = self.tracked.remove(&id)
            && tracked.sent.is_some()
        {
            self.forgotten.push(id);
        }
    }

    /// The leader knows nothing of us any more.
    pub(super) fn restart_session(&mut self) {
        self.session_id = 0;
        self.session_epoch = 0;
        self.forgotten.clear();
        self.retries.clear();
        for tracked in self.tracked.values_mut() {
            tracked.sent = None;
            tracked.retry_at = None;
        }
        self.dirty = self.tracked.keys().copied().collect();
    }

    /// The leader answered in this session.
    pub(super) fn answered(&mut self, session_id: i32) {
        if self.session_epoch == 0 && session_id != 0 {
            self.session_id = session_id;
            self.session_epoch = 1;
        } else if session_id == 0 {
            self.restart_session();
        }
    }

    pub(super) fn sent(&self, id: TopicIdPartition) -> Option<(Arc<Replica>, Sent)> {
        let tracked = self.tracked.get(&id)?;
        Some((Arc::clone(&tracked.replica), tracked.sent?))
    }

    /// An answer was taken in. One that was refused leaves the session, which would bring the same
    /// refusal with every answer, and is asked for again later.
    pub(super) fn taken_in(&mut self, id: TopicIdPartition, refused: Option<ErrorCode>) {
        let Some(tracked) = self.tracked.get_mut(&id) else {
            return;
        };
        if refused.is_none() {
            tracked.retry_pause = RETRY_PAUSE.0;
            self.dirty.push(id);
            return;
        }
        tracked.sent = None;
        tracked.retry_at = Some(Instant::now() + tracked.retry_pause);
        tracked.retry_pause = (tracked.retry_pause * 2).min(RETRY_PAUSE.1);
        self.forgotten.push(id);
        self.retries.push(id);
    }

    /// When a refused partition is due again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        let due = |id| self.tracked.get(id).and_then(|tracked| tracked.retry_at);
        self.retries.iter().filter_map(due).min()
    }

    /// The next request of the session: what changed since the last.
    pub(super) fn request(
        &mut self,
        settings: &Settings,
        broker_epoch: BrokerEpoch,
        leader: NodeId,
    ) -> FetchRequest {
        self.take_due_retries();
        let mut topics: BTreeMap<Uuid, Vec<FetchPartition>> = BTreeMap::new();
        for id in std::mem::take(&mut self.dirty) {
            let Some(tracked) = self.tracked.get_mut(&id) else {
                continue;
            };
            if tracked.retry_at.is_some() {
                continue;
            }
            let position = tracked.replica.lock().partition.fetch_position();
            let Some(position) = position.filter(|position| position.leader == leader) else {
                continue; // it changed hands, and the news of it is on its way
            };
            let sent = Sent::from(position);
            if tracked.sent.replace(sent) == Some(sent) {
                continue;
            }
            self.forgotten.retain(|forgotten| *forgotten != id);
            let partitions = topics.entry(id.topic_id.0).or_default();
            partitions.push(fetch_partition(id, &sent, settings));
        }
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for id in self.forgotten.drain(..) {
            let partitions = forgotten.entry(id.topic_id.0).or_default();
            partitions.push(id.partition.0);
        }
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
        FetchRequest {
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
        }
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
