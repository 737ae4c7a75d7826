//! What a client does inside of a transaction is done only with its coordinator's consent
//! (KIP-890): where a transaction begins on a partition, the coordinator is asked first.
//!
//! Clients that add partitions to their transactions themselves have them verified; for the others
//! (transaction.version 2) they are added here.

use std::collections::{BTreeMap, BTreeSet};
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

/// How long a commit of offsets waits for its transaction's coordinator.
const OFFSETS_WAIT_MAX: Duration = Duration::from_secs(5);

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

impl Api {
    /// Whether a client that speaks this version has an epoch for each transaction, and adds no
    /// partitions itself.
    pub(super) fn has_own_epochs(self, version: i16) -> bool {
        match self {
            Self::Produce => version >= 12,
            Self::TxnOffsetCommit => version >= 5,
        }
    }

    /// Whether it knows TRANSACTION_ABORTABLE.
    fn knows_abortable(self, version: i16) -> bool {
        match self {
            Self::Produce => version >= 11,
            Self::TxnOffsetCommit => version >= 4,
        }
    }

    /// What has a client send the same again, without a look for another broker.
    fn again(self) -> ErrorCode {
        match self {
            Self::Produce => ErrorCode::NotEnoughReplicas,
            Self::TxnOffsetCommit => ErrorCode::CoordinatorLoadInProgress,
        }
    }

    /// What is said of what was not appended, for the coordinator's consent was overtaken.
    pub(super) fn unappended(self, version: i16, error: ErrorCode) -> ErrorCode {
        match error {
            ErrorCode::ConcurrentTransactions if !self.has_own_epochs(version) => self.again(),
            error => error,
        }
    }
}

impl Client {
    /// Each of its transactions has an epoch of its own, and it adds no partitions itself.
    fn has_own_epochs(&self) -> bool {
        self.api.has_own_epochs(self.version)
    }

    /// What the client is told of a coordinator's error.
    fn told(&self, error: ErrorCode) -> ErrorCode {
        match error {
            ErrorCode::NetworkException
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator => self.api.again(),
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::ClusterAuthorizationFailed => ErrorCode::InvalidTxnState,
            ErrorCode::TransactionAbortable if !self.api.knows_abortable(self.version) => {
                ErrorCode::InvalidTxnState
            }
            error => self.api.unappended(self.version, error),
        }
    }
}

/// What a coordinator says of each partition.
type Answer = Result<BTreeMap<(TopicName, i32), ErrorCode>, ErrorCode>;

/// What came of asking, in the words of the client.
struct Verdict<'a> {
    client: &'a Client,
    /// None where the coordinator need not be asked.
    answer: Option<Answer>,
}

impl Verdict<'_> {
    fn of(&self, topic: &TopicName, partition: i32) -> Result<(), ErrorCode> {
        let error = match &self.answer {
            None => ErrorCode::None,
            Some(Err(error)) => *error,
            Some(Ok(errors)) => {
                let error = errors.get(&(topic.clone(), partition));
                error.copied().unwrap_or(ErrorCode::UnknownServerError)
            }
        };
        match error {
            ErrorCode::None => Ok(()),
            error => Err(self.client.told(error)),
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

/// Asks the coordinator about each of the partitions, no longer than `limit`. `guard` takes the
/// guards, before each time that it is asked.
async fn ask<'a>(
    context: &Context,
    client: &'a Client,
    limit: Duration,
    partitions: BTreeSet<(TopicName, i32)>,
    mut guard: impl FnMut(),
) -> Verdict<'a> {
    let verify_only = !client.has_own_epochs();
    let image = context.controller.image();
    let settings = &context.settings;
    let layers = image.layers(Some(settings.node_id), &settings.statics);
    let is_needed = !verify_only
        || layers
            .get("transaction.partition.verification.enable")
            .flag();
    if !is_needed {
        guard();
        let answer = None;
        return Verdict { client, answer };
    }
    let pause = duration(layers.number("add.partitions.to.txn.retry.backoff.ms"));
    let patience = match verify_only {
        true => Duration::ZERO,
        false => duration(layers.number("add.partitions.to.txn.retry.backoff.max.ms")),
    };
    let answer = ask_again(pause, patience, || {
        guard();
        context.coordinator.verifier().ask(Membership {
            transactional_id: client.transactional_id.clone(),
            producer_id: client.producer_id,
            producer_epoch: client.producer_epoch,
            verify_only,
            partitions: partitions.clone(),
        })
    });
    let answer = Some(within(limit, answer).await);
    Verdict { client, answer }
}

