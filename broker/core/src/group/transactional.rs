//! Offsets inside of a producer's transaction (KIP-98, KIP-447): they count once its marker says
//! so, and until then whoever asks for stable ones is told of no offset that they may change.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{OffsetFetchResponsePartitions, OffsetFetchResponseTopics};

use super::classic::Classic;
use super::consumer::{May, in_transaction};
use super::offsets::{NO_OFFSET, commit_all, commit_answer};
use super::request::TxnOffsetCommit;
use super::soft::Soft;
use super::{Decision, GroupId, Record, Response, Shard, Step};
use crate::planted::{self, Planted};
use crate::shard::Token;

impl Shard {
    /// TxnOffsetCommit.
    pub(super) fn commit_in_transaction(
        &self,
        soft: &Soft,
        token: Token,
        body: &TxnOffsetCommit,
        step: &mut Step<'_>,
    ) {
        let mut answer = match self.check_commit_in_transaction(soft, body) {
            Err(error) => commit_answer(&body.commit, |_, _| error),
            Ok(may) => commit_all(&soft.image, &body.commit, &may, step),
        };
        for partition in answer
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            let error = in_transaction(ErrorCode::from(partition.error_code));
            partition.error_code = error.code();
        }
        if !step.decision.records.is_empty() && !planted::is(Planted::OffsetsAtOnce) {
            step.decision.transaction = Some(body.transaction);
        }
        step.decision
            .reply(token, Response::TxnOffsetCommit(answer));
    }

    fn check_commit_in_transaction(
        &self,
        soft: &Soft,
        body: &TxnOffsetCommit,
    ) -> Result<May<'_>, ErrorCode> {
        let commit = &body.commit;
        let generation = commit.generation_id_or_member_epoch;
        let check = |classic: &Classic| {
            let instance_id = commit.group_instance_id.as_deref();
            classic.check_commit_in_transaction(&commit.member_id, instance_id, generation)
        };
        if let Some(group) = self.consumer(&commit.group_id) {
            return group.check_commit_in_transaction(&commit.member_id, generation);
        }
        let checked = match soft.classic(&commit.group_id) {
            Some(classic) => check(classic),
            None if self.groups.contains_key(commit.group_id.as_str()) => {
                check(&Classic::default())
            }
            // a simple group: offsets without members
            None if generation < 0 => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
        };
        checked.map(|()| May::All)
    }

    /// Takes out of an answer the offsets that open transactions may change.
    pub(super) fn refuse_unstable(&self, group: &str, topics: &mut [OffsetFetchResponseTopics]) {
        let open = self.open.of_group(group);
        if planted::is(Planted::UnstableOffsets) {
            return;
        }
        for topic in topics {
            for partition in &mut topic.partitions {
                let index = partition.partition_index;
                if open
                    .iter()
                    .any(|(_, name, at)| **name == *topic.name && *at == index)
                {
                    *partition = OffsetFetchResponsePartitions {
                        partition_index: index,
                        committed_offset: NO_OFFSET,
                        committed_leader_epoch: -1,
                        metadata: Some(String::new()),
                        error_code: ErrorCode::UnstableOffsetCommit.code(),
                    };
                }
            }
        }
    }

    /// Decides a tombstone for each offset of a group that an open transaction may change: where
    /// its group goes, it comes to nothing.
    pub(super) fn end_open(&self, id: &GroupId, decision: &mut Decision) {
        let open = self.open.of_group(id).into_iter();
        let tombstone = |(group, topic, partition): &super::open::Key| Record::Offset {
            group: group.clone(),
            topic: topic.clone(),
            partition: *partition,
            value: None,
        };
        decision.records.extend(open.map(tombstone));
    }
}
