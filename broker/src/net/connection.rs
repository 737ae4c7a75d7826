//! One connection: frames in, responses out, in the order of the requests.
//!
//! One task a connection, which is woken by its socket or by the response it waits for. Requests
//! are begun one after another. A Produce whose records are appended and wait for replication lets
//! the next request begin; any other request that waits holds back the next one, as in Kafka.
//!
//! Invariants: responses leave in the order of their requests; no more than
//! `ottla.connection.requests.max` requests wait; while more than [`WRITE_BYTES_MAX`] wait to be
//! written, nothing is begun and no finished answer is taken over; whatever waits for memory is
//! polled, or leaves the line: nobody else waits behind a request that cannot go on; a client that
//! stops in the midst of a request, or takes no answers, is let go.

mod error;
mod line;
mod mute;
mod write;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

pub use self::error::Error;
use self::line::{Line, Waiting};
use self::mute::Mute;
use super::frames::{self, Accounts, FrameReader};
use crate::api::{self, Answered, Call, Client};
use crate::budget::Share;
use crate::stream::Stream;

/// Responses not yet taken by the socket; above it no further request is begun.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// The largest request of a client that has not logged in yet.
const LOGIN_FRAME_BYTES_MAX: usize = 64 << 10;

/// How long a client may take to log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// Longer than any process lives.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// A request that has begun to come is looked at so often, and must have come on by then.
const FRAME_WINDOW: Duration = Duration::from_secs(30);

/// How much of a request must come within a window, unless that is its end.
const FRAME_WINDOW_BYTES_MIN: usize = 30 * (16 << 10);

/// How much of a large request is waited for at once, at most and at least.
const WAKE_BYTES_MAX: usize = 256 << 10;
const WAKE_BYTES_MIN: usize = 16 << 10;

/// What a connection takes from the broker's settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `ottla.connection.requests.max`.
    pub requests_max: usize,
    /// How many bytes the requests that wait may have together.
    pub requests_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Option<Duration>,
    /// `ottla.first.request.timeout.ms`.
    pub first_request_timeout: Duration,
}

/// How far a request had come when its window began.
#[derive(Clone, Copy)]
struct Pace {
    since: Instant,
    received: usize,
    requests: u64,
}

/// A connection and all it holds.
pub struct Connection {
    stream: Stream,
    client: Client,
    limits: Limits,
    reader: FrameReader,
    line: Line,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// How many bytes were ever put into `out`.
    pushed_bytes: u64,
    /// What the answers in `out` hold, each with the value of `pushed_bytes` at its end.
    out_shares: VecDeque<(u64, Share)>,
    /// When the socket last took something, or there was nothing to take.
    written_at: Instant,
    pace: Option<Pace>,
    active: Instant,
    idle: Pin<Box<Sleep>>,
    requests: u64,
    /// How many bytes wake the task.
    wake_bytes: usize,
    failed: Option<api::Error>,
    /// By when the client must have logged in; none once it has.
    login_until: Option<Instant>,
    /// Whether the stream holds something back that was written.
    is_unflushed: bool,
    /// Until when nothing more is read.
    mute: Option<Mute>,
    /// Whether the connection is to end, and what has come is served without delay.
    is_last_call: bool,
}

impl Connection {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(stream: Stream, client: Client, limits: Limits, accounts: Accounts) -> Self {
        let active = Instant::now();
        let login_until = (!client.is_authenticated()).then_some(active + LOGIN_TIMEOUT);
        let frame_bytes_max = match login_until {
            Some(_) => limits.request_bytes_max.min(LOGIN_FRAME_BYTES_MAX),
            None => limits.request_bytes_max,
        };
        Self {
            stream,
            client,
            reader: FrameReader::new(frame_bytes_max, accounts),
            line: Line::default(),
            out: VecDeque::new(),
            out_bytes: 0,
            pushed_bytes: 0,
            out_shares: VecDeque::new(),
            written_at: active,
            pace: None,
            active,
            idle: Box::pin(tokio::time::sleep_until(
                active + limits.first_request_timeout,
            )),
            limits,
            requests: 0,
            wake_bytes: 1,
            failed: None,
            login_until,
            is_unflushed: false,
            mute: None,
            is_last_call: false,
        }
    }

