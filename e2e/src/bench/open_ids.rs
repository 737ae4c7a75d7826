//! Many transactional ids that all have a transaction open at the same time, with one record each;
//! then all are committed. By this project's own client: ten thousand of Kafka's would need more
//! memory than the brokers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ottla_client::Connection;
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::groups::FindCoordinatorRequest;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::transactions::EndTxnRequest;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::measure::Summary;
use super::row::RECORD_BYTES;

/// Clients at a time, each with a share of the ids.
const CLIENTS: u64 = 64;

/// How long one request is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause before that, as Kafka's own clients make it.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest transactions that brokers allow by default.
const TIMEOUT_MS: i32 = 900_000;

/// Of FindCoordinator: the key is a transactional id.
const TRANSACTION_KEY: i8 = 1;

/// The version of Produce with which a leader adds its partition to the transaction.
const PRODUCE_VERSION: i16 = 12;

/// What all clients know.
struct Known {
    brokers: BTreeMap<i32, String>,
    topic: String,
    /// The leader of each partition.
    leaders: Vec<i32>,
}

/// An id with an open transaction.
struct Open {
    transactional_id: String,
    coordinator: i32,
    producer: (i64, i16),
}

/// Opens a transaction of each id, and commits all once all are open: latencies are those of the
/// commits, as is the rate.
///
/// # Errors
/// A broker does not do its part.
pub fn load(bootstrap: &str, topic: &str, ids: u64) -> Result<Summary> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run(bootstrap, topic, ids))
}

async fn run(bootstrap: &str, topic: &str, ids: u64) -> Result<Summary> {
    let known = Arc::new(learn(bootstrap, topic).await?);
    let all_open = Arc::new(Barrier::new(usize::try_from(CLIENTS)?));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (known, all_open) = (Arc::clone(&known), Arc::clone(&all_open));
        let own = (number..ids).step_by(usize::try_from(CLIENTS)?);
        clients.spawn(async move { client(&known, own.collect(), &all_open).await });
    }
    let (mut latencies, mut began) = (Vec::new(), None);
    while let Some(done) = clients.join_next().await {
        // the first failure ends all: the others would wait for it
        let (own, since) = done??;
        latencies.extend(own);
        began = began.min(Some(since)).or(Some(since));
    }
    let took = began.context("there are clients")?.elapsed();
    ensure!(latencies.len() as u64 == ids, "not all were committed");
    Summary::of(latencies, took)
}

/// Opens and commits its ids; how long each commit took, and when the first began.
async fn client(
    known: &Known,
    ids: Vec<u64>,
    all_open: &Barrier,
) -> Result<(Vec<Duration>, Instant)> {
    let mut connections = Connections {
        known,
        open: BTreeMap::new(),
    };
    let mut open = Vec::with_capacity(ids.len());
    for id in ids {
        open.push(connections.begin(id).await?);
    }
    all_open.wait().await;
    let began = Instant::now();
    let mut latencies = Vec::with_capacity(open.len());
    for open in &open {
        let since = Instant::now();
        connections.commit(open).await?;
        latencies.push(since.elapsed());
    }
    Ok((latencies, began))
}

async fn learn(bootstrap: &str, topic: &str) -> Result<Known> {
    let address = bootstrap.split(',').next().unwrap_or_default();
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(topic.to_owned()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let metadata = connect(address).await?.call(&request).await?;
    let brokers = metadata.brokers.iter();
    let found = metadata.topics.first().context("the topic is not there")?;
    let mut leaders: Vec<_> = found
        .partitions
        .iter()
        .map(|partition| (partition.partition_index, partition.leader_id))
        .collect();
    leaders.sort_unstable();
    Ok(Known {
        brokers: brokers
            .map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port)))
            .collect(),
        topic: topic.to_owned(),
        leaders: leaders.into_iter().map(|(_, leader)| leader).collect(),
    })
}

async fn connect(address: &str) -> Result<Connection<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream, "open-ids", 16 << 20);
    connection.negotiate("bench").await?;
    Ok(connection)
}

