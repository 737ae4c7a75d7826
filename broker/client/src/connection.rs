//! One connection to one broker: requests out, answers in, in the order of the requests.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use bytes::BytesMut;
use ottla_protocol::codec::Request;
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Error;

/// Bytes of the size in front of each frame.
const SIZE_BYTES: usize = 4;

/// The least room for a read.
const READ_BYTES_MIN: usize = 512;

/// The version of ApiVersions that is asked in: it names the client's software, and every broker
/// since Kafka 2.4 answers it.
const API_VERSIONS: i16 = 3;

/// An answer with what tells which request it belongs to.
#[derive(Debug)]
pub struct Answer<T> {
    /// What [`Connection::send`] gave for the request.
    pub correlation_id: i32,
    /// The answer itself.
    pub response: T,
    /// The size of its frame.
    pub frame_bytes: usize,
}

/// A connection over `S`.
///
/// Invariant: an answer is taken only for the oldest request that waits, as brokers keep the order.
/// A connection whose writing ended half-way through a frame carries no further request.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    buffer: BytesMut,
    client_id: String,
    answer_bytes_max: usize,
    /// Of the newest request.
    correlation_id: i32,
    /// The requests without an answer, the oldest first.
    waiting: VecDeque<i32>,
    /// A frame has been begun and not finished.
    is_mid_frame: bool,
    /// The versions of each API that the broker knows, once it has been asked.
    versions: BTreeMap<i16, (i16, i16)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over an open stream. `answer_bytes_max` is the largest answer that is taken.
    pub fn new(stream: S, client_id: impl Into<String>, answer_bytes_max: usize) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            client_id: client_id.into(),
            answer_bytes_max,
            correlation_id: 0,
            waiting: VecDeque::new(),
            is_mid_frame: false,
            versions: BTreeMap::new(),
        }
    }

    /// Asks which versions the broker speaks, for [`Connection::call`] (KIP-35), and says who asks
    /// (KIP-511).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn negotiate(&mut self, software_version: &str) -> Result<(), Error> {
        let hello = ApiVersionsRequest {
            client_software_name: self.client_id.clone(),
            client_software_version: software_version.to_owned(),
        };
        let known = self.exchange(&hello, API_VERSIONS).await?;
        self.versions = known
            .api_keys
            .into_iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(())
    }

    /// Sends a request in the newest version that both know, and waits for its answer. No other
    /// request may be waiting.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, Error> {
        let known = self.versions.get(&R::KEY.key()).copied();
        let version = known
            .map(|(min, max)| (min, max.min(*R::VERSIONS.end())))
            .filter(|(min, version)| version >= min && R::VERSIONS.contains(version));
        let Some((_, version)) = version else {
            return Err(Error::Version { api: R::KEY.name() });
        };
        self.exchange(request, version).await
    }

    /// Sends a request in this version, and waits for its answer. No other may be waiting.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Error> {
        let sent = self.send(request, version).await?;
        let answer = self.receive::<R>(version).await?;
        if answer.correlation_id == sent {
            Ok(answer.response)
        } else {
            Err(Error::Unasked)
        }
    }

    /// Sends a request whose answer [`Connection::receive`] takes; its correlation id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<i32, Error> {
        if self.is_mid_frame {
            let cause = "a request was given up half-way through its frame";
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, cause).into());
        }
        let correlation_id = self.correlation_id.wrapping_add(1);
        let segments = frame::request(version, correlation_id, &self.client_id, request);
        let segments = segments.map_err(Error::Request)?;
        self.correlation_id = correlation_id;
        self.is_mid_frame = true;
        for segment in segments {
            self.stream.write_all(&segment).await?;
        }
        self.stream.flush().await?;
        self.is_mid_frame = false;
        self.waiting.push_back(correlation_id);
        Ok(correlation_id)
    }

    /// The next answer, to the oldest request without one, which was sent in this version. Nothing
    /// is lost when this is dropped half-way.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn receive<R: Request>(
        &mut self,
        version: i16,
    ) -> Result<Answer<R::Response>, Error> {
        loop {
            if let Some(frame) = frame::split(&mut self.buffer, self.answer_bytes_max)? {
                let frame_bytes = frame.len();
                let (correlation_id, response) =
                    frame::read_response::<R>(frame, version).map_err(Error::Malformed)?;
                if self.waiting.pop_front() != Some(correlation_id) {
                    return Err(Error::Unasked);
                }
                return Ok(Answer {
                    correlation_id,
                    response,
                    frame_bytes,
                });
            }
            self.make_room();
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Room for the whole frame at once, so that its records lie in one piece.
    fn make_room(&mut self) {
        let size = self.buffer.first_chunk::<SIZE_BYTES>();
        let size = size.map_or(0, |size| i32::from_be_bytes(*size).max(0) as usize);
        let wanted = (size.min(self.answer_bytes_max) + SIZE_BYTES).max(READ_BYTES_MIN);
        let missing = wanted.saturating_sub(self.buffer.len());
        self.buffer.reserve(missing.max(1));
    }
}

#[cfg(test)]
mod tests;
