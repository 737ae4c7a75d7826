//! The kinds of faults, and those that bring a planted bug out.

use ottla_core::planted::Planted;

use crate::bugs::Bug;
use crate::cluster::BROKERS_MAX;

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
    /// Whoever leads a partition dies, and who leads it next, and the last one: each was alone for
    /// a while. Then they come back, in any order.
    Relay,
    /// The active controller loses power, and is back before the others have missed it.
    Blink,
    /// One that follows dies, and its leader just before it is back.
    LeaderBeforeReturn,
    /// What a leader asks of the active controller is held back until another leads.
    LateRequest,
    /// A machine loses power, and gets an empty disk: only one machine in a run.
    DiskReplaced,
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

/// Faults that are aimed at a moment or at a role. Some runs have one of them beside the others.
pub const AIMED: [Kind; 4] = [
    Kind::Relay,
    Kind::Blink,
    Kind::LeaderBeforeReturn,
    Kind::DiskReplaced,
];

/// What brings a planted bug out, where most runs do not have it.
#[derive(Clone, Copy)]
pub struct Favourites {
    /// The kinds of faults, and how far they are apart at most.
    pub kinds: &'static [Kind],
    pub pace_ms: usize,
    /// How many brokers there are, where that matters.
    pub brokers: Option<usize>,
}

const fn often(kinds: &'static [Kind], pace_ms: usize) -> Favourites {
    Favourites {
        kinds,
        pace_ms,
        brokers: None,
    }
}

/// What brings a planted bug out, where most runs do not.
pub fn favourites(bug: Bug) -> Option<Favourites> {
    let planted = match bug {
        Bug::EndlessLease => return Some(often(&[Kind::CutFromBrokers], 5000)),
        Bug::Planted(planted) => planted,
        _ => return None,
    };
    Some(match planted {
        Planted::IdleLag => often(&[], 5000),
        // tails that another leader has not
        Planted::EpochsAfterTruncation | Planted::ProducersNotTruncated => often(
            &[
                Kind::CutFromBrokers,
                Kind::Kill,
                Kind::OneWay,
                Kind::Stutter,
            ],
            2000,
        ),
        // leaders each of which was alone, and knows of no record of the others: with five brokers
        // two are no voters, and the quorum outlives three that are down
        Planted::LargestEpochIgnored => Favourites {
            brokers: Some(BROKERS_MAX),
            ..often(&[Kind::Relay], 2000)
        },
        Planted::EarlyJoin => often(&[Kind::LeaderBeforeReturn], 2000),
        Planted::OutOfTurn => often(&[Kind::DiskFills, Kind::Kill, Kind::CutBetweenTwo], 2000),
        // one is behind, and then alone with what it has
        Planted::UncommittedShrink | Planted::EligibleForGood => often(
            &[Kind::DiskStalls, Kind::CutBetweenTwo, Kind::PowerCutOfAll],
            5000,
        ),
        // a replica that is emptied while its broker goes on
        Planted::FollowersOfOldEpoch | Planted::FetchInDoubt => often(&[Kind::Rot], 600),
        // a broker that comes back with nothing
        Planted::StaleIncarnation => often(&[Kind::DiskReplaced], 5000),
        // what leaders ask for takes its time, and they do not lead any more when it comes
        Planted::StaleAlteration => often(&[Kind::LateRequest], 2000),
        Planted::UnstableOffsets => often(&[Kind::SlowLink, Kind::CutBetweenTwo], 600),
        // with five brokers, replicas move to others
        Planted::LeaderRemoved => Favourites {
            brokers: Some(BROKERS_MAX),
            ..often(&[Kind::SlowLink, Kind::Stutter], 600)
        },
        Planted::DrainKept | Planted::HastyHandOver => often(&[Kind::Stop], 2000),
        // a new controller looks at once whose address refuses
        Planted::RefusalIsDeath => often(&[Kind::Refusal, Kind::Blink, Kind::SlowLink], 600),
        Planted::UnseenLosses => often(&[Kind::CutOff], 2000),
        Planted::LeaseFromAnswer => often(&[Kind::CutFromBrokers, Kind::SlowLink], 2000),
        Planted::NoBarrier | Planted::LeaderRestored => often(&[Kind::Blink, Kind::Kill], 600),
        // a broker that is away for longer than tombstones are kept
        Planted::TombstonesForgotten => often(&[Kind::Kill, Kind::CutFromBrokers], 2000),
        Planted::HoldsFirst => often(&[Kind::CutOff, Kind::CutFromBrokers], 2000),
        Planted::UnsyncedMetadata => often(&[Kind::PowerCutOfAll, Kind::PowerCut], 2000),
        _ => return None,
    })
}
