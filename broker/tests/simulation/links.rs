//! The links between hosts, and what is amiss with them: faults overlap, each ends for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_broker::stream::simulated::{self as network, Condition};

/// The longest time that a message takes where nothing is amiss.
pub const LATENCY_MAX: Duration = Duration::from_millis(network::LATENCY_MAX_MS);

/// What a link may suffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// Both directions hold everything back, as TCP does for its users: a connection that outlives
    /// it goes on, whoever gave it up has to notice the other end's reset.
    Held,
    /// What the first sends to the second is gone: whatever of a connection was lost never comes
    /// any more, and nobody is told.
    Dropped,
    /// Messages take up to so long.
    Slow(Duration),
}

/// From whom to whom.
pub type Link = (String, String);

/// How many faults hold, drop and slow down a link now; `drops` has both directions.
#[derive(Debug, Default)]
struct State {
    holds: usize,
    drops: [usize; 2],
    slow: Vec<Duration>,
}

impl State {
    fn is_well(&self) -> bool {
        self.holds == 0 && self.drops == [0, 0] && self.slow.is_empty()
    }
}

/// All links that something was ever amiss with, by their ends in order.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<Link, State>);

impl Links {
    /// Begins something, or ends it.
    pub fn change(&mut self, link: &Link, ill: Ill, begins: bool) {
        let (from, to) = link;
        let is_reversed = from > to;
        let key = match is_reversed {
            true => (to.clone(), from.clone()),
            false => link.clone(),
        };
        let state = self.0.entry(key.clone()).or_default();
        let count = |count: &mut usize| match begins {
            true => *count += 1,
            false => *count -= 1,
        };
        match ill {
            Ill::Held => count(&mut state.holds),
            Ill::Dropped => count(&mut state.drops[usize::from(is_reversed)]),
            Ill::Slow(latency) if begins => state.slow.push(latency),
            Ill::Slow(latency) => {
                let place = state.slow.iter().position(|slow| *slow == latency);
                state.slow.swap_remove(place.expect("it began"));
            }
        }
        let (a, b) = (key.0.as_str(), key.1.as_str());
        let latency = state.slow.iter().copied().max().unwrap_or(LATENCY_MAX);
        let condition = Condition {
            is_held: state.holds > 0,
            drops: state.drops.map(|count| count > 0),
            latency_max_ms: latency.as_millis() as u64,
        };
        network::set_link(a, b, condition);
    }

    /// Whether nothing is amiss with any.
    pub fn are_well(&self) -> bool {
        self.0.values().all(State::is_well)
    }

    /// Whether nothing is amiss with one.
    pub fn is_well(&self, a: &str, b: &str) -> bool {
        let is_it = |(from, to): &Link| (from == a && to == b) || (from == b && to == a);
        let mut ill = self.0.iter().filter(|(_, state)| !state.is_well());
        !ill.any(|(link, _)| is_it(link))
    }
}
