//! A connection to a leader: Fetch requests out, answers in.

use std::time::Duration;

use bytes::BytesMut;
use ottla_protocol::frame;
use ottla_protocol::ids::BrokerEpoch;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Error;
use crate::stream::{Network, Stream};

/// The version of Fetch that followers speak: topics by id, incarnations of replicas.
const FETCH_VERSION: i16 = 17;

/// The largest answer that is taken: a leader sends one batch of any size where it is the first.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Bytes of the size in front of each frame.
const SIZE_BYTES: usize = 4;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much longer than asked an answer may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Connection {
    stream: Stream,
    buffer: BytesMut,
    /// Of the last request.
    correlation_id: i32,
    /// Of the last answer: they come in the order of requests.
    answered_id: i32,
    /// By which the leader knows who asks.
    client_id: String,
    /// Our incarnation when the connection was opened.
    pub(super) broker_epoch: BrokerEpoch,
}

impl Connection {
    pub(super) async fn open(
        network: Network,
        address: &str,
        client_id: String,
        broker_epoch: BrokerEpoch,
    ) -> Result<Self, Error> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, network.connect(address)).await;
        Ok(Self {
            stream: stream.map_err(|_| Error::TimedOut(CONNECT_TIMEOUT))??,
            buffer: BytesMut::new(),
            correlation_id: 0,
            answered_id: 0,
            client_id,
            broker_epoch,
        })
    }

    pub(super) async fn send(&mut self, request: &FetchRequest) -> Result<(), Error> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let segments =
            frame::request(FETCH_VERSION, self.correlation_id, &self.client_id, request)?;
        for segment in segments {
            self.stream.write_all(&segment).await?;
        }
        Ok(())
    }

    /// The answer to the oldest request that has none, and the size of its frame. Nothing is lost
    /// when this is dropped half-way.
    pub(super) async fn receive(&mut self) -> Result<(FetchResponse, usize), Error> {
        loop {
            if let Some(frame) = frame::split(&mut self.buffer, ANSWER_BYTES_MAX)? {
                let frame_bytes = frame.len();
                let (correlation_id, response) =
                    frame::read_response::<FetchRequest>(frame, FETCH_VERSION)?;
                let expected = self.answered_id.wrapping_add(1);
                if correlation_id != expected || self.answered_id == self.correlation_id {
                    return Err(Error::Unasked);
                }
                self.answered_id = correlation_id;
                return Ok((response, frame_bytes));
            }
            // room for the whole frame at once, so that its records lie in one piece
            let size = self.buffer.first_chunk::<SIZE_BYTES>();
            let size = size.map_or(0, |size| i32::from_be_bytes(*size).max(0) as usize);
            let wanted = (size.min(ANSWER_BYTES_MAX) + SIZE_BYTES).max(512);
            self.buffer
                .reserve(wanted.saturating_sub(self.buffer.len()).max(1));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}
