//! `KafkaTopic`: validate → settle conflicts → plan → (the admin client performs) → status.

pub mod conflicts;
pub mod driver;
pub mod moves;
pub mod plan;
pub mod reconcile;
pub mod status;
pub mod validate;
