mod anew;
mod changes;
mod damage;
mod hand_over;
mod joining;
mod lease;
mod moves_on;
mod stranded;
mod transactions;
mod verification;

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, ProducerEpoch, ProducerId, Sequence,
};

use super::*;

const CLIENT: Origin = Origin::Client(Membership {
    guard: None,
    has_own_epoch: false,
});

const LAG_MAX: Duration = Duration::from_secs(30);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn batch(count: i32) -> Batch {
    Batch {
        base_offset: Offset(0),
        last_offset_delta: count - 1,
        leader_epoch: LeaderEpoch::NONE,
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch(-1),
        base_sequence: Sequence(-1),
        max_timestamp: 0,
        is_transactional: false,
        is_control: false,
        marker: None,
    }
}

fn assignment(leader: i32, leader_epoch: i32, isr: &[i32]) -> Assignment {
    Assignment {
        leader: Some(NodeId(leader)),
        successor: None,
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(leader_epoch * 10),
        replicas: (0..3)
            .map(|node| ReplicaState {
                node: NodeId(node),
                eligible: Some(BrokerEpoch(1)),
            })
            .collect(),
        settled_replicas: 3,
        isr: isr.iter().copied().map(NodeId).collect(),
    }
}

fn partition(durability: Durability) -> Partition {
    let config = Config {
        min_insync_replicas: 2,
        durability,
        replica_lag_time_max: LAG_MAX,
        is_compacted: false,
    };
    Partition::new(NodeId(0), config, Loaded::default())
}

fn leader(isr: &[i32]) -> Partition {
    let mut partition = partition(Durability::Fsync);
    step(&mut partition, 0, Input::Assigned(assignment(0, 1, isr)));
    partition
}

fn step(partition: &mut Partition, at: u64, input: Input<'_>) -> Effects {
    let mut effects = Effects::new();
    partition.step(seconds(at), input, &mut effects);
    effects
}

fn produce(partition: &mut Partition, acks: Acks, token: u32) -> Effects {
    let produce = Input::Produce {
        batch: batch(10),
        origin: CLIENT,
        acks,
        token: Token(token),
    };
    step(partition, 0, produce)
}

fn fetch(partition: &mut Partition, at: u64, node: i32, fetch_offset: i64) -> Effects {
    let fetch = FollowerFetch {
        node: NodeId(node),
        broker_epoch: Some(BrokerEpoch(1)),
        fetch_offset: Offset(fetch_offset),
        log_start_offset: Offset(0),
    };
    step(partition, at, Input::FollowerFetched(fetch))
}

fn acknowledged(effects: &[Effect]) -> Vec<(u32, Result<i64, ErrorCode>)> {
    let answer = |effect: &Effect| match effect {
        Effect::Acknowledge { token, result } => {
            Some((token.0, result.map(|appended| appended.base_offset.0)))
        }
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

fn wanted_isr(effects: &[Effect]) -> Option<Vec<i32>> {
    effects.iter().find_map(|effect| match effect {
        Effect::AlterIsr(alter) => Some(alter.isr.iter().map(|(node, _)| node.0).collect()),
        _ => None,
    })
}

/// The controller's word on the first change of the ISR.
fn altered(isr: &[i32]) -> Input<'static> {
    Input::IsrAltered {
        asked: PartitionEpoch(10),
        result: Ok(AlteredIsr {
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(11),
            isr: isr.iter().copied().map(NodeId).collect(),
        }),
    }
}

#[test]
fn all_means_flushed_on_the_whole_isr() {
    let mut partition = leader(&[0, 1, 2]);
    assert_eq!(acknowledged(&produce(&mut partition, Acks::All, 1)), []);
    assert_eq!(acknowledged(&fetch(&mut partition, 0, 1, 10)), []);
    assert_eq!(acknowledged(&fetch(&mut partition, 0, 2, 10)), []);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
    assert_eq!(partition.marks().high_watermark, Offset(10));
}

#[test]
fn a_replica_that_is_being_added_is_not_waited_for() {
    let mut partition = partition(Durability::Fsync);
    let growing = Assignment {
        settled_replicas: 1,
        ..assignment(0, 1, &[0])
    };
    step(&mut partition, 0, Input::Assigned(growing));
    assert_eq!(acknowledged(&produce(&mut partition, Acks::All, 1)), []);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
    assert_eq!(partition.marks().high_watermark, Offset(10));
}

#[test]
fn one_means_flushed_here() {
    let mut partition = leader(&[0, 1, 2]);
    assert_eq!(acknowledged(&produce(&mut partition, Acks::Leader, 1)), []);
    // no client hears of acks=0, whose request holds its memory as long
    assert_eq!(acknowledged(&produce(&mut partition, Acks::None, 2)), []);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(20)));
    assert_eq!(acknowledged(&effects), [(2, Ok(10))]);
    assert_eq!(partition.marks().high_watermark, Offset(0));
}

