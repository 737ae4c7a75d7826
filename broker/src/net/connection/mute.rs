//! A connection that is read no further for a while, because its client took more than its quota.
//!
//! What has begun goes on, and answers leave. A large request of which a part is there is still
//! received and served: nobody holds memory for as long as a client is throttled. Whoever hangs up
//! meanwhile, or has to be let go, is served to the end without delay.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::Connection;

/// How often it is looked whether the client has hung up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Until when nothing is read.
pub(super) struct Mute {
    until: Instant,
    look: Pin<Box<Sleep>>,
}

impl Connection {
    /// Reads nothing more for this time, from now on.
    pub(super) fn mute_for(&mut self, throttle: Duration) {
        if throttle.is_zero() || self.is_last_call {
            return;
        }
        let now = Instant::now();
        let until = now + throttle;
        match &mut self.mute {
            Some(mute) => mute.until = mute.until.max(until),
            None => {
                let look = Box::pin(tokio::time::sleep_until(until.min(now + LOOK_INTERVAL)));
                self.mute = Some(Mute { until, look });
                self.pace = None; // it is not the client that is slow
            }
        }
    }

    /// Goes on reading where the time is over, the client has hung up, or `stop` is said.
    pub(super) fn poll_mute(&mut self, context: &mut Context<'_>, stop: bool) {
        self.is_last_call |= stop;
        let Some(mute) = &mut self.mute else {
            return;
        };
        while !self.is_last_call && mute.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if now >= mute.until {
                break;
            }
            self.is_last_call = self.stream.is_hung_up(context);
            mute.look
                .as_mut()
                .reset(mute.until.min(now + LOOK_INTERVAL));
        }
        if self.is_last_call || Instant::now() >= mute.until {
            self.mute = None;
            self.active = Instant::now();
        }
    }
}
