//! Brokers and controllers in one thread, on a simulated network and disks, in simulated time.
//!
//! Everything follows from a seed: the network's delays, what a crash leaves on a disk, when which
//! fault comes, what the clients write. Each seed runs in a process of its own, so that it is the
//! same alone and among others.
//!
//! ```text
//! simulation                        the tests: kept seeds, equal traces, planted bugs are found
//! simulation --seconds N [--seed S] seed after seed for so long; the last line is the sum
//! simulation --seed S               one seed, with everything that happened in it
//! simulation --planted [BUG …] [--seeds N]
//!                                   which seed of N finds each planted bug: docs/reliability.md
//! simulation --child S [BUG [clean]] one seed, its outcome in one line; `clean`: in what brings
//!                                   the bug out, without the bug
//! ```
//!
//! # Layout, in reading order
//! - `run`: one seed, from the first process to the last check
//! - `cluster`: which machines there are, and which of them vote
//! - `hosts`: a clock for each, which may be paused
//! - `node`, `clients`, `connection`, `faults`, `kinds`, `links`: who and what acts in it
//! - `world`, `checks`, `replicas`, `decided`, `members`, `transactions`: what is known of all of
//!   them, and what must hold
//! - `planted`: the bugs that a run puts in, and what finds them
//! - `entropy`: the randomness of the standard library and the machine's clock, taken away

#![allow(clippy::disallowed_methods, reason = "tests go by the real clock")]

mod bugs;
mod checks;
mod clients;
mod cluster;
mod connection;
mod converged;
mod decided;
mod entropy;
mod faults;
mod hosts;
mod kinds;
mod links;
mod members;
mod node;
mod planted;
mod replicas;
mod run;
mod topics;
mod transactions;
mod world;

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bugs::Bug;
use run::Outcome;

/// Seeds that once found a bug; they always run.
const KEPT_SEEDS: [(u64, &str); 38] = [
    (
        3,
        "after a power cut a controller led on in its term without what the others had committed",
    ),
    (
        10,
        "a leader that is cut off serves reads after its lease, where nothing checks it",
    ),
    (
        13,
        "a controller that was restarted within its term decided on metadata of the past",
    ),
    (
        17,
        "the same, seen as a leader whose high watermark goes back",
    ),
    (
        101,
        "a follower told its new leader of records that were not on its disk",
    ),
    (
        103,
        "an answer about topics waited for one broker that seemed gone, and then for the next",
    ),
    (
        313,
        "a transactional produce waited for its coordinator beyond its own timeout",
    ),
    (
        7013,
        "a batch overtook others that came back by the broker that it went to",
    ),
    (
        7032,
        "a deletion of which its client had heard nothing was carried out after the next creation",
    ),
    (
        7039,
        "what was sent behind a refused batch was taken for its producer's first",
    ),
    (
        7053,
        "a simulated broker that started on a full disk never noticed that there was room",
    ),
    (
        7054,
        "a broker that was cut off was unfenced before it had heard of what it had lost",
    ),
    (
        7084,
        "the same as 7039, where the first batch was refused by a full disk",
    ),
    (
        104,
        "a follower waited for ever for a leader that took its requests and answered nothing",
    ),
    (
        52_007,
        "a log was cut before the place that its leader named, and went on as if it were there",
    ),
    (
        52_056,
        "a follower told where its log begins, and then began with the batch that goes over it",
    ),
    (
        60_009,
        "a reassignment removed a leader that had not heard of it, and served reads of the past",
    ),
    (
        91_003,
        "the same as 104, and who had joined was put out at once",
    ),
    (91_066, "the same as 91003"),
    (
        1_795_965_597_456,
        "a leader that is cut off answers OFFSET_OUT_OF_RANGE after its lease",
    ),
    (
        88_008,
        "a partition was given up for good where an index was to be made again on a full disk",
    ),
    (
        88_012,
        "a controller whose write failed forgot that a broker had heard of its loss: a move never \
         ended",
    ),
    (
        88_017,
        "a leader that had handed over and did not know it yet, for its metadata lagged, served \
         reads",
    ),
    (
        88_019,
        "what was sent behind a batch that had come again, and was on its way to the new leader, \
         was refused for good",
    ),
    (
        20_787_025,
        "a member that had partitions to give up was put out before its time, after the log had \
         refused that it was to go",
    ),
    (
        20_787_028,
        "a follower whose log diverged never heard where its leader's log began, for it was told \
         once, in the answer about that",
    ),
    (
        310_172,
        "a reassignment that was cancelled took the ISR, and what is acknowledged, to one replica",
    ),
    (
        33_000_018,
        "a partition whose only member of the ISR could not read its log had no leader for good, \
         though others were eligible",
    ),
    (
        34_000_409,
        "a live broker was fenced by a controller to which its last process had closed connections",
    ),
    (
        34_000_590,
        "a partition that was made while one replica was there had no leader for good once that \
         one had lost its disk, though nothing could have been committed",
    ),
    (
        34_000_639,
        "two brokers each waited for a batch that the other had sent on, and appended nothing",
    ),
    (
        36_100_048,
        "a leader that one reassignment had added was dropped by the next, and served reads",
    ),
    (
        42_000_053,
        "a follower with a full disk was taken back as soon as it was put out, for ever",
    ),
    (
        45_002_237,
        "a leader whose disk was full kept what it led, and nothing was acknowledged any more",
    ),
    (
        45_001_062,
        "a bit that turned over in a batch's base offset, which no checksum covers, was not seen",
    ),
    (
        45_000_612,
        "a key that was deleted came back with a leader that had been away while the others had \
         its tombstone",
    ),
    (
        60_000_010,
        "who had no vote any more led the quorum on, and a voter that came back without its disk \
         looked for a leader among the voters",
    ),
    (
        55_002_107,
        "a leader with a full disk was replaced while its lease stood, and served reads of the \
         past",
    ),
];

