//! The voters of the metadata quorum: looked at where they are not those that the spec wants, and
//! changed one a step. What is done, [`quorum`](super::super::quorum) decides.

use std::collections::{BTreeMap, BTreeSet};

use super::super::quorum::{Facts, Step, plan, wanted};
use super::super::settings::voters_named;
use super::Reconciler;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::observed::ObservedQuorum;
use crate::platform::{BrokerState, Platform};
use crate::validated::ValidatedCluster;

/// What is known of the voters.
pub(super) enum Voters {
    /// They were seen to be those that the brokers' files name, or nobody needs to know yet.
    Named,
    /// The quorum as it is.
    Seen(ObservedQuorum),
    /// It could not be looked at; why, as half a sentence.
    Unknown(String),
}

impl Voters {
    /// Who votes; none where that was not looked at now.
    pub(super) fn voting(&self) -> Option<BTreeSet<i32>> {
        match self {
            Self::Seen(quorum) => Some(quorum.voters.keys().copied().collect()),
            Self::Named | Self::Unknown(_) => None,
        }
    }
}

/// What a step came to.
#[derive(Default)]
pub(super) struct Settled {
    /// What changes, and what that waits for.
    pub(super) verdict: Option<Verdict>,
    /// What was done, as a sentence.
    pub(super) done: Option<String>,
    /// How many vote; none where that is not known.
    pub(super) voting: Option<i32>,
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
        let told = before.and_then(|before| before.controllers);
        let to_be = wanted(valid.controllers_wanted, valid.staying());
        let is_settled = told == Some(to_be) && valid.controllers == to_be;
        if valid.leaving.is_empty() && (!is_formed || is_settled || states.is_empty()) {
            return Voters::Named;
        }
        match self.admin.quorum().await {
            Ok(Ok(quorum)) => Voters::Seen(quorum),
            Ok(Err(refusal)) => Voters::Unknown(refusal.message),
            Err(error) => Voters::Unknown(error.to_string()),
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
        let wanted = wanted(valid.controllers_wanted, valid.staying());
        let quorum = match voters {
            Voters::Named => return Settled::default(),
            Voters::Unknown(why) => return changing(wanted, None, &format!("that waits: {why}")),
            Voters::Seen(quorum) => quorum,
        };
        let voting = i32::try_from(quorum.voters.len()).ok();
        let named = states.iter();
        let named = named.map(|(id, state)| (*id, voters_named(&state.running_with).unwrap_or(0)));
        let serving = states.iter().filter(|(_, state)| state.ready);
        let step = plan(&Facts {
            wanted,
            named: &named.collect(),
            serving: &serving.map(|(id, _)| *id).collect(),
            quorum: &quorum,
        });
        let (asked, done) = match step {
            Step::Settled => {
                valid.controllers = wanted;
                return Settled {
                    voting,
                    ..Settled::default()
                };
            }
            Step::Wait(why) => return changing(wanted, voting, &format!("that waits: {why}")),
            Step::Add(id) => (self.admin.add_voter(id).await, format!("broker {id} votes")),
            Step::Remove(id) => {
                let done = format!("broker {id} votes no more");
                (self.admin.remove_voter(id).await, done)
            }
        };
        match asked {
            Ok(()) => Settled {
                done: Some(done.clone()),
                ..changing(wanted, voting, &done)
            },
            Err(error) => changing(wanted, voting, &format!("that waits: {error}")),
        }
    }
}

fn changing(wanted: i32, voting: Option<i32>, how: &str) -> Settled {
    let who = match wanted {
        1 => "Broker 0 alone is to vote in the metadata quorum".to_owned(),
        _ => format!(
            "Brokers 0 to {} are to vote in the metadata quorum",
            wanted - 1
        ),
    };
    let message = format!("{who}: {how}.");
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
        let settled = changing(3, Some(1), "that waits: broker 2 is behind");
        let verdict = settled.verdict.unwrap();
        assert_eq!(verdict.reason.word, "ChangingVoters");
        assert_eq!(
            verdict.message,
            "Brokers 0 to 2 are to vote in the metadata quorum: that waits: broker 2 is behind."
        );
    }
}
