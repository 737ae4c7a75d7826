//! The Kafka wire vocabulary: bytes to values and back. No I/O.

pub mod ids;
