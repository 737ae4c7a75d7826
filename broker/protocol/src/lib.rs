//! The Kafka wire vocabulary: bytes to values and back. No I/O.
//!
//! In reading order: [`ids`] names things, [`error`] and [`api`] are Kafka's two tables, [`codec`]
//! is how values become bytes, [`messages`] has the struct of every API, [`frame`] puts headers
//! before them, [`record_batch`] and [`record`] are what logs hold, [`log`] what is known of one.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

// the derive names its traits by this crate's path, here too
extern crate self as ottla_protocol;

pub mod api;
pub mod codec;
#[cfg(feature = "compression")]
pub mod compression;
pub mod error;
pub mod frame;
pub mod ids;
pub mod log;
pub mod messages;
pub mod record;
pub mod record_batch;