#[test]
fn replicated_counts_what_is_in_memory() {
    let mut partition = partition(Durability::Replicated);
    step(
        &mut partition,
        0,
        Input::Assigned(assignment(0, 1, &[0, 1])),
    );
    assert_eq!(
        acknowledged(&produce(&mut partition, Acks::Leader, 1)),
        [(1, Ok(0))]
    );
    assert_eq!(acknowledged(&produce(&mut partition, Acks::All, 2)), []);
    assert_eq!(
        acknowledged(&fetch(&mut partition, 0, 1, 20)),
        [(2, Ok(10))]
    );
}

#[test]
fn too_few_in_sync_replicas_refuse_all_and_hold_the_high_watermark() {
    let mut partition = leader(&[0]);
    let refused = Err(ErrorCode::NotEnoughReplicas);
    assert_eq!(
        acknowledged(&produce(&mut partition, Acks::All, 1)),
        [(1, refused)]
    );
    produce(&mut partition, Acks::Leader, 2);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(acknowledged(&effects), [(2, Ok(0))]);
    assert_eq!(partition.marks().high_watermark, Offset(0));
}

#[test]
fn a_follower_joins_once_it_has_come_to_the_start_of_the_epoch() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    step(
        &mut partition,
        0,
        Input::Assigned(assignment(0, 2, &[0, 1])),
    );
    assert_eq!(partition.marks().high_watermark, Offset(0));
    assert_eq!(wanted_isr(&fetch(&mut partition, 0, 2, 9)), None);
    assert_eq!(
        wanted_isr(&fetch(&mut partition, 0, 2, 10)),
        Some(vec![0, 1, 2])
    );
    // on its way in it is waited for
    produce(&mut partition, Acks::All, 2);
    step(&mut partition, 0, Input::Flushed(Offset(20)));
    assert_eq!(acknowledged(&fetch(&mut partition, 0, 1, 20)), []);
    assert_eq!(
        acknowledged(&fetch(&mut partition, 0, 2, 20)),
        [(2, Ok(10))]
    );
}

#[test]
fn a_dead_incarnation_does_not_join() {
    let mut partition = leader(&[0, 1]);
    let mut newer = assignment(0, 1, &[0, 1]);
    newer.replicas[2].eligible = Some(BrokerEpoch(2));
    step(&mut partition, 0, Input::Assigned(newer));
    assert_eq!(wanted_isr(&fetch(&mut partition, 0, 2, 0)), None);
}

#[test]
fn a_follower_that_lags_leaves_once_the_controller_says_so() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 20, 1, 10);
    assert_eq!(
        wanted_isr(&step(&mut partition, 30, Input::LagChecked)),
        None
    );
    let effects = step(&mut partition, 31, Input::LagChecked);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1]));
    assert_eq!(acknowledged(&effects), []);
    let effects = step(&mut partition, 31, altered(&[0, 1]));
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
}

