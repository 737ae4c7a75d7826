//! One connection: frames in, responses out, in the order of the requests.
//!
//! One task a connection, which is woken by its socket or by the response it waits for. Requests
//! are begun one after another. A Produce whose records are appended and wait for replication lets
//! the next request begin; any other request that waits holds back the next one, as in Kafka.
//!
//! Invariants: responses leave in the order of their requests; no more than
//! `ottla.connection.requests.max` requests wait; while more than [`WRITE_BYTES_MAX`] wait to be
//! written, nothing is begun.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::budget::{Budget, Share};
use super::frames::{self, FrameReader};
use crate::api::{self, Call, Client};
use crate::stream::Stream;

/// Responses not yet taken by the socket; above it no further request is begun.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// How much of a large request is waited for at once, at most and at least.
const WAKE_BYTES_MAX: usize = 256 << 10;
const WAKE_BYTES_MIN: usize = 16 << 10;

/// Slices given to one vectored write.
const WRITE_SLICES_MAX: usize = 64;

/// Why a connection ended, where the client did not simply close it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes that came are no requests.
    #[error(transparent)]
    Frames(#[from] frames::Error),
    /// A request that cannot be answered.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// No traffic for `connections.max.idle.ms`, or no first request in time.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// Writing failed.
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether this is the common end of a connection, not worth a line in the log.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::Frames(error) => !matches!(error, frames::Error::Length { .. }),
            Self::Api(error) => !error.is_garbage(),
            Self::Idle(_) | Self::Io(_) => true,
        }
    }
}

/// What a connection takes from the broker's settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `ottla.connection.requests.max`.
    pub requests_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// `ottla.first.request.timeout.ms`.
    pub first_request_timeout: Duration,
}

/// A request that has begun; its share of the budget goes back when it is answered.
enum Slot {
    Done(Vec<Bytes>),
    Waiting {
        future: api::Answer,
        pipelined: bool,
        _share: Share,
    },
}

/// A connection and all it holds.
pub struct Connection {
    stream: Stream,
    client: Client,
    limits: Limits,
    reader: FrameReader,
    slots: VecDeque<Slot>,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    active: Instant,
    idle: Pin<Box<Sleep>>,
    requests: u64,
    /// How many bytes wake the task.
    wake_bytes: usize,
    failed: Option<api::Error>,
}

impl Connection {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(stream: Stream, client: Client, limits: Limits, budget: Arc<Budget>) -> Self {
        let active = Instant::now();
        Self {
            stream,
            client,
            reader: FrameReader::new(limits.request_bytes_max, budget),
            slots: VecDeque::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            active,
            idle: Box::pin(tokio::time::sleep_until(
                active + limits.first_request_timeout,
            )),
            limits,
            requests: 0,
            wake_bytes: 1,
            failed: None,
        }
    }

    /// Serves until the client closes, something fails, or `stop` becomes true and all that was
    /// begun is answered.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        let mut stopping = Box::pin(async move {
            // the sender gone means the node is gone
            let _ = stop.wait_for(|stop| *stop).await;
        });
        let mut stopped = false;
        std::future::poll_fn(|context| {
            if !stopped {
                stopped = stopping.as_mut().poll(context).is_ready();
            }
            self.poll(context, stopped)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>, stop: bool) -> Poll<Result<(), Error>> {
        loop {
            let begun = if stop {
                false
            } else {
                self.begin_buffered(context)?
            };
            self.collect(context);
            let written = self.poll_write(context)?;
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(error.into()));
            }
            if stop && self.slots.is_empty() && self.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if begun || written {
                continue; // room was made: there may be more to begin
            }
            if stop || !self.may_begin() {
                break;
            }
            match self.reader.poll_fill(&mut self.stream, context) {
                Poll::Ready(Ok(())) => self.active = Instant::now(),
                Poll::Ready(Err(frames::Error::Closed)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    self.set_wake_bytes();
                    break;
                }
            }
        }
        self.poll_idle(context)
    }

    /// In the midst of a large request the task sleeps until a good part of it is there: otherwise
    /// every packet wakes it, and most of its time goes to falling asleep.
    fn set_wake_bytes(&mut self) {
        let wanted = match self.reader.missing().min(WAKE_BYTES_MAX) {
            0..WAKE_BYTES_MIN => 1,
            missing => missing,
        };
        if wanted != self.wake_bytes {
            self.wake_bytes = wanted;
            self.stream.wake_reader_at(wanted);
        }
    }

    /// Whether the next request may begin now.
    fn may_begin(&self) -> bool {
        let held = |slot: &Slot| {
            matches!(
                slot,
                Slot::Waiting {
                    pipelined: false,
                    ..
                }
            )
        };
        self.slots.len() < self.limits.requests_max
            && self.out_bytes <= WRITE_BYTES_MAX
            && !self.slots.back().is_some_and(held)
    }

    /// Begins what has been received and may begin; says whether anything did.
    fn begin_buffered(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        let mut begun = false;
        while self.may_begin() {
            let Some(frame) = self.reader.buffered()? else {
                break;
            };
            begun = true;
            self.requests += 1;
            match self.client.call(frame.bytes)? {
                Call::Done(segments) => self.push_done(segments),
                Call::Waiting {
                    mut future,
                    pipelined,
                } => match future.as_mut().poll(context) {
                    Poll::Ready(answer) => self.push_done(answer?.unwrap_or_default()),
                    Poll::Pending => {
                        let slot = Slot::Waiting {
                            future,
                            pipelined,
                            _share: frame.share,
                        };
                        self.slots.push_back(slot);
                    }
                },
            }
        }
        Ok(begun)
    }

    fn push_done(&mut self, segments: Vec<Bytes>) {
        if self.slots.is_empty() {
            self.push_out(segments);
        } else {
            self.slots.push_back(Slot::Done(segments));
        }
    }

    fn push_out(&mut self, segments: Vec<Bytes>) {
        for segment in segments {
            self.out_bytes += segment.len();
            self.out.push_back(segment);
        }
    }

    /// Polls the response that is due and moves what is ready to the socket's queue. Later ones
    /// wake the task too, but only the first may leave.
    fn collect(&mut self, context: &mut Context<'_>) {
        while let Some(slot) = self.slots.front_mut() {
            let answer = match slot {
                Slot::Done(segments) => Ok(Some(std::mem::take(segments))),
                Slot::Waiting { future, .. } => match future.as_mut().poll(context) {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => return,
                },
            };
            self.slots.pop_front();
            match answer {
                Ok(Some(segments)) => self.push_out(segments),
                Ok(None) => {}
                Err(error) => {
                    self.failed.get_or_insert(error);
                    return;
                }
            }
        }
    }

    /// Writes until nothing is left or the socket is full; says whether anything was written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
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
                Poll::Pending => break,
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            written = true;
            self.out_bytes -= count;
            self.drop_written(count);
        }
        if written {
            self.active = Instant::now();
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
    }

    /// The timer is not moved at every request: when it rings it looks when the last one was.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.idle.as_mut().poll(context).is_ready() {
            let allowed = match self.requests {
                0 => self.limits.first_request_timeout,
                _ => self.limits.idle_max,
            };
            let now = Instant::now();
            let waits = !self.slots.is_empty();
            if !waits && now.duration_since(self.active) >= allowed {
                return Poll::Ready(Err(Error::Idle(allowed)));
            }
            let base = if waits { now } else { self.active };
            self.idle.as_mut().reset(base + allowed);
        }
        Poll::Pending
    }
}
