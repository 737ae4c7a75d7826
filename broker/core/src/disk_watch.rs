//! Whether the disk still takes what it is given: a disk that hangs reports no failure, so it is
//! noticed by what waits for it.

use std::time::Duration;

/// Watches the write-ahead log by two of its counts, looked at now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskWatch {
    limit: Duration,
    /// The last record that was queued at a look, and when that was, while it is not durable.
    waiting: Option<(u64, Duration)>,
}

impl DiskWatch {
    /// A record may wait for so long.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting: None,
        }
    }

    /// Whether at `now` a record has waited for longer than the limit. `queued` is the last record
    /// that was queued, `durable` the last one that is on disk. A disk without room is no disk
    /// that hangs: it says so, and appends are refused.
    pub fn is_stalled(&mut self, now: Duration, queued: u64, durable: u64, is_full: bool) -> bool {
        if durable >= queued || is_full {
            self.waiting = None;
            return false;
        }
        let since = match self.waiting {
            Some((lsn, since)) if lsn > durable => since,
            // what was queued then is on disk: what waits now came later
            _ => {
                self.waiting = Some((queued, now));
                now
            }
        };
        now.saturating_sub(since) > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, then looks as `seconds queued durable => stalled or well`; the limit is
    /// 10 seconds.
    const CASES: &str = "
        at rest nothing waits     : 0 5 5 => well; 100 5 5 => well
        a busy disk is well       : 0 9 5 => well; 8 20 9 => well; 16 30 20 => well
        one that hangs is noticed : 0 9 5 => well; 10 9 5 => well; 11 9 5 => stalled
        also while more comes in  : 0 9 5 => well; 6 20 5 => well; 11 30 5 => stalled
        also where a part arrives : 0 9 5 => well; 6 20 8 => well; 11 30 8 => stalled
        it may come back          : 0 9 5 => well; 20 9 5 => stalled; 21 30 9 => well
        and hang again            : 0 9 5 => well; 21 30 9 => well; 32 30 9 => stalled
        a full one does not hang  : 0 9 5 => well; 20 9 5 full => well; 25 9 5 => well";

    #[test]
    fn a_disk_is_judged_by_what_waits_for_it() {
        for case in CASES.trim().lines() {
            let (name, looks) = case.split_once(':').expect("a name");
            let mut watch = DiskWatch::new(Duration::from_secs(10));
            for look in looks.split(';') {
                let (facts, expected) = look.split_once("=>").expect("an arrow");
                let numbers = facts
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok());
                let numbers: Vec<u64> = numbers.collect();
                let now = Duration::from_secs(numbers[0]);
                let is_full = facts.contains("full");
                let is_stalled = watch.is_stalled(now, numbers[1], numbers[2], is_full);
                let found = if is_stalled { "stalled" } else { "well" };
                assert_eq!(found, expected.trim(), "{}: {look}", name.trim());
            }
        }
    }
}
