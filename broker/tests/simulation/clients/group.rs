//! A group that commits offsets, each larger than the last, and reads them back: what was
//! acknowledged is never undone, whoever is the coordinator.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetFetchRequest, OffsetFetchRequestTopic,
};

use super::PAUSE;
use crate::connection::Connection;
use crate::world::{BUSY, Shared};

/// The group.
pub const NAME: &str = "committers";

/// One member, which needs no generation.
pub struct Committer {
    shared: Shared,
    connection: Connection,
    is_found: bool,
    /// The last that was acknowledged, and the last that was sent.
    acknowledged: i64,
    sent: i64,
}

impl Committer {
    pub fn new(shared: &Shared) -> Self {
        shared.join(NAME);
        Self {
            shared: shared.clone(),
            connection: Connection::new(shared, 1),
            is_found: false,
            acknowledged: -1,
            sent: -1,
        }
    }

    /// Commits until the run ends and the last commit is read back.
    pub async fn run(mut self) {
        loop {
            let is_ending = self.shared.with(|world| world.is_ending);
            if !self.is_found && !self.find().await {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let is_done = self.commit().await && self.read_back().await;
            if is_done && is_ending {
                break;
            }
            self.is_found &= is_done;
            tokio::time::sleep(Duration::from_millis(if is_done { 120 } else { 50 })).await;
        }
        self.shared.leave(NAME);
    }

    async fn find(&mut self) -> bool {
        self.is_found = self.connection.find_coordinator(NAME).await;
        self.is_found
    }

    async fn commit(&mut self) -> bool {
        self.sent += 1;
        let request = OffsetCommitRequest {
            group_id: NAME.to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: BUSY.to_owned(),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: self.sent,
                    committed_metadata: None,
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let answer = self.connection.ask(7, &request).await;
        let topic = answer.and_then(|answer| answer.topics.into_iter().next());
        let part = topic.and_then(|topic| topic.partitions.into_iter().next());
        let is_committed = part.is_some_and(|part| part.error_code == 0);
        if is_committed {
            self.acknowledged = self.sent;
            let committed = self.sent;
            self.shared
                .trace(format_args!("{NAME} have committed {committed}"));
        }
        is_committed
    }

    async fn read_back(&mut self) -> bool {
        let request = OffsetFetchRequest {
            group_id: NAME.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: BUSY.to_owned(),
                partition_indexes: vec![0],
            }]),
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        let answer = self.connection.ask(7, &request).await;
        let answer = answer.filter(|answer| answer.error_code == 0);
        let topic = answer.and_then(|answer| answer.topics.into_iter().next());
        let part = topic.and_then(|topic| topic.partitions.into_iter().next());
        let Some(part) = part else {
            return false;
        };
        if ErrorCode::from(part.error_code) != ErrorCode::None {
            return false;
        }
        let found = part.committed_offset;
        if !(self.acknowledged..=self.sent).contains(&found) {
            let (acknowledged, sent) = (self.acknowledged, self.sent);
            self.shared.violate(format!(
                "LostCommit: {NAME} read {found}, acknowledged is {acknowledged}, sent {sent}"
            ));
        }
        true
    }
}
