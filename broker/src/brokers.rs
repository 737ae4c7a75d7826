//! This broker as a client of the others: Kafka's own requests, over connections that are kept.
//!
//! It calls itself by what only it can know, so that the others see it is a broker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_client::Connection;
use ottla_protocol::codec::Request;
use ottla_protocol::ids::NodeId;

use crate::authorizer::follower_client_id;
use crate::config::Settings;
use crate::controller;
use crate::stream::Stream;
use crate::tls::Connector;

/// The largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take: it may wait for a commit of the other broker's.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections to one broker are kept while nothing is asked: as many as one busy asker
/// has requests on their way, so that none is opened for each of them.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody of this id has a listener for brokers.
    #[error("broker {0} is not registered")]
    UnknownBroker(NodeId),
    /// This broker is not registered yet.
    #[error("this broker is not registered yet")]
    NotRegistered,
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ottla_client::Error),
}

/// The way to the other brokers. Cheap to clone.
#[derive(Clone)]
pub struct Brokers {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    controller: controller::Handle,
    connector: Connector,
    /// Connections without a request.
    idle: Mutex<BTreeMap<NodeId, Vec<Idle>>>,
}

struct Idle {
    connection: Connection<Stream>,
    to: Target,
}

/// Where a connection leads to, and what it calls us: either may change.
#[derive(PartialEq, Eq)]
struct Target {
    address: String,
    has_tls: bool,
    client_id: String,
}

impl Brokers {
    /// No connection yet.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        controller: controller::Handle,
        connector: Connector,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                controller,
                connector,
                idle: Mutex::default(),
            }),
        }
    }

    /// Asks a broker, in this version of the request.
    ///
    /// # Errors
    /// See [`Error`]. Whether the other broker has done what was asked is not known.
    pub async fn call<R: Request>(
        &self,
        node: NodeId,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Error> {
        let to = self.inner.target(node)?;
        let connection = match self.inner.take(node, &to) {
            Some(connection) => connection,
            None => self.inner.open(&to).await?,
        };
        // whoever gives up in between takes the connection along
        let mut idle = Idle { connection, to };
        let exchange = idle.connection.exchange(request, version);
        let answered = tokio::time::timeout(CALL_TIMEOUT, exchange).await;
        let response = answered.map_err(|_| Error::TimedOut(CALL_TIMEOUT))??;
        self.inner.keep(node, idle);
        Ok(response)
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<Idle>>> {
        // nothing in the critical sections leaves the map half changed
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker's address, and what this one calls itself.
    fn target(&self, node: NodeId) -> Result<Target, Error> {
        let image = self.controller.image();
        let us = image
            .broker(self.settings.node_id)
            .ok_or(Error::NotRegistered)?;
        let name = self.settings.inter_broker_listener_name.as_deref();
        let broker = image.broker(node);
        let listener = broker.and_then(|broker| broker.listener(name.unwrap_or_default()));
        let listener = listener.ok_or(Error::UnknownBroker(node))?;
        Ok(Target {
            address: format!("{}:{}", listener.host, listener.port),
            has_tls: listener.has_tls(),
            client_id: follower_client_id(us),
        })
    }

    fn take(&self, node: NodeId, to: &Target) -> Option<Connection<Stream>> {
        let mut idle = self.idle();
        let known = idle.get_mut(&node)?;
        known.retain(|idle| idle.to == *to);
        Some(known.pop()?.connection)
    }

    fn keep(&self, node: NodeId, connection: Idle) {
        let mut idle = self.idle();
        let known = idle.entry(node).or_default();
        if known.len() < IDLE_CONNECTIONS_MAX {
            known.push(connection);
        }
    }

    async fn open(&self, to: &Target) -> Result<Connection<Stream>, Error> {
        let connecting = self.connector.connect(&to.address, to.has_tls);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let stream = stream.map_err(|_| Error::TimedOut(CONNECT_TIMEOUT))?;
        let stream = stream.map_err(ottla_client::Error::from)?;
        let client_id = to.client_id.clone();
        Ok(Connection::new(stream, client_id, ANSWER_BYTES_MAX))
    }
}
