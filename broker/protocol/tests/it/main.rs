//! What the codec must hold for every struct at once: that it is Kafka's schema, that others read
//! what it writes, that what it writes it reads, and that hostile bytes cost nothing.

#![allow(clippy::disallowed_methods, reason = "tests go by the real clock")]

mod allocations;
mod catalogue;
mod corpus;
mod decoders;
mod forms;
mod hostile;
mod kafka_batches;
mod other_codec;
mod round_trip;
mod schemas;
mod walks;
