//! Client quotas at work (KIP-13, KIP-124, KIP-219): what each client has taken, and how long it is
//! told to wait.
//!
//! Which quota holds and how long a wait is, `core::quota` decides. Here are the clock, the quotas
//! as the metadata have them, and a meter for each user and client id that is counted.
//!
//! Invariants: while nobody has a quota, a request costs one look at a number; a change reaches
//! every connection with its next request; there are at most [`METERS_MAX`] meters of client ids,
//! however many names clients give themselves, and these names cost no user its own meter: what is
//! owed by quotas of users alone stays until it is paid.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_core::image::MetadataImage;
use ottla_core::quota::window::{Sampling, Window};
use ottla_core::quota::{ClientQuotas, Key, Rate};

use crate::authorizer;
use crate::env::Env;
use crate::metrics::Metrics;

/// How many client ids are counted at a time.
const METERS_MAX: usize = 4096;

/// Client ids that begin with the same so many bytes are counted together.
const NAME_BYTES_MAX: usize = 256;

/// Who took nothing for so long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// The quotas of this broker's clients.
#[derive(Debug)]
pub struct Quotas {
    env: Env,
    sampling: Sampling,
    /// Counts the changes; 0 while no user and no client id has a quota.
    generation: AtomicU64,
    known: Mutex<Known>,
}

/// The quotas, and who is counted by them.
#[derive(Debug, Default)]
struct Known {
    quotas: Arc<ClientQuotas>,
    changes: u64,
    /// Those of users alone: as many as can log in.
    of_users: BTreeMap<Who, Arc<Meter>>,
    /// Those of client ids, which anybody makes up.
    of_client_ids: BTreeMap<Who, Arc<Meter>>,
}

/// Whom a meter counts: those of a user, of a client id, or of both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    key: Key,
    user: Option<String>,
    client_id: Option<String>,
}

/// What somebody has taken.
#[derive(Debug)]
struct Meter {
    taken: Mutex<Taken>,
    throttled_ms: AtomicU64,
}

