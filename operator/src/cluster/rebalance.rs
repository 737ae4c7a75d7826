//! Replicas are made even when somebody asks for it.
//!
//! Whoever wants it sets the annotation [`REBALANCE`] to any text, such as the time. The brokers
//! that have less than their share stand in the object's status then, until
//! [`moves`](crate::topic::moves) has nothing more for them, as newcomers do; another text asks
//! again, and without the annotation no more moves begin. Preferred leaders come back by
//! themselves, so with replicas leaderships are even as well.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::{Admin, Error};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::crd::cluster::RebalanceStatus;
use crate::spoken;
use crate::topic::moves::{Situation, short, unfilled};
use crate::validated::ValidatedCluster;

/// The annotation that has replicas be made even.
pub const REBALANCE: &str = "ottla.io/rebalance";

/// How far it has come, and what it waits for.
pub async fn rebalance(
    admin: &mut Admin,
    cluster: &KafkaCluster,
    valid: &ValidatedCluster,
) -> (Option<RebalanceStatus>, Option<Verdict>) {
    let annotations = cluster.metadata.annotations.as_ref();
    let Some(asked) = annotations.and_then(|all| all.get(REBALANCE)) else {
        return (None, None);
    };
    let before = cluster.status.as_ref();
    let before = before.and_then(|before| before.rebalance.as_ref());
    let before = before.filter(|before| before.asked == *asked);
    if let Some(done) = before.filter(|before| before.brokers.is_empty()) {
        return (Some(done.clone()), None);
    }
    let known = before.map(|before| before.brokers.iter().copied().collect());
    let brokers = match look(admin, valid, known.as_ref()).await {
        Ok(brokers) => brokers,
        // Nothing is said before it was looked at once.
        Err(_) if known.is_none() => return (None, None),
        Err(_) => known.unwrap_or_default(),
    };
    let verdict = (!brokers.is_empty()).then(|| {
        let who = spoken::brokers(&brokers);
        let message = format!("Replicas are made even: {who} had less than their share.");
        Verdict::new(ClusterReason::Rebalancing, message)
    });
    let status = RebalanceStatus {
        asked: asked.clone(),
        brokers: brokers.into_iter().collect(),
    };
    (Some(status), verdict)
}

/// Those of the known brokers that lack something, or all that do.
async fn look(
    admin: &mut Admin,
    valid: &ValidatedCluster,
    known: Option<&BTreeSet<i32>>,
) -> Result<BTreeSet<i32>, Error> {
    let cluster = admin.describe_moves(None).await?;
    let brokers = admin.brokers().await?;
    let nobody = BTreeSet::new();
    let mut situation = Situation {
        topics: &cluster.topics,
        wanted: &BTreeMap::new(),
        brokers: &brokers,
        leaving: &valid.leaving,
        newcomers: &nobody,
    };
    let short = short(&situation);
    let stays = |id: &i32| *id < valid.replicas && !valid.leaving.contains(id);
    let known = known.unwrap_or(&short).iter().copied();
    let known: BTreeSet<i32> = known.filter(stays).collect();
    situation.newcomers = &known;
    Ok(unfilled(&situation))
}
