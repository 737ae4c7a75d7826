//! The broker process as a library, so that tests can start nodes in-process.
//!
//! # Layout, in reading order
//! - [`command`]: the command line
//! - [`defaults`]: what openraft, tonic and tokio are told
//! - [`config`]: settings under Kafka's property names, read and validated once
//! - [`audit`]: the log of who was denied what, and who has changed what
//! - [`authorizer`]: what a client may do
//! - [`quotas`]: how much a client may take
//! - [`env`](mod@env): the clock and the randomness that everything else is handed
//! - [`threads`]: what runs where, so that nobody who serves waits for a disk
//! - [`stream`], [`tls`]: the network, real or simulated, and TLS over it
//! - [`budget`], [`memory`]: accounts of memory, and how much there is
//! - [`node`]: builds every component, hands out the handles, runs until shutdown
//! - [`net`]: listeners and connections: a frame in, a response out, in order
//! - [`api`]: the table of Kafka's APIs and the dispatch; a file per family
//! - [`replica`]: the partitions this broker holds
//! - [`coordinator`]: consumer groups and their offsets
//! - [`controller`]: the metadata quorum and this broker's life in it
//! - [`peer`]: gRPC between brokers
//! - [`metrics`]: what is counted, for `/metrics`

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod api;
pub mod audit;
pub mod authorizer;
pub mod brokers;
pub mod budget;
pub mod command;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod defaults;
mod descriptors;
pub mod env;
pub mod memory;
pub mod metrics;
pub mod net;
pub mod node;
pub mod oauth;
pub mod peer;
pub mod quotas;
pub mod replica;
pub mod stream;
pub mod threads;
pub mod tls;
pub mod tokens;
