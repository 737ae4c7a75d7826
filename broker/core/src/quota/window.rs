//! How much was taken lately, and how long to wait until that is within a quota: Kafka's arithmetic
//! of rates and of a bucket of tokens, so that the same quota means the same here.
//!
//! A rate is what the samples of the last so many windows have, by the time since the oldest began;
//! windows that are not there yet count as empty ones. So a client that was idle may begin with
//! what all windows but one have room for.

use std::collections::VecDeque;
use std::time::Duration;

use super::Rate;

/// No wait that is told to a client is longer: a field of 32 bits holds it.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// How a rate is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// How many windows are looked at.
    pub windows: usize,
    /// How long each is.
    pub window: Duration,
}

impl Sampling {
    /// So many windows, at least one, of so long, at least a second.
    #[must_use]
    pub fn new(windows: i64, window_seconds: i64) -> Self {
        Self {
            windows: usize::try_from(windows).unwrap_or(0).clamp(1, 100_000),
            window: Duration::from_secs(window_seconds.clamp(1, 86_400).unsigned_abs()),
        }
    }

    /// How long something counts after it was taken.
    #[must_use]
    pub fn span(self) -> Duration {
        self.windows_of(self.windows)
    }

    /// How much may be taken at once by who took nothing lately.
    #[must_use]
    pub fn amount_max(self, rate: Rate) -> f64 {
        rate.value() * self.windows_of(self.windows - 1).as_secs_f64()
    }

    fn windows_of(self, count: usize) -> Duration {
        self.window.saturating_mul(count as u32)
    }
}

/// What was taken in one window.
#[derive(Clone, Copy, Debug)]
struct Sample {
    began: Duration,
    last: Duration,
    amount: f64,
}

/// What was taken lately.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The oldest first; at most one more than windows are looked at.
    samples: VecDeque<Sample>,
}

impl Window {
    /// So much is taken.
    pub fn take(&mut self, now: Duration, sampling: Sampling, amount: f64) {
        match self.samples.back_mut() {
            Some(sample) if now.saturating_sub(sample.began) < sampling.window => {
                sample.amount += amount;
                sample.last = sample.last.max(now);
            }
            _ => self.samples.push_back(Sample {
                began: now,
                last: now,
                amount,
            }),
        }
        while self.samples.len() > sampling.windows + 1 {
            self.samples.pop_front();
        }
    }

    /// How long to wait until no more was taken than the rate allows; zero where that is so.
    #[must_use]
    pub fn wait(&mut self, now: Duration, sampling: Sampling, rate: Rate) -> Duration {
        let (taken, elapsed) = self.measure(now, sampling);
        // taken / (elapsed + wait) is the rate, once that is over
        let wait = taken / rate.value() - elapsed.as_secs_f64();
        bounded(wait)
    }

    /// Whether nothing of it counts any more.
    #[must_use]
    pub fn is_idle(&self, now: Duration, sampling: Sampling) -> bool {
        let last = self.samples.back();
        last.is_none_or(|sample| now.saturating_sub(sample.last) >= sampling.span())
    }

    /// How much was taken, and in which time.
    fn measure(&mut self, now: Duration, sampling: Sampling) -> (f64, Duration) {
        let is_over = |sample: &Sample| now.saturating_sub(sample.last) >= sampling.span();
        while self.samples.front().is_some_and(is_over) {
            self.samples.pop_front();
        }
        let began = self.samples.front().map_or(now, |sample| sample.began);
        let mut elapsed = now.saturating_sub(began);
        let whole = elapsed.as_nanos() / sampling.window.as_nanos().max(1);
        let whole = usize::try_from(whole).unwrap_or(usize::MAX);
        let missing = (sampling.windows - 1).saturating_sub(whole);
        elapsed += sampling.windows_of(missing);
        let taken = self.samples.iter().map(|sample| sample.amount).sum();
        (taken, elapsed.max(Duration::from_millis(1)))
    }
}

/// A wait of so many seconds, in whole milliseconds.
fn bounded(seconds: f64) -> Duration {
    let millis = (seconds * 1000.0).round();
    match millis >= 1.0 {
        true => Duration::from_millis(millis as u64).min(WAIT_MAX),
        false => Duration::ZERO,
    }
}

/// Tokens that are taken at once and come back at a rate; one who has any left may take more than
/// are left (KIP-599).
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// How many are there, and since when; none before the first look: it is full.
    tokens: Option<(f64, Duration)>,
}

impl Bucket {
    /// How many tokens are there; below zero for what is still to be given back.
    #[must_use]
    pub fn tokens(&mut self, now: Duration, sampling: Sampling, rate: Rate) -> f64 {
        let full = rate.value() * sampling.span().as_secs_f64();
        let tokens = self.tokens.map_or(full, |(tokens, since)| {
            let elapsed = now.saturating_sub(since).as_secs_f64();
            (tokens + rate.value() * elapsed).min(full)
        });
        self.tokens = Some((tokens, now));
        tokens
    }

    /// Takes so many.
    pub fn take(&mut self, now: Duration, sampling: Sampling, rate: Rate, amount: f64) {
        let tokens = self.tokens(now, sampling, rate);
        self.tokens = Some((tokens - amount, now));
    }

    /// For how many seconds nothing may be taken until it is full.
    #[must_use]
    pub fn lack(&mut self, now: Duration, sampling: Sampling, rate: Rate) -> f64 {
        sampling.span().as_secs_f64() - self.tokens(now, sampling, rate) / rate.value()
    }

    /// How long to wait until none is owed; zero where that is so.
    #[must_use]
    pub fn wait(&mut self, now: Duration, sampling: Sampling, rate: Rate) -> Duration {
        bounded(-self.tokens(now, sampling, rate) / rate.value())
    }
}
