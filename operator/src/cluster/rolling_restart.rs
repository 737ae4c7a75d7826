//! Which broker may be restarted now, and why the others may not.
//!
//! One at a time. A broker goes only when every other broker is ready and every partition is in
//! sync on all brokers but the one to go: then nothing becomes unavailable that is not so already,
//! and the next one waits until this one has caught up.
//!
//! First go brokers that are down anyway, since a restart cannot harm them and may mend them; then
//! the others by id, the active controller last, so that it changes once and not with every
//! restart.
//!
//! Invariant: whoever must be restarted and may not has a reason in [`Plan::waiting`].

use std::collections::BTreeMap;

/// A broker as the platform and the cluster see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedBroker {
    /// Its id.
    pub id: i32,
    /// Whether it serves: its `/readyz` says so.
    pub ready: bool,
    /// What it does, or why it does not serve.
    pub message: String,
    /// Why it must be restarted, where it must.
    pub restart: Option<String>,
}

/// How the partitions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The cluster could not be asked, because of this.
    Unknown(String),
    /// The cluster was asked.
    Known {
        /// The active controller, where there is one.
        controller: Option<i32>,
        /// Partitions with replicas that are not in sync: their name and those replicas.
        out_of_sync: Vec<(String, Vec<i32>)>,
    },
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The broker that goes now.
    pub restart: Option<i32>,
    /// The brokers that must go but wait, each with the reason.
    pub waiting: BTreeMap<i32, String>,
}

/// Chooses.
#[must_use]
pub fn plan(brokers: &[ObservedBroker], health: &Health) -> Plan {
    let mut plan = Plan::default();
    let mut candidates: Vec<&ObservedBroker> = brokers
        .iter()
        .filter(|broker| broker.restart.is_some())
        .collect();
    let controller = match health {
        Health::Known { controller, .. } => *controller,
        Health::Unknown(_) => None,
    };
    candidates.sort_by_key(|broker| (broker.ready, Some(broker.id) == controller, broker.id));
    for candidate in candidates {
        let obstacle = match plan.restart {
            Some(going) => Some(format!("broker {going} goes first")),
            None => obstacle(candidate, brokers, health),
        };
        match obstacle {
            Some(reason) => drop(plan.waiting.insert(candidate.id, reason)),
            None => plan.restart = Some(candidate.id),
        }
    }
    plan
}

fn obstacle(
    candidate: &ObservedBroker,
    brokers: &[ObservedBroker],
    health: &Health,
) -> Option<String> {
    if !candidate.ready {
        // It serves nothing: a restart takes nothing away, whatever the others do.
        return None;
    }
    if let Some(other) = brokers
        .iter()
        .find(|broker| broker.id != candidate.id && !broker.ready)
    {
        return Some(format!(
            "broker {} does not serve ({})",
            other.id, other.message
        ));
    }
    match health {
        Health::Unknown(why) => Some(format!("the cluster cannot be asked: {why}")),
        Health::Known { out_of_sync, .. } => {
            let behind = |replicas: &Vec<i32>| replicas.iter().any(|id| *id != candidate.id);
            let mut blocking = out_of_sync.iter().filter(|(_, missing)| behind(missing));
            let (partition, missing) = blocking.next()?;
            let more = match blocking.count() {
                0 => String::new(),
                count => format!(", and {count} more partitions"),
            };
            Some(format!(
                "{partition} is not in sync on {}{more}",
                brokers_by_id(missing)
            ))
        }
    }
}

fn brokers_by_id(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match ids.as_slice() {
        [one] => format!("broker {one}"),
        several => format!("brokers {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests;
