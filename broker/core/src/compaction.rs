//! Whether it is time to compact a log, and how much of it.
//!
//! A log is compacted when enough of it is dirty (`min.cleanable.dirty.ratio`), when a record has
//! waited too long for it (`max.compaction.lag.ms`), or when a tombstone that an earlier
//! compaction kept may go. The active segment is never compacted, nor is what is not committed,
//! nor what is younger than `min.compaction.lag.ms`.
//!
//! Tombstones and the markers of transactions go only while all replicas are in sync. Else one that
//! comes back later than `delete.retention.ms` would have what they ended, and never see them.

use ottla_protocol::ids::Offset;
use ottla_protocol::log::SealedSegment;

/// What a topic's configs say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
}

/// A log that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    /// Up to where it is to be compacted.
    pub until: Offset,
    /// Whether a record has waited too long.
    pub is_overdue: bool,
    /// Which share of it is dirty.
    pub dirty_ratio: f64,
    /// Whether tombstones and markers may go that were kept for long enough.
    pub forgets: bool,
}

impl Due {
    /// Who waits too long goes first, then who is dirtiest.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        (self.is_overdue, self.dirty_ratio) > (other.is_overdue, other.dirty_ratio)
    }
}

/// Judges a log by its sealed segments; everything below `clean_end_offset` is compacted, and
/// everything below `committed_offset` may be, which each replica has where `are_all_in_sync`.
/// `None`: not now.
#[must_use]
pub fn due(
    now_ms: i64,
    policy: &Policy,
    sealed: &[SealedSegment],
    clean_end_offset: Offset,
    committed_offset: Offset,
    are_all_in_sync: bool,
) -> Option<Due> {
    let is_clean = |segment: &SealedSegment| segment.end_offset <= clean_end_offset;
    let is_young = |segment: &SealedSegment| {
        policy.min_compaction_lag_ms > 0
            && !is_clean(segment)
            && segment.max_timestamp > now_ms.saturating_sub(policy.min_compaction_lag_ms)
    };
    let may_go =
        |segment: &&SealedSegment| segment.end_offset <= committed_offset && !is_young(segment);
    let count = sealed.iter().take_while(may_go).count();
    let sealed = &sealed[..count];
    let until = sealed.last()?.end_offset;
    let bytes = |of_clean: bool| -> u64 {
        let found = sealed.iter().filter(|s| is_clean(s) == of_clean);
        found.map(|segment| segment.bytes).sum()
    };
    let (clean, dirty) = (bytes(true), bytes(false));
    let dirty_ratio = match dirty {
        0 => 0.0,
        dirty => dirty as f64 / (clean + dirty) as f64,
    };
    let oldest = sealed.iter().filter(|segment| !is_clean(segment));
    let oldest = oldest.map(|segment| segment.first_timestamp);
    let is_overdue = oldest
        .filter(|timestamp| *timestamp >= 0)
        .min()
        .is_some_and(|at| now_ms.saturating_sub(at) > policy.max_compaction_lag_ms);
    let is_horizon_past =
        |segment: &SealedSegment| segment.delete_horizon_ms.is_some_and(|at| now_ms >= at);
    let has_tombstones_due = are_all_in_sync && sealed.iter().any(is_horizon_past);
    let is_due = dirty_ratio > policy.min_cleanable_dirty_ratio || is_overdue || has_tombstones_due;
    is_due.then_some(Due {
        until,
        is_overdue,
        dirty_ratio,
        forgets: are_all_in_sync,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        min_cleanable_dirty_ratio: 0.5,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
    };

    fn segments() -> Vec<SealedSegment> {
        let segment = |n: i64| SealedSegment {
            end_offset: Offset(n * 10),
            bytes: 100,
            first_timestamp: n * 1000,
            max_timestamp: n * 1000 + 500,
            delete_horizon_ms: None,
        };
        (1..=4).map(segment).collect()
    }

    fn until(policy: &Policy, sealed: &[SealedSegment], clean: i64, committed: i64) -> Option<i64> {
        let found = due(
            10_000,
            policy,
            sealed,
            Offset(clean),
            Offset(committed),
            true,
        );
        found.map(|due| due.until.0)
    }

    #[test]
    fn enough_must_be_dirty() {
        let sealed = segments();
        assert_eq!(until(&POLICY, &sealed, 0, 1000), Some(40));
        assert_eq!(until(&POLICY, &sealed, 10, 1000), Some(40));
        assert_eq!(
            until(&POLICY, &sealed, 20, 1000),
            None,
            "just as much as the limit"
        );
        assert_eq!(
            until(&POLICY, &sealed, 15, 1000),
            Some(40),
            "half clean is dirty"
        );
        assert_eq!(until(&POLICY, &sealed, 40, 1000), None);
        let eager = Policy {
            min_cleanable_dirty_ratio: 0.0,
            ..POLICY
        };
        assert_eq!(until(&eager, &sealed, 30, 1000), Some(40));
        assert_eq!(until(&eager, &sealed, 40, 1000), None, "nothing is dirty");
        assert_eq!(until(&POLICY, &[], 0, 1000), None);
    }

    #[test]
    fn what_is_not_committed_or_young_stays() {
        let sealed = segments();
        assert_eq!(until(&POLICY, &sealed, 0, 39), Some(30));
        assert_eq!(until(&POLICY, &sealed, 0, 9), None);
        let patient = Policy {
            min_compaction_lag_ms: 7000,
            ..POLICY
        };
        assert_eq!(
            until(&patient, &sealed, 0, 1000),
            Some(20),
            "3500 is younger than 7000 ms"
        );
        let very = Policy {
            min_compaction_lag_ms: 9000,
            ..POLICY
        };
        assert_eq!(until(&very, &sealed, 0, 1000), None);
        assert_eq!(until(&very, &sealed, 40, 1000), None);
    }

    #[test]
    fn a_record_or_a_tombstone_that_waited_long_enough_is_reason_enough() {
        let mut sealed = segments();
        let strict = Policy {
            max_compaction_lag_ms: 5999,
            ..POLICY
        };
        assert_eq!(until(&strict, &sealed, 30, 1000), Some(40));
        let lax = Policy {
            max_compaction_lag_ms: 6000,
            ..POLICY
        };
        assert_eq!(until(&lax, &sealed, 30, 1000), None);
        sealed[0].delete_horizon_ms = Some(10_001);
        assert_eq!(until(&POLICY, &sealed, 40, 1000), None);
        sealed[0].delete_horizon_ms = Some(10_000);
        assert_eq!(until(&POLICY, &sealed, 40, 1000), Some(40));
    }

    #[test]
    fn while_a_replica_is_not_in_sync_no_tombstone_goes() {
        let mut sealed = segments();
        sealed[0].delete_horizon_ms = Some(10_000);
        let found = |clean, are_all_in_sync| {
            let committed = Offset(1000);
            let found = due(
                10_000,
                &POLICY,
                &sealed,
                Offset(clean),
                committed,
                are_all_in_sync,
            );
            found.map(|due| (due.until.0, due.forgets))
        };
        assert_eq!(found(40, true), Some((40, true)));
        assert_eq!(found(40, false), None, "nothing else is due");
        assert_eq!(found(0, false), Some((40, false)));
    }

    #[test]
    fn the_overdue_and_the_dirtiest_go_first() {
        let due = |is_overdue, dirty_ratio| Due {
            until: Offset(1),
            is_overdue,
            dirty_ratio,
            forgets: true,
        };
        assert!(due(true, 0.1).is_before(&due(false, 0.9)));
        assert!(due(false, 0.9).is_before(&due(false, 0.8)));
        assert!(!due(false, 0.8).is_before(&due(false, 0.8)));
    }
}
