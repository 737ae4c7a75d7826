//! Derives the versioned Kafka codec for a struct.
