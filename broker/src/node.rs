//! Builds every component, hands out the handles, runs until shutdown.
