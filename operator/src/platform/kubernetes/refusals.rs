//! Writes that were refused, and when each is tried again: after a pause that doubles, or at once
//! where it is another write. Pure but for the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::platform::NotYet;

const PAUSE_MIN: Duration = Duration::from_secs(1);
/// What passes by itself is tried again sooner.
const PAUSE_MAX: Duration = Duration::from_secs(10);
const STUCK_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The kind and the name of what is written.
pub type Target = (String, String);

#[derive(Clone, Debug)]
struct Refused {
    write: String,
    why: NotYet,
    pause: Duration,
    until: Instant,
}

/// The refused writes of one cluster.
#[derive(Debug, Default)]
pub struct Refusals {
    refused: BTreeMap<Target, Refused>,
}

impl Refusals {
    /// Why a write is not tried now; none: it is.
    #[must_use]
    pub fn waits(&self, target: &Target, write: &str) -> Option<&NotYet> {
        let refused = self.refused.get(target);
        let refused = refused.filter(|one| one.write == write && Instant::now() < one.until);
        refused.map(|refused| &refused.why)
    }

    /// Takes note of what became of a write.
    pub fn note(&mut self, target: &Target, write: &str, answer: Result<(), &NotYet>) {
        let Err(why) = answer else {
            self.refused.remove(target);
            return;
        };
        let max = if why.is_stuck {
            STUCK_PAUSE_MAX
        } else {
            PAUSE_MAX
        };
        let before = self.refused.get(target).filter(|one| one.write == write);
        let pause = before.map_or(PAUSE_MIN, |before| (before.pause * 2).min(max));
        let refused = Refused {
            write: write.to_owned(),
            why: why.clone(),
            pause,
            until: Instant::now() + pause,
        };
        self.refused.insert(target.clone(), refused);
    }
}
