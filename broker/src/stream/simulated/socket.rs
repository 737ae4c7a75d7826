//! The ends of connections, and what accepts them.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ACTING, EPHEMERAL_PORTS, End, NET, Net, Segment, ip};

/// So much may be sent that the other side has not read.
const WINDOW_BYTES: usize = 1 << 20;

/// What is known of one end of a connection.
#[derive(Debug, Default)]
pub(super) struct Socket {
    pub(super) host: usize,
    port: u16,
    /// Both sides know of the connection.
    pub(super) is_open: bool,
    /// No process has it any more.
    pub(super) is_gone: bool,
    /// How many segments were sent, and whether there will be no more.
    sent: u64,
    has_ended: bool,
    /// What has arrived in order and is not read, and up to which segment.
    received: VecDeque<Bytes>,
    arrived: u64,
    /// What has arrived before something that was sent before it.
    early: BTreeMap<u64, Segment>,
    /// The other side will send no more; or the connection is no more.
    is_ended: bool,
    is_reset: bool,
    /// Bytes that were sent, and that the other side has not read.
    unread: usize,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Socket {
    fn new(host: usize, port: u16) -> Self {
        Self {
            host,
            port,
            ..Self::default()
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(ip(self.host), self.port)
    }

    /// Takes what has arrived.
    pub(super) fn take(&mut self, segment: Segment) {
        match segment {
            Segment::Connect(_) => {}
            Segment::Accepted => self.is_open = true,
            Segment::Reset => self.is_reset = true,
            Segment::Data(number, _) | Segment::End(number) => {
                self.early.insert(number, segment);
            }
        }
        while let Some(next) = self.early.remove(&(self.arrived + 1)) {
            self.arrived += 1;
            match next {
                Segment::Data(_, bytes) => self.received.push_back(bytes),
                _ => self.is_ended = true,
            }
        }
    }

    /// What the other side is told where a process lets go of this one: unread bytes are lost, and
    /// it has to know.
    pub(super) fn farewell(&mut self) -> Option<Segment> {
        let has_unread = !self.received.is_empty() || !self.early.is_empty();
        self.received.clear();
        self.early.clear();
        if self.is_reset || (self.has_ended && !has_unread) {
            return None;
        }
        if has_unread || !self.is_open {
            return Some(Segment::Reset);
        }
        self.has_ended = true;
        self.sent += 1;
        Some(Segment::End(self.sent))
    }

    fn poll_open(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        if self.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        if self.is_open {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Says how much was read.
    fn poll_read(
        &mut self,
        context: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.remaining();
        while let Some(bytes) = self.received.front_mut() {
            let count = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..count]);
            bytes.advance(count);
            if !bytes.is_empty() {
                break;
            }
            self.received.pop_front();
        }
        let count = before - buffer.remaining();
        if count > 0 || before == 0 {
            return Poll::Ready(Ok(count));
        }
        if self.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.is_ended {
            return Poll::Ready(Ok(0));
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// What is to be sent of this, as far as there is room for it.
    fn poll_write(
        &mut self,
        context: &Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<Bytes>> {
        if self.is_reset || self.has_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = all.min(WINDOW_BYTES.saturating_sub(self.unread));
        if room == 0 && all > 0 {
            self.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = BytesMut::with_capacity(room);
        for slice in slices {
            let part = slice.len().min(room - bytes.len());
            bytes.extend_from_slice(&slice[..part]);
        }
        self.unread += bytes.len();
        Poll::Ready(Ok(bytes.freeze()))
    }
}

/// A connection; nobody has it once this is dropped.
#[derive(Debug)]
pub struct Stream(End);

impl Stream {
    /// Whom it is with.
    pub(in crate::stream) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let other = self.0.other();
        let address = |net: &Net| {
            let sockets = net.connections.get(&other.connection)?;
            Some(sockets[other.side].address())
        };
        NET.with_borrow(address)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut Socket, &mut Socket) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        NET.with_borrow_mut(|net| match net.connections.get_mut(&self.0.connection) {
            Some([first, second]) if self.0.side == 0 => act(first, second),
            Some([first, second]) => act(second, first),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // at the end of the thread there is no network any more
        let _ = NET.try_with(|net| net.borrow_mut().let_go(self.0));
    }
}

/// Connects to `host:port`.
///
/// # Errors
/// There is no such host, or it refuses.
pub(in crate::stream) async fn connect(address: &str) -> io::Result<Stream> {
    let stream = NET.with_borrow_mut(|net| {
        let (host, port) = net.place(address)?;
        let connection = net.next_connection;
        net.next_connection += 1;
        let own_port = EPHEMERAL_PORTS + (connection % u64::from(EPHEMERAL_PORTS)) as u16;
        let sockets = [Socket::new(ACTING.get(), own_port), Socket::new(host, port)];
        net.connections.insert(connection, sockets);
        let end = End {
            connection,
            side: 0,
        };
        net.send(end, Segment::Connect(port));
        Ok::<_, io::Error>(Stream(end))
    })?;
    poll_fn(|context| stream.with(|own, _| own.poll_open(context))).await?;
    Ok(stream)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut waker = None;
        let polled = self.with(|own, other| {
            let polled = own.poll_read(context, buffer);
            if let Poll::Ready(Ok(count @ 1..)) = polled {
                other.unread -= count;
                waker = other.writer.take();
            }
            polled
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        polled.map_ok(|_| ())
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.with(|own, _| {
            own.poll_write(context, slices).map_ok(|bytes| {
                own.sent += 1;
                (own.sent, bytes)
            })
        });
        polled.map_ok(|(number, bytes)| {
            let count = bytes.len();
            NET.with_borrow_mut(|net| net.send(self.0, Segment::Data(number, bytes)));
            count
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.with(|own, _| {
            if std::mem::replace(&mut own.has_ended, true) {
                return Poll::Ready(Ok(None));
            }
            own.sent += 1;
            Poll::Ready(Ok(Some(own.sent)))
        });
        ended.map_ok(|ended| {
            if let Some(number) = ended {
                NET.with_borrow_mut(|net| net.send(self.0, Segment::End(number)));
            }
        })
    }
}

/// What accepts connections at a port.
#[derive(Debug)]
pub struct Listener {
    host: usize,
    port: u16,
}

impl Listener {
    /// Listens at the port of `host:port`, on the host that acts.
    ///
    /// # Errors
    /// The port is in use.
    pub(in crate::stream) fn bind(address: &str) -> io::Result<Self> {
        let port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let port = port.ok_or(io::ErrorKind::InvalidInput)?;
        let host = ACTING.get();
        NET.with_borrow_mut(|net| {
            let listeners = &mut net.hosts[host].listeners;
            if listeners.contains_key(&port) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            listeners.insert(port, super::Backlog::default());
            Ok(Self { host, port })
        })
    }

    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// None: it has the shape of the system's.
    pub(in crate::stream) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let end = poll_fn(|context| {
            NET.with_borrow_mut(|net| {
                let backlog = net.hosts[self.host].listeners.get_mut(&self.port);
                let Some(backlog) = backlog else {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)));
                };
                if let Some(end) = backlog.waiting.pop_front() {
                    return Poll::Ready(Ok(end));
                }
                backlog.waker = Some(context.waker().clone());
                Poll::Pending
            })
        });
        let stream = Stream(end.await?);
        let from = stream.peer_addr()?;
        Ok((stream, from))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None: it has the shape of the system's.
    pub(in crate::stream) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(ip(self.host), self.port))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // as above
        let _ = NET.try_with(|net| {
            let mut net = net.borrow_mut();
            let listeners = &mut net.hosts[self.host].listeners;
            let waiting = listeners.remove(&self.port).map(|backlog| backlog.waiting);
            for end in waiting.into_iter().flatten() {
                net.let_go(end);
            }
        });
    }
}