#[test]
fn whoever_had_all_of_an_idle_log_is_not_behind_what_comes() {
    let mut partition = leader(&[0, 1, 2]);
    fetch(&mut partition, 0, 1, 0);
    fetch(&mut partition, 0, 2, 0);
    // nobody asks anew where nothing comes, for longer than the lag limit
    let produced = Input::Produce {
        batch: batch(10),
        origin: CLIENT,
        acks: Acks::All,
        token: Token(1),
    };
    step(&mut partition, 100, produced);
    let wanted = |partition: &mut Partition, at| {
        let effects = step(partition, at, Input::LagChecked);
        wanted_isr(&effects)
    };
    assert_eq!(wanted(&mut partition, 100), None);
    assert_eq!(wanted(&mut partition, 130), None);
    // but whoever does not come for it leaves in time
    fetch(&mut partition, 130, 1, 10);
    assert_eq!(wanted(&mut partition, 131), Some(vec![0, 1]));
}

#[test]
fn those_who_wait_are_told_when_leadership_is_lost() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::All, 1);
    let effects = step(
        &mut partition,
        0,
        Input::Assigned(assignment(1, 2, &[1, 2])),
    );
    let lost = Err(ErrorCode::NotLeaderOrFollower);
    assert_eq!(acknowledged(&effects), [(1, lost)]);
    assert_eq!(
        acknowledged(&produce(&mut partition, Acks::All, 2)),
        [(2, lost)]
    );
}

#[test]
fn a_diverging_answer_moves_no_high_watermark() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    step(
        &mut partition,
        0,
        Input::Assigned(assignment(1, 3, &[1, 2])),
    );
    let position = partition.fetch_position().expect("it follows");
    assert_eq!(position.last_fetched_epoch, Some(LeaderEpoch(1)));
    let fetched = Fetched {
        leader_epoch: LeaderEpoch(3),
        fetch_offset: Offset(10),
        error: None,
        diverging: Some((LeaderEpoch(1), Offset(4))),
        high_watermark: Offset(10),
        log_start_offset: Offset(0),
        batches: &[],
    };
    assert_eq!(partition.truncation(&fetched), Some(Offset(4)));
    let effects = step(&mut partition, 0, Input::Fetched(fetched));
    assert_eq!(
        effects,
        [Effect::TruncateTo(Offset(4)), Effect::ReloadProducers]
    );
    assert_eq!(partition.truncation(&fetched), None);
    assert_eq!(partition.marks().high_watermark, Offset(0));
    // the same answer once more is an answer to a question nobody asked
    assert_eq!(step(&mut partition, 0, Input::Fetched(fetched)), []);
}

/// What this replica would ask for: the offset says what it holds.
fn asks_from(partition: &Partition) -> Option<i64> {
    partition.fetch_position().map(|at| at.fetch_offset.0)
}

fn fetched(partition: &mut Partition, batches: &[Batch]) -> Effects {
    let fetched = Fetched {
        leader_epoch: partition.leader_epoch(),
        fetch_offset: partition.marks().log_end_offset,
        error: None,
        diverging: None,
        high_watermark: Offset(0),
        log_start_offset: Offset(0),
        batches,
    };
    step(partition, 0, Input::Fetched(fetched))
}

#[test]
fn a_follower_reports_only_what_is_on_its_disk() {
    let mut partition = partition(Durability::Fsync);
    let follows = |leader, epoch| Input::Assigned(assignment(leader, epoch, &[1, 2]));
    step(&mut partition, 0, follows(1, 1));
    assert_eq!(asks_from(&partition), Some(0));
    let mut came = batch(10);
    came.leader_epoch = LeaderEpoch(1);
    fetched(&mut partition, &[came]);
    assert_eq!(asks_from(&partition), None);
    // nor does it to the next leader
    let effects = step(&mut partition, 0, follows(2, 2));
    assert_eq!(effects, [Effect::WakeAll, Effect::FollowLeader]);
    assert_eq!(asks_from(&partition), None);
    assert_eq!(step(&mut partition, 0, Input::Flushed(Offset(5))), []);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(effects, [Effect::ResumeFetch]);
    assert_eq!(asks_from(&partition), Some(10));
}

#[test]
fn a_leader_that_was_replaced_reports_only_what_is_on_its_disk() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Assigned(assignment(1, 2, &[1])));
    assert_eq!(asks_from(&partition), None);
    let effects = step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(effects, [Effect::ResumeFetch]);
    assert_eq!(asks_from(&partition), Some(10));
}

