use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

use super::super::Batch;
use super::{Check, Producers, sequence_after};

fn batch(producer_epoch: i16, base_sequence: i32, count: i32, base_offset: i64) -> Batch {
    Batch {
        base_offset: Offset(base_offset),
        last_offset_delta: count - 1,
        leader_epoch: LeaderEpoch(0),
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(producer_epoch),
        base_sequence: Sequence(base_sequence),
        max_timestamp: base_offset,
        is_transactional: false,
        is_control: false,
    }
}

fn after(batches: &[Batch]) -> Producers {
    let mut producers = Producers::default();
    for batch in batches {
        assert_eq!(producers.check(batch), Check::Next);
        producers.appended(batch);
    }
    producers
}

const REFUSED: Check = Check::Rejected(ErrorCode::OutOfOrderSequenceNumber);

#[test]
fn the_last_five_batches_are_known_again() {
    let six: Vec<Batch> = (0..6)
        .map(|n| batch(0, n * 10, 10, i64::from(n) * 10))
        .collect();
    let producers = after(&six);
    for known in &six[1..] {
        let Check::Duplicate(earlier) = producers.check(known) else {
            panic!("{known:?} is a duplicate");
        };
        assert_eq!(earlier.base_offset, known.base_offset);
    }
    assert_eq!(producers.check(&six[0]), REFUSED, "too long ago");
    assert_eq!(producers.check(&batch(0, 50, 9, 0)), REFUSED, "half of one");
    assert_eq!(
        producers.check(&batch(0, 61, 1, 0)),
        REFUSED,
        "one is missing"
    );
    assert_eq!(producers.check(&batch(0, 60, 1, 0)), Check::Next);
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(Sequence(i32::MAX), 1), Sequence(0));
    assert_eq!(sequence_after(Sequence(i32::MAX - 1), 3), Sequence(1));
    let producers = after(&[batch(0, i32::MAX - 1, 2, 0)]);
    assert_eq!(producers.check(&batch(0, 0, 1, 2)), Check::Next);
    let producers = after(&[batch(0, i32::MAX, 3, 0)]);
    assert_eq!(producers.check(&batch(0, 2, 1, 3)), Check::Next);
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut producers = after(&[batch(1, 0, 5, 0)]);
    let fenced = Check::Rejected(ErrorCode::InvalidProducerEpoch);
    assert_eq!(producers.check(&batch(0, 5, 1, 0)), fenced);
    assert_eq!(producers.check(&batch(2, 5, 1, 0)), REFUSED);
    let first = batch(2, 0, 1, 5);
    assert_eq!(producers.check(&first), Check::Next);
    producers.appended(&first);
    assert_eq!(producers.check(&batch(1, 0, 5, 0)), fenced);
}

#[test]
fn the_forgotten_may_begin_anywhere() {
    let mut producers = after(&[batch(0, 0, 5, 100)]);
    producers.expire(100);
    assert_eq!(producers.len(), 1);
    producers.expire(101);
    assert!(producers.is_empty());
    assert_eq!(producers.check(&batch(0, 33, 1, 0)), Check::Next);
}
