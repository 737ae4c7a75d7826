//! Connections that begin with a full handshake of TLS 1.3, ask for ApiVersions and end: what a
//! crowd of clients costs that comes all at once. By this project's own client, as a JVM would have
//! no more than a share of the cores left for the broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ottla_client::Connection;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::measure::Summary;

/// Clients at a time.
const CLIENTS: u8 = 16;

/// The largest answer: that to ApiVersions is far smaller.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What all clients know.
struct Known {
    broker: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
    left: AtomicU64,
}

/// Begins so many connections, each once another has ended. `authority` is the file of whom clients
/// trust.
///
/// # Errors
/// A handshake fails, or there is no answer.
pub fn load(bootstrap: &str, authority: &Path, connections: u64) -> Result<Summary> {
    let known = Arc::new(Known {
        broker: bootstrap.parse()?,
        name: ServerName::try_from("127.0.0.1")?,
        connector: TlsConnector::from(Arc::new(config(authority)?)),
        left: AtomicU64::new(connections),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let known = Arc::clone(&known);
            clients.spawn(async move { client(number, &known).await });
        }
        let mut latencies = Vec::new();
        while let Some(done) = clients.join_next().await {
            latencies.extend(done??);
        }
        Summary::of(latencies, began.elapsed())
    })
}

fn config(authority: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// One connection after the other, from an address of its own: the system keeps the port of one
/// that has ended for a minute.
async fn client(number: u8, known: &Known) -> Result<Vec<Duration>> {
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 1, number + 1), 0));
    let take = |left: u64| left.checked_sub(1);
    let mut latencies = Vec::new();
    while known
        .left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        let since = Instant::now();
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        let stream = socket.connect(known.broker).await?;
        stream.set_nodelay(true)?;
        let shaken = known.connector.connect(known.name.clone(), stream).await;
        let stream = shaken.context("a handshake")?;
        let mut connection = Connection::new(stream, "handshakes", ANSWER_BYTES_MAX);
        connection.negotiate("bench").await?;
        latencies.push(since.elapsed());
    }
    Ok(latencies)
}
