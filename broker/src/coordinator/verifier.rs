//! Asks transactions' coordinators whether partitions are part of them, or to make them so
//! (KIP-890). Whatever is asked of one coordinator while several requests are on their way shares
//! the next. Several, since an answer waits for the slowest of its transactions: for one that goes
//! on right after another, that is for the markers of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_core::image::MetadataImage;
use ottla_core::shard::partition_for;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex, ProducerEpoch, ProducerId, TopicName};
use ottla_protocol::messages::transactions::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
};
use tokio::sync::oneshot;
use tracing::debug;

use crate::brokers::Brokers;
use crate::controller;
use crate::threads;

/// The version that is spoken: several transactions, and errors that say to abort.
const VERSION: i16 = 5;

/// The internal topic of the coordinators that are asked.
const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Requests that may be on their way to one coordinator at a time.
const IN_FLIGHT_MAX: usize = 4;

/// How many transactions are asked about at once; the others wait for the next request.
const TRANSACTIONS_MAX: usize = 1_000;

/// A transaction and partitions.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The producer's transactional id.
    pub transactional_id: String,
    /// The producer.
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// Whether the partitions are to be there already; else they are added.
    pub verify_only: bool,
    /// The partitions.
    pub partitions: BTreeSet<(TopicName, i32)>,
}

/// What a coordinator says of each partition.
type Answer = Result<BTreeMap<(TopicName, i32), ErrorCode>, ErrorCode>;

struct Asked {
    membership: Membership,
    answer: oneshot::Sender<Answer>,
}

/// What is to be asked of one coordinator.
#[derive(Default)]
struct Queue {
    waiting: Vec<Asked>,
    /// Tasks that empty it, each with a request on its way. Invariant: at least one.
    tasks: usize,
}

type Queues = BTreeMap<NodeId, Queue>;

/// The way to the coordinators of transactions. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    controller: controller::Handle,
    brokers: Brokers,
    queues: Mutex<Queues>,
}

impl Verifier {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(controller: controller::Handle, brokers: Brokers) -> Self {
        Self {
            inner: Arc::new(Inner {
                controller,
                brokers,
                queues: Mutex::default(),
            }),
        }
    }

    /// Asks the transaction's coordinator.
    ///
    /// # Errors
    /// Kafka's, of the whole transaction; NETWORK_EXCEPTION where nobody answers.
    pub async fn ask(&self, membership: Membership) -> Answer {
        let image = self.inner.controller.image();
        let node = coordinator(&image, &membership.transactional_id);
        let node = node.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let (answer, answered) = oneshot::channel();
        let asked = Asked { membership, answer };
        if self.inner.enqueue(node, asked) {
            threads::spawn(Arc::clone(&self.inner).run(node));
        }
        answered.await.unwrap_or(Err(ErrorCode::NetworkException))
    }
}

/// The broker that coordinates the transactions of an id.
fn coordinator(image: &MetadataImage, transactional_id: &str) -> Option<NodeId> {
    let topic = image.topic(TRANSACTIONS_TOPIC)?;
    let count = i32::try_from(topic.partitions.len()).ok();
    let count = count.filter(|count| *count > 0)?;
    let index = PartitionIndex(partition_for(transactional_id, count));
    topic.partition(index)?.leader
}

impl Inner {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        // nothing in the critical sections leaves the map half changed
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether one task more is to empty the queue.
    fn enqueue(&self, node: NodeId, asked: Asked) -> bool {
        let mut queues = self.queues();
        let queue = queues.entry(node).or_default();
        queue.waiting.push(asked);
        let has_room = queue.tasks < IN_FLIGHT_MAX;
        queue.tasks += usize::from(has_room);
        has_room
    }

    /// What a task asks next: of each transactional id once, since answers name nothing else. The
    /// task ends where there is nothing.
    fn next(&self, node: NodeId) -> Vec<Asked> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&node) else {
            return Vec::new();
        };
        let mut ids = BTreeSet::new();
        let waiting = std::mem::take(&mut queue.waiting).into_iter();
        let (next, later): (Vec<_>, Vec<_>) = waiting.partition(|asked| {
            ids.len() < TRANSACTIONS_MAX && ids.insert(asked.membership.transactional_id.clone())
        });
        queue.waiting = later;
        if next.is_empty() {
            queue.tasks -= 1;
            if queue.tasks == 0 {
                queues.remove(&node);
            }
        }
        next
    }

    async fn run(self: Arc<Self>, node: NodeId) {
        loop {
            let asked = self.next(node);
            if asked.is_empty() {
                return;
            }
            let request = AddPartitionsToTxnRequest {
                transactions: asked.iter().map(|a| transaction(&a.membership)).collect(),
                ..AddPartitionsToTxnRequest::default()
            };
            let answer = self.brokers.call(node, &request, VERSION).await;
            let mut results = match answer {
                Ok(response) => results(response),
                Err(error) => {
                    debug!(coordinator = %node, %error, "no transaction was verified");
                    Err(ErrorCode::NetworkException)
                }
            };
            for Asked { membership, answer } in asked {
                let id = &membership.transactional_id;
                let result = match &mut results {
                    Ok(results) => results.remove(id).ok_or(ErrorCode::UnknownServerError),
                    Err(error) => Err(*error),
                };
                // whoever asked may have gone
                let _ = answer.send(result);
            }
        }
    }
}

fn transaction(membership: &Membership) -> AddPartitionsToTxnTransaction {
    let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
    for (name, partition) in &membership.partitions {
        match topics.last_mut() {
            Some(last) if last.name == **name => last.partitions.push(*partition),
            _ => topics.push(AddPartitionsToTxnTopic {
                name: name.to_string(),
                partitions: vec![*partition],
            }),
        }
    }
    AddPartitionsToTxnTransaction {
        transactional_id: membership.transactional_id.clone(),
        producer_id: membership.producer_id.0,
        producer_epoch: membership.producer_epoch.0,
        verify_only: membership.verify_only,
        topics,
    }
}

type Results = BTreeMap<String, BTreeMap<(TopicName, i32), ErrorCode>>;

/// The answer, by transactional id.
fn results(response: AddPartitionsToTxnResponse) -> Result<Results, ErrorCode> {
    match ErrorCode::from(response.error_code) {
        ErrorCode::None => {}
        error => return Err(error),
    }
    let transactions = response.results_by_transaction.into_iter();
    let of = transactions.map(|transaction| {
        let topics = transaction.topic_results.into_iter();
        let partitions = topics.flat_map(|topic| {
            let name = TopicName::from(topic.name.as_str());
            let results = topic.results_by_partition.into_iter();
            results.map(move |partition| {
                let error = ErrorCode::from(partition.partition_error_code);
                ((name.clone(), partition.partition_index), error)
            })
        });
        (transaction.transactional_id, partitions.collect())
    });
    Ok(of.collect())
}
