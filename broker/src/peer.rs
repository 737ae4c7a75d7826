//! gRPC between brokers, on the listener for peers.
//!
//! [`Peers`] calls, [`serve`] answers. What stands behind the calls is the controller's; this
//! module knows connections only.

mod link;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use hyper_util::rt::TokioIo;
use ottla_core::liveness::Sight;
use ottla_protocol::ids::NodeId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Uri};
use tracing::warn;

pub use self::link::{Link, Links};
use crate::defaults::{self, CONNECT_TIMEOUT};
use crate::stream::{Listener, Stream};
use crate::threads;
use crate::tls::{Connector, Tls};

/// The messages and services of `proto/peer.proto`, as `e2e/tests/tidy/generated.rs` writes them.
#[allow(
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated; documented in proto/peer.proto"
)]
pub mod wire {
    include!("../proto/peer.rs");
}

pub use wire::peer_client::PeerClient;
pub use wire::peer_server::{Peer, PeerServer};

/// The largest message between peers: a metadata snapshot goes in parts, a batch of the metadata
/// log in one.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How long a peer may take to shake hands, and how many may do so at a time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKES_MAX: usize = 256;

/// Connections to peers, made when first used and kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {
    connector: Connector,
    /// How the connections with each of them end, also of those that they made.
    pub links: Links,
    /// Held for one look-up at a time.
    channels: Arc<Mutex<HashMap<(NodeId, String), Channel>>>,
}

impl Peers {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(connector: impl Into<Connector>) -> Self {
        Self {
            connector: connector.into(),
            links: Links::default(),
            channels: Arc::default(),
        }
    }

    /// A client of `node`, which listens on `address`.
    #[must_use]
    pub fn client(&self, node: NodeId, address: &str) -> PeerClient<Channel> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (node, address.to_owned());
        let channel = channels
            .entry(key)
            .or_insert_with(|| self.connect(node, address));
        client(channel.clone())
    }

    /// A client of `node` on a connection of its own, for what is large: on a slow link the
    /// heartbeats would wait behind it.
    #[must_use]
    pub fn client_for_bulk(&self, node: NodeId, address: &str) -> PeerClient<Channel> {
        client(self.connect(node, address))
    }

    /// Whether somebody listens on `address`: false only where the connection is refused.
    pub async fn probe(&self, address: &str) -> bool {
        let connecting = self.connector.network.connect(address);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Err(error)) => error.kind() != io::ErrorKind::ConnectionRefused,
            Ok(Ok(_)) | Err(_) => true,
        }
    }

    /// Looks at `node`, which listens on `address`.
    pub async fn sight(&self, node: NodeId, address: &str) -> Sight {
        let was_closed = match self.links.closed_from(node) {
            Some(from) => self.leads_to(address, from).await,
            None => false,
        };
        Sight {
            refuses: !self.probe(address).await,
            was_closed,
        }
    }

    /// Whether connecting to `address` ends up at `ip` and nowhere else.
    async fn leads_to(&self, address: &str, ip: IpAddr) -> bool {
        let is_same = |other: IpAddr| {
            let (one, other) = (ip.to_canonical(), other.to_canonical());
            one == other || (one.is_loopback() && other.is_loopback())
        };
        let resolving = self.connector.network.resolve(address);
        match tokio::time::timeout(CONNECT_TIMEOUT, resolving).await {
            Ok(Ok(found)) => !found.is_empty() && found.iter().all(|found| is_same(found.ip())),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// A channel that connects when it is used, and again after it broke.
    fn connect(&self, node: NodeId, address: &str) -> Channel {
        let (connector, links) = (self.connector.clone(), self.links.clone());
        let target: Arc<str> = Arc::from(address);
        defaults::channel().connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (target, links) = (Arc::clone(&target), links.clone());
            let connector = connector.clone();
            async move {
                // peers speak TLS to one another all, or none does
                let stream = connector.connect(&target, connector.has_tls()).await?;
                let watched = links.watch(stream);
                watched.link().belongs_to(node);
                Ok::<_, io::Error>(TokioIo::new(watched))
            }
        }))
    }
}

fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// What HTTP/2 begins with. No length of a frame of Kafka does: that would be of 1.2 GiB.
const HTTP2_FIRST: u8 = b'P';

/// Takes connections of clients of controllers, with the name of their certificate where they show
/// one.
pub type TakesClients = Arc<dyn Fn(Stream, SocketAddr, Option<String>) + Send + Sync>;

/// Where connections of peers come from.
pub struct Door {
    /// The listener.
    pub listener: Listener,
    /// The certificates that both sides show; none where nothing is encrypted.
    pub tls: Option<Arc<Tls>>,
    /// Who takes clients that speak Kafka's protocol here; none where nobody does.
    pub clients: Option<TakesClients>,
}

impl From<Listener> for Door {
    fn from(listener: Listener) -> Self {
        Self::new(listener, None, None)
    }
}

impl Door {
    /// A door at a listener.
    #[must_use]
    pub fn new(listener: Listener, tls: Option<Arc<Tls>>, clients: Option<TakesClients>) -> Self {
        Self {
            listener,
            tls,
            clients,
        }
    }

    /// The next connection of a peer; handshakes go on beside each other.
    async fn accept(&self, handshakes: &mut JoinSet<Option<Stream>>) -> Stream {
        loop {
            // without certificates nobody has to shake hands before others do
            let is_full = self.tls.is_some() && handshakes.len() >= HANDSHAKES_MAX;
            tokio::select! {
                biased; // no chance is drawn for it
                Some(done) = handshakes.join_next() => {
                    if let Ok(Some(stream)) = done {
                        return stream;
                    }
                }
                accepted = self.listener.accept(), if !is_full => match accepted {
                    Ok((stream, _)) if self.tls.is_none() && self.clients.is_none() => {
                        return stream;
                    }
                    Ok((stream, from)) => {
                        let (tls, clients) = (self.tls.clone(), self.clients.clone());
                        handshakes.spawn(threads::served(async move {
                            let shaking = shake_hands(stream, from, tls, clients);
                            match tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await {
                                Ok(Ok(stream)) => return stream,
                                Ok(Err(error)) => warn!("refused a peer from {from}: {error}"),
                                Err(_) => warn!("refused a peer from {from}: it is too slow"),
                            }
                            None
                        }));
                    }
                    // out of descriptors: it passes, and peers try again
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
    }
}

/// The connection once it is encrypted, if a peer has made it: clients go where they are taken.
async fn shake_hands(
    stream: Stream,
    from: SocketAddr,
    tls: Option<Arc<Tls>>,
    clients: Option<TakesClients>,
) -> io::Result<Option<Stream>> {
    let (mut stream, name) = match tls {
        Some(tls) => tls.accept(stream).await?,
        None => (stream, None),
    };
    let Some(takes) = clients else {
        return Ok(Some(stream));
    };
    match stream.peek().await? {
        Some(HTTP2_FIRST) => return Ok(Some(stream)),
        Some(_) => takes(stream, from, name),
        None => {} // somebody looked whether this node is there
    }
    Ok(None)
}

/// Answers peers at `door` until `stop` becomes true.
///
/// # Errors
/// What the server says when it cannot go on.
pub async fn serve<P: Peer>(
    door: impl Into<Door>,
    links: Links,
    service: P,
    mut stop: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let begun = (door.into(), links, JoinSet::new());
    let incoming = stream::unfold(begun, |(door, links, mut handshakes)| async {
        let stream = door.accept(&mut handshakes).await;
        let accepted = Ok::<_, io::Error>(links.watch(stream));
        Some((accepted, (door, links, handshakes)))
    });
    let service = PeerServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    defaults::server()
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}
