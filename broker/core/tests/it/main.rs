//! Many cores at once, in one process, under one seed.

mod docs;
mod paragraph;
mod partition_network;
