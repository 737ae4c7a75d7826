//! Brokers that are not there: a platform whose brokers serve as soon as they are started, and a
//! Kafka that keeps nothing of a topic but its name and who holds it.

mod access;
mod fake;
mod moves;
mod quorum;
mod slow;
mod tls;
mod versions;
mod volumes;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::{Decode, Encode, Message, Reader, Request};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::messages::access::DescribeAclsRequest;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::cluster::{DescribeQuorumRequest, ListPartitionReassignmentsRequest};
use ottla_protocol::messages::configs::{
    DescribeConfigsRequest, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult,
};
use ottla_protocol::messages::metadata::{
    DescribeClusterRequest, MetadataRequest, MetadataResponse, MetadataResponseTopic,
};
use ottla_protocol::messages::topics::{
    CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse, DeletableTopicResult,
    DeleteTopicsRequest, DeleteTopicsResponse,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::api::ApiServer;
use crate::platform::Properties;
use crate::secrets::Secrets;

pub use self::fake::Fake;

use self::access::Users;
use self::moves::Partition;
use self::slow::{Trouble, refused};
use self::versions::versions;
use self::volumes::Volumes;

/// How many brokers there are.
const BROKERS: i32 = 3;
/// The largest request that is read.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Kafka's number of a topic's own config.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

/// The brokers of one cluster and their topics. Cheap to clone.
#[derive(Clone)]
pub struct Brokers {
    kafka: Rc<Kafka>,
}

struct Kafka {
    /// Each broker's.
    listeners: Vec<TcpListener>,
    topics: RefCell<BTreeMap<String, Vec<Partition>>>,
    /// What a replica has that is being copied; none: copies take no time.
    copied_bytes: Cell<Option<i64>>,
    /// The configs of the topics, as they were created with.
    configs: RefCell<BTreeMap<String, Properties>>,
    /// What the last broker was started with.
    settings: RefCell<Properties>,
    is_refused: Cell<bool>,
    down: RefCell<BTreeSet<i32>>,
    /// Brokers that the cluster has not forgotten.
    registered: RefCell<BTreeSet<i32>>,
    cordoned: RefCell<BTreeSet<i32>>,
    /// Brokers that copy no faster than somebody has set them to.
    throttled: RefCell<BTreeSet<i32>>,
    voters: RefCell<BTreeSet<i32>>,
    is_quorum_hidden: Cell<bool>,
    /// Topics that Metadata leaves out.
    hidden: RefCell<BTreeSet<String>>,
    /// Whether brokers that are down count as serving still.
    is_unfenced: Cell<bool>,
    /// Where the certificates are.
    secrets: RefCell<Option<Secrets>>,
    was_asked_over_tls: Cell<bool>,
    cluster_id: RefCell<String>,
    is_silent: Cell<bool>,
    trouble: Trouble,
    volumes: Volumes,
    /// Brokers that are in no ISR, and follow nobody closely.
    behind: RefCell<BTreeSet<i32>>,
    api: RefCell<Option<ApiServer>>,
    users: RefCell<Users>,
}

impl Brokers {
    /// Brokers that are yet to be started.
    pub fn new() -> Self {
        let listen = |_| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Self {
            kafka: Rc::new(Kafka {
                listeners: (0..BROKERS).map(listen).collect(),
                topics: RefCell::new(BTreeMap::new()),
                copied_bytes: Cell::new(None),
                configs: RefCell::default(),
                settings: RefCell::default(),
                is_refused: Cell::new(false),
                down: RefCell::default(),
                registered: RefCell::new((0..BROKERS).collect()),
                cordoned: RefCell::default(),
                throttled: RefCell::default(),
                voters: RefCell::new((0..BROKERS).collect()),
                is_quorum_hidden: Cell::new(false),
                hidden: RefCell::default(),
                is_unfenced: Cell::new(false),
                secrets: RefCell::default(),
                was_asked_over_tls: Cell::new(false),
                cluster_id: RefCell::new("the-cluster".to_owned()),
                is_silent: Cell::new(false),
                trouble: Trouble::default(),
                volumes: Volumes::default(),
                behind: RefCell::default(),
                api: RefCell::default(),
                users: RefCell::default(),
            }),
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        self.kafka.address(0).to_string()
    }

    /// The topics that exist.
    pub fn topics(&self) -> Vec<String> {
        self.kafka.topics.borrow().keys().cloned().collect()
    }

    /// The configs of a topic.
    pub fn configs(&self, topic: &str) -> Properties {
        let configs = self.kafka.configs.borrow();
        configs.get(topic).cloned().unwrap_or_default()
    }

    /// What the last broker was started with.
    pub fn settings(&self) -> Properties {
        self.kafka.settings.borrow().clone()
    }

    /// Has a broker start with these settings.
    pub fn start_with(&self, settings: Properties) {
        *self.kafka.settings.borrow_mut() = settings;
    }

    /// Has the platform refuse to start or change brokers, or take it again.
    pub fn refuse(&self, is_refused: bool) {
        self.kafka.is_refused.set(is_refused);
    }

    /// Has one broker not serve.
    pub fn take_down(&self, broker: i32) {
        self.kafka.down.borrow_mut().insert(broker);
    }

    /// Has all brokers serve again.
    pub fn bring_up(&self) {
        self.kafka.down.borrow_mut().clear();
    }

    /// Has one broker serve or not.
    pub fn bring(&self, broker: i32, is_up: bool) {
        let mut down = self.kafka.down.borrow_mut();
        match is_up {
            true => down.remove(&broker),
            false => down.insert(broker),
        };
    }

    /// Has the brokers be another cluster than they were, which knows of nothing.
    pub fn forget_all(&self) {
        *self.kafka.cluster_id.borrow_mut() = "another-cluster".to_owned();
        self.kafka.topics.borrow_mut().clear();
        *self.kafka.users.borrow_mut() = Users::default();
    }

    /// Has the API server told where a topic is deleted that a living object of its claims.
    pub fn watch_over(&self, api: ApiServer) {
        *self.kafka.api.borrow_mut() = Some(api);
    }

    /// Has brokers answer no more, or again.
    pub fn be_silent(&self, is_silent: bool) {
        self.kafka.is_silent.set(is_silent);
    }

    /// Has a topic exist already.
    pub fn create(&self, topic: &str) {
        let mut topics = self.kafka.topics.borrow_mut();
        topics.insert(topic.to_owned(), vec![Partition::new(3)]);
    }

    /// Has nobody be allowed to describe a topic, or everybody again.
    pub fn hide(&self, topic: &str, is_hidden: bool) {
        let mut hidden = self.kafka.hidden.borrow_mut();
        match is_hidden {
            true => hidden.insert(topic.to_owned()),
            false => hidden.remove(topic),
        };
    }

    /// Has brokers that go down be unfenced still, as they are until their session ends.
    pub fn keep_unfenced(&self, is_unfenced: bool) {
        self.kafka.is_unfenced.set(is_unfenced);
    }

    /// Has a broker be registered with the cluster, or not.
    pub fn register(&self, broker: i32, is_registered: bool) {
        let mut registered = self.kafka.registered.borrow_mut();
        match is_registered {
            true => registered.insert(broker),
            false => registered.remove(&broker),
        };
    }

    /// Who holds the first partition of a topic.
    pub fn replicas(&self, topic: &str) -> Vec<i32> {
        self.kafka.topics.borrow()[topic][0].replicas.clone()
    }

    /// Has these brokers hold the first partition of a topic.
    pub fn set_replicas(&self, topic: &str, replicas: &[i32]) {
        let mut topics = self.kafka.topics.borrow_mut();
        topics.get_mut(topic).unwrap()[0].replicas = replicas.to_vec();
    }

    /// The brokers that are registered, and those that get no new replicas.
    pub fn registered(&self) -> (Vec<i32>, Vec<i32>) {
        let ids = |set: &RefCell<BTreeSet<i32>>| set.borrow().iter().copied().collect();
        (ids(&self.kafka.registered), ids(&self.kafka.cordoned))
    }

    /// The brokers that are held to a rate.
    pub fn throttled(&self) -> Vec<i32> {
        self.kafka.throttled.borrow().iter().copied().collect()
    }

    /// Has copies stop once they have so many bytes of [`moves::SIZE_BYTES`].
    pub fn stop_copies_at(&self, bytes: i64) {
        self.kafka.copied_bytes.set(Some(bytes));
    }

    /// Has copies end, those under way as well.
    pub fn finish_copies(&self) {
        self.kafka.copied_bytes.set(None);
        let mut topics = self.kafka.topics.borrow_mut();
        topics.values_mut().flatten().for_each(Partition::finish);
    }

    /// A platform with these brokers.
    pub fn platform(&self) -> Fake {
        Fake {
            brokers: self.clone(),
            states: BTreeMap::new(),
        }
    }

    /// Answers whoever connects.
    pub async fn serve(&self) {
        let brokers = (0..).zip(&self.kafka.listeners);
        let brokers = brokers.map(|(id, listener)| self.serve_one(id, listener));
        futures::future::join_all(brokers).await;
    }

    async fn serve_one(&self, broker: i32, listener: &TcpListener) {
        let listener = tokio::net::TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            // An answer that waited for the acknowledgement of the one before would be late by
            // 40 ms of the kernel's time: by seconds of a test's.
            stream.set_nodelay(true).unwrap();
            let kafka = Rc::clone(&self.kafka);
            tokio::task::spawn_local(async move { kafka.greet(broker, stream).await });
        }
    }
}

impl Kafka {
    fn address(&self, broker: usize) -> std::net::SocketAddr {
        self.listeners[broker].local_addr().unwrap()
    }

    async fn converse(&self, broker: i32, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut buffer = BytesMut::new();
        let cluster_id = self.cluster_id.borrow().clone();
        loop {
            while let Ok(Some(request)) = frame::split(&mut buffer, REQUEST_BYTES_MAX) {
                let is_another = *self.cluster_id.borrow() != cluster_id;
                if self.is_silent.get() || is_another || !self.is_answered(&request).await {
                    return;
                }
                for segment in self.answer(broker, request) {
                    if stream.write_all(&segment).await.is_err() {
                        return;
                    }
                }
            }
            if !stream
                .read_buf(&mut buffer)
                .await
                .is_ok_and(|read| read > 0)
            {
                return;
            }
        }
    }

    fn answer(&self, broker: i32, request: BytesMut) -> Vec<Bytes> {
        let mut reader = Reader::new(request);
        let header = RequestHeader::read(&mut reader).unwrap();
        let reader = &mut reader;
        match header.api_key {
            ApiKey::ApiVersions => reply(reader, &header, |_: ApiVersionsRequest| versions()),
            ApiKey::Metadata => reply(reader, &header, |request| self.metadata(request)),
            ApiKey::CreateTopics => reply(reader, &header, |request| self.create(request)),
            ApiKey::DeleteTopics => reply(reader, &header, |request| self.delete(request)),
            ApiKey::DescribeConfigs => reply(reader, &header, |request| self.describe(request)),
            ApiKey::DescribeCluster => {
                reply(reader, &header, |_: DescribeClusterRequest| self.brokers())
            }
            ApiKey::IncrementalAlterConfigs => reply(reader, &header, |asked| self.cordon(asked)),
            ApiKey::DescribeQuorum => {
                reply(reader, &header, |_: DescribeQuorumRequest| self.quorum())
            }
            ApiKey::AddRaftVoter => reply(reader, &header, |asked| self.add_voter(asked)),
            ApiKey::RemoveRaftVoter => reply(reader, &header, |asked| self.remove_voter(asked)),
            ApiKey::UnregisterBroker => reply(reader, &header, |asked| self.unregister(asked)),
            ApiKey::DescribeLogDirs => reply(reader, &header, |asked| self.log_dirs(broker, asked)),
            ApiKey::ListPartitionReassignments => {
                reply(reader, &header, |_: ListPartitionReassignmentsRequest| {
                    self.moving()
                })
            }
            ApiKey::AlterPartitionReassignments => {
                reply(reader, &header, |request| self.reassign(request))
            }
            ApiKey::CreateAcls => reply(reader, &header, |asked| self.create_acls(asked)),
            ApiKey::DeleteAcls => reply(reader, &header, |asked| self.delete_acls(asked)),
            ApiKey::DescribeAcls => reply(reader, &header, |_: DescribeAclsRequest| {
                self.describe_acls()
            }),
            ApiKey::DescribeUserScramCredentials => {
                reply(reader, &header, |asked| self.describe_scram(asked))
            }
            ApiKey::DescribeClientQuotas => {
                reply(reader, &header, |asked| self.describe_quotas(asked))
            }
            ApiKey::AlterClientQuotas => reply(reader, &header, |asked| self.alter_quotas(asked)),
            ApiKey::AlterUserScramCredentials => {
                reply(reader, &header, |asked| self.alter_scram(asked))
            }
            other => panic!("nobody here answers {}", other.name()),
        }
    }

    fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
        let topics = self.topics.borrow();
        let wanted = request.topics.map(|topics| {
            let names = topics.into_iter().filter_map(|topic| topic.name);
            names.collect::<Vec<String>>()
        });
        let hidden = self.hidden.borrow();
        let all = topics.keys().filter(|name| !hidden.contains(*name));
        let wanted = wanted.unwrap_or_else(|| all.cloned().collect());
        let described = wanted.into_iter().map(|name| match topics.get(&name) {
            Some(partitions) => MetadataResponseTopic {
                name: Some(name),
                partitions: (0..)
                    .zip(partitions)
                    .map(|(index, partition)| partition.described(index, &self.out_of_sync()))
                    .collect(),
                ..MetadataResponseTopic::default()
            },
            None => MetadataResponseTopic {
                name: Some(name),
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                ..MetadataResponseTopic::default()
            },
        });
        MetadataResponse {
            cluster_id: Some(self.cluster_id.borrow().clone()),
            controller_id: 0,
            topics: described.collect(),
            ..MetadataResponse::default()
        }
    }

    fn create(&self, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let created = request.topics.into_iter().map(|topic| {
            if self.trouble.refuses(&topic.name) {
                return refused(topic.name);
            }
            let partition = Partition::new(i32::from(topic.replication_factor));
            let partitions = (0..topic.num_partitions).map(|_| partition.clone());
            let mut topics = self.topics.borrow_mut();
            topics.insert(topic.name.clone(), partitions.collect());
            let configs = topic.configs.into_iter();
            let configs = configs.map(|config| (config.name, config.value.unwrap_or_default()));
            let mut kept = self.configs.borrow_mut();
            kept.insert(topic.name.clone(), configs.collect());
            CreatableTopicResult {
                name: topic.name,
                ..CreatableTopicResult::default()
            }
        });
        CreateTopicsResponse {
            topics: created.collect(),
            ..CreateTopicsResponse::default()
        }
    }

    fn describe(&self, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let kept = self.configs.borrow();
        let config = |(name, value): (&String, &String)| DescribeConfigsResourceResult {
            name: name.clone(),
            value: Some(value.clone()),
            config_source: DYNAMIC_TOPIC_CONFIG,
            ..DescribeConfigsResourceResult::default()
        };
        let results = request.resources.into_iter().map(|resource| {
            let configs = kept.get(&resource.resource_name).into_iter().flatten();
            DescribeConfigsResult {
                resource_type: resource.resource_type,
                configs: configs.map(config).collect(),
                resource_name: resource.resource_name,
                ..DescribeConfigsResult::default()
            }
        });
        DescribeConfigsResponse {
            results: results.collect(),
            ..DescribeConfigsResponse::default()
        }
    }

    fn accuse(&self, topic: &str) {
        let api = self.api.borrow();
        let objects = api.iter().flat_map(|api| api.all("kafkatopics"));
        for object in objects {
            let metadata = &object["metadata"];
            let name = object["spec"].get("topicName").unwrap_or(&metadata["name"]);
            if name == topic && metadata.get("deletionTimestamp").is_none() {
                let what = format!("the topic {topic} is deleted, which {metadata} claims");
                api.as_ref().unwrap().accuse(what);
            }
        }
    }

    fn delete(&self, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let deleted = request.topics.into_iter().map(|topic| {
            let name = topic.name.unwrap_or_default();
            self.accuse(&name);
            self.topics.borrow_mut().remove(&name);
            DeletableTopicResult {
                name: Some(name),
                ..DeletableTopicResult::default()
            }
        });
        DeleteTopicsResponse {
            responses: deleted.collect(),
            ..DeleteTopicsResponse::default()
        }
    }
}

fn reply<R>(
    reader: &mut Reader,
    header: &RequestHeader,
    answer: impl FnOnce(R) -> R::Response,
) -> Vec<Bytes>
where
    R: Request + Decode,
    R::Response: Encode + Message,
{
    let request = R::decode(reader, header.api_version).unwrap();
    let segments = frame::response(header, header.api_version, &answer(request)).unwrap();
    segments.into_iter().collect()
}
