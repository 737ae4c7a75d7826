//! Brokers that have come to a cluster that was there: they get their share of its replicas.
//!
//! Who is new stands in the object's status, until [`moves`](crate::topic::moves) has nothing more
//! for it: so whatever becomes of the operator, and wherever a step ends, a newcomer gets all of
//! its share, and a cluster that is merely uneven is left as it is. A broker that was to go and
//! stays after all has given of its replicas, so it counts as new.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::{Admin, Error};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaClusterStatus;
use crate::platform::BrokerState;
use crate::topic::moves::{Situation, unfilled};
use crate::validated::ValidatedCluster;

/// Which of those that are [`known`] have not got their share, and what they wait for.
pub async fn newcomers(
    admin: &mut Admin,
    valid: &ValidatedCluster,
    known: BTreeSet<i32>,
) -> (Vec<i32>, Option<Verdict>) {
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

/// The brokers that were new when the cluster was looked at last, those that it did not have then,
/// and those that were to go; all of them staying. `before` is what was said last, `leaving` are
/// the brokers that are cordoned still. Where the spec is not carried out, all of them stay.
#[must_use]
pub fn known(
    valid: Option<&ValidatedCluster>,
    states: &BTreeMap<i32, BrokerState>,
    before: Option<&KafkaClusterStatus>,
    leaving: &[i32],
) -> BTreeSet<i32> {
    let Some(before) = before.filter(|before| before.cluster_id.is_some()) else {
        return BTreeSet::new();
    };
    let last = before.brokers.iter().map(|broker| broker.id).max();
    let is_new = |id: &i32| last.is_some_and(|last| *id > last);
    let goes =
        |id: &i32| valid.is_some_and(|valid| *id >= valid.replicas || valid.leaving.contains(id));
    let came = states.keys().copied().filter(is_new);
    let known = before.newcomers.iter().chain(&before.leaving).copied();
    let ids = came.chain(known);
    ids.filter(|id| !leaving.contains(id) && !goes(id))
        .collect()
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
