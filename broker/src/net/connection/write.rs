//! The way of the answers to the socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{Connection, Share, WRITE_STALL_MAX};

/// Slices given to one vectored write.
const WRITE_SLICES_MAX: usize = 64;

impl Connection {
    /// Writes until nothing is left or the socket is full; says whether anything was written.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut written = false;
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
            let mut filled = 0;
            for (slice, segment) in slices.iter_mut().zip(&self.out) {
                *slice = IoSlice::new(segment);
                filled += 1;
            }
            let stream = Pin::new(&mut self.stream);
            let count = match stream.poll_write_vectored(context, &slices[..filled]) {
                Poll::Ready(count) => count?,
                Poll::Pending => {
                    self.ring_by(self.written_at + WRITE_STALL_MAX);
                    break;
                }
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            written = true;
            self.out_bytes -= count;
            self.drop_written(count);
        }
        self.is_unflushed |= written;
        if self.is_unflushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.is_unflushed = false;
                }
                Poll::Pending => self.ring_by(self.written_at + WRITE_STALL_MAX),
            }
        }
        if written {
            self.active = Instant::now();
            self.written_at = self.active;
        }
        Ok(written)
    }

    fn drop_written(&mut self, mut count: usize) {
        while let Some(first) = self.out.front_mut() {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.out.pop_front();
        }
        let written_bytes = self.pushed_bytes - self.out_bytes as u64;
        let is_sent = |(end, _): &(u64, Share)| *end <= written_bytes;
        while self.out_shares.front().is_some_and(is_sent) {
            self.out_shares.pop_front();
        }
    }
}