/// A coordinator that does not answer in time is one that was not reached: the client has waited
/// for as long as it wanted to, and so have its requests that are answered after this one.
async fn within(limit: Duration, answer: impl Future<Output = Answer>) -> Answer {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or(Err(ErrorCode::NetworkException))
}

/// Asks until the transaction before it has ended: the client would only come again at once. Each
/// time is a verification of its own, for the marker of that transaction ends the one before.
async fn ask_again<A: Future<Output = Answer>>(
    pause: Duration,
    patience: Duration,
    mut ask: impl FnMut() -> A,
) -> Answer {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask().await;
        let is_early = answer.as_ref().is_ok_and(|errors| {
            let mut errors = errors.values();
            errors.any(|error| *error == ErrorCode::ConcurrentTransactions)
        });
        if !is_early || Instant::now() + pause > deadline {
            return answer;
        }
        tokio::time::sleep(pause).await;
    }
}

fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// Has the batches verified with which transactions begin, no longer than `limit`. Waits for
/// nothing where none does.
pub(super) async fn produce(
    context: &Context,
    transactional_id: Option<&str>,
    version: i16,
    limit: Duration,
    items: &mut [ProduceItem],
) {
    let Some(transactional_id) = transactional_id else {
        return;
    };
    let has_own_epoch = Api::Produce.has_own_epochs(version);
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
        partitions.insert((beginning.topic.clone(), item.partition));
        begun.push((place, beginning.topic));
    }
    let Some(client) = client else {
        return;
    };
    let guard = || {
        for (place, _) in &begun {
            let item = &mut items[*place];
            // one that is refused now is refused when it is appended, too
            let beginning = context.replicas.verification(item).ok().flatten();
            item.membership.guard = beginning.map(|beginning| beginning.guard);
        }
    };
    let verdict = ask(context, &client, limit, partitions, guard).await;
    for (place, topic) in begun {
        let item = &mut items[place];
        item.refusal = verdict.of(&topic, item.partition).err();
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
    let verification = || {
        let replicas = &context.replicas;
        replicas.verification_of_offsets(&topic, partition, producer)
    };
    let mut guard = verification().map_err(|_| ErrorCode::NotCoordinator)?;
    if guard.is_some() {
        let partitions = BTreeSet::from([(topic.clone(), partition)]);
        // where this broker leads it no longer, the append says so
        let renew = || guard = verification().ok().flatten();
        let verdict = ask(context, client, OFFSETS_WAIT_MAX, partitions, renew).await;
        let refusal = verdict.of(&topic, partition).err();
        forget_refused(context, client, (&topic, partition), refusal, guard);
        if let Some(error) = refusal {
            return Err(error);
        }
    }
    Ok(guard)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn said(error: ErrorCode) -> Answer {
        Ok(BTreeMap::from([((TopicName::from("t"), 0), error)]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_marker_between_two_asks_leaves_the_guard_of_the_last_one() {
        let (of_partition, of_item) = (Cell::new(1), Cell::new(0));
        let (pause, patience) = (Duration::from_millis(20), Duration::from_millis(100));
        let answer = ask_again(pause, patience, || {
            of_item.set(of_partition.get());
            let is_first = of_partition.get() == 1;
            // the marker that ends the guard comes while the first answer is waited out
            of_partition.set(2);
            async move {
                said(match is_first {
                    true => ErrorCode::ConcurrentTransactions,
                    false => ErrorCode::None,
                })
            }
        });
        assert_eq!(answer.await, said(ErrorCode::None));
        assert_eq!(of_item.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let asked = Cell::new(0);
        let (pause, patience) = (Duration::from_millis(20), Duration::from_millis(100));
        let answer = ask_again(pause, patience, || {
            asked.set(asked.get() + 1);
            async { said(ErrorCode::ConcurrentTransactions) }
        });
        assert_eq!(answer.await, said(ErrorCode::ConcurrentTransactions));
        assert_eq!(asked.get(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_never_answers_is_waited_for_as_long_as_the_client_waits() {
        let limit = Duration::from_millis(1500);
        let (began, silence) = (Instant::now(), std::future::pending());
        let answer = within(limit, silence).await;
        assert_eq!(answer, Err(ErrorCode::NetworkException));
        assert_eq!(began.elapsed(), limit);
    }
}
