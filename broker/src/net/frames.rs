//! Reading frames: a length of four bytes, then that many bytes.
//!
//! A small frame is a slice of the connection's read buffer. A large one gets a buffer of its own,
//! and the socket is read straight into it, so its bytes are copied once, out of the kernel.
//!
//! Invariant: what a connection makes the broker allocate is at most [`READ_BYTES`] and four times
//! the bytes that it has sent, whatever lengths it declares.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio::sync::futures::OwnedNotified;

use super::budget::{Budget, Share};

/// How much is read at a time where no frame is known to be larger.
const READ_BYTES: usize = 16 * 1024;

/// Frames above this size get a buffer of their own.
const SHARED_FRAME_BYTES_MAX: usize = 8 * 1024;

/// Allocation may run ahead of reception by this factor.
const TRUST_FACTOR: usize = 4;

/// A request as it came, and its share of the budget.
#[derive(Debug)]
pub struct Frame {
    /// The bytes after the length.
    pub bytes: BytesMut,
    /// Given back once the request is answered.
    pub share: Share,
}

/// Why a connection's bytes are no frames.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client closed, between two frames.
    #[error("closed by the client")]
    Closed,
    /// The client closed inside a frame.
    #[error("closed by the client inside a request")]
    Truncated,
    /// The length is negative or above the limit.
    #[error("its bytes are no Kafka request: a length of {length}, the limit is {limit}")]
    Length {
        /// As declared.
        length: i32,
        /// `socket.request.max.bytes`.
        limit: usize,
    },
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The receiving end of a connection.
#[derive(Debug)]
pub struct FrameReader {
    limit: usize,
    budget: Arc<Budget>,
    buffer: BytesMut,
    /// The large frame that is being received, with the length it will have.
    large: Option<(BytesMut, usize, Share)>,
    received: usize,
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl FrameReader {
    /// A reader of frames of at most `limit` bytes that takes their memory from `budget`.
    #[must_use]
    pub fn new(limit: usize, budget: Arc<Budget>) -> Self {
        let buffer = BytesMut::new();
        Self {
            limit,
            budget,
            buffer,
            large: None,
            received: 0,
            waiting: None,
        }
    }

    /// How many bytes have come in since the connection began.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received
    }

    /// How many bytes of a large frame are still to come.
    #[must_use]
    pub fn missing(&self) -> usize {
        let large = self.large.as_ref();
        large.map_or(0, |(bytes, length, _)| length - bytes.len())
    }

    /// The next frame, if it has been received.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn buffered(&mut self) -> Result<Option<Frame>, Error> {
        if let Some((bytes, length, _)) = &self.large {
            if bytes.len() < *length {
                return Ok(None);
            }
            let (bytes, _, share) = self.large.take().expect("checked above");
            return Ok(Some(Frame { bytes, share }));
        }
        let Some(declared) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let declared = i32::from_be_bytes(*declared);
        let length = match usize::try_from(declared) {
            Ok(length) if length <= self.limit => length,
            _ => {
                return Err(Error::Length {
                    length: declared,
                    limit: self.limit,
                });
            }
        };
        if self.buffer.len() >= 4 + length {
            self.buffer.advance(4);
            let mut share = self.budget.share();
            // it is in memory already; where the account is full, the next read waits
            share.try_hold(length);
            return Ok(Some(Frame {
                bytes: self.buffer.split_to(length),
                share,
            }));
        }
        if length > SHARED_FRAME_BYTES_MAX {
            self.buffer.advance(4);
            let begun = mem::take(&mut self.buffer);
            let mut bytes = BytesMut::with_capacity(self.step(length, begun.len()));
            bytes.put_slice(&begun);
            let mut share = self.budget.share();
            share.try_hold(bytes.len());
            self.large = Some((bytes, length, share));
        }
        Ok(None)
    }

    /// How large a buffer a frame of `length` may have with `have` bytes of it received.
    fn step(&self, length: usize, have: usize) -> usize {
        let trusted = self.received.saturating_mul(TRUST_FACTOR).max(READ_BYTES);
        length.min(trusted.max(have))
    }

    /// Reads from `stream` once; [`Self::buffered`] then says what came of it.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let step = self
            .large
            .as_ref()
            .map(|(bytes, length, _)| self.step(*length, bytes.len()));
        let count = match (&mut self.large, step) {
            (Some((bytes, length, share)), Some(step)) => {
                ready!(share.poll_hold(step, &mut self.waiting, context));
                if bytes.len() == bytes.capacity() {
                    bytes.reserve(step - bytes.len());
                }
                let room = *length - bytes.len();
                let mut limited = (&mut *bytes).limit(room);
                ready!(poll_read(stream, &mut limited, context))?
            }
            _ => {
                if self.buffer.capacity() - self.buffer.len() < 1024 {
                    self.buffer.reserve(READ_BYTES);
                }
                match poll_read(stream, &mut self.buffer, context) {
                    Poll::Ready(count) => count?,
                    Poll::Pending => {
                        if self.buffer.is_empty() {
                            self.buffer = BytesMut::new(); // an idle connection holds no buffer
                        }
                        return Poll::Pending;
                    }
                }
            }
        };
        if count == 0 {
            let between = self.large.is_none() && self.buffer.is_empty();
            return Poll::Ready(Err(if between {
                Error::Closed
            } else {
                Error::Truncated
            }));
        }
        self.received += count;
        Poll::Ready(Ok(()))
    }
}

/// One read into what room `buffer` has.
fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut impl BufMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let read = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(stream, buffer));
    // read_buf holds nothing between polls, so one made anew for each poll is the same one
    read.poll(context)
}

#[cfg(test)]
mod tests;
