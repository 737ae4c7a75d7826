//! How the operator reaches brokers: plain, or where they know it by its certificate.

use std::fmt;
use std::io;
use std::sync::Arc;

use ottla_client::client::Connect;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::{Pair, parse, roots};
use crate::fingerprint::fingerprint;

/// Who the operator is for the brokers of a cluster, and whom it takes for them.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ClientConfig>,
    fingerprint: u64,
}

impl Identity {
    /// One with that certificate, which trusts those.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(shown: &Pair, trusted: &str) -> Result<Self, String> {
        let (chain, key) = parse(&shown.certificate, &shown.key)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots(trusted)?)
            .with_client_auth_cert(chain, key)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            config: Arc::new(config),
            fingerprint: fingerprint(&format!("{}{trusted}", shown.certificate)),
        })
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:016x})", self.fingerprint)
    }
}

/// What connections are made with.
#[derive(Clone, Debug)]
pub(super) struct Link(pub(super) Option<Identity>);

/// A stream, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Stream for S {}

impl Connect for Link {
    type Stream = Box<dyn Stream>;

    async fn connect(&self, address: &str) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(identity) = &self.0 else {
            return Ok(Box::new(stream));
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&identity.config));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}
