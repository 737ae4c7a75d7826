//! How connections with peers end.
//!
//! A process that ends has its connections closed by its system, in order: the other side reads
//! their end, not an error. A live broker keeps them, and what lies between two brokers can break
//! them but not close them. So an end that was read is half the proof that a process is gone; see
//! `core::liveness` for the other half. It is one of the process that had the connection: once the
//! next process of that node has registered, it proves nothing any more.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use ottla_protocol::ids::{BrokerEpoch, NodeId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use crate::stream::Stream;

/// The connections with each peer, of both directions. Cheap to clone: all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Held for one look-up at a time.
    known: Arc<Mutex<HashMap<NodeId, Known>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    open: usize,
    /// Where the node was when it closed the last one that it closed.
    closed_from: Option<IpAddr>,
    /// Its newest registration.
    registered: Option<BrokerEpoch>,
}

impl Links {
    /// Where `node` was when it closed its connections with this one; none while one is open, or
    /// where they broke in another way.
    #[must_use]
    pub fn closed_from(&self, node: NodeId) -> Option<IpAddr> {
        self.with(node, |known| known.closed_from.filter(|_| known.open == 0))
    }

    /// `node` is registered with this epoch. Where that is news, another process is there than the
    /// one that closed connections before.
    pub fn registered(&self, node: NodeId, epoch: BrokerEpoch) {
        self.with(node, |known| {
            if known.registered.replace(epoch) != Some(epoch) {
                known.closed_from = None;
            }
        });
    }

    /// Watches a connection.
    #[must_use]
    pub fn watch(&self, stream: Stream) -> Watched {
        let link = Link(Arc::new(State {
            links: self.clone(),
            from: stream.peer_ip(),
            node: OnceLock::new(),
            has_ended: Mutex::new(false),
        }));
        Watched { stream, link }
    }

    fn with<T>(&self, node: NodeId, act: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        act(known.entry(node).or_default())
    }
}

/// One connection with a peer.
#[derive(Clone, Debug)]
pub struct Link(Arc<State>);

#[derive(Debug)]
struct State {
    links: Links,
    from: Option<IpAddr>,
    /// Who the peer is, once that is known.
    node: OnceLock<NodeId>,
    has_ended: Mutex<bool>,
}

impl Link {
    /// The peer is this node.
    pub fn belongs_to(&self, node: NodeId) {
        let ended = self
            .0
            .has_ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !*ended && self.0.node.set(node).is_ok() {
            self.0.links.with(node, |known| {
                known.open += 1;
                known.closed_from = None;
            });
        }
    }

    /// It is over; `is_closed`: by the peer, in order.
    fn end(&self, is_closed: bool) {
        let mut ended = self
            .0
            .has_ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *ended, true) {
            return;
        }
        if let Some(node) = self.0.node.get() {
            self.0.links.with(*node, |known| {
                known.open = known.open.saturating_sub(1);
                if is_closed {
                    known.closed_from = self.0.from;
                }
            });
        }
    }
}

/// A connection that notes how it ends.
#[derive(Debug)]
pub struct Watched {
    stream: Stream,
    link: Link,
}

impl Watched {
    /// What is noted of it.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.link.end(false);
    }
}

impl Connected for Watched {
    type ConnectInfo = Link;

    fn connect_info(&self) -> Link {
        self.link.clone()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let is_end = match &polled {
            Poll::Ready(Ok(())) => room > 0 && buffer.remaining() == room,
            // a process that dies says no farewell in TLS: its system's end of the stream counts
            Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            Poll::Pending => false,
        };
        if is_end {
            self.link.end(true);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
