//! Stands in for the histograms that openraft keeps of itself.
//!
//! The crate of this name computes tables of 26 MiB when the first histogram is made, which is more
//! than a whole idle broker takes and doubles the time of a start. Nobody reads openraft's
//! histograms here, so these count nothing. `[patch.crates-io]` in the workspace puts them in
//! place; they have what openraft calls, and go when the tables do.

use std::fmt;
use std::marker::PhantomData;

/// A histogram that stays empty.
pub struct Histogram<T = ()> {
    slots: PhantomData<fn() -> T>,
}

impl<T> Histogram<T> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: PhantomData }
    }

    /// Counts nothing.
    pub fn record(&mut self, _value: u64) {}

    /// Counts nothing.
    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    /// What an empty histogram says.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Histogram<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> PartialEq for Histogram<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Histogram<T> {}

impl<T> fmt::Debug for Histogram<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Histogram")
    }
}

/// Values below which a share of the samples lies.
#[allow(missing_docs, reason = "a field is named for its share in percent")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.samples)
    }
}

/// A chart of nothing.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Adds nothing.
    #[must_use]
    pub fn add<T>(self, _name: &str, _histogram: Histogram<T>) -> Self {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
