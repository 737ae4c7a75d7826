//! A connection to a leader: Fetch requests out, answers in.

use std::time::Duration;

use ottla_protocol::ids::BrokerEpoch;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse};

use super::Error;
use crate::stream::Stream;
use crate::tls::Connector;

/// The version of Fetch that followers speak: topics by id, incarnations of replicas.
const FETCH_VERSION: i16 = 17;

/// The largest answer that is taken: a leader sends one batch of any size where it is the first.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much longer than asked an answer may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Connection {
    requests: ottla_client::Connection<Stream>,
    /// Our incarnation when the connection was opened.
    pub(super) broker_epoch: BrokerEpoch,
}

impl Connection {
    /// The leader knows by the client id who asks.
    pub(super) async fn open(
        connector: &Connector,
        (address, has_tls): (&str, bool),
        client_id: String,
        broker_epoch: BrokerEpoch,
    ) -> Result<Self, Error> {
        let connecting = connector.connect(address, has_tls);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let stream = stream.map_err(|_| Error::TimedOut(CONNECT_TIMEOUT))?;
        let stream = stream.map_err(ottla_client::Error::from)?;
        Ok(Self {
            requests: ottla_client::Connection::new(stream, client_id, ANSWER_BYTES_MAX),
            broker_epoch,
        })
    }

    pub(super) async fn send(&mut self, request: &FetchRequest) -> Result<(), Error> {
        self.requests.send(request, FETCH_VERSION).await?;
        Ok(())
    }

    /// The answer to the oldest request that has none, and the size of its frame. Nothing is lost
    /// when this is dropped half-way.
    pub(super) async fn receive(&mut self) -> Result<(FetchResponse, usize), Error> {
        let answer = self.requests.receive::<FetchRequest>(FETCH_VERSION).await?;
        Ok((answer.response, answer.frame_bytes))
    }
}
