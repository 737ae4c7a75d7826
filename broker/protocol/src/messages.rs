//! One plain struct for each struct of Kafka's schemas, in families of APIs.
//!
//! Names, fields and their order are the schema's, in Rust's case: what a field means is said in
//! Kafka's protocol guide and in the proposals (KIPs) that added it. A field holds the raw number
//! or text; [`crate::ids`] gives it its type at the border. A test compares every field, version,
//! nullability, tag and default with the schemas that Kafka publishes.
#![allow(
    missing_docs,
    reason = "fields bear the names of Kafka's schemas, which say what they mean"
)]

pub mod access;
pub mod api_versions;
pub mod cluster;
pub mod configs;
pub mod consumer_group_records;
pub mod consumer_groups;
pub mod consumer_protocol;
pub mod fetch;
pub mod group_records;
pub mod groups;
pub mod log_dirs;
pub mod metadata;
pub mod offsets;
pub mod produce;
pub mod producer_ids;
pub mod topics;
pub mod transaction_records;
pub mod transactions;
