//! Two side by side, ours and Apache Kafka or another build of ours: on one machine, in one run, in
//! alternation, so that what the machine does besides meets both. Ratios within a pair are what
//! counts; figures alone are not.
//!
//! - [`contender`]: who is measured.
//! - [`row`]: what is measured.
//! - [`measure`]: one contender, one row, once.
//! - [`open_ids`]: the load of many transactional ids.
//! - [`handshakes`]: connections that begin and end.
//! - [`report`]: medians, ratios and their spread; the page and the raw data.

pub mod contender;
pub mod handshakes;
pub mod measure;
pub mod open_ids;
pub mod report;
pub mod row;
