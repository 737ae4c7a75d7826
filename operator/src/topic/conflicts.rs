//! Two objects for one topic: the oldest wins, the others name it.
//!
//! Age is the creation time; where there is none (local mode) or it is the same, it is the order in
//! which the objects are given, which in local mode is that of the files' names and of the
//! documents in them.

use std::collections::BTreeMap;

use crate::object::ObjectKey;

/// One object's claim to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The object.
    pub key: ObjectKey,
    /// The cluster of the topic.
    pub cluster: ObjectKey,
    /// The topic's name in Kafka.
    pub topic: String,
    /// When the object was created, in a form that sorts; empty: unknown.
    pub created: String,
}

/// Who loses, and to whom.
#[must_use]
pub fn losers(claims: &[Claim]) -> BTreeMap<ObjectKey, ObjectKey> {
    let mut winners: BTreeMap<(&ObjectKey, &str), &Claim> = BTreeMap::new();
    for claim in claims {
        let holder = winners
            .entry((&claim.cluster, &claim.topic))
            .or_insert(claim);
        if claim.created < holder.created {
            *holder = claim;
        }
    }
    claims
        .iter()
        .filter_map(|claim| {
            let winner = winners[&(&claim.cluster, claim.topic.as_str())];
            (winner.key != claim.key).then(|| (claim.key.clone(), winner.key.clone()))
        })
        .collect()
}
