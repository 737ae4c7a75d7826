//! The operator from outside: its CRDs, its planners, and local mode with real brokers.

mod crds;
