//! What a client does inside of a transaction is done only with its coordinator's consent
//! (KIP-890): where a transaction begins on a partition, the coordinator is asked first.
//!
//! Clients that add partitions to their transactions themselves have them verified; for the others
//! (transaction.version 2) they are added here.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_core::group::OFFSETS_TOPIC;
use ottla_core::partition::Guard;
use ottla_core::shard::partition_for;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, TopicName};
use tokio::time::Instant;

use super::Context;
use crate::coordinator::verifier::Membership;
use crate::replica::ProduceItem;

/// What the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Produce,
    TxnOffsetCommit,
}

/// Who asks to do something inside of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) transactional_id: String,
    pub(super) producer_id: ProducerId,
    pub(super) producer_epoch: ProducerEpoch,
    pub(super) api: Api,
    /// The version of the request.
    pub(super) version: i16,
}

impl Client {
    /// Each of its transactions has an epoch of its own, and it adds no partitions itself.
    fn has_own_epochs(&self) -> bool {
        match self.api {
            Api::Produce => has_own_epochs(self.version),
            Api::TxnOffsetCommit => self.version >= 5,
        }
    }

    /// Knows TRANSACTION_ABORTABLE.
    fn knows_abortable(&self) -> bool {
        match self.api {
            Api::Produce => self.version >= 11,
            Api::TxnOffsetCommit => self.version >= 4,
        }
    }

    /// What the client is told of a coordinator's error.
    fn told(&self, error: ErrorCode) -> ErrorCode {
        let again = match self.api {
            // is tried again, without a look for another leader
            Api::Produce => ErrorCode::NotEnoughReplicas,
            Api::TxnOffsetCommit => ErrorCode::CoordinatorLoadInProgress,
        };
        match error {
            ErrorCode::NetworkException
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator => again,
            ErrorCode::ConcurrentTransactions if !self.has_own_epochs() => again,
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::ClusterAuthorizationFailed => ErrorCode::InvalidTxnState,
            ErrorCode::TransactionAbortable if !self.knows_abortable() => {
                ErrorCode::InvalidTxnState
            }
            error => error,
        }
    }
}

/// Whether a client that speaks this version of Produce has an epoch for each transaction.
pub(super) fn has_own_epochs(produce_version: i16) -> bool {
    produce_version >= 12
}

/// Asks the coordinator about each of the partitions.
async fn ask(
    context: &Context,
    client: &Client,
    partitions: BTreeSet<(TopicName, i32)>,
) -> impl Fn(&TopicName, i32) -> Result<(), ErrorCode> {
    let verify_only = !client.has_own_epochs();
    let image = context.controller.image();
    let settings = &context.settings;
    let layers = image.layers(Some(settings.node_id), &settings.statics);
    let is_needed = !verify_only
        || layers
            .get("transaction.partition.verification.enable")
            .flag();
    let pause = duration(layers.number("add.partitions.to.txn.retry.backoff.ms"));
    let patience = duration(layers.number("add.partitions.to.txn.retry.backoff.max.ms"));
    let deadline = Instant::now() + patience;
    let answer = loop {
        if !is_needed {
            break None;
        }
        let membership = Membership {
            transactional_id: client.transactional_id.clone(),
            producer_id: client.producer_id,
            producer_epoch: client.producer_epoch,
            verify_only,
            partitions: partitions.clone(),
        };
        let answer = context.coordinator.verifier().ask(membership).await;
        // the transaction before it is ending: the client would only come again at once
        let is_early = answer.as_ref().is_ok_and(|errors| {
            let mut errors = errors.values();
            errors.any(|error| *error == ErrorCode::ConcurrentTransactions)
        });
        if verify_only || !is_early || Instant::now() + pause > deadline {
            break Some(answer);
        }
        tokio::time::sleep(pause).await;
    };
    let client = client.clone();
    move |topic, partition| {
        let error = match &answer {
            None => ErrorCode::None,
            Some(Err(error)) => *error,
            Some(Ok(errors)) => {
                let error = errors.get(&(topic.clone(), partition));
                error.copied().unwrap_or(ErrorCode::UnknownServerError)
            }
        };
        match error {
            ErrorCode::None => Ok(()),
            error => Err(client.told(error)),
        }
    }
}

