//! Bytes on disk: one write-ahead log per data directory, partition segments, recovery.
