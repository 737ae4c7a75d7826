//! `KafkaUser`: validate → credentials into a Secret → (the admin client performs) → status.

pub mod credentials;
pub mod driver;
pub mod reconcile;
pub mod status;
pub mod validate;
