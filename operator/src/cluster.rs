//! `KafkaCluster`: validate → (a platform builds and applies) → roll → status.
//!
//! Invariant: everything below this module is pure but what a platform does with it.

pub mod certificates;
mod desired;
pub mod gate;
pub mod quorum;
pub mod rebalance;
pub mod reconcile;
pub mod replacement;
pub mod rolling_restart;
pub mod scale_down;
pub mod scale_up;
pub mod settings;
pub mod status;
pub mod turns;
pub mod validate;
