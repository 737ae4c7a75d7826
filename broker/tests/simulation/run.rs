//! One run: a seed becomes a cluster, clients and faults, and an outcome.

use std::fmt;
use std::sync::Mutex;

use futures_util::FutureExt;
use ottla_broker::controller::raft::Runtime;

use crate::clients::{self, admin};
use crate::cluster::{host, machines};
use crate::faults::{CLIENTS, Faults};
use crate::hosts::Hosts;
use crate::node;
use crate::world::{Bug, Shared};

/// How long faults come.
const FAULTS_MS: u64 = 15_000;

/// How long the cluster may take to form, and to come back once everything is healed.
const CALM_MS: u64 = 30_000;

/// One run in so many goes on for a while when all is healed, and how long.
const PEACE_ONE_IN: usize = 8;
const PEACE_MS: u64 = 24_000;

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub virtual_ms: u64,
    pub faults: usize,
    pub epochs: usize,
    pub acknowledged: usize,
    pub trace: u64,
    pub violation: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "virtual_ms={} faults={} epochs={} acknowledged={} trace={:016x}",
            self.virtual_ms, self.faults, self.epochs, self.acknowledged, self.trace
        )?;
        match &self.violation {
            Some(violation) => write!(f, " violation={violation}"),
            None => Ok(()),
        }
    }
}

impl Outcome {
    /// Reads what `Display` wrote, as a parent does of its child.
    pub fn parse(line: &str) -> Option<Self> {
        let (numbers, violation) = match line.split_once(" violation=") {
            Some((numbers, violation)) => (numbers, Some(violation.to_owned())),
            None => (line, None),
        };
        let mut outcome = Self {
            violation,
            ..Self::default()
        };
        for pair in numbers.split_whitespace() {
            let (name, value) = pair.split_once('=')?;
            match name {
                "virtual_ms" => outcome.virtual_ms = value.parse().ok()?,
                "faults" => outcome.faults = value.parse().ok()?,
                "epochs" => outcome.epochs = value.parse().ok()?,
                "acknowledged" => outcome.acknowledged = value.parse().ok()?,
                "trace" => outcome.trace = u64::from_str_radix(value, 16).ok()?,
                _ => return None,
            }
        }
        Some(outcome)
    }
}

/// The first panic anywhere, which a task would otherwise swallow.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn panicked() -> Option<String> {
    PANIC
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone()
}

/// Runs a seed in this thread. The process must be fresh: hash maps are keyed once a thread.
pub fn run(seed: u64, sought: Option<Bug>, is_planted: bool) -> Outcome {
    std::panic::set_hook(Box::new(|info| {
        let mut first = PANIC
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(|| format!("Panic: {info}").replace('\n', " "));
    }));
    // openraft draws its random numbers from a seed that is set while this future is polled
    let scope = Runtime::scope(seed, async { simulate(seed, sought, is_planted) });
    scope.now_or_never().expect("nothing in it waits")
}

fn simulate(seed: u64, sought: Option<Bug>, is_planted: bool) -> Outcome {
    let shared = Shared::new(seed, sought, is_planted);
    let mut hosts = Hosts::new(seed);
    for node in 0..machines() {
        let shared = shared.clone();
        hosts.add(&host(node), move || node::run(shared.clone(), node));
    }
    let mut faults = Faults::new(&shared);
    shared.join(admin::NAME);
    let client = shared.clone();
    hosts.add(admin::NAME, move || admin::create_topics(client.clone()));
    let mut is_over = advance(&mut hosts, &mut faults, Phase::Calm);
    let client = shared.clone();
    hosts.add(CLIENTS[0], move || clients::write(client.clone()));
    let client = shared.clone();
    hosts.add(CLIENTS[1], move || clients::read(client.clone()));
    is_over = is_over || advance(&mut hosts, &mut faults, Phase::Faults);
    faults.heal(&mut hosts);
    shared.trace(format_args!("healed"));
    if shared.random(9).one_in(PEACE_ONE_IN) {
        is_over = is_over || advance(&mut hosts, &mut faults, Phase::Peace);
    }
    shared.with(|world| world.is_ending = true);
    is_over = is_over || advance(&mut hosts, &mut faults, Phase::Calm);
    shared.with(|world| {
        // a run that was ended early has brokers that are down, with what only they have
        if !is_over {
            world.check_end();
        }
        if let Some(panic) = panicked() {
            world.violate(panic);
        }
        Outcome {
            virtual_ms: hosts.now_ms(),
            faults: faults.count,
            epochs: world.checks.epochs(),
            acknowledged: world.checks.acknowledged(),
            trace: world.hash(),
            violation: world.violation.clone(),
        }
    })
}

/// Whether faults come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// None, and it ends when all are done.
    Calm,
    Faults,
    /// None, and clients go on.
    Peace,
}

/// Steps through a phase: calm ends once the clients are done. Says whether the run is over, for
/// something is wrong.
fn advance(hosts: &mut Hosts, faults: &mut Faults, phase: Phase) -> bool {
    let shared = faults.shared.clone();
    let limit_ms = match phase {
        Phase::Calm => CALM_MS,
        Phase::Faults => FAULTS_MS,
        Phase::Peace => PEACE_MS,
    };
    let end = hosts.now_ms() + limit_ms;
    while hosts.now_ms() < end {
        shared.with(|world| world.now_ms = hosts.now_ms());
        match phase {
            Phase::Calm | Phase::Peace => faults.supervise(hosts),
            Phase::Faults => faults.act(hosts),
        }
        hosts.step();
        shared.with(|world| world.check_nodes());
        let (is_done, is_wrong) = shared.with(|w| (w.clients.is_empty(), w.violation.is_some()));
        // its client is told of an end before the markers are written
        let is_done = is_done && !shared.with(|world| world.has_open_transactions());
        if is_wrong || panicked().is_some() {
            return true;
        }
        if is_done && phase == Phase::Calm {
            return false;
        }
    }
    let left = shared.with(|world| world.clients.clone());
    // transactions that stay open are told of with what became of the others
    if phase == Phase::Calm && !left.is_empty() {
        let why = shared.with(|world| world.unconverged());
        shared.trace(format_args!("not whole: {why:?}"));
        shared.violate(format!(
            "NoProgress: {left:?} wait {limit_ms} ms after all is healed"
        ));
        return true;
    }
    false
}
