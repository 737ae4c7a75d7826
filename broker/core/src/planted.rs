//! Bugs that a simulation puts in on purpose, to see that it finds them.
//!
//! Only the feature `planted` can put one in, and no release is built with it: without it every
//! question below is answered with no while compiling.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicU8, Ordering};

macro_rules! bugs {
    ($($bug:ident $name:literal $what:literal)*) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $(#[doc = $what] $bug,)*
        }

        impl Planted {
            /// All there are: their names, and what each makes of the broker.
            pub const ALL: &[(&str, &str, Self)] = &[$(($name, $what, Self::$bug),)*];
        }
    };
}

bugs! {
    UndurableFetch "undurable-fetch"
        "a follower tells its leader of what is not on its disk"
    AwaitedCommit "awaited-commit"
        "a fetch loop waits for a commit as long as it takes, and hears nothing else"
    IdleLag "idle-lag"
        "followers of an idle log count as behind from the first record on"
    TruncationToHighWatermark "truncation-to-high-watermark"
        "a follower cuts its log at its high watermark, not where the leader's departs (KIP-101)"
    LargestEpochIgnored "largest-epoch-ignored"
        "a leader compares offsets only, where it does not know a follower's last epoch (KIP-279)"
    UnfencedFetch "unfenced-fetch"
        "a leader answers whoever knows of another leader epoch (KIP-320)"
    LastEpochUntold "last-epoch-untold"
        "a follower does not tell the epoch of its last record (KAFKA-15510)"
    EpochsAfterTruncation "epochs-after-truncation"
        "a truncation leaves the epochs of what it cut off (KAFKA-10706)"
    FetchInDoubt "fetch-in-doubt"
        "a replica tells its leader what it holds while the controller is asked to give that up"
    LastReplicaStanding "last-replica-standing"
        "the high watermark goes on below min.insync.replicas (KIP-966)"
    AckAtAppend "ack-at-append"
        "acks=all is answered when the leader has appended"
    ProducersNotReplicated "producers-not-replicated"
        "a follower remembers no producers: a new leader knows none"
    ProducersNotTruncated "producers-not-truncated"
        "a truncation leaves the producers of what it cut off"
    RepeatsAppended "repeats-appended"
        "a batch that is in the log already is appended again"
    OutOfTurn "out-of-turn"
        "what was sent behind a refused batch is taken for a producer's first"
    EarlyJoin "early-join"
        "a follower joins the ISR before it has come to the start of the leader's epoch"
    UncommittedShrink "uncommitted-shrink"
        "a shorter ISR counts before the controller has committed it (KIP-497)"
    UncountedJoiner "uncounted-joiner"
        "a replica on its way into the ISR is not waited for"
    FollowersOfOldEpoch "followers-of-old-epoch"
        "a leader goes by what followers said in an earlier epoch"
    StaleIncarnation "stale-incarnation"
        "a broker's earlier incarnation is taken into the ISR (KIP-903)"
    UncleanElection "unclean-election"
        "any replica that is alive is elected"
    EligibleForGood "eligible-for-good"
        "who leaves an ISR stays eligible, however many are left"
    EpochKept "epoch-kept"
        "a new leader leads in the epoch of the last"
    DrainKept "drain-kept"
        "a controlled shutdown outlives the broker's incarnation"
    HastyHandOver "hasty-hand-over"
        "a leader hands over before its successor has every byte"
    StaleAlteration "stale-alteration"
        "a leader that was replaced may still change the ISR"
    LeaderRemoved "leader-removed"
        "a reassignment removes a leader that has not heard yet that another leads"
    UnsyncedReassignment "unsynced-reassignment"
        "a reassignment is done before the added replicas are in sync"
    RefusalIsDeath "refusal-is-death"
        "a broker whose address refuses a connection is fenced at once"
    UnseenLosses "unseen-losses"
        "a broker gets a lease that has not heard yet of what it has lost"
    LeaseFromAnswer "lease-from-answer"
        "a lease lasts from the answer to a beat, not from its sending"
    NoBarrier "no-barrier"
        "a new controller decides before it knows all that is committed"
    LeaderRestored "leader-restored"
        "a controller that restarts leads on in its term"
    PastImages "past-images"
        "a broker that starts acts by the metadata of the past"
    HoldsFirst "holds-first"
        "a topic that was made again is taken on before its namesake is let go, and not once more"
    TombstonesForgotten "tombstones-forgotten"
        "compaction takes tombstones away that a replica may not have seen"
    UncommittedReads "uncommitted-reads"
        "consumers are given what is not committed yet"
    EarlyReply "early-reply"
        "a coordinator answers before its records are committed"
    UnsyncedMetadata "unsynced-metadata"
        "a voter answers for entries and votes that are not on its disk"
    CommittedIsStable "committed-is-stable"
        "consumers of what is committed are given open transactions"
    MarkerAtOnce "marker-at-once"
        "a transaction counts as ended before the in-sync replicas have its marker"
    AbortedUntold "aborted-untold"
        "consumers are not told which transactions were aborted"
    UnverifiedTransaction "unverified-transaction"
        "a leader appends to transactions without asking their coordinator (KIP-890)"
    EpochUnseen "epoch-unseen"
        "a coordinator ends transactions for producers that were replaced"
    OngoingKept "ongoing-kept"
        "a new producer leaves the transaction of the one before open"
    MarkersOrderedOnce "markers-ordered-once"
        "a new coordinator does not write the markers that the last one had left to write"
    OffsetsAtOnce "offsets-at-once"
        "offsets count before their transaction has ended"
    UnstableOffsets "unstable-offsets"
        "who asks for stable offsets is told of those that an open transaction may change"
}

/// The bug of this process, counted from 1; none is 0.
#[cfg(feature = "planted")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Puts a bug in, for all of this process and for good.
#[cfg(feature = "planted")]
pub fn plant(bug: Planted) {
    PLANTED.store(bug as u8 + 1, Ordering::Relaxed);
}

/// Whether this bug was put in.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Planted) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8 + 1
}

/// Whether this bug was put in: there is no way to.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_bug: Planted) -> bool {
    false
}
