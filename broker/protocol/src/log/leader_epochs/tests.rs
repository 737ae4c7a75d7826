use crate::ids::{LeaderEpoch, Offset};

use super::{EpochStart, LeaderEpochs};

fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
    LeaderEpochs::new(entries.iter().map(|(epoch, start)| EpochStart {
        leader_epoch: LeaderEpoch(*epoch),
        start_offset: Offset(*start),
    }))
}

fn entries(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
    let entries = epochs.entries().iter();
    entries
        .map(|e| (e.leader_epoch.0, e.start_offset.0))
        .collect()
}

#[test]
fn an_epoch_ends_where_the_next_one_begins() {
    let epochs = epochs(&[(2, 10), (4, 20), (5, 30)]);
    let end = |epoch| {
        let end = epochs.end_offset_for(LeaderEpoch(epoch), Offset(35));
        end.map(|(epoch, offset)| (epoch.0, offset.0))
    };
    assert_eq!(end(-1), None);
    assert_eq!(
        end(1),
        Some((1, 10)),
        "older than all: ended where all begins"
    );
    assert_eq!(end(2), Some((2, 20)));
    assert_eq!(
        end(3),
        Some((2, 20)),
        "a gap belongs to the epoch before it"
    );
    assert_eq!(end(4), Some((4, 30)));
    assert_eq!(end(5), Some((5, 35)));
    assert_eq!(end(6), None, "newer than all: undefined");
    let none = LeaderEpochs::default();
    assert_eq!(none.end_offset_for(LeaderEpoch(0), Offset(0)), None);
}

#[test]
fn an_epoch_without_records_gives_way() {
    assert_eq!(
        entries(&epochs(&[(1, 0), (2, 10), (3, 10)])),
        [(1, 0), (3, 10)]
    );
    assert_eq!(entries(&epochs(&[(3, 10), (2, 20), (3, 30)])), [(3, 10)]);
    assert_eq!(entries(&epochs(&[(-1, 0), (2, 10)])), [(2, 10)], "none");
}

#[test]
fn truncation_forgets_what_is_gone() {
    let all = epochs(&[(1, 0), (2, 10), (3, 20)]);
    let from_end = |offset| {
        let mut epochs = all.clone();
        epochs.truncate_from_end(Offset(offset));
        entries(&epochs)
    };
    assert_eq!(from_end(21), [(1, 0), (2, 10), (3, 20)]);
    assert_eq!(from_end(20), [(1, 0), (2, 10)]);
    assert_eq!(from_end(0), []);
    let from_start = |offset| {
        let mut epochs = all.clone();
        epochs.truncate_from_start(Offset(offset));
        entries(&epochs)
    };
    assert_eq!(from_start(0), [(1, 0), (2, 10), (3, 20)]);
    assert_eq!(from_start(15), [(2, 15), (3, 20)]);
    assert_eq!(from_start(20), [(3, 20)]);
    assert_eq!(from_start(99), [(3, 99)]);
}
