//! gRPC between brokers, on the listener for peers.
//!
//! [`Peers`] calls, [`serve`] answers. What stands behind the calls is the controller's; this
//! module knows connections only.

mod link;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use hyper_util::rt::TokioIo;
use ottla_core::liveness::Sight;
use ottla_protocol::ids::NodeId;
use tokio::sync::watch;
use tonic::transport::{Channel, Uri};

pub use self::link::{Link, Links};
use crate::defaults::{self, CONNECT_TIMEOUT};
use crate::stream::{Listener, Network};

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

/// Connections to peers, made when first used and kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {
    network: Network,
    /// How the connections with each of them end, also of those that they made.
    pub links: Links,
    /// Held for one look-up at a time.
    channels: Arc<Mutex<HashMap<(NodeId, String), Channel>>>,
}

impl Peers {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self {
            network,
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
        let connecting = self.network.connect(address);
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
        let resolving = self.network.resolve(address);
        match tokio::time::timeout(CONNECT_TIMEOUT, resolving).await {
            Ok(Ok(found)) => !found.is_empty() && found.iter().all(|found| is_same(found.ip())),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// A channel that connects when it is used, and again after it broke.
    fn connect(&self, node: NodeId, address: &str) -> Channel {
        let (network, links) = (self.network, self.links.clone());
        let target: Arc<str> = Arc::from(address);
        defaults::channel().connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (target, links) = (Arc::clone(&target), links.clone());
            async move {
                let watched = links.watch(network.connect(&target).await?);
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

/// Answers peers on `listener` until `stop` becomes true.
///
/// # Errors
/// What the server says when it cannot go on.
pub async fn serve<P: Peer>(
    listener: Listener,
    links: Links,
    service: P,
    mut stop: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let incoming = stream::unfold((listener, links), |(listener, links)| async {
        let accepted = loop {
            match listener.accept().await {
                Ok((stream, _)) => break Ok::<_, io::Error>(links.watch(stream)),
                // out of descriptors: it passes, and peers try again
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        Some((accepted, (listener, links)))
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