#[test]
fn what_was_cut_off_is_not_waited_for() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    produce(&mut partition, Acks::Leader, 2);
    step(&mut partition, 0, Input::Assigned(assignment(1, 2, &[1])));
    assert_eq!(asks_from(&partition), None);
    let diverging = Fetched {
        leader_epoch: LeaderEpoch(2),
        fetch_offset: Offset(20),
        error: None,
        diverging: Some((LeaderEpoch(1), Offset(10))),
        high_watermark: Offset(0),
        log_start_offset: Offset(0),
        batches: &[],
    };
    let effects = step(&mut partition, 0, Input::Fetched(diverging));
    assert_eq!(effects.last(), Some(&Effect::ResumeFetch));
    assert_eq!(asks_from(&partition), Some(10));
}

fn batch_at(base_offset: i64) -> Batch {
    Batch {
        base_offset: Offset(base_offset),
        leader_epoch: LeaderEpoch(1),
        ..batch(10)
    }
}

/// A replica that follows, with a log that ends at 10.
fn follower(is_compacted: bool) -> Partition {
    let mut partition = partition(Durability::Fsync);
    partition.config.is_compacted = is_compacted;
    step(&mut partition, 0, Input::Assigned(assignment(1, 1, &[1])));
    fetched(&mut partition, &[batch_at(0)]);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    partition
}

#[test]
fn an_answer_to_another_question_leaves_no_hole() {
    let mut partition = follower(false);
    assert_eq!(fetched(&mut partition, &[batch_at(20)]), []);
    assert_eq!(asks_from(&partition), Some(10));
    let appended = Effect::AppendFetched { first: 0 };
    assert_eq!(fetched(&mut partition, &[batch_at(10)]), [appended]);
    assert_eq!(partition.marks().log_end_offset, Offset(20));
}

#[test]
fn what_a_leader_says_twice_is_so() {
    // the topic was compacted once and is no more
    let mut partition = follower(false);
    assert_eq!(fetched(&mut partition, &[batch_at(20)]), []);
    assert_eq!(fetched(&mut partition, &[batch_at(30)]), []);
    let appended = Effect::AppendFetched { first: 0 };
    assert_eq!(fetched(&mut partition, &[batch_at(30)]), [appended]);
    assert_eq!(partition.marks().log_end_offset, Offset(40));
}

#[test]
fn compaction_leaves_gaps() {
    let mut partition = follower(true);
    let appended = Effect::AppendFetched { first: 0 };
    assert_eq!(fetched(&mut partition, &[batch_at(20)]), [appended]);
    assert_eq!(partition.marks().log_end_offset, Offset(30));
}

#[test]
fn a_copy_in_memory_counts_where_that_was_promised() {
    let mut partition = partition(Durability::Replicated);
    step(&mut partition, 0, Input::Assigned(assignment(1, 1, &[1])));
    fetched(&mut partition, &[batch(10)]);
    assert_eq!(asks_from(&partition), Some(10));
}

#[test]
fn deleted_records_wait_for_the_living_replicas() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    fetch(&mut partition, 0, 2, 10);
    let delete = Input::DeleteRecords {
        offset: Some(Offset(11)),
        token: Token(1),
    };
    let refused = Effect::RecordsDeleted {
        token: Token(1),
        result: Err(ErrorCode::OffsetOutOfRange),
    };
    assert_eq!(step(&mut partition, 0, delete), [refused]);
    let delete = Input::DeleteRecords {
        offset: None,
        token: Token(2),
    };
    let effects = step(&mut partition, 0, delete);
    assert_eq!(effects[0], Effect::SetLogStartOffset(Offset(10)));
    let mut effects = Effects::new();
    for node in [1, 2] {
        assert_eq!(effects, []);
        let fetch = FollowerFetch {
            node: NodeId(node),
            broker_epoch: Some(BrokerEpoch(1)),
            fetch_offset: Offset(10),
            log_start_offset: Offset(10),
        };
        effects = step(&mut partition, 0, Input::FollowerFetched(fetch));
    }
    let done = Effect::RecordsDeleted {
        token: Token(2),
        result: Ok(Offset(10)),
    };
    assert_eq!(effects, [done]);
}
