//! Brokers that have come to a cluster that was there: they get their share of its replicas.
//!
//! Who is new stands in the object's status, until [`moves`](crate::topic::moves) has nothing more
//! for it: so whatever becomes of the operator, a newcomer gets all of its share, and a cluster
//! that is merely uneven is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::{Admin, Error};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaClusterStatus;
use crate::platform::BrokerState;
use crate::topic::moves::{Situation, unfilled};
use crate::validated::ValidatedCluster;

/// The newcomers now, and what they wait for. `before` is what was said last.
pub async fn newcomers(
    admin: &mut Admin,
    valid: &ValidatedCluster,
    states: &BTreeMap<i32, BrokerState>,
    before: Option<&KafkaClusterStatus>,
) -> (Vec<i32>, Option<Verdict>) {
    let known = known(valid, states, before);
    if known.is_empty() {
        return (Vec::new(), None);
    }
    let left = match look(admin, &known, &valid.leaving).await {
        Ok(left) => left,
        Err(_) => known,
    };
    let ids: Vec<String> = left.iter().map(ToString::to_string).collect();
    let message = match ids.as_slice() {
        [] => return (Vec::new(), None),
        [one] => format!("Broker {one} is new and gets its share of the replicas."),
        several => format!(
            "Brokers {} are new and get their share of the replicas.",
            several.join(", ")
        ),
    };
    let verdict = Verdict::new(ClusterReason::ScalingUp, message);
    (left.into_iter().collect(), Some(verdict))
}

/// Those that were new, and those that the cluster did not have when it was looked at last; all of
/// them staying.
fn known(
    valid: &ValidatedCluster,
    states: &BTreeMap<i32, BrokerState>,
    before: Option<&KafkaClusterStatus>,
) -> BTreeSet<i32> {
    let Some(before) = before.filter(|before| before.cluster_id.is_some()) else {
        return BTreeSet::new();
    };
    let last = before.brokers.iter().map(|broker| broker.id).max();
    let is_new = |id: &i32| before.newcomers.contains(id) || last.is_some_and(|last| *id > last);
    let stays = |id: &i32| *id < valid.replicas && !valid.leaving.contains(id);
    let ids = states.keys().copied();
    ids.filter(|id| is_new(id) && stays(id)).collect()
}

async fn look(
    admin: &mut Admin,
    newcomers: &BTreeSet<i32>,
    leaving: &BTreeSet<i32>,
) -> Result<BTreeSet<i32>, Error> {
    let cluster = admin.describe_moves(None).await?;
    let brokers = admin.brokers().await?;
    Ok(unfilled(&Situation {
        topics: &cluster.topics,
        wanted: &BTreeMap::new(),
        brokers: &brokers,
        leaving,
        newcomers,
    }))
}