    /// Serves until the client closes, something fails, or `stop` becomes true and there is a
    /// moment at which all that has come is answered: a client that sent something on a connection
    /// that ends cannot know what became of it.
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
            self.poll_mute(context, stop);
            let begun = self.begin_buffered(context)?;
            let moved = self.collect(context);
            let written = self.poll_write(context)?;
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(error.into()));
            }
            if self.client.is_over() && self.is_answered() {
                return Poll::Ready(Ok(()));
            }
            if begun || moved || written {
                continue; // room was made: there may be more to begin
            }
            if !self.may_begin() {
                self.reader.leave_line();
                break;
            }
            match self.reader.poll_fill(&mut self.stream, context) {
                Poll::Ready(Ok(())) => self.active = Instant::now(),
                Poll::Ready(Err(frames::Error::Closed)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if stop && self.is_quiet() => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    self.set_wake_bytes();
                    self.watch_pace();
                    break;
                }
            }
        }
        self.poll_timer(context)
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

    /// Whether all that was begun is answered.
    fn is_answered(&self) -> bool {
        self.line.is_empty() && self.out.is_empty() && !self.is_unflushed
    }

    /// Whether all that has come is answered.
    fn is_quiet(&self) -> bool {
        self.is_answered() && !self.reader.is_inside_frame()
    }

    /// Whether the next request may begin now.
    fn may_begin(&self) -> bool {
        !self.client.is_over()
            && (self.mute.is_none() || self.reader.holds_room())
            && self.line.len() < self.limits.requests_max
            && self.out_bytes <= WRITE_BYTES_MAX
            && self.line.bytes() <= self.limits.requests_bytes_max
            && self.line.admits_more()
    }

    /// Begins what has been received and may begin; says whether anything did.
    fn begin_buffered(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        let mut begun = false;
        while self.may_begin() {
            let Some(frame) = self.reader.buffered()? else {
                break;
            };
            begun = true;
            if self.requests == 0 {
                // until now the timer was the first request's
                self.ring_by(Instant::now() + self.limits.idle_max.unwrap_or(NEVER));
            }
            self.requests += 1;
            let call = self.client.call(frame.bytes)?;
            self.mute_for(self.client.throttle());
            if self.login_until.is_some() && self.client.is_authenticated() {
                self.login_until = None;
                self.reader.set_limit(self.limits.request_bytes_max);
            }
            match call {
                Call::Done(segments) => self.push_done(segments.into()),
                Call::Waiting {
                    mut future,
                    pipelined_max,
                    begun,
                } => match future.as_mut().poll(context) {
                    Poll::Ready(answer) => self.push_done(answer?.unwrap_or_default()),
                    Poll::Pending => self.line.wait(Waiting {
                        future,
                        pipelined_max,
                        begun,
                        share: frame.share,
                    }),
                },
            }
        }
        Ok(begun)
    }

    fn push_done(&mut self, answered: Answered) {
        match self.line.is_empty() {
            true => self.push_out(answered),
            false => self.line.push_done(answered),
        }
    }

    fn push_out(&mut self, answered: Answered) {
        if self.out.is_empty() {
            self.written_at = Instant::now();
        }
        for segment in answered.segments {
            self.out_bytes += segment.len();
            self.pushed_bytes += segment.len() as u64;
            self.out.push_back(segment);
        }
        self.mute_for(answered.throttle);
        if let Some(share) = answered.share {
            self.out_shares.push_back((self.pushed_bytes, share));
        }
    }

    /// Polls the responses and moves what is ready and due to the socket's queue. Only the first
    /// may leave; the others wake the task too. Says whether any is done, which makes room though
    /// nothing may be written: acks=0 wants no answer.
    fn collect(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.out_bytes <= WRITE_BYTES_MAX
            && let Some(outcome) = self.line.poll_first(context)
        {
            moved = true;
            match outcome {
                Ok(Some(answered)) => self.push_out(answered),
                Ok(None) => {}
                Err(error) => {
                    self.failed.get_or_insert(error);
                    break;
                }
            }
        }
        let is_first_polled = self.out_bytes <= WRITE_BYTES_MAX;
        match self.line.poll_others(context, is_first_polled) {
            Ok(others_moved) => moved |= others_moved,
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        moved
    }

    /// Has the timer ring at `at`, where it would ring later.
    fn ring_by(&mut self, at: Instant) {
        if self.idle.deadline() > at {
            self.idle.as_mut().reset(at);
        }
    }

    /// The rest of a request is awaited: from now on it must come on.
    fn watch_pace(&mut self) {
        let is_read = self.mute.is_none() || self.reader.holds_room();
        if is_read && self.pace.is_none() && self.reader.is_inside_frame() {
            let since = Instant::now();
            self.pace = Some(Pace {
                since,
                received: self.reader.received(),
                requests: self.requests,
            });
            self.ring_by(since + FRAME_WINDOW);
        }
    }

    /// Whether the request that was being received has come on, once its window is over.
    fn check_pace(&mut self, now: Instant) -> Result<(), Error> {
        let Some(pace) = self.pace.filter(|pace| now >= pace.since + FRAME_WINDOW) else {
            return Ok(());
        };
        let is_same = pace.requests == self.requests && self.reader.is_inside_frame();
        if is_same && self.reader.received() - pace.received < FRAME_WINDOW_BYTES_MIN {
            return Err(Error::SlowRequest);
        }
        self.pace = None;
        self.watch_pace();
        Ok(())
    }

    /// The timer is not moved at every request: when it rings it looks when the last one was.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.idle.as_mut().poll(context).is_ready() {
            let allowed = match self.requests {
                0 => self.limits.first_request_timeout,
                _ => self.limits.idle_max.unwrap_or(NEVER),
            };
            let now = Instant::now();
            self.check_pace(now)?;
            if self.login_until.is_some_and(|until| now >= until) {
                return Poll::Ready(Err(Error::NoLogin));
            }
            let is_writing = !self.out.is_empty() || self.is_unflushed;
            if is_writing && now >= self.written_at + WRITE_STALL_MAX {
                return Poll::Ready(Err(Error::Stalled));
            }
            let waits = !self.line.is_empty() || self.mute.is_some();
            if !waits && now.duration_since(self.active) >= allowed {
                return Poll::Ready(Err(Error::Idle(allowed)));
            }
            let base = if waits { now } else { self.active };
            self.idle.as_mut().reset(base + allowed);
            if is_writing {
                self.ring_by(self.written_at + WRITE_STALL_MAX);
            }
            if let Some(pace) = self.pace {
                self.ring_by(pace.since + FRAME_WINDOW);
            }
            if let Some(until) = self.login_until {
                self.ring_by(until);
            }
        }
        Poll::Pending
    }
}
