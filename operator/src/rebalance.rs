//! `KafkaRebalance`: plans by which replicas are spread anew, made, consented to, carried out.

pub mod around;
pub mod carry_out;
pub mod driver;
pub mod plan;
pub mod reconcile;
pub mod status;

use crate::crd::KafkaRebalance;
use crate::object::ObjectKey;

/// The cluster that a KafkaRebalance speaks of.
#[must_use]
pub fn cluster_key(rebalance: &KafkaRebalance) -> ObjectKey {
    let reference = &rebalance.spec.cluster_ref;
    let own = ObjectKey::of(&rebalance.metadata).namespace;
    ObjectKey {
        namespace: reference.namespace.clone().unwrap_or(own),
        name: reference.name.clone(),
    }
}
