//! Storage against disks that lose, tear and flip.

mod batches;
mod compaction;
mod crash;
mod damage;
mod faults;
mod headers;
mod journal;
mod model;
mod real;
mod store;