/// One client's connections to the brokers.
struct Connections<'a> {
    known: &'a Known,
    open: BTreeMap<i32, Connection<TcpStream>>,
}

impl Connections<'_> {
    async fn to(&mut self, node: i32) -> Result<&mut Connection<TcpStream>> {
        if !self.open.contains_key(&node) {
            let address = self.known.brokers.get(&node).context("an unknown broker")?;
            self.open.insert(node, connect(address).await?);
        }
        self.open.get_mut(&node).context("it was opened")
    }

    /// Asks until the answer has no error that passes.
    async fn ask<R: Request>(
        &mut self,
        node: i32,
        (request, version): (&R, Option<i16>),
        error: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let connection = self.to(node).await?;
            let answer = match version {
                Some(version) => connection.exchange(request, version).await?,
                None => connection.call(request).await?,
            };
            match ErrorCode::from(error(&answer)) {
                ErrorCode::None => return Ok(answer),
                error if !error.is_retriable() || Instant::now() > deadline => {
                    bail!("{} was answered {}", R::KEY.name(), error.name())
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A producer id, and a record in a transaction.
    async fn begin(&mut self, id: u64) -> Result<Open> {
        let transactional_id = format!("open-{id}");
        let find = FindCoordinatorRequest {
            key_type: TRANSACTION_KEY,
            coordinator_keys: vec![transactional_id.clone()],
            ..FindCoordinatorRequest::default()
        };
        let any = *self.known.leaders.first().context("no partition")?;
        let first = |code: Option<i16>| code.unwrap_or(ErrorCode::UnknownServerError.code());
        let found = self.ask(any, (&find, None), |answer| {
            first(answer.coordinators.first().map(|found| found.error_code))
        });
        let found = found.await?;
        let coordinator = found
            .coordinators
            .first()
            .context("no coordinator")?
            .node_id;
        let init = InitProducerIdRequest {
            transactional_id: Some(transactional_id.clone()),
            transaction_timeout_ms: TIMEOUT_MS,
            ..InitProducerIdRequest::default()
        };
        let given = self.ask(coordinator, (&init, None), |answer| answer.error_code);
        let given = given.await?;
        let producer = (given.producer_id, given.producer_epoch);
        let index = usize::try_from(id)? % self.known.leaders.len();
        let produce = produce(&self.known.topic, &transactional_id, index, producer)?;
        let leader = self.known.leaders[index];
        let appended = self.ask(leader, (&produce, Some(PRODUCE_VERSION)), |answer| {
            let partitions = answer
                .responses
                .first()
                .map(|topic| &topic.partition_responses);
            first(
                partitions
                    .and_then(|found| found.first())
                    .map(|found| found.error_code),
            )
        });
        appended.await?;
        Ok(Open {
            transactional_id,
            coordinator,
            producer,
        })
    }

    async fn commit(&mut self, open: &Open) -> Result<()> {
        let end = EndTxnRequest {
            transactional_id: open.transactional_id.clone(),
            producer_id: open.producer.0,
            producer_epoch: open.producer.1,
            committed: true,
        };
        let ended = self.ask(open.coordinator, (&end, None), |answer| answer.error_code);
        ended.await?;
        Ok(())
    }
}

fn produce(
    topic: &str,
    transactional_id: &str,
    index: usize,
    (id, epoch): (i64, i16),
) -> Result<ProduceRequest> {
    let value = vec![0; usize::try_from(RECORD_BYTES)?];
    let mut batch = Builder::new()
        .producer(ProducerId(id), ProducerEpoch(epoch), Sequence(0))
        .transactional();
    batch.push(&NewRecord {
        value: Some(&value),
        ..NewRecord::default()
    });
    Ok(ProduceRequest {
        transactional_id: Some(transactional_id.to_owned()),
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: i32::try_from(index)?,
                records: Some(batch.build()),
            }],
            ..TopicProduceData::default()
        }],
    })
}
