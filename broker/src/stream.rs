//! The seam to the network: real TCP, or turmoil's under the feature `simulation`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net;

/// Which network a node is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The machine's.
    #[default]
    Tcp,
    /// turmoil's, inside a simulation.
    #[cfg(feature = "simulation")]
    Simulated,
}

/// A socket that accepts.
pub enum Listener {
    /// The machine's.
    Tcp(net::TcpListener),
    /// turmoil's.
    #[cfg(feature = "simulation")]
    Simulated(turmoil::net::TcpListener),
}

// turmoil's listener has no Debug of its own
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
    /// turmoil's.
    #[cfg(feature = "simulation")]
    Simulated(turmoil::net::TcpStream),
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
            Self::Simulated => Ok(Listener::Simulated(
                turmoil::net::TcpListener::bind(address).await?,
            )),
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
            Self::Simulated => Ok(Stream::Simulated(
                turmoil::net::TcpStream::connect(address).await?,
            )),
        }
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
        matches!(self, Self::Tcp(_))
    }
}
