//! One connection to one broker: requests and answers in turn.

use std::collections::BTreeMap;

use bytes::BytesMut;
use ottla_protocol::codec::Request;
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Error;

/// What the client calls itself.
const CLIENT_ID: &str = "ottla-operator";
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A connection whose broker has said which versions it speaks.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: TcpStream,
    buffer: BytesMut,
    correlation_id: i32,
    versions: BTreeMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects and asks for the versions.
    pub async fn open(address: &str) -> Result<Self, Error> {
        let unreachable = |cause| Error::Unreachable {
            address: address.to_owned(),
            cause,
        };
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut connection = Self {
            address: address.to_owned(),
            stream,
            buffer: BytesMut::new(),
            correlation_id: 0,
            versions: BTreeMap::new(),
        };
        let hello = ApiVersionsRequest {
            client_software_name: CLIENT_ID.to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // Version 3 is the oldest that every broker of ours answers in full.
        let answer = connection.exchange(&hello, 3).await?;
        connection.versions = answer
            .api_keys
            .into_iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(connection)
    }

    /// Which broker it leads to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request in the newest version that both know, and waits for its answer.
    pub async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, Error> {
        let known = self.versions.get(&R::KEY.key()).copied();
        let version = known
            .map(|(min, max)| (min, max.min(*R::VERSIONS.end())))
            .filter(|(min, version)| version >= min && R::VERSIONS.contains(version));
        let Some((_, version)) = version else {
            return Err(Error::Version {
                address: self.address.clone(),
                api: R::NAME,
            });
        };
        self.exchange(request, version).await
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Error> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let segments = frame::request(version, self.correlation_id, CLIENT_ID, request)?;
        for segment in segments {
            let written = self.stream.write_all(&segment).await;
            written.map_err(|cause| self.broken(cause))?;
        }
        let answer = loop {
            let split = frame::split(&mut self.buffer, ANSWER_BYTES_MAX);
            let split = split.map_err(|error| self.broken(std::io::Error::other(error)))?;
            if let Some(answer) = split {
                break answer;
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            match read {
                Ok(0) => return Err(self.broken(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(cause) => return Err(self.broken(cause)),
            }
        };
        let (correlation_id, response) = frame::read_response::<R>(answer, version)?;
        if correlation_id != self.correlation_id {
            return Err(self.broken(std::io::Error::other("an answer to another request")));
        }
        Ok(response)
    }

    fn broken(&self, cause: std::io::Error) -> Error {
        Error::Broken {
            address: self.address.clone(),
            cause,
        }
    }
}
