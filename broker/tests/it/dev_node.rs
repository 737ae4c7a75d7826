//! A node of its own in this process, and a client that hands it frames as a connection would.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ottla_broker::api::{self, Call, Client};
use ottla_broker::config::Settings;
use ottla_broker::node::{Node, Surroundings};
use ottla_broker::threads;
use ottla_protocol::codec::Request;
use ottla_protocol::frame;
use ottla_protocol::messages::topics::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use ottla_storage::serving;
use tokio::time::timeout;

/// No answer takes longer here: nothing waits for another broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A node in a folder that goes with it.
pub struct DevNode {
    /// The node.
    pub node: Node,
    client: Client,
    _dir: tempfile::TempDir,
}

/// A batch of one record.
pub fn one_record() -> Builder {
    let mut builder = Builder::new();
    builder.push(&NewRecord {
        timestamp_ms: 1,
        value: Some(b"v"),
        ..NewRecord::default()
    });
    builder
}

impl DevNode {
    /// A node that is ready.
    pub async fn start() -> Self {
        Self::start_in(Surroundings::real()).await
    }

    /// A node that is ready, with these surroundings.
    pub async fn start_in(around: Surroundings) -> Self {
        Self::start_with(around, |_| {}).await
    }

    /// The same, with settings that are changed before.
    pub async fn start_with(around: Surroundings, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::dev(dir.path(), 0).unwrap();
        settings.group_initial_rebalance_delay = Duration::ZERO;
        change(&mut settings);
        let node = Node::start(settings, around).await.unwrap();
        node.ready().await;
        let client = Client::new(
            Arc::clone(node.context()),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            "PLAINTEXT".into(),
            1,
        );
        Self {
            node,
            client,
            _dir: dir,
        }
    }

    /// From now on the client is this user.
    pub fn be(&mut self, user: &str) {
        self.be_on("PLAINTEXT", user);
    }

    /// From now on the client is this user on that listener.
    pub fn be_on(&mut self, listener: &str, user: &str) {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let context = Arc::clone(self.node.context());
        self.client = Client::new(context, host, listener.into(), 1).named(user);
    }

    /// Makes a topic with one partition.
    pub async fn create_topic(&mut self, name: &str) {
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let create = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 5000,
            ..CreateTopicsRequest::default()
        };
        let created = self.ask(7, &create).await;
        let topic = &created.topics[0];
        assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
    }

    /// What becomes of the frame `bytes` within `limit`: the answer's frame, both without their
    /// size; none where no answer is owed, or it takes longer.
    ///
    /// # Errors
    /// Why the connection would be closed.
    pub async fn call(
        &mut self,
        bytes: BytesMut,
        limit: Duration,
    ) -> Result<Option<BytesMut>, api::Error> {
        // as on a broker's own threads, which no disk may hold up
        let answer = match serving::serving(|| self.client.call(bytes))? {
            Call::Done(segments) => Some(segments),
            Call::Waiting { future, .. } => match timeout(limit, threads::served(future)).await {
                Ok(answer) => answer?.map(|answered| answered.segments),
                Err(_) => None,
            },
        };
        Ok(answer.map(|segments| {
            let mut bytes = segments.concat().as_slice().into();
            BytesMut::advance(&mut bytes, 4);
            bytes
        }))
    }

    /// The answer to a request that has one.
    pub async fn ask<R: Request>(&mut self, version: i16, body: &R) -> R::Response {
        self.ask_as("test", version, body).await
    }

    /// The answer to a request of a client of that name.
    pub async fn ask_as<R: Request>(
        &mut self,
        client_id: &str,
        version: i16,
        body: &R,
    ) -> R::Response {
        let segments = frame::request(version, 7, client_id, body).unwrap();
        let mut bytes: BytesMut = segments.concat().as_slice().into();
        bytes.advance(4);
        let name = R::KEY;
        let answer = self.call(bytes, ANSWER_TIMEOUT).await;
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
        frame::read_response::<R>(answer, version).unwrap().1
    }
}
