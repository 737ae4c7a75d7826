//! The Kafka client that this project uses itself: the operator, the followers of a partition, the
//! tests.
//!
//! # Layout
//! - [`connection`]: requests and answers over any stream, in their order, with their versions
//! - [`client`]: one connection at a time to whichever broker of a cluster can be reached, with
//!   deadlines
//!
//! What lies below a connection is the caller's: [`client::Connect`] gives a stream, of plain TCP
//! ([`client::Tcp`]), a simulated network, or encrypted. A request that belongs before all others
//! of a connection, as authentication does, has its place in [`client::Client`]'s opening.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod client;
pub mod connection;
mod error;

pub use client::Client;
pub use connection::Connection;
pub use error::Error;
