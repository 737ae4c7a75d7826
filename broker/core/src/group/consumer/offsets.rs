//! Whose commits and fetches of offsets are taken.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;

use super::state::{Consumer, Current, Given};
use crate::image::MetadataImage;

/// The first version of OffsetCommit that speaks of epochs.
const EPOCH_VERSION: i16 = 9;

/// Which partitions a member may commit offsets of.
#[derive(Debug)]
pub enum May<'a> {
    /// Any.
    All,
    /// Those that it was given in the epoch that it knows, or before (KIP-1251); the error for
    /// others.
    GivenBy(&'a Current, i32, ErrorCode),
}

impl May<'_> {
    /// Whether the offset of a partition may be committed.
    pub fn commit(&self, image: &MetadataImage, topic: &str, partition: i32) -> ErrorCode {
        let Self::GivenBy(current, epoch, stale) = self else {
            return ErrorCode::None;
        };
        let id = image.topic(topic).map(|topic| topic.id);
        let is_given = |given: &Given| is_given(given, id, partition, *epoch);
        match is_given(&current.assigned) || is_given(&current.revoking) {
            true => ErrorCode::None,
            false => *stale,
        }
    }
}

fn is_given(given: &Given, topic: Option<TopicId>, partition: i32, epoch: i32) -> bool {
    let given = topic.and_then(|topic| given.get(&topic));
    let since = given.and_then(|partitions| partitions.get(&partition));
    since.is_some_and(|since| *since <= epoch)
}

/// What a producer of transactions is told: it knows generations only.
pub fn in_transaction(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
        error => error,
    }
}

impl Consumer {
    /// What a member is told whose epoch is another: in the classic protocol it is a generation.
    fn stale(&self, member_id: &str) -> ErrorCode {
        let member = self.members.get(member_id);
        match member.is_some_and(|member| member.classic.is_some()) {
            true => ErrorCode::IllegalGeneration,
            false => ErrorCode::StaleMemberEpoch,
        }
    }

    /// Whether a commit is a member's, or of nobody where there are no members.
    ///
    /// # Errors
    /// Kafka's.
    pub fn check_commit(
        &self,
        member_id: &str,
        epoch: i32,
        version: i16,
    ) -> Result<May<'_>, ErrorCode> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(May::All);
        }
        let current = self.current.get(member_id);
        let current = current.ok_or(ErrorCode::UnknownMemberId)?;
        let stale = self.stale(member_id);
        if version < EPOCH_VERSION && stale == ErrorCode::StaleMemberEpoch {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match epoch {
            _ if epoch < 0 => Err(stale),
            _ if epoch == current.member_epoch => Ok(May::All),
            _ if epoch > current.member_epoch => Err(stale),
            _ => Ok(May::GivenBy(current, epoch, stale)),
        }
    }

    /// The same inside of a transaction, where it says whose it is (KIP-447).
    ///
    /// # Errors
    /// Kafka's.
    pub fn check_commit_in_transaction(
        &self,
        member_id: &str,
        epoch: i32,
    ) -> Result<May<'_>, ErrorCode> {
        if epoch < 0 && (self.members.is_empty() || member_id.is_empty()) {
            return Ok(May::All);
        }
        let checked = self.check_commit(member_id, epoch, EPOCH_VERSION);
        checked.map_err(in_transaction)
    }

    /// Whether a fetch of offsets is a member's, where it says so.
    ///
    /// # Errors
    /// Kafka's.
    pub fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member_id = member_id.unwrap_or("");
        let current = self.current.get(member_id);
        let current = current.ok_or(ErrorCode::UnknownMemberId)?;
        match epoch == current.member_epoch {
            true => Ok(()),
            false => Err(self.stale(member_id)),
        }
    }
}
