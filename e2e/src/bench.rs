//! Ours and Apache Kafka side by side: on one machine, in one run, in alternation, so that what the
//! machine does besides meets both. Ratios within a pair are what counts; figures alone are not.
//!
//! - [`row`]: what is measured.
//! - [`measure`]: one server, one row, once.
//! - [`report`]: medians, ratios and their spread; the page and the raw data.

pub mod measure;
pub mod report;
pub mod row;
