//! [`ValidatedCluster`](super::validate::ValidatedCluster) → what a platform applies. Pure.

pub mod config;
