//! A client of a cluster: one connection at a time, to whichever broker can be reached.

use std::future::Future;
use std::io;
use std::time::Duration;

use ottla_protocol::codec::Request;
use ottla_protocol::messages::metadata::MetadataRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::{Connection, Error};

/// How a stream to a broker comes about: what lies below the connection.
pub trait Connect {
    /// The stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    /// A stream to this address, `host:port`.
    fn connect(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Plain TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Connect for Tcp {
    type Stream = TcpStream;

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Who asks, and how long it waits.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the client calls itself.
    pub client_id: String,
    /// The version of its software.
    pub software_version: String,
    /// How long a connection may take to open, the question for versions included.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub call_timeout: Duration,
    /// The largest answer that is taken.
    pub answer_bytes_max: usize,
}

/// A client that asks one thing at a time.
///
/// Invariant: a call ends within the call's timeout and one connect's timeout for each address; a
/// connection on which a call failed is never used again; where the cluster's id is known, no
/// broker of another cluster is asked anything but for that.
#[derive(Debug)]
pub struct Client<C: Connect = Tcp> {
    connector: C,
    options: Options,
    addresses: Vec<String>,
    cluster_id: Option<String>,
    connection: Option<(String, Connection<C::Stream>)>,
}

impl<C: Connect> Client<C> {
    /// A client that will find the cluster through any of these addresses.
    pub fn new(connector: C, options: Options, addresses: Vec<String>) -> Self {
        Self {
            connector,
            options,
            addresses,
            cluster_id: None,
            connection: None,
        }
    }

    /// Replaces the addresses, as brokers come and go. A connection to one that is not among them
    /// is closed.
    pub fn set_addresses(&mut self, addresses: Vec<String>) {
        if let Some((address, _)) = &self.connection
            && !addresses.contains(address)
        {
            self.connection = None;
        }
        self.addresses = addresses;
    }

    /// Says which cluster is asked; none: any. A connection that was opened for another is closed.
    pub fn set_cluster_id(&mut self, cluster_id: Option<String>) {
        if self.cluster_id != cluster_id {
            self.cluster_id = cluster_id;
            self.connection = None;
        }
    }

    /// Replaces what connections are made with, and closes the open one.
    pub fn set_connector(&mut self, connector: C) {
        self.connector = connector;
        self.connection = None;
    }

    /// Asks over the open connection, or over a new one. A request must be one that may be made
    /// twice with the same outcome: where an open connection turns out to be closed, as a restarted
    /// broker leaves it, the request is made again over a new one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, Error> {
        let was_open = self.connection.is_some();
        match self.call_once(request).await {
            Err(error) if was_open && error.is_broken() => self.call_once(request).await,
            answer => answer,
        }
    }

    async fn call_once<R: Request>(&mut self, request: &R) -> Result<R::Response, Error> {
        let (address, mut connection) = match self.connection.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let timeout = self.options.call_timeout;
        let called = tokio::time::timeout(timeout, connection.call(request)).await;
        match called.unwrap_or(Err(Error::TimedOut(timeout))) {
            Ok(response) => {
                self.connection = Some((address, connection));
                Ok(response)
            }
            Err(cause) => Err(Error::Broker {
                address,
                cause: Box::new(cause),
            }),
        }
    }

    async fn open(&mut self) -> Result<(String, Connection<C::Stream>), Error> {
        let mut last = ("no address".to_owned(), io::ErrorKind::NotFound.into());
        for address in self.addresses.clone() {
            let timeout = self.options.connect_timeout;
            let opened = tokio::time::timeout(timeout, self.open_to(&address)).await;
            let opened =
                opened.unwrap_or_else(|_| Err(Error::Broken(io::ErrorKind::TimedOut.into())));
            match opened {
                Ok(connection) => return Ok((address, connection)),
                Err(error @ Error::InconsistentClusterId { .. }) => return Err(error),
                Err(Error::Broken(cause)) => last = (address, cause),
                Err(error) => last = (address, io::Error::other(error)),
            }
            // the next attempt begins with another broker
            self.addresses.rotate_left(1);
        }
        let (address, cause) = last;
        Err(Error::Unreachable { address, cause })
    }

    async fn open_to(&self, address: &str) -> Result<Connection<C::Stream>, Error> {
        let Options {
            client_id,
            software_version,
            answer_bytes_max,
            ..
        } = &self.options;
        let stream = self.connector.connect(address).await?;
        let mut connection = Connection::new(stream, client_id, *answer_bytes_max);
        connection.negotiate(software_version).await?;
        let Some(expected) = self.cluster_id.clone() else {
            return Ok(connection);
        };
        let no_topics = MetadataRequest {
            topics: Some(Vec::new()),
            ..MetadataRequest::default()
        };
        let found = connection.call(&no_topics).await?.cluster_id;
        match found.filter(|found| *found != expected) {
            Some(found) => Err(Error::InconsistentClusterId { expected, found }),
            None => Ok(connection),
        }
    }
}
