//! What a process tells of itself, for the broker and the operator: numbers, and whether it serves.
//!
//! # Layout
//! - [`metrics!`]: one table makes the struct that is counted in, its page and its documentation
//! - [`histogram`]: a number that is a time, counted without a lock
//! - [`rows`]: a number for each value of a label that is known beforehand
//! - [`http`]: `/metrics`, `/livez`, `/readyz` and a broker's `/pre-restart-check`

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod histogram;
pub mod http;
pub mod rows;
mod table;

pub use histogram::Histogram;
pub use http::{Accept, Made, Pages, serve};
pub use prometheus_client::metrics::{TypedMetric, counter::Counter, family::Family, gauge::Gauge};
pub use rows::Rows;
pub use table::{Page, Row, docs};

/// The process's resident memory in bytes, as the kernel tells it.
#[must_use]
pub fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
