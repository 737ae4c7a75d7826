//! Several objects for one topic: the oldest that lives has it, the others name it.
//!
//! Age is the creation time; where there is none (local mode) or it is the same, it is the order in
//! which the objects are given, which in local mode is that of the files' names and of the
//! documents in them.
//!
//! Invariant: an object that was deleted has a topic only where nobody who lives claims it, so that
//! no deletion takes what somebody else wants.

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
    /// Whether somebody deleted the object.
    pub deleting: bool,
}

/// What becomes of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The topic is this object's.
    Holds,
    /// It is that of an older object.
    Loses(ObjectKey),
    /// The object goes, and leaves the topic to the oldest that lives.
    HandsOver(ObjectKey),
}

/// How each claim stands.
#[must_use]
pub fn standings(claims: &[Claim]) -> BTreeMap<ObjectKey, Standing> {
    type Holders<'a> = BTreeMap<(&'a ObjectKey, &'a str), &'a Claim>;
    let mut oldest: Holders<'_> = BTreeMap::new();
    let mut holders: Holders<'_> = BTreeMap::new();
    for claim in claims {
        let topic = (&claim.cluster, claim.topic.as_str());
        let first = oldest.entry(topic).or_insert(claim);
        if claim.created < first.created {
            *first = claim;
        }
        let holder = holders.entry(topic).or_insert(claim);
        if (claim.deleting, &claim.created) < (holder.deleting, &holder.created) {
            *holder = claim;
        }
    }
    let standing = |claim: &Claim| {
        let topic = (&claim.cluster, claim.topic.as_str());
        let holder = &holders[&topic].key;
        if *holder == claim.key {
            Standing::Holds
        } else if oldest[&topic].key == claim.key {
            Standing::HandsOver(holder.clone())
        } else {
            Standing::Loses(holder.clone())
        }
    };
    let all = claims.iter();
    all.map(|claim| (claim.key.clone(), standing(claim)))
        .collect()
}
