//! Replicas are made even when somebody asks for it, or by themselves where the spec says at which
//! skew.
//!
//! Whoever wants it sets the annotation [`REBALANCE`] to any text, such as the time. The brokers
//! that have less than their share stand in the object's status then, until
//! [`moves`](crate::topic::moves) has nothing more for them, as newcomers do; another text asks
//! again, and without the annotation no more moves begin. Preferred leaders come back by
//! themselves, so with replicas leaderships are even as well.
//!
//! With `spec.rebalanceAtSkewPercent` the same begins once a broker lacks so much of its share, if
//! there is something that it can be given: what cannot be mended is not begun over and over.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::{Admin, Error};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::crd::cluster::RebalanceStatus;
use crate::observed::RegisteredBroker;
use crate::spoken;
use crate::topic::moves::{Situation, short, skewed, unfilled};
use crate::validated::ValidatedCluster;

/// The annotation that has replicas be made even.
pub const REBALANCE: &str = "ottla.io/rebalance";

/// What stands in the status where the spec asks.
const BY_SKEW: &str = "spec.rebalanceAtSkewPercent";

/// How far it has come, and what it waits for.
pub async fn rebalance(
    admin: &mut Admin,
    cluster: &KafkaCluster,
    valid: &ValidatedCluster,
) -> (Option<RebalanceStatus>, Option<Verdict>) {
    let annotations = cluster.metadata.annotations.as_ref();
    let asked = annotations.and_then(|all| all.get(REBALANCE));
    let before = cluster.status.as_ref();
    let before = before.and_then(|before| before.rebalance.as_ref());
    let of = |asked: &str| before.filter(|before| before.asked == asked);
    let done = asked.and_then(|asked| of(asked).filter(|before| before.brokers.is_empty()));
    let (asked, before, percent) = match (asked, valid.rebalance_at_skew_percent) {
        (Some(asked), _) if done.is_none() => (asked.as_str(), of(asked), None),
        (_, Some(percent)) => (BY_SKEW, of(BY_SKEW), Some(percent)),
        _ => return (done.cloned(), None),
    };
    let known = before.map(|before| before.brokers.iter().copied().collect());
    let brokers = match look(admin, valid, known.as_ref(), percent).await {
        Ok(brokers) => brokers,
        // Nothing is said before it was looked at once.
        Err(_) if known.is_none() => return (done.cloned(), None),
        Err(_) => known.unwrap_or_default(),
    };
    if brokers.is_empty() && percent.is_some() {
        return (done.cloned(), None);
    }
    let verdict = (!brokers.is_empty()).then(|| {
        let who = spoken::brokers(&brokers);
        let message = format!("Replicas are made even: {who} had less than their share.");
        Verdict::new(ClusterReason::Rebalancing, message)
    });
    let status = RebalanceStatus {
        asked: asked.to_owned(),
        brokers: brokers.into_iter().collect(),
    };
    (Some(status), verdict)
}

/// Those of the known brokers that lack something, or all that do; where it is to begin by itself,
/// all once one of them lacks so many percent.
async fn look(
    admin: &mut Admin,
    valid: &ValidatedCluster,
    known: Option<&BTreeSet<i32>>,
    percent: Option<i32>,
) -> Result<BTreeSet<i32>, Error> {
    let cluster = admin.describe_moves(None).await?;
    let mut brokers = admin.brokers().await?;
    let lacking = |brokers: &BTreeMap<i32, RegisteredBroker>| {
        let nobody = BTreeSet::new();
        let situation = Situation {
            topics: &cluster.topics,
            wanted: &BTreeMap::new(),
            brokers,
            leaving: &valid.leaving,
            newcomers: &nobody,
        };
        let due = |percent| skewed(&situation, usize::try_from(percent).unwrap_or(0));
        let due = || percent.map_or_else(|| short(&situation), due);
        let stays = |id: &i32| *id < valid.replicas && !valid.leaving.contains(id);
        let mut lacking = known.cloned().unwrap_or_else(due);
        lacking.retain(stays);
        unfilled(&Situation {
            newcomers: &lacking,
            ..situation
        })
    };
    let found = lacking(&brokers);
    if found.is_empty() {
        return Ok(found);
    }
    // those that are cordoned get nothing, and are not waited for
    admin.sizes(&mut brokers, std::iter::empty()).await;
    Ok(lacking(&brokers))
}
