//! The machines of a run, by their numbers: brokers, of which three vote; or, in some runs, brokers
//! without a vote and then controllers that are no brokers, as where `process.roles` tells them
//! apart.

use std::ops::Range;
use std::sync::OnceLock;

use ottla_storage::sim::Random;

use crate::bugs::Bug;
use crate::kinds::favourites;

/// The brokers of a simulated cluster, of which a seed draws one.
const COUNTS: [usize; 4] = [3, 3, 4, 5];

/// The most that there are.
pub const BROKERS_MAX: usize = 5;

/// How many machines vote.
const VOTERS: usize = 3;

/// The most machines that there are.
pub const MACHINES_MAX: usize = BROKERS_MAX + VOTERS;

/// In one run of so many the controllers are no brokers.
const DEDICATED_ONE_IN: usize = 8;

#[derive(Clone, Copy)]
struct Shape {
    brokers: usize,
    is_dedicated: bool,
}

/// That of this process's run.
static SHAPE: OnceLock<Shape> = OnceLock::new();

fn shape() -> Shape {
    *SHAPE.get_or_init(|| Shape {
        brokers: COUNTS[0],
        is_dedicated: false,
    })
}

/// Draws the machines of this process's run.
pub fn draw(seed: u64, sought: Option<Bug>) {
    let brokers = COUNTS[Random::new(seed ^ 0x5eed).below(COUNTS.len())];
    let wanted = sought.and_then(favourites);
    let wanted = wanted.and_then(|wanted| wanted.brokers);
    let is_dedicated = Random::new(seed ^ 0xded1).one_in(DEDICATED_ONE_IN);
    SHAPE.get_or_init(|| Shape {
        brokers: wanted.unwrap_or(brokers),
        is_dedicated,
    });
}

/// How many brokers there are in this run: they have the first numbers.
pub fn brokers() -> usize {
    shape().brokers
}

/// How many machines there are in this run.
pub fn machines() -> usize {
    voters().end.max(brokers())
}

/// Those that vote.
pub fn voters() -> Range<usize> {
    let first = match shape().is_dedicated {
        true => brokers(),
        false => 0,
    };
    first..first + VOTERS
}

/// What a machine's process is: its `process.roles`.
pub fn roles(node: usize) -> &'static str {
    match (shape().is_dedicated, node < brokers()) {
        (false, _) => "broker,controller",
        (true, true) => "broker",
        (true, false) => "controller",
    }
}

/// The name of a machine's host.
pub fn host(node: usize) -> String {
    match node < brokers() {
        true => format!("broker-{node}"),
        false => format!("controller-{node}"),
    }
}
