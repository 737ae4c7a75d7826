//! Batches that other brokers send on to here, for partitions that they have handed over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use ottla_core::image::MetadataImage;
use ottla_core::partition::Acks;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicIdPartition, Uuid};

use super::{Replicas, Shared, TopicKey};
use crate::controller::service::{OutcomeToCome, Series, TakenStream, TakesForwarded};
use crate::peer::wire;

/// How long a broker that is to lead may take to learn of it, on a machine that is busy.
const LEADERSHIP_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long an acknowledgement is waited for; who produced waits no longer than it said itself.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

impl TakesForwarded for Replicas {
    fn take(
        &self,
        batch: wire::ForwardedBatch,
        series: Series,
    ) -> BoxFuture<'static, OutcomeToCome> {
        Box::pin(self.clone().append_forwarded(batch, series))
    }

    fn begin(&self) -> Option<TakenStream> {
        let no_more = self.shared.takes_no_more.subscribe();
        let is_over = *no_more.borrow();
        (!is_over).then(|| TakenStream {
            no_more,
            held: Box::new(Taken::new(&self.shared)),
        })
    }
}

impl Replicas {
    /// Appends a batch that another broker sends on, once this one knows that it leads. It was
    /// judged by the topic's configs where it came in.
    async fn append_forwarded(self, batch: wire::ForwardedBatch, series: Series) -> OutcomeToCome {
        let taken = Taken::new(&self.shared);
        let number = batch.number;
        let outcome = move |result: Result<Offset, ErrorCode>| wire::ForwardedOutcome {
            number,
            error_code: result.err().map_or(0, |error| i32::from(error.code())),
            base_offset: result.map_or(-1, |base_offset| base_offset.0),
            not_taken: false,
        };
        let not_taken = wire::ForwardedOutcome {
            not_taken: true,
            ..outcome(Err(ErrorCode::NotLeaderOrFollower))
        };
        if series.is_broken_off() {
            return Box::pin(async move { not_taken });
        }
        let Ok(topic_id) = <[u8; 16]>::try_from(&batch.topic_id[..]) else {
            return Box::pin(async move { outcome(Err(ErrorCode::InvalidRequest)) });
        };
        let id = TopicIdPartition {
            topic_id: TopicId(Uuid(topic_id)),
            partition: PartitionIndex(batch.partition),
        };
        let epoch = LeaderEpoch(batch.leader_epoch);
        // who sends it on may have seen the change of the leader first; a partition that is not
        // there was deleted, for whoever is in sync has known it
        let is_known = |image: &MetadataImage| {
            let partition = image.partition(id);
            partition.is_none_or(|partition| partition.leader_epoch >= epoch)
        };
        let mut images = self.shared.controller.subscribe();
        let seen = images.wait_for(|image| is_known(image));
        // late: the partition itself then refuses what is not for it
        let _ = tokio::time::timeout(LEADERSHIP_WAIT_MAX, seen).await;
        let acks = match batch.acks {
            0 => Acks::None,
            1 => Acks::Leader,
            _ => Acks::All,
        };
        let topic = TopicKey::Id(id.topic_id);
        let records = BytesMut::from(&batch.records[..]);
        let produces = self.produce_judged(topic, id.partition, records, acks, &series);
        Box::pin(async move {
            let _taken = taken;
            let answers = produces.acknowledged(ACKNOWLEDGE_TIMEOUT).await;
            match answers.into_iter().next() {
                Some(Ok(produced)) => outcome(Ok(produced.base_offset)),
                Some(Err(refused)) if refused.is_untaken => not_taken,
                Some(Err(refused)) => outcome(Err(refused.error)),
                None => outcome(Err(ErrorCode::UnknownServerError)),
            }
        })
    }

    /// Takes no more batches from other brokers: they are to end their streams.
    pub fn take_no_more(&self) {
        self.shared.takes_no_more.send_replace(true);
    }

    /// Whether other brokers wait for what becomes of batches that they have sent on to here,
    /// or have not ended their streams yet.
    #[must_use]
    pub fn owes_outcomes(&self) -> bool {
        self.shared.taken.load(Ordering::Acquire) > 0
    }
}

/// Counts a batch that another broker has sent on to here, for as long as it waits; or a stream.
struct Taken(Arc<Shared>);

impl Taken {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.taken.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
