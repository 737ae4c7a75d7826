//! `KafkaCluster`: validate → build → (a platform applies) → roll → status.
//!
//! Invariant: everything below this module is pure but what a platform does with it.

pub mod build;
pub mod reconcile;
pub mod rolling_restart;
pub mod status;
pub mod validate;
