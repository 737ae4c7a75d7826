//! Has transactions ended that nobody would end: [`ottla_core::hanging`] says which, the
//! coordinators of transactions are asked by Kafka's own requests, and the marker that aborts one
//! is written as if its coordinator had sent it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_core::hanging::{Known, Place, Watch, probes};
use ottla_core::image::MetadataImage;
use ottla_core::partition::producers::Open;
use ottla_core::transaction::TRANSACTION_TOPIC;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId};
use ottla_protocol::messages::transactions::{
    DescribeTransactionsRequest, DescribedTransaction, ListTransactionsRequest,
};
use ottla_protocol::record::ControlRecord;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::api::Context;
use crate::api::markers;
use crate::brokers::Brokers;
use crate::coordinator::EndMarker;

/// The versions that are spoken.
const LIST_VERSION: i16 = 0;
const DESCRIBE_VERSION: i16 = 0;

/// By the rules of the first transaction.version a marker is of the epoch that it ends.
const FIRST_VERSION: i8 = 1;

/// The leader of each partition of `__transaction_state`, and the epoch that it leads in.
type Coordinators = Vec<(NodeId, LeaderEpoch)>;

/// Looks for them until the node stops.
pub(super) async fn watch(
    context: Arc<Context>,
    brokers: Brokers,
    mut stopped: watch::Receiver<bool>,
) {
    let interval = context.settings.hanging_check_interval;
    let mut watch = Watch::new(interval, context.settings.transaction_timeout_max);
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = stopped.changed() => return,
        }
        let asked = watch.look(context.env.now(), context.replicas.open_transactions());
        let known = match asked.is_empty() {
            true => Some(Known::default()),
            false => ask(&context, &brokers, &asked).await,
        };
        if let Some(known) = known {
            for (place, open) in watch.told(&asked, &known) {
                abort(&context, &place, open).await;
            }
        }
        let hanging = watch.hanging(context.env.now());
        let hanging = i64::try_from(hanging).unwrap_or(i64::MAX);
        context.metrics.hanging_transactions.set(hanging);
    }
}

/// What all coordinators know of these; none where one of them cannot say, or was another one
/// meanwhile.
async fn ask(context: &Context, brokers: &Brokers, asked: &[Place]) -> Option<Known> {
    let coordinators = coordinators(&context.controller.image())?;
    let count = i32::try_from(coordinators.len()).unwrap_or(i32::MAX);
    let mut probes_of: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
    for (probe, (node, _)) in probes(count).into_iter().zip(&coordinators) {
        probes_of.entry(*node).or_default().push(probe);
    }
    let request = ListTransactionsRequest {
        producer_id_filters: asked.iter().map(|place| place.producer_id.0).collect(),
        ..ListTransactionsRequest::default()
    };
    let mut known = Known::default();
    for (node, probes) in probes_of {
        // it coordinates what this broker thinks before it lists what it has, and still afterwards
        describe(brokers, node, probes.clone()).await?;
        let listed = brokers.call(node, &request, LIST_VERSION).await;
        let listed = listed.ok().filter(|listed| listed.error_code == 0)?;
        let ids = listed.transaction_states.into_iter();
        let ids = ids.map(|listed| listed.transactional_id).collect();
        for transaction in describe(brokers, node, ids).await? {
            known.add(&transaction);
        }
        describe(brokers, node, probes).await?;
    }
    (self::coordinators(&context.controller.image())? == coordinators).then_some(known)
}

/// None where a partition has no leader.
fn coordinators(image: &MetadataImage) -> Option<Coordinators> {
    let Some(topic) = image.topic(TRANSACTION_TOPIC) else {
        return Some(Coordinators::new());
    };
    let partitions = topic.partitions.iter();
    partitions
        .map(|partition| Some((partition.leader?, partition.leader_epoch)))
        .collect()
}

/// What a broker says of transactions that it coordinates; none where it does not coordinate one
/// of these ids.
async fn describe(
    brokers: &Brokers,
    node: NodeId,
    transactional_ids: Vec<String>,
) -> Option<Vec<DescribedTransaction>> {
    let request = DescribeTransactionsRequest { transactional_ids };
    let answer = match brokers.call(node, &request, DESCRIBE_VERSION).await {
        Ok(answer) => answer.transaction_states,
        Err(error) => {
            debug!(broker = %node, %error, "it did not say which transactions go on");
            return None;
        }
    };
    let is_said = |transaction: &DescribedTransaction| {
        let error = ErrorCode::from(transaction.error_code);
        matches!(error, ErrorCode::None | ErrorCode::TransactionalIdNotFound)
    };
    let is_whole = answer.len() == request.transactional_ids.len();
    (is_whole && answer.iter().all(is_said)).then_some(answer)
}

async fn abort(context: &Context, place: &Place, open: Open) {
    let marker = EndMarker {
        producer_id: open.producer_id,
        producer_epoch: open.producer_epoch,
        record: ControlRecord::Abort {
            coordinator_epoch: open.coordinator_epoch.max(0),
        },
        transaction_version: FIRST_VERSION,
        of: Some(open),
    };
    let written = markers::write(context, &place.topic, place.partition, marker);
    let aborted = written.await;
    let (topic, partition) = (&place.topic, place.partition);
    let (producer_id, first_offset) = (open.producer_id.0, open.first_offset.0);
    match aborted {
        Ok(()) => warn!(
            %topic, partition, producer_id, first_offset,
            "a transaction was open that no coordinator knows of; it is aborted"
        ),
        Err(error) => debug!(
            %topic, partition, producer_id, first_offset, %error,
            "a transaction that no coordinator knows of was not aborted yet"
        ),
    }
}