#[derive(Debug)]
struct Taken {
    window: Window,
    last: Duration,
    /// When nothing will be owed any more.
    owes_until: Duration,
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        // whatever is half counted is counted
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quota that holds for somebody.
#[derive(Clone, Debug)]
pub struct Limit {
    rate: Rate,
    meter: Arc<Meter>,
}

/// The quotas that hold for one client.
#[derive(Debug)]
pub struct Allowance {
    generation: u64,
    user: Arc<str>,
    client_id: Option<Arc<str>>,
    /// What it may send to be appended.
    pub produce: Option<Limit>,
    /// What it may be sent.
    pub fetch: Option<Limit>,
    /// What time its requests may take.
    pub request: Option<Limit>,
    /// Whether what it changes of the metadata is bounded: the active controller counts that.
    pub is_metered: bool,
}

impl Allowance {
    /// Whether it is the one of `user`'s and `client_id`'s in this generation: these very texts.
    #[must_use]
    pub fn is_of(&self, generation: u64, user: &Arc<str>, client_id: Option<&Arc<str>>) -> bool {
        let is_same = match (&self.client_id, client_id) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        self.generation == generation && Arc::ptr_eq(&self.user, user) && is_same
    }
}

impl Quotas {
    /// Nobody has a quota yet; what is taken is measured so.
    #[must_use]
    pub fn new(env: Env, sampling: Sampling) -> Self {
        Self {
            env,
            sampling,
            generation: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // nothing in the critical sections leaves it half changed
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows what the metadata say.
    pub fn follow(&self, image: &MetadataImage) {
        let mut known = self.known();
        if known.quotas == image.client_quotas {
            return;
        }
        known.quotas = Arc::clone(&image.client_quotas);
        known.changes += 1;
        let is_of_client = |key: &Key| !key.is_of_addresses();
        let mut rates = known.quotas.iter().flat_map(|(_, rates)| rates.keys());
        let generation = if rates.any(is_of_client) {
            known.changes
        } else {
            0
        };
        self.generation.store(generation, Ordering::Release);
    }

    /// Which quotas hold, by a number; 0: none.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What a client may take that is this user, `User:name`, and calls itself so.
    #[must_use]
    pub fn allowance(&self, user: &Arc<str>, client_id: Option<&Arc<str>>) -> Arc<Allowance> {
        let mut known = self.known();
        let name = authorizer::user(user);
        let client = client_id.map_or("", |id| &**id);
        let mut limit = |key| known.limit(self.env.now(), self.sampling, key, (name, client));
        let (produce, fetch, request) = (
            limit(Key::ProducerByteRate),
            limit(Key::ConsumerByteRate),
            limit(Key::RequestPercentage),
        );
        let is_metered = known
            .quotas
            .find(Key::ControllerMutationRate, name, client)
            .is_some();
        Arc::new(Allowance {
            generation: self.generation(),
            user: Arc::clone(user),
            client_id: client_id.cloned(),
            produce,
            fetch,
            request,
            is_metered,
        })
    }

    /// Counts what was taken; gives for how long the client is to wait.
    pub fn take(&self, limit: &Limit, amount: f64) -> Duration {
        told(limit, self.count(limit, amount))
    }

    fn count(&self, limit: &Limit, amount: f64) -> Duration {
        let now = self.env.now();
        let mut taken = limit.meter.lock();
        taken.last = now;
        taken.window.take(now, self.sampling, amount);
        let wait = taken.window.wait(now, self.sampling, limit.rate);
        // what was taken counts for no longer
        taken.owes_until = now.saturating_add(wait.min(self.sampling.span()));
        wait
    }

    /// Counts time that a request took; the wait is a window at most, as in Kafka.
    pub fn take_time(&self, limit: &Limit, time: Duration) -> Duration {
        let percent = time.as_secs_f64() * 100.0;
        let wait = self.count(limit, percent).min(self.sampling.window);
        told(limit, wait)
    }

    /// For how long the client is to wait because of the time that its requests took.
    pub fn wait_for_time(&self, limit: &Limit) -> Duration {
        self.owed(limit).min(self.sampling.window)
    }

    /// For how long the client is to wait before it takes more; zero where it need not.
    pub fn wait(&self, limit: &Limit) -> Duration {
        told(limit, self.owed(limit))
    }

    fn owed(&self, limit: &Limit) -> Duration {
        let mut taken = limit.meter.lock();
        taken.window.wait(self.env.now(), self.sampling, limit.rate)
    }

    /// How many bytes who took nothing lately may take at once.
    #[must_use]
    pub fn bytes_at_once(&self, limit: &Limit) -> usize {
        self.sampling.amount_max(limit.rate) as usize
    }

    /// Tells who was throttled for how long, and forgets who was not here for an hour.
    pub fn tell(&self, metrics: &Metrics) {
        let now = self.env.now();
        let mut known = self.known();
        known.forget(now, IDLE_MAX);
        metrics.throttled.clear();
        for (who, meter) in known.of_users.iter().chain(&known.of_client_ids) {
            let throttled_ms = meter.throttled_ms.load(Ordering::Relaxed);
            if throttled_ms > 0 {
                let labels = [
                    ("quota", who.key.name().to_owned()),
                    ("user", who.user.clone().unwrap_or_default()),
                    ("client_id", who.client_id.clone().unwrap_or_default()),
                ];
                let counter = metrics.throttled.get_or_create(&labels);
                counter.inc_by(throttled_ms);
            }
        }
    }
}

impl Known {
    /// The quota that holds for this user and client id, and the meter of those who share it.
    fn limit(
        &mut self,
        now: Duration,
        sampling: Sampling,
        key: Key,
        (user, client_id): (&str, &str),
    ) -> Option<Limit> {
        let found = self.quotas.find(key, user, client_id)?;
        let who = Who {
            key,
            user: found.by_user.then(|| user.to_owned()),
            client_id: found.by_client_id.then(|| beginning(client_id).to_owned()),
        };
        let meters = match who.client_id {
            None => &mut self.of_users,
            Some(_) => {
                let meters = &mut self.of_client_ids;
                if meters.len() >= METERS_MAX && !meters.contains_key(&who) {
                    make_room(meters, now, sampling.span());
                }
                meters
            }
        };
        let meter = meters.entry(who).or_insert_with(|| {
            Arc::new(Meter {
                taken: Mutex::new(Taken {
                    window: Window::default(),
                    last: now,
                    owes_until: now,
                }),
                throttled_ms: AtomicU64::new(0),
            })
        });
        Some(Limit {
            rate: found.rate,
            meter: Arc::clone(meter),
        })
    }

    /// Forgets those who are not connected, owe nothing and took nothing for so long.
    fn forget(&mut self, now: Duration, idle_max: Duration) {
        forget(&mut self.of_users, now, idle_max);
        forget(&mut self.of_client_ids, now, idle_max);
    }
}

fn forget(meters: &mut BTreeMap<Who, Arc<Meter>>, now: Duration, idle_max: Duration) {
    let is_idle = |meter: &Arc<Meter>| {
        let taken = meter.lock();
        taken.owes_until <= now && now.saturating_sub(taken.last) >= idle_max
    };
    meters.retain(|_, meter| Arc::strong_count(meter) > 1 || !is_idle(meter));
}

/// Makes room for more: first go those of whom nothing counts any more, then half of the rest:
/// whoever owes nothing before whoever owes less than others, and of those who owe nothing the ones
/// that took nothing for longest. Whoever of them is connected begins anew.
fn make_room(meters: &mut BTreeMap<Who, Arc<Meter>>, now: Duration, span: Duration) {
    forget(meters, now, span);
    if meters.len() < METERS_MAX {
        return;
    }
    let place = |meter: &Arc<Meter>| {
        let taken = meter.lock();
        (taken.owes_until.max(now), taken.last)
    };
    let mut places: Vec<_> = meters.values().map(place).collect();
    places.sort_unstable();
    let last = places[places.len() / 2];
    meters.retain(|_, meter| place(meter) > last);
}

/// As much of a client id as is kept.
fn beginning(client_id: &str) -> &str {
    let ends = client_id.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= NAME_BYTES_MAX).last();
    &client_id[..end.unwrap_or(0)]
}

/// Counts what the client is told.
fn told(limit: &Limit, wait: Duration) -> Duration {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let throttled_ms = &limit.meter.throttled_ms;
    throttled_ms.fetch_add(millis, Ordering::Relaxed);
    wait
}

#[cfg(test)]
mod tests;
