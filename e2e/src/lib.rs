//! Real processes and clients, for the end-to-end tests.
