//! The bugs that may be put in on purpose.

use ottla_core::planted::Planted;

/// A bug put in on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The disks answer a sync without having done anything.
    LazyFsync,
    /// The producers take an acknowledgement of the leader alone for one of the ISR.
    AckBeforeIsr,
    /// The leases of brokers never run out.
    EndlessLease,
    /// The producers send a batch again without a producer id to know it by.
    NoIdempotence,
    /// One in the broker's own code.
    Planted(Planted),
}

impl Bug {
    /// All there are: their names, and what each makes of the run.
    pub fn all() -> Vec<(&'static str, &'static str, Self)> {
        let around = [
            (
                "lazy-fsync",
                "the disks answer a sync without having done anything",
                Self::LazyFsync,
            ),
            (
                "ack-before-isr",
                "producers take an acknowledgement of the leader alone for one of the ISR",
                Self::AckBeforeIsr,
            ),
            (
                "endless-lease",
                "the leases of brokers never run out",
                Self::EndlessLease,
            ),
            (
                "no-idempotence",
                "producers send a batch again without a producer id to know it by",
                Self::NoIdempotence,
            ),
        ];
        let within = Planted::ALL.iter();
        let within = within.map(|(name, what, bug)| (*name, *what, Self::Planted(*bug)));
        around.into_iter().chain(within).collect()
    }

    /// Whether it takes a compacted topic to find it.
    pub fn is_of_compaction(self) -> bool {
        self == Self::Planted(Planted::TombstonesForgotten)
    }

    /// Whether it takes transactions to find it.
    pub fn is_of_transactions(self) -> bool {
        use Planted::*;
        matches!(
            self,
            Self::Planted(
                CommittedIsStable
                    | MarkerAtOnce
                    | AbortedUntold
                    | UnverifiedTransaction
                    | EpochUnseen
                    | OngoingKept
                    | MarkersOrderedOnce
                    | OffsetsAtOnce
                    | UnstableOffsets
            )
        )
    }
}
