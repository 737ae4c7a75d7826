//! The clock and the randomness of a node: arguments, so that a simulation decides them.
//!
//! Time comes from tokio, whose clock a simulation moves; randomness from one generator a node.

#![allow(clippy::disallowed_methods, reason = "this is where they are asked")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_core::age::AgeClock;
use ottla_protocol::ids::Uuid;
use ottla_storage::Disk;
use rand_xoshiro::Xoshiro256StarStar as Generator;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use tokio::time::Instant;

/// How often a stalled disk is looked at, in simulated time.
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Spends the time that a commit takes which begins now. A real disk takes the time of its calls,
/// so this is for simulations, whose calls take none.
pub async fn spend_commit_time(disk: &dyn Disk) {
    let time = disk.commit_time();
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
    while disk.is_stalled() {
        tokio::time::sleep(STALL_CHECK_INTERVAL).await;
    }
}

/// What a node takes from its surroundings. Cheap to clone; all clones share one generator.
#[derive(Clone, Debug)]
pub struct Env {
    started: Instant,
    wall: Wall,
    ages: Arc<Mutex<AgeClock>>,
    generator: Arc<Mutex<Generator>>,
    ignores_leases: bool,
}

/// Where the time of day comes from.
#[derive(Clone, Debug)]
enum Wall {
    System,
    /// Moves with the monotonic clock from a given time at `started`.
    Simulated {
        unix_ms_at_start: i64,
        /// How far the clock is ahead of that.
        ahead_ms: Arc<AtomicI64>,
    },
}

impl Env {
    /// The machine's clock, and randomness seeded by the kernel.
    #[must_use]
    pub fn real() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the kernel gives random numbers");
        Self {
            started: Instant::now(),
            wall: Wall::System,
            ages: Arc::default(),
            generator: Arc::new(Mutex::new(Generator::from_seed(seed))),
            ignores_leases: false,
        }
    }

    /// tokio's (paused or simulated) clock, and randomness from `seed` alone.
    #[must_use]
    pub fn simulated(seed: u64, unix_ms_at_start: i64) -> Self {
        let seeds = [seed, 0x9e37_79b9_7f4a_7c15, !seed, 0xbf58_476d_1ce4_e5b9];
        Self {
            started: Instant::now(),
            wall: Wall::Simulated {
                unix_ms_at_start,
                ahead_ms: Arc::default(),
            },
            ages: Arc::default(),
            generator: Arc::new(Mutex::new(generator(seeds))),
            ignores_leases: false,
        }
    }

    /// The time of day is ahead of what it would be by so many milliseconds, whenever it is asked.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn ahead(mut self, by_ms: Arc<AtomicI64>) -> Self {
        if let Wall::Simulated { ahead_ms, .. } = &mut self.wall {
            *ahead_ms = by_ms;
        }
        self
    }

    /// Breaks it on purpose: a lease never runs out. A simulation has to notice.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn ignoring_leases(mut self) -> Self {
        self.ignores_leases = true;
        self
    }

    /// Whether a simulation has broken it on purpose.
    pub(crate) fn ignores_leases(&self) -> bool {
        self.ignores_leases
    }

    /// Time since the node was made; never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// [`Self::now`] in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX)
    }

    /// The time of day in milliseconds since 1970, as record timestamps have it. It may jump:
    /// leases and timeouts go by [`Self::now`].
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        match &self.wall {
            Wall::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            Wall::Simulated {
                unix_ms_at_start,
                ahead_ms,
            } => unix_ms_at_start + self.now_ms() + ahead_ms.load(Ordering::Relaxed),
        }
    }

    /// What passed by a clock that nobody sets and that goes on while the machine is suspended,
    /// where there is one: unlike [`Self::now`].
    fn elapsed_ms(&self) -> i64 {
        match &self.wall {
            #[cfg(target_os = "linux")]
            Wall::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                time.tv_sec * 1000 + time.tv_nsec / 1_000_000
            }
            _ => self.now_ms(),
        }
    }

    /// The time that ages are judged by: [`Self::unix_ms`], but what that jumped forward is not
    /// age unless it holds for hours. Whatever deletes goes by it.
    #[must_use]
    pub fn age_ms(&self) -> i64 {
        // a look leaves the clock whole, so a poisoned lock still holds a good one
        let mut ages = self
            .ages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        ages.look(self.unix_ms(), self.elapsed_ms())
    }

    /// 64 random bits.
    #[must_use]
    pub fn random(&self) -> u64 {
        // a panic while drawing is not possible, so a poisoned lock still holds a good generator
        let mut generator = self
            .generator
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        generator.next_u64()
    }

    /// A random number below `bound` (0 where `bound` is 0).
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        ((u128::from(self.random()) * u128::from(bound)) >> 64) as u64
    }

    /// A text of 24 characters that nobody can guess.
    #[must_use]
    pub fn nonce(&self) -> String {
        let mut bytes = [0; 12];
        match &self.wall {
            Wall::System => getrandom::fill(&mut bytes).expect("the kernel gives random numbers"),
            Wall::Simulated { .. } => {
                bytes[..8].copy_from_slice(&self.random().to_be_bytes());
            }
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A random UUID of version 4, which is never one of those that Kafka reserves.
    #[must_use]
    pub fn random_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random().to_be_bytes());
        bytes[8..].copy_from_slice(&self.random().to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid(bytes)
    }
}

/// A generator from its seed. The first numbers are passed over, so that seeds that differ in few
/// bits part ways.
fn generator(seed: [u64; 4]) -> Generator {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip(seed) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let mut generator = Generator::from_seed(bytes);
    for _ in 0..16 {
        generator.next_u64();
    }
    generator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let env = Env::simulated(seed, 0);
            (0..100).map(|_| env.random()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // the seeds that a simulation keeps take the course in which they found something
        let first = [
            0x942c_53a6_57b5_bb16,
            0x5510_f95c_7aab_dfbe,
            0x58d1_b814_8a0f_0afb,
        ];
        assert_eq!(draw(7)[..3], first);
    }

    #[tokio::test]
    async fn a_random_number_stays_below_its_bound() {
        let env = Env::real();
        assert!((0..1000).all(|_| env.random_below(3) < 3));
        assert_eq!(env.random_below(0), 0);
    }
}
