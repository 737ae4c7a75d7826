//! The seam to the network: real TCP, with TLS over it or not, or one in memory under the feature
//! `simulation`.

#[cfg(feature = "simulation")]
pub mod simulated;

use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use ottla_telemetry::Accept;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net;
use tokio_rustls::TlsStream;

/// Which network a node is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The machine's.
    #[default]
    Tcp,
    /// One in memory.
    #[cfg(feature = "simulation")]
    Simulated,
}

/// A socket that accepts.
pub enum Listener {
    /// The machine's.
    Tcp(net::TcpListener),
    /// One in memory.
    #[cfg(feature = "simulation")]
    Simulated(simulated::Listener),
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({:?})", self.local_addr().ok())
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// The machine's.
    Tcp(net::TcpStream),
    /// The same, encrypted.
    Tls(Box<TlsStream<net::TcpStream>>),
    /// One in memory.
    #[cfg(feature = "simulation")]
    Simulated(simulated::Stream),
}

impl Network {
    /// Listens on `address` (`host:port`, an empty host meaning every address).
    ///
    /// # Errors
    /// What the system says: the port is in use, the address is not this machine's.
    pub async fn listen(self, address: &str) -> io::Result<Listener> {
        let address = match address.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => address.to_owned(),
        };
        match self {
            Self::Tcp => Ok(Listener::Tcp(net::TcpListener::bind(address).await?)),
            #[cfg(feature = "simulation")]
            Self::Simulated => Ok(Listener::Simulated(simulated::Listener::bind(&address)?)),
        }
    }

    /// The addresses that `address` (`host:port`) stands for.
    ///
    /// # Errors
    /// What the resolver says.
    pub async fn resolve(self, address: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Tcp => Ok(net::lookup_host(address).await?.collect()),
            #[cfg(feature = "simulation")]
            Self::Simulated => simulated::resolve(address),
        }
    }

    /// Connects to `address` (`host:port`) and turns Nagle's algorithm off.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(self, address: &str) -> io::Result<Stream> {
        match self {
            Self::Tcp => {
                let stream = net::TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            #[cfg(feature = "simulation")]
            Self::Simulated => Ok(Stream::Simulated(simulated::connect(address).await?)),
        }
    }
}

impl Stream {
    /// The address of the other side, while the system knows it.
    #[must_use]
    pub fn peer_ip(&self) -> Option<IpAddr> {
        let address = match self {
            Self::Tcp(stream) => stream.peer_addr(),
            Self::Tls(stream) => stream.get_ref().0.peer_addr(),
            #[cfg(feature = "simulation")]
            Self::Simulated(stream) => stream.peer_addr(),
        };
        address.ok().map(|address| address.ip())
    }

    /// The bare connection of the machine's; none of another, or of one that is encrypted.
    #[must_use]
    pub fn into_tcp(self) -> Option<net::TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            _ => None,
        }
    }

    /// The first byte that the other side sends, which stays to be read; none where it closes.
    /// On a network in memory only peers speak, and none waits for their first byte.
    ///
    /// # Errors
    /// What the system says, or TLS.
    pub async fn peek(&mut self) -> io::Result<Option<u8>> {
        match self {
            Self::Tcp(stream) => {
                let mut first = [0];
                let read = stream.peek(&mut first).await?;
                Ok((read > 0).then_some(first[0]))
            }
            Self::Tls(stream) => Ok(stream.fill_buf().await?.first().copied()),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(None),
        }
    }

    /// Whether the other side will send no more, as far as the system knows: what it has sent may
    /// not be read yet.
    pub fn is_hung_up(&self, context: &mut Context<'_>) -> bool {
        let socket = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => return false,
        };
        let ready = std::pin::pin!(socket.ready(Interest::READABLE));
        matches!(ready.poll(context), Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Has the reader woken once so many bytes are there, or no more will come; not at the first.
    /// A hint: it spares wake-ups, and where the system does not take it nothing else changes.
    /// Linux wakes earlier by itself when it can hold no more. What is encrypted is read in records
    /// of TLS, of which the system knows nothing.
    #[allow(
        unsafe_code,
        reason = "no crate in use wraps SO_RCVLOWAT; tokio has no such option"
    )]
    pub fn wake_reader_at(&self, bytes: usize) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            use std::os::fd::AsRawFd;
            let level = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
            // SAFETY: the descriptor is open as long as the stream is borrowed, and the option's
            // value is an int that lives through the call.
            unsafe {
                libc::setsockopt(
                    stream.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_RCVLOWAT,
                    (&raw const level).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                );
            }
        }
    }
}

impl Accept for Listener {
    type Stream = Stream;

    async fn accept(&self) -> io::Result<Stream> {
        Ok(Self::accept(self).await?.0)
    }
}

impl Listener {
    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// What the system says; out of descriptors is an error that passes.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), from))
            }
            #[cfg(feature = "simulation")]
            Self::Simulated(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((Stream::Simulated(stream), from))
            }
        }
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            #[cfg(feature = "simulation")]
            Self::Simulated(listener) => listener.local_addr(),
        }
    }
}

macro_rules! inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
            #[cfg(feature = "simulation")]
            Stream::Simulated($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => Pin::new(stream).poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_reader_wakes_when_enough_is_there_or_no_more_will_come() {
        let listener = Network::Tcp.listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut sender = Network::Tcp.connect(&address).await.unwrap();
        let (receiver, _) = listener.accept().await.unwrap();
        let Stream::Tcp(socket) = &receiver else {
            unreachable!("it was accepted by TCP")
        };
        let is_woken = async |limit| {
            let ready = tokio::time::timeout(limit, socket.readable()).await;
            ready.is_ok_and(|ready| ready.is_ok())
        };
        // a wake-up is one from the moment on that nothing was there
        let read_all = || while socket.try_read(&mut [0; 4096]).is_ok() {};
        read_all();
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(20));
        receiver.wake_reader_at(1000);
        sender.write_all(&[1; 999]).await.unwrap();
        assert!(!is_woken(short).await, "999 of 1000 bytes");
        sender.write_all(&[1]).await.unwrap();
        assert!(is_woken(long).await, "1000 bytes");
        read_all();
        receiver.wake_reader_at(2000);
        drop(sender);
        assert!(is_woken(long).await, "no more will come");
    }
}
