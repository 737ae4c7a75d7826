//! Reading frames: a length of four bytes, then that many bytes.
//!
//! A small frame is a slice of the connection's read buffer. A large one gets a buffer of its own,
//! and the socket is read straight into it, so its bytes are copied once, out of the kernel.
//!
//! A large frame is received once the account has room for all of it, so that two of them never
//! hold a part each and wait for one another; frames above [`HUGE_BYTES_MIN`] have an account of
//! their own, which the others need not wait for.
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

use crate::budget::{Budget, Share};

/// How much is read at a time where no frame is known to be larger.
const READ_BYTES: usize = 16 * 1024;

/// Frames above this size get a buffer of their own.
const SHARED_FRAME_BYTES_MAX: usize = 8 * 1024;

/// Frames from this size on have an account of their own.
const HUGE_BYTES_MIN: usize = 2 << 20;

/// Allocation may run ahead of reception by this factor.
const TRUST_FACTOR: usize = 4;

/// What the requests of all connections hold together.
#[derive(Clone, Debug)]
pub struct Accounts {
    usual: Arc<Budget>,
    huge: Arc<Budget>,
}

impl Accounts {
    /// Accounts of so many bytes together.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            usual: Budget::new(bytes_max / 2),
            huge: Budget::new(bytes_max / 2),
        }
    }

    /// How many bytes are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.usual.taken() + self.huge.taken()
    }

    /// How many bytes one connection may hold in requests that wait for their answers, before it
    /// begins another.
    #[must_use]
    pub fn connection_bytes_max(&self) -> usize {
        self.usual.limit() / 4
    }

    fn of(&self, bytes: usize) -> &Arc<Budget> {
        match bytes {
            0..HUGE_BYTES_MIN => &self.usual,
            _ => &self.huge,
        }
    }
}

/// A wait for room in an account.
type Room = Pin<Box<dyn Future<Output = Share> + Send>>;

/// A frame that is received into a buffer of its own.
struct Large {
    bytes: BytesMut,
    /// How long it will be.
    length: usize,
    /// Room for all of it; none while it is still to be waited for.
    share: Option<Share>,
}

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
pub struct FrameReader {
    limit: usize,
    accounts: Accounts,
    buffer: BytesMut,
    large: Option<Large>,
    received: usize,
    /// Nothing is read before there is room.
    room: Option<Room>,
}

impl FrameReader {
    /// A reader of frames of at most `limit` bytes that takes their memory from `accounts`.
    #[must_use]
    pub fn new(limit: usize, accounts: Accounts) -> Self {
        let buffer = BytesMut::new();
        Self {
            limit,
            accounts,
            buffer,
            large: None,
            received: 0,
            room: None,
        }
    }

    /// From now on frames may have so many bytes.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Whether a part of a frame has come, and the rest is awaited from the client: not from the
    /// account.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        let is_receiving = match &self.large {
            Some(large) => large.share.is_some(),
            None => !self.buffer.is_empty(),
        };
        self.room.is_none() && is_receiving
    }

    /// Whether room is held for a large frame of which more is to come.
    #[must_use]
    pub fn holds_room(&self) -> bool {
        let large = self.large.as_ref();
        large.is_some_and(|large| large.share.is_some())
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
        large.map_or(0, |large| large.length - large.bytes.len())
    }

    /// The next frame, if it has been received.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn buffered(&mut self) -> Result<Option<Frame>, Error> {
        if self.large.is_some() {
            let whole = self
                .large
                .take_if(|large| large.bytes.len() == large.length);
            return Ok(whole.map(|large| {
                let empty = || self.accounts.of(large.length).share();
                let share = large.share.unwrap_or_else(empty);
                Frame {
                    bytes: large.bytes,
                    share,
                }
            }));
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
            let mut share = self.accounts.usual.share();
            // it is in memory already; where the account is full, the next read waits
            share.force(length);
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
            let mut share = self.accounts.of(length).share();
            let is_held = share.try_hold(length);
            let share = match is_held {
                true => Some(share),
                false => None, // the next read waits for it
            };
            self.large = Some(Large {
                bytes,
                length,
                share,
            });
        }
        Ok(None)
    }

    /// How large a buffer a frame of `length` may have with `have` bytes of it received.
    fn step(&self, length: usize, have: usize) -> usize {
        let trusted = self.received.saturating_mul(TRUST_FACTOR).max(READ_BYTES);
        length.min(trusted.max(have))
    }

    /// Nothing is read for now: others need not wait for who would not take its turn.
    pub fn leave_line(&mut self) {
        self.room = None;
    }

    /// Waits until there is room for a large frame, or, where small ones have taken more than there
    /// is, for the next small ones.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.room.is_none() {
            let usual = &self.accounts.usual;
            self.room = match &self.large {
                Some(Large { share: Some(_), .. }) => None,
                Some(Large { length, .. }) => {
                    let share = self.accounts.of(*length).share();
                    Some(Box::pin(share.hold(*length)))
                }
                None if usual.left() == 0 => Some(Box::pin(usual.share().hold(READ_BYTES))),
                None => None,
            };
        }
        let Some(room) = &mut self.room else {
            return Poll::Ready(());
        };
        let share = ready!(room.as_mut().poll(context));
        self.room = None;
        if let Some(large) = &mut self.large {
            large.share = Some(share);
        }
        Poll::Ready(())
    }

    /// Reads from `stream` once; [`Self::buffered`] then says what came of it.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_room(context));
        let large = self.large.as_ref();
        let step = large.map(|large| self.step(large.length, large.bytes.len()));
        let count = match (&mut self.large, step) {
            (Some(Large { bytes, length, .. }), Some(step)) => {
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
