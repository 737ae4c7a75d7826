//! What a leader says without a lease.

use super::*;

#[test]
fn a_leader_without_a_lease_tells_clients_nothing() {
    let mut partition = leader(&[0]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    let consumer = Reader::Consumer {
        read_committed: false,
        any_replica: true,
    };
    let follower = Reader::Follower(NodeId(1));
    let fetch = |reader, offset, last: Option<i32>, epoch: Option<i32>, has_lease| {
        partition.fetch_from(&FetchFrom {
            reader,
            has_lease,
            fetch_offset: Offset(offset),
            current_leader_epoch: epoch.map(LeaderEpoch),
            last_fetched_epoch: last.map(LeaderEpoch),
        })
    };
    let mute = FetchDecision::Rejected(ErrorCode::NotLeaderOrFollower);
    // in the log, behind it, of another epoch, diverging, of an epoch that is not known
    let questions = [
        (0, None, None),
        (99, None, None),
        (0, None, Some(0)),
        (0, None, Some(7)),
        (5, Some(0), Some(1)),
        (5, Some(9), Some(1)),
    ];
    for (offset, last, epoch) in questions {
        assert_eq!(fetch(consumer, offset, last, epoch, false), mute);
        for reader in [consumer, follower] {
            let answer = fetch(reader, offset, last, epoch, true);
            assert_ne!(answer, mute, "{reader:?} at {offset} with a lease");
        }
        let with = fetch(follower, offset, last, epoch, true);
        assert_eq!(fetch(follower, offset, last, epoch, false), with);
    }
    let asks = |has_lease| partition.answers_as_leader(Asker::Client { has_lease }, None);
    assert_eq!(asks(false), Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(asks(true), Ok(()));
    assert_eq!(partition.answers_as_leader(Asker::Replica, None), Ok(()));
}