/// How many seeds the tests run that nobody has looked at, each day others. All runs of a day have
/// the same ones, so that what one finds another can look at. They fail no test.
const FRESH_SEEDS: u64 = 200;

/// How long the tests go on with fresh seeds.
const FRESH_LIMIT: Duration = Duration::from_secs(480);

/// One seed in so many is done twice, and both runs must be the same.
const TWICE_ONE_IN: u64 = 20;

/// How many seeds run side by side.
const CHILDREN: usize = 2;

/// One seed that is not done in this time hangs.
const CHILD_TIMEOUT: Duration = Duration::from_secs(300);

/// What a child is told that is to do without the bug.
const CLEAN: &str = "clean";

/// The name of the bug that runs are to bring out, and whether it is put in.
type Sought<'a> = Option<(&'a str, bool)>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let place = args.iter().position(|arg| arg == name)?;
        args.get(place + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = value("--child") {
        let all = Bug::all();
        let named = |name: &String| all.iter().find(|(known, ..)| known == name);
        let bug = args.get(2).and_then(named).map(|(_, _, bug)| *bug);
        let is_clean = args.get(3).is_some_and(|arg| arg == CLEAN);
        return child(seed, bug, !is_clean);
    }
    let is_fine = match (value("--seconds"), value("--seed")) {
        _ if args.first().is_some_and(|arg| arg == "--planted") => {
            let names = args[1..].iter().take_while(|arg| !arg.starts_with("--"));
            planted::all(&names.cloned().collect::<Vec<_>>(), value("--seeds"))
        }
        (Some(seconds), first) => seed_after_seed(Duration::from_secs(seconds), first),
        (None, Some(seed)) => replay(seed),
        (None, None) => tests(),
    };
    if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs a seed in this process; `RUST_LOG` shows what the brokers say.
fn child(seed: u64, sought: Option<Bug>, is_planted: bool) -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        // in a thread of its own: each hash map that a thread makes changes the order in all that
        // it makes after, and the log must not change what happens
        let started = std::thread::spawn(start_log).join();
        started.expect("nothing else has started a log");
    }
    println!("{}", run::run(seed, sought, is_planted));
    ExitCode::SUCCESS
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}

fn spawn(seed: u64, sought: Sought<'_>) -> Child {
    let program = std::env::current_exe().expect("a process knows its program");
    let mut command = Command::new(program);
    command.args(["--child", &seed.to_string()]);
    if let Some((name, is_planted)) = sought {
        command.arg(name);
        command.args((!is_planted).then_some(CLEAN));
    }
    command.stdout(Stdio::piped()).stdin(Stdio::null());
    command.spawn().expect("this program can be run again")
}

/// Waits for a child; one that dies or hangs has violated something, too.
fn outcome_of(mut child: Child) -> Outcome {
    let deadline = Instant::now() + CHILD_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("the child has ended");
    let line = String::from_utf8_lossy(&output.stdout);
    Outcome::parse(line.trim_end()).unwrap_or_else(|| Outcome {
        violation: Some(format!("Died: the process ended with {}", output.status)),
        ..Outcome::default()
    })
}

/// Runs seeds side by side, in order; `each` says whether to go on.
fn run_seeds(
    mut seeds: impl Iterator<Item = u64>,
    sought: Sought<'_>,
    mut each: impl FnMut(u64, Outcome) -> bool,
) {
    let mut running = std::collections::VecDeque::new();
    let mut goes_on = true;
    loop {
        while goes_on && running.len() < CHILDREN {
            match seeds.next() {
                Some(seed) => running.push_back((seed, spawn(seed, sought))),
                None => break,
            }
        }
        let Some((seed, child)) = running.pop_front() else {
            return;
        };
        goes_on &= each(seed, outcome_of(child));
    }
}

fn say_failure(seed: u64, violation: &str) {
    println!("seed {seed} FAILED: {violation}");
    println!("replay it with: make sim SEED={seed}");
}

