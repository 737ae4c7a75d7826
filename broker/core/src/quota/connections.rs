//! How fast connections may begin (KIP-612): all of a broker's together, those at a listener, and
//! those of an address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Rate;
use super::window::{Sampling, Window};

/// How many addresses are counted at a time.
const ADDRESSES_MAX: usize = 4096;

/// The connections that have begun lately.
#[derive(Debug)]
pub struct ConnectionRates {
    sampling: Sampling,
    all: Window,
    by_listener: BTreeMap<String, Window>,
    pub(super) by_address: BTreeMap<IpAddr, Window>,
}

impl ConnectionRates {
    /// None has begun yet.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            all: Window::default(),
            by_listener: BTreeMap::new(),
            by_address: BTreeMap::new(),
        }
    }

    /// One more begins: for how long it, and all behind it, have to wait. That is a window at most.
    pub fn begin(&mut self, now: Duration, rate: Rate) -> Duration {
        one_more(&mut self.all, now, self.sampling, rate)
    }

    /// The same of a listener's own rate.
    pub fn begin_at(&mut self, now: Duration, listener: &str, rate: Rate) -> Duration {
        let window = self.by_listener.entry(listener.to_owned()).or_default();
        one_more(window, now, self.sampling, rate)
    }

    /// One more begins from an address: after which time it is closed, where it is one too many.
    /// Then it does not count.
    pub fn begin_from(&mut self, now: Duration, address: IpAddr, rate: Rate) -> Option<Duration> {
        let sampling = self.sampling;
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            self.by_address
                .retain(|_, window| !window.is_idle(now, sampling));
            if self.by_address.len() >= ADDRESSES_MAX {
                self.by_address.clear();
            }
        }
        let window = self.by_address.entry(address).or_default();
        window.take(now, sampling, 1.0);
        let wait = window.wait(now, sampling, rate);
        if wait.is_zero() {
            return None;
        }
        window.take(now, sampling, -1.0);
        Some(wait.min(sampling.window))
    }
}

fn one_more(window: &mut Window, now: Duration, sampling: Sampling, rate: Rate) -> Duration {
    window.take(now, sampling, 1.0);
    window.wait(now, sampling, rate).min(sampling.window)
}
