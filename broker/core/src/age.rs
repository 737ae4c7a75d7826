//! What time it is for whatever goes by its age, on a machine whose clock may jump.
//!
//! Only the time of day says how old a record is that another machine wrote. But it may be set
//! forward, by hand, by NTP or with a machine that is restored, and then everything would be old
//! at once, on every replica that follows. So between two looks no more time counts than the
//! monotonic clock says. Where the time of day is behind, it is taken as it is: what is kept too
//! long is not lost. And a step forward that holds for [`STEP_HOLDS_MS`] is believed: the clock was
//! behind until then, as that of a machine that begins before NTP sets it, and without that
//! nothing would be deleted in time for as long as the process lives.

/// By so many parts of a thousand the time of day may be faster than the monotonic clock: twice
/// what NTP corrects without a step.
const DRIFT_PER_MILLE: i64 = 1;

/// For how long the time of day must go on from a step forward before it is believed: time to see
/// the warning and set the clock right.
const STEP_HOLDS_MS: i64 = 12 * 60 * 60 * 1000;

/// A clock of ages. It begins by believing the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgeClock {
    /// When the time of day was last believed, and what it was.
    believed: Option<Seen>,
    /// When it stepped ahead of that, if it is ahead, and what it then was.
    step: Option<Seen>,
}

/// What both clocks said at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    monotonic_ms: i64,
    wall_ms: i64,
}

impl Seen {
    fn passed_ms(self, now: Self) -> i64 {
        now.monotonic_ms.saturating_sub(self.monotonic_ms).max(0)
    }

    /// The latest time of day that `now` can be without a step since.
    fn latest_ms(self, now: Self) -> i64 {
        let passed = self.passed_ms(now);
        let drift = passed / 1000 * DRIFT_PER_MILLE;
        self.wall_ms.saturating_add(passed.saturating_add(drift))
    }
}

impl AgeClock {
    /// The time to judge ages by, in milliseconds since 1970: `wall_ms`, or less where that jumped
    /// ahead of the monotonic clock and has not held since.
    pub fn look(&mut self, wall_ms: i64, monotonic_ms: i64) -> i64 {
        let now = Seen {
            monotonic_ms,
            wall_ms,
        };
        let ahead_of = self.believed.map(|believed| believed.latest_ms(now));
        if let Some(latest_ms) = ahead_of.filter(|latest_ms| wall_ms > *latest_ms)
            && !self.holds(now)
        {
            return latest_ms;
        }
        self.believed = Some(now);
        self.step = None;
        wall_ms
    }

    /// Whether the step that the time of day is ahead by has held for long enough.
    fn holds(&mut self, now: Seen) -> bool {
        // another step on top begins anew; one that is partly taken back held that far all along
        let since = self.step.filter(|step| now.wall_ms <= step.latest_ms(now));
        let since = since.map_or(now, |step| Seen {
            wall_ms: step
                .wall_ms
                .min(now.wall_ms.saturating_sub(step.passed_ms(now))),
            ..step
        });
        self.step = Some(since);
        since.passed_ms(now) >= STEP_HOLDS_MS
    }
}

#[cfg(test)]
mod tests {
    use super::AgeClock;

    /// Each line: a case, then looks as `monotonic wall => age`, in seconds.
    const CASES: &str = "
        steady clocks agree          : 0 1000 => 1000; 60 1060 => 1060; 900 1900 => 1900
        a jump of an hour is not age : 0 1000 => 1000; 60 4660 => 1060; 120 4720 => 1120
        a jump of a year is not age  : 0 1000 => 1000; 300 31537300 => 1300; 600 31537600 => 1600
        a jump that is taken back    : 0 1000 => 1000; 60 4660 => 1060; 120 1120 => 1120
        behind, it is taken as it is : 0 1000 => 1000; 60 400 => 400; 120 460 => 460
        behind, and right again      : 0 1000 => 1000; 60 400 => 400; 120 1120 => 460
        NTP may be a little faster   : 0 1000 => 1000; 10000 11005 => 11005; 20000 21010 => 21010
        a part of a step that holds  : 0 0 => 0; 60 9000 => 60; 9000 10000 => 9009; \
                                       43300 44300 => 44300
        a step that holds is believed: 0 0 => 0; 60 1000 => 60; 43000 43940 => 43043; \
                                       43300 44240 => 44240; 43360 44300 => 44300
        one that goes does not count : 0 0 => 0; 60 1000 => 60; 120 120 => 120; 43300 44300 => 43343
        another one begins anew      : 0 0 => 0; 60 1000 => 60; 40000 99000 => 40040; \
                                       60000 119000 => 60060; 83200 142200 => 142200
        no time passes               : 5 1000 => 1000; 5 1001 => 1000; 5 999 => 999";

    #[test]
    fn a_clock_that_jumps_makes_nothing_old() {
        for case in CASES.trim().lines() {
            let (name, looks) = case.split_once(':').expect("a name");
            let mut clock = AgeClock::default();
            for look in looks.split(';') {
                let words = look.replace("=>", " ");
                let seconds = words.split_whitespace().map(|word| word.parse::<i64>());
                let seconds: Vec<i64> = seconds.map(|s| s.expect("a number")).collect();
                let [monotonic, wall, age] = seconds[..] else {
                    panic!("three numbers: {look}");
                };
                let found = clock.look(wall * 1000, monotonic * 1000) / 1000;
                assert_eq!(found, age, "{}: {look}", name.trim());
            }
        }
    }

    #[test]
    fn many_looks_are_as_good_as_few() {
        let mut clock = AgeClock::default();
        for look in 0..100_000 {
            let (monotonic_ms, wall_ms) = (look * 10, look * 10 + look / 200);
            let age_ms = clock.look(wall_ms, monotonic_ms);
            assert!(wall_ms - age_ms <= 2, "{wall_ms} {age_ms}");
        }
    }
}
