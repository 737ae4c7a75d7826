//! A broker's settings, under Kafka's own property names.
//!
//! One table ([`table::SETTINGS`]) says of each its name, type, default, whether it changes without
//! a restart, and what it does. The table reads the file, fills [`Settings`], answers
//! DescribeConfigs and writes `docs/configuration.md`.
//!
//! Invariant: a [`Settings`] is valid; nothing after [`Settings::from_properties`] checks again.

pub mod docs;
pub mod listener;
pub mod properties;
pub mod settings;
pub mod table;

pub use listener::{Listener, Voter};
pub use settings::{Durability, Error, Settings};
