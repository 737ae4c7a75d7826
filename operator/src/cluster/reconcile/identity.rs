//! Which cluster the brokers are. One whose volumes were lost or exchanged is another, whatever its
//! name: nothing of what was wanted of the first is done to it.

use std::collections::{BTreeMap, BTreeSet};

use ottla_client::Error as Other;

use super::Reconciler;
use crate::admin::Error;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, Platform};
use crate::validated::ValidatedCluster;

impl<P: Platform> Reconciler<P> {
    /// Asks which cluster the brokers are: a new one once all of them serve, and a known one
    /// whenever that may have changed.
    pub(super) async fn ask_cluster_id(
        &mut self,
        cluster: &KafkaCluster,
        states: &BTreeMap<i32, BrokerState>,
        valid: &ValidatedCluster,
    ) -> Option<Verdict> {
        let ready = states.values().filter(|state| state.ready).count();
        let all = usize::try_from(valid.replicas).unwrap_or(0);
        if ready < all {
            self.cluster_id = None;
        }
        let enough = if lasting_id(cluster).is_some() {
            1
        } else {
            all
        };
        if self.cluster_id.is_some() || ready < enough {
            return None;
        }
        let none = BTreeSet::new();
        match self.admin.describe(Some(&none)).await {
            Ok(found) => {
                self.cluster_id = found.cluster_id;
                None
            }
            Err(error @ Error::Client(Other::InconsistentClusterId { .. })) => {
                Some(inconsistent(&error))
            }
            Err(_) => None,
        }
    }
}

/// The id of a cluster whose data outlive its brokers.
pub(super) fn lasting_id(cluster: &KafkaCluster) -> Option<&String> {
    let before = cluster
        .status
        .as_ref()
        .filter(|_| cluster.spec.storage.is_some());
    before.and_then(|status| status.cluster_id.as_ref())
}

fn inconsistent(error: &Error) -> Verdict {
    let message = format!(
        "The volumes were lost or exchanged: {error}. No topic is made or deleted there; bring \
         the volumes back, or delete the KafkaCluster and make it again to go on with these."
    );
    Verdict::new(ClusterReason::InconsistentClusterId, message)
}
