//! Nodes in-process.

#![allow(clippy::disallowed_methods, reason = "tests go by the real clock")]

mod audit;
mod authority;
#[path = "../../protocol/tests/it/catalogue.rs"]
#[allow(dead_code, reason = "the protocol's own tests use the rest")]
mod catalogue;
mod delegation_tokens;
mod dev_node;
mod downgrades;
#[path = "../../protocol/tests/it/forms.rs"]
mod forms;
mod fuzz;
mod group_ids;
mod hostile;
mod idle;
mod login;
mod permissions;
mod quotas;
mod record_bodies;
mod roles;
mod secure;
mod slow_readers;
mod stalled_disk;
mod tokens;
mod topic_ids;
mod transactions;
mod versions;
