//! gRPC between brokers.
