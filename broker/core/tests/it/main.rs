//! Many cores at once, in one process, under one seed.

mod partition_network;