/// `make sim SEED=S`.
fn replay(seed: u64) -> bool {
    let program = std::env::current_exe().expect("a process knows its program");
    let mut command = Command::new(program);
    command.args(["--child", &seed.to_string()]);
    command.env("SIM_TRACE", "1").stdout(Stdio::piped());
    let child = command.spawn().expect("this program can be run again");
    let outcome = outcome_of(child);
    println!("seed {seed}: {outcome}");
    outcome.violation.is_none()
}

/// `make sim SECONDS=N`.
fn seed_after_seed(limit: Duration, first: Option<u64>) -> bool {
    let by_clock = || {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_1970.map_or(1, |since| since.as_millis() as u64)
    };
    let first = first.unwrap_or_else(by_clock);
    println!("seeds from {first} on, for {} s", limit.as_secs());
    let started = Instant::now();
    let seeds = (first..).take_while(|_| started.elapsed() < limit);
    // every so many a seed is done twice, one run after the other
    let seeds = seeds.flat_map(|seed| {
        let times = if seed.is_multiple_of(TWICE_ONE_IN) {
            2
        } else {
            1
        };
        std::iter::repeat_n(seed, times)
    });
    let mut sum = Outcome::default();
    let (mut count, mut violations) = (0, 0);
    let mut last: Option<(u64, Outcome)> = None;
    run_seeds(seeds, None, |seed, outcome| {
        if let Some((_, before)) = last.take_if(|(known, _)| *known == seed) {
            if before != outcome {
                violations += 1;
                say_failure(seed, &format!("Unrepeatable: {before}, and then {outcome}"));
            }
            return true;
        }
        last = Some((seed, outcome.clone()));
        count += 1;
        sum.virtual_ms += outcome.virtual_ms;
        sum.faults += outcome.faults;
        sum.epochs += outcome.epochs;
        sum.acknowledged += outcome.acknowledged;
        if let Some(violation) = &outcome.violation {
            violations += 1;
            say_failure(seed, violation);
        }
        true
    });
    println!(
        "{count} seeds, {} virtual seconds, {} faults, {} leader epochs, \
         {} records acknowledged, {violations} violations",
        sum.virtual_ms / 1000,
        sum.faults,
        sum.epochs,
        sum.acknowledged,
    );
    violations == 0
}

/// What CI runs.
fn tests() -> bool {
    let tests: [(&str, fn() -> bool); 3] = [
        ("kept_seeds_find_nothing", kept_seeds_find_nothing),
        ("a_seed_gives_one_trace", a_seed_gives_one_trace),
        ("planted_bugs_are_found", planted::some),
    ];
    let mut is_fine = true;
    for (name, test) in tests {
        let started = Instant::now();
        let passed = test();
        let verdict = if passed { "ok" } else { "FAILED" };
        println!(
            "test {name} ... {verdict} in {} s",
            started.elapsed().as_secs()
        );
        is_fine &= passed;
    }
    is_fine
}

/// Days since 1970, by UTC.
fn day() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |since| since.as_secs() / 86_400)
}

/// The first fresh seed of the day.
fn first_of_day() -> u64 {
    day() * 1_000
}

fn kept_seeds_find_nothing() -> bool {
    let kept = KEPT_SEEDS.iter().map(|(seed, _)| *seed);
    let fresh = first_of_day()..first_of_day() + FRESH_SEEDS;
    let started = Instant::now();
    let fresh = fresh.take_while(|_| started.elapsed() < FRESH_LIMIT);
    let (mut is_fine, mut count, mut virtual_ms) = (true, 0, 0);
    run_seeds(kept.chain(fresh), None, |seed, outcome| {
        count += 1;
        virtual_ms += outcome.virtual_ms;
        if let Some(violation) = &outcome.violation {
            match KEPT_SEEDS.iter().find(|(kept, _)| *kept == seed) {
                Some((_, what)) => {
                    say_failure(seed, violation);
                    println!("this seed is kept because it found: {what}");
                    is_fine = false;
                }
                // as old as what it found, which is no fault of the change at hand: it is told, to
                // be looked at, mended and kept
                None => println!("seed {seed} FOUND: {violation}; make sim SEED={seed}"),
            }
        }
        true
    });
    println!(
        "{} kept seeds and {} from {} on: {} virtual seconds",
        KEPT_SEEDS.len(),
        count - KEPT_SEEDS.len(),
        first_of_day(),
        virtual_ms / 1_000
    );
    is_fine
}

fn a_seed_gives_one_trace() -> bool {
    let seed = first_of_day();
    let mut outcomes = Vec::new();
    run_seeds([seed, seed].into_iter(), None, |_, outcome| {
        outcomes.push(outcome);
        true
    });
    let is_same = outcomes[0] == outcomes[1];
    if !is_same {
        println!("seed {seed} gave {} and then {}", outcomes[0], outcomes[1]);
    }
    is_same
}
