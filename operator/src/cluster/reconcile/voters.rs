//! The voters of the metadata quorum: looked at where they are not those that the spec wants, and
//! changed one a step. What is done, [`quorum`](super::super::quorum) decides.

use std::collections::{BTreeMap, BTreeSet};

use super::super::desired::voters_told;
use super::super::quorum::{Facts, Step, plan, wanted};
use super::super::settings::voters_named;
use super::Reconciler;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::observed::ObservedQuorum;
use crate::platform::{BrokerState, Platform};
use crate::spoken::node;
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

/// What is known of the voters.
pub(super) enum Voters {
    /// They were seen to be those that the brokers' files name, or nobody needs to know yet.
    Named,
    /// The quorum as it is.
    Seen(ObservedQuorum),
    /// It could not be looked at; why, as half a sentence, and who voted when it was seen last.
    Unknown(String, BTreeSet<i32>),
}

impl Voters {
    /// Who votes; none where that was not looked at now.
    pub(super) fn voting(&self) -> Option<BTreeSet<i32>> {
        match self {
            Self::Seen(quorum) => Some(quorum.voters.keys().copied().collect()),
            Self::Named | Self::Unknown(..) => None,
        }
    }

    /// Whether brokers vote, and dedicated controllers do.
    fn are_of_both_kinds(&self) -> bool {
        let voters = match self {
            Self::Named => return false,
            Self::Seen(quorum) => &quorum.voters.keys().copied().collect(),
            Self::Unknown(_, told) => told,
        };
        let dedicated = voters.range(FIRST_CONTROLLER..).count();
        dedicated > 0 && dedicated < voters.len()
    }
}

/// What a step came to.
#[derive(Default)]
pub(super) struct Settled {
    /// What changes, and what that waits for.
    pub(super) verdict: Option<Verdict>,
    /// What was done, as a sentence.
    pub(super) done: Option<String>,
    /// Who votes; none where that is not known.
    pub(super) voting: Option<BTreeSet<i32>>,
}

impl<P: Platform> Reconciler<P> {
    /// Asks who votes, unless it was seen to be what the brokers' files say and is to be. Where
    /// brokers are to go it is asked anew: an earlier cluster, or somebody, may have had them vote.
    pub(super) async fn look_at_voters(
        &mut self,
        cluster: &KafkaCluster,
        valid: &ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
    ) -> Voters {
        let before = cluster.status.as_ref();
        let is_formed = before.is_some_and(|before| before.cluster_id.is_some());
        let told = before.map(voters_told);
        let to_be = to_be(valid);
        let dedicated = &valid.controllers.ids;
        let is_settled = told.as_ref() == Some(&to_be)
            && before.is_some_and(|before| !before.voters.is_empty())
            && valid.voters == to_be
            && dedicated.is_subset(&to_be);
        if valid.leaving.is_empty() && (!is_formed || is_settled || states.is_empty()) {
            return Voters::Named;
        }
        let told = told.unwrap_or_default();
        match self.admin.quorum().await {
            Ok(Ok(quorum)) => Voters::Seen(quorum),
            Ok(Err(refusal)) => Voters::Unknown(refusal.message, told),
            Err(error) => Voters::Unknown(error.to_string(), told),
        }
    }

    /// Brings the voters a step nearer to those that are wanted, and has the brokers' files name
    /// those alone once they are.
    pub(super) async fn settle_voters(
        &mut self,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        voters: Voters,
    ) -> Settled {
        let wanted = to_be(valid);
        valid.controllers.vote_beside_brokers = voters.are_of_both_kinds();
        self.platform.follow(valid);
        let quorum = match voters {
            Voters::Named => return Settled::default(),
            Voters::Unknown(why, _) => {
                return changing(&wanted, None, &format!("that waits: {why}"));
            }
            Voters::Seen(quorum) => quorum,
        };
        let voting: BTreeSet<i32> = quorum.voters.keys().copied().collect();
        if !wanted.is_subset(&valid.nodes()) {
            let why = "that waits: they are started once the brokers have restarted";
            return changing(&wanted, Some(voting), why);
        }
        let named = states.iter();
        let named = named.map(|(id, state)| (*id, voters_named(&state.running_with)));
        let serving = states.iter().filter(|(_, state)| state.ready);
        let step = plan(&Facts {
            wanted: &wanted,
            named: &named.collect(),
            serving: &serving.map(|(id, _)| *id).collect(),
            quorum: &quorum,
        });
        let (asked, done) = match step {
            Step::Settled => {
                // They hold nothing but what those have that vote.
                valid.controllers.ids.retain(|id| wanted.contains(id));
                valid.voters = wanted;
                self.platform.follow(valid);
                return Settled {
                    voting: Some(voting),
                    ..Settled::default()
                };
            }
            Step::Wait(why) => {
                return changing(&wanted, Some(voting), &format!("that waits: {why}"));
            }
            Step::Add(id) => (
                self.admin.add_voter(id).await,
                format!("{} votes", node(id)),
            ),
            Step::Remove(id) => {
                let done = format!("{} votes no more", node(id));
                (self.admin.remove_voter(id).await, done)
            }
        };
        match asked {
            Ok(()) => Settled {
                done: Some(done.clone()),
                ..changing(&wanted, Some(voting), &done)
            },
            Err(error) => changing(&wanted, Some(voting), &format!("that waits: {error}")),
        }
    }
}

/// Who is to vote, of those that stay.
fn to_be(valid: &ValidatedCluster) -> BTreeSet<i32> {
    let dedicated = valid.controllers.wanted;
    wanted(dedicated, valid.controllers_wanted, valid.staying())
}

fn changing(wanted: &BTreeSet<i32>, voting: Option<BTreeSet<i32>>, how: &str) -> Settled {
    let first = wanted.first().copied().unwrap_or_default();
    let last = wanted.last().copied().unwrap_or_default();
    let kind = if first < FIRST_CONTROLLER {
        "Broker"
    } else {
        "Controller"
    };
    let who = match last - first {
        0 => format!("{kind} {first} alone is"),
        _ => format!("{kind}s {first} to {last} are"),
    };
    let message = format!("{who} to vote in the metadata quorum: {how}.");
    Settled {
        verdict: Some(Verdict::new(ClusterReason::ChangingVoters, message)),
        done: None,
        voting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_that_change_are_told_with_why_that_waits() {
        let (wanted, voting) = ([0, 1, 2].into(), Some([0].into()));
        let settled = changing(&wanted, voting, "that waits: broker 2 is behind");
        let verdict = settled.verdict.unwrap();
        assert_eq!(verdict.reason.word, "ChangingVoters");
        assert_eq!(
            verdict.message,
            "Brokers 0 to 2 are to vote in the metadata quorum: that waits: broker 2 is behind."
        );
    }
}
