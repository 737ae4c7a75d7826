//! What time it is for whatever goes by its age, on a machine whose clock may jump.
//!
//! Only the time of day says how old a record is that another machine wrote. But it may be set
//! forward, by hand, by NTP or with a machine that is restored, and then everything would be old
//! at once, on every replica that follows. So between two looks no more time counts than the
//! monotonic clock says. Where the time of day is behind, it is taken as it is: what is kept too
//! long is not lost.

/// By so many parts of a thousand the time of day may be faster than the monotonic clock: twice
/// what NTP corrects without a step.
const DRIFT_PER_MILLE: i64 = 1;

/// A clock of ages. It begins by believing the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgeClock {
    /// When the time of day was last believed, by the monotonic clock, and what it was.
    believed: Option<(i64, i64)>,
}

impl AgeClock {
    /// The time to judge ages by, in milliseconds since 1970: `wall_ms`, or less where that jumped
    /// ahead of the monotonic clock since this clock began.
    pub fn look(&mut self, wall_ms: i64, monotonic_ms: i64) -> i64 {
        if let Some((at_ms, was_ms)) = self.believed {
            let passed = monotonic_ms.saturating_sub(at_ms).max(0);
            let latest = was_ms.saturating_add(passed + passed / 1000 * DRIFT_PER_MILLE);
            if wall_ms > latest {
                return latest;
            }
        }
        self.believed = Some((monotonic_ms, wall_ms));
        wall_ms
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
