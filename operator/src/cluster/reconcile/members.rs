//! Who is a member: brokers that go, voters that change, dedicated controllers that end.
//!
//! Invariant: what goes is known to vote or not before it is told to go.

use std::collections::{BTreeMap, BTreeSet};

use super::Reconciler;
use super::voters::Voters;
use crate::cluster::scale_down::Departure;
use crate::condition::Verdict;
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, Platform, There};
use crate::validated::ValidatedCluster;

/// What a step came to for all members.
pub(super) struct Members {
    /// Who leaves and what changes, and what that waits for.
    pub(super) verdicts: Vec<Verdict>,
    /// What was done, one sentence each.
    pub(super) done: Vec<String>,
    /// The brokers that are to stand in the status as leaving.
    pub(super) leaving: Vec<i32>,
    /// Who votes; none where that is not known.
    pub(super) voting: Option<BTreeSet<i32>>,
    /// The dedicated controllers that the status is to name beside those that there are to be.
    pub(super) dedicated: BTreeSet<i32>,
}

impl<P: Platform> Reconciler<P> {
    /// Takes each member that is to go, or to vote, one step further.
    pub(super) async fn settle_members(
        &mut self,
        cluster: &KafkaCluster,
        valid: &mut ValidatedCluster,
        there: There<'_>,
    ) -> Members {
        let states = there.brokers;
        let quorum = self.look_at_voters(cluster, valid, states).await;
        let departure = self.depart(cluster, valid, states, &quorum).await;
        let settled = self.settle_voters(valid, there.nodes, quorum).await;
        let retired = self.retire_controllers(cluster, valid, there.nodes).await;
        let mut verdicts = with_voters(departure.verdict, settled.verdict);
        verdicts.extend(retired.verdict);
        let done = departure.done.into_iter().chain(settled.done);
        Members {
            verdicts,
            done: done.chain(retired.done).collect(),
            leaving: departure.leaving,
            voting: settled.voting,
            dedicated: retired.known,
        }
    }

    async fn depart(
        &mut self,
        cluster: &KafkaCluster,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        voters: &Voters,
    ) -> Departure {
        let status = cluster.status.as_ref();
        let told = status.map_or(&[][..], |status| &status.leaving);
        let (admin, platform) = (&mut self.admin, &mut self.platform);
        let departures = &mut self.departures;
        let voting = voters.voting();
        departures
            .step(admin, platform, valid, states, (told, voting.as_ref()))
            .await
    }
}

/// Who votes does not go: why it votes still is the other half of why it does not.
fn with_voters(departing: Option<Verdict>, changing: Option<Verdict>) -> Vec<Verdict> {
    let departing = departing.map(|mut departing| {
        if let Some(changing) = &changing {
            departing.message = format!("{} {}", departing.message, changing.message);
        }
        departing
    });
    departing.into_iter().chain(changing).collect()
}
