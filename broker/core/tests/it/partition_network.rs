//! Replicas of one partition, a controller, clients, and a network that loses, delays and reorders.
//!
//! One seed decides everything. After each step the invariants hold that Kafka names: SingleLeader
//! (one leader in an epoch), MonotonicHighWatermark, committed prefixes equal on all replicas, no
//! acknowledgement before the record is flushed on `min.insync.replicas` brokers; and at the end
//! every acknowledged record is there once.

mod checks;
mod cluster;
mod controller;
mod node;

use cluster::Cluster;

/// The steps of one run: some hundred crashes and elections.
const STEPS_PER_RUN: usize = 3_000;

fn run(seed: u64) -> (u64, usize) {
    let mut cluster = Cluster::new(seed, 3);
    for _ in 0..STEPS_PER_RUN {
        cluster.act();
    }
    cluster.heal();
    cluster.check_the_end();
    (cluster.trace(), cluster.acknowledged())
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let seeds = std::env::var("SEED").map_or(0..200, |seed| {
        let seed: u64 = seed.parse().expect("SEED is a number");
        seed..seed + 1
    });
    let mut acknowledged = 0;
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        match outcome {
            Ok((_, count)) => acknowledged += count,
            Err(panic) => {
                eprintln!("SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(acknowledged > 0, "the runs have to get somewhere");
}

#[test]
fn one_seed_gives_one_trace() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}
