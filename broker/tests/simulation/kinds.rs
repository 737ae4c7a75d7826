//! The kinds of faults, and those that bring a planted bug out.

use ottla_core::planted::Planted;

use crate::bugs::Bug;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process dies, its machine does not.
    Kill,
    /// Processes do nothing for a while, though their clocks go on; often several.
    Pause,
    /// A machine loses what its disk had not synced.
    PowerCut,
    PowerCutOfAll,
    /// Nobody is told: the machine is gone before its connections are.
    SilentPowerCut,
    /// A process is asked to stop.
    Stop,
    /// A call to the disk fails, and all after it.
    DiskFails,
    /// No commit ends for a while.
    DiskStalls,
    /// Nothing that grows can be written.
    DiskFills,
    /// A bit on a disk turns over: of one machine only, so that the other copies are intact.
    Rot,
    /// The time of day of one machine.
    ClockJumps,
    /// A broker is cut off from everybody.
    CutOff,
    /// A broker is cut off from the others, but not from clients, for longer than its lease lasts.
    CutFromBrokers,
    /// Two brokers do not hear each other.
    CutBetweenTwo,
    /// A network that stutters.
    Stutter,
    /// A broker is not heard, or does not hear.
    OneWay,
    /// Some of what two brokers say to each other is lost.
    Loss,
    /// One link has a long tail.
    SlowLink,
    /// A broker's port refuses new connections, while those that are open go on.
    Refusal,
}

/// All kinds; those that find most stand there twice.
pub const KINDS: [Kind; 22] = [
    Kind::Kill,
    Kind::Kill,
    Kind::Pause,
    Kind::Pause,
    Kind::PowerCut,
    Kind::PowerCut,
    Kind::PowerCutOfAll,
    Kind::SilentPowerCut,
    Kind::Stop,
    Kind::DiskFails,
    Kind::DiskStalls,
    Kind::DiskFills,
    Kind::Rot,
    Kind::ClockJumps,
    Kind::CutOff,
    Kind::CutFromBrokers,
    Kind::CutBetweenTwo,
    Kind::Stutter,
    Kind::OneWay,
    Kind::Loss,
    Kind::SlowLink,
    Kind::Refusal,
];

/// The longest time between two faults, of which a seed draws one: a cluster that is never whole
/// shows other bugs than one that has just become whole.
pub const PACES_MS: [usize; 4] = [600, 2000, 5000, 15_000];

/// What brings a planted bug out, where most runs do not: the kinds of faults, and their pace.
pub fn favourites(bug: Bug) -> Option<(&'static [Kind], usize)> {
    let planted = match bug {
        Bug::EndlessLease => return Some((&[Kind::CutFromBrokers], 5000)),
        Bug::Planted(planted) => planted,
        _ => return None,
    };
    Some(match planted {
        Planted::IdleLag => (&[], 5000),
        // tails that another leader has not
        Planted::EpochsAfterTruncation
        | Planted::HighWatermarkOfDiverging
        | Planted::ProducersNotTruncated
        | Planted::AnswerOfOldEpoch
        | Planted::StaleAlteration => (
            &[
                Kind::CutFromBrokers,
                Kind::Kill,
                Kind::OneWay,
                Kind::Stutter,
            ],
            2000,
        ),
        // leaders that follow each other before all have come to the last one's epoch
        Planted::LargestEpochIgnored | Planted::EarlyJoin => (
            &[
                Kind::Kill,
                Kind::SlowLink,
                Kind::Stutter,
                Kind::CutBetweenTwo,
            ],
            600,
        ),
        Planted::OutOfTurn => (&[Kind::DiskFills, Kind::Kill], 2000),
        // one is behind, and then alone with what it has
        Planted::UncommittedShrink | Planted::EligibleForGood => (
            &[Kind::DiskStalls, Kind::CutBetweenTwo, Kind::PowerCutOfAll],
            5000,
        ),
        Planted::LeaderRemoved => (&[Kind::SlowLink, Kind::Loss], 600),
        Planted::DrainKept | Planted::HastyHandOver => (&[Kind::Stop], 2000),
        Planted::UnseenLosses => (&[Kind::CutOff], 2000),
        Planted::LeaseFromAnswer => (&[Kind::CutFromBrokers, Kind::SlowLink], 2000),
        Planted::NoBarrier | Planted::LeaderRestored => (&[Kind::PowerCut, Kind::Kill], 600),
        Planted::HoldsFirst => (&[Kind::CutOff, Kind::CutFromBrokers], 2000),
        Planted::UnsyncedMetadata => (&[Kind::PowerCutOfAll, Kind::PowerCut], 2000),
        _ => return None,
    })
}