/// What the coordinator has refused for good is not waited for any more. Where the client comes
/// again, it is: what follows may not be appended first.
fn forget_refused(
    context: &Context,
    client: &Client,
    (topic, partition): (&TopicName, i32),
    refusal: Option<ErrorCode>,
    guard: Option<Guard>,
) {
    if let (Some(error), Some(guard)) = (refusal, guard)
        && !error.is_retriable()
    {
        let known = (client.producer_id, guard);
        context
            .replicas
            .verification_refused(topic, partition, known);
    }
}

fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// Has the batches verified with which transactions begin. Waits for nothing where none does.
pub(super) async fn produce(
    context: &Context,
    transactional_id: Option<&str>,
    version: i16,
    items: &mut [ProduceItem],
) {
    let Some(transactional_id) = transactional_id else {
        return;
    };
    let has_own_epoch = has_own_epochs(version);
    let mut client: Option<Client> = None;
    let mut partitions = BTreeSet::new();
    let mut begun = Vec::new();
    for (place, item) in items.iter_mut().enumerate() {
        item.membership.has_own_epoch = has_own_epoch;
        let beginning = match context.replicas.verification(item) {
            Ok(Some(beginning)) => beginning,
            Ok(None) => continue,
            Err(error) => {
                item.refusal = Some(error);
                continue;
            }
        };
        let (producer_id, producer_epoch) = (beginning.producer_id, beginning.producer_epoch);
        let client = client.get_or_insert_with(|| Client {
            transactional_id: transactional_id.to_owned(),
            producer_id,
            producer_epoch,
            api: Api::Produce,
            version,
        });
        if (client.producer_id, client.producer_epoch) != (producer_id, producer_epoch) {
            item.refusal = Some(ErrorCode::InvalidProducerIdMapping);
            continue;
        }
        item.membership.guard = Some(beginning.guard);
        partitions.insert((beginning.topic.clone(), item.partition));
        begun.push((place, beginning.topic));
    }
    let Some(client) = client else {
        return;
    };
    let answer = ask(context, &client, partitions).await;
    for (place, topic) in begun {
        let item = &mut items[place];
        item.refusal = answer(&topic, item.partition).err();
        let guard = item.membership.guard;
        forget_refused(
            context,
            &client,
            (&topic, item.partition),
            item.refusal,
            guard,
        );
    }
}

/// Has the offsets of a group verified, where the transaction begins with them on the partition of
/// `__consumer_offsets` that holds the group.
///
/// # Errors
/// What the client is told.
pub(super) async fn offsets(
    context: &Context,
    client: &Client,
    group_id: &str,
) -> Result<Option<Guard>, ErrorCode> {
    let topic = TopicName::from(OFFSETS_TOPIC);
    let count = {
        let image = context.controller.image();
        let known = image.topic(&topic);
        known.map_or(0, |known| {
            i32::try_from(known.partitions.len()).unwrap_or(i32::MAX)
        })
    };
    if count == 0 {
        return Err(ErrorCode::NotCoordinator);
    }
    let partition = partition_for(group_id, count);
    let producer = (client.producer_id, client.producer_epoch);
    let guard = context
        .replicas
        .verification_of_offsets(&topic, partition, producer)
        .map_err(|_| ErrorCode::NotCoordinator)?;
    if guard.is_some() {
        let partitions = BTreeSet::from([(topic.clone(), partition)]);
        let refusal = ask(context, client, partitions).await(&topic, partition).err();
        forget_refused(context, client, (&topic, partition), refusal, guard);
        if let Some(error) = refusal {
            return Err(error);
        }
    }
    Ok(guard)
}
