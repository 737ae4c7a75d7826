//! Nodes in-process.

mod versions;
