//! Dedicated controllers that are to go: they vote no more, so they are stopped, and once they are
//! gone the others forget them.
//!
//! Who is there stands in the status until it is forgotten, so whatever becomes of the operator,
//! none stays registered: a feature level is finalized only where all that are registered have it.

use std::collections::{BTreeMap, BTreeSet};

use super::Reconciler;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, Platform};
use crate::spoken::nodes;
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

/// What a step came to.
#[derive(Default)]
pub(super) struct Retired {
    /// What is waited for.
    pub(super) verdict: Option<Verdict>,
    /// What was done, as sentences.
    pub(super) done: Vec<String>,
    /// Those that the status is to name beside those that there are to be.
    pub(super) known: BTreeSet<i32>,
}

impl<P: Platform> Reconciler<P> {
    /// Stops the controllers that are in the spec no more, and has those forgotten that are gone.
    pub(super) async fn retire_controllers(
        &mut self,
        cluster: &KafkaCluster,
        valid: &ValidatedCluster,
        nodes_there: &BTreeMap<i32, BrokerState>,
    ) -> Retired {
        let mut retired = Retired::default();
        let goes = |id: &i32| !valid.controllers.ids.contains(id);
        let there = nodes_there.range(FIRST_CONTROLLER..).map(|(id, _)| *id);
        let stopping: BTreeSet<i32> = there.filter(goes).collect();
        for id in &stopping {
            self.platform.remove(*id).await;
        }
        let before = cluster.status.iter();
        let told = before.flat_map(|before| &before.dedicated_controllers);
        let gone = told.map(|one| one.id);
        let gone: Vec<i32> = gone
            .filter(|id| goes(id) && !stopping.contains(id))
            .collect();
        let mut why = None;
        for id in gone {
            match self.admin.unregister(id).await {
                Ok(()) => retired.done.push(format!("controller {id} is gone")),
                Err(error) => {
                    why = Some(format!("to be forgotten: {error}"));
                    retired.known.insert(id);
                }
            }
        }
        retired.known.extend(&stopping);
        if !retired.known.is_empty() {
            let how = why.unwrap_or_else(|| "to stop".to_owned());
            let message = format!("What votes no more is waited for: {} {how}.", {
                nodes(&retired.known)
            });
            retired.verdict = Some(Verdict::new(ClusterReason::ChangingVoters, message));
        }
        retired
    }
}
