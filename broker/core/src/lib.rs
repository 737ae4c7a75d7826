//! Decisions of a broker: no await, clock, disk, socket or unordered map.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod acl;
pub mod age;
pub mod ask;
pub mod authentication;
pub mod compaction;
pub mod config;
pub mod disk_watch;
pub mod excerpt;
pub mod fetch_session;
pub mod group;
pub mod hanging;
pub mod hosting;
pub mod image;
pub mod liveness;
pub mod metadata;
pub mod partition;
pub mod placement;
pub mod planted;
pub mod quota;
pub mod restart_check;
pub mod returning_voter;
pub mod shard;
pub mod suspects;
pub mod throttle;
pub mod transaction;
pub mod voters;
