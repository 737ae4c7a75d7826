//! Decisions of a broker: no await, clock, disk, socket or unordered map.

pub mod config;
pub mod group;
pub mod metadata;
<<<<<<< HEAD
pub mod placement;
=======
pub mod partition;
>>>>>>> f908d0c (Partition: wired into core)
