use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

use ottla_protocol::record::ControlRecord;

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
        marker: None,
    }
}

fn after(batches: &[Batch]) -> Producers {
    let mut producers = Producers::default();
    for batch in batches {
        assert_eq!(producers.check(batch, false), Check::Next);
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
        let Check::Duplicate(earlier) = producers.check(known, false) else {
            panic!("{known:?} is a duplicate");
        };
        assert_eq!(earlier.base_offset, known.base_offset);
    }
    assert_eq!(producers.check(&six[0], false), REFUSED, "too long ago");
    assert_eq!(
        producers.check(&batch(0, 50, 9, 0), false),
        REFUSED,
        "half of one"
    );
    assert_eq!(
        producers.check(&batch(0, 61, 1, 0), false),
        REFUSED,
        "one is missing"
    );
    assert_eq!(producers.check(&batch(0, 60, 1, 0), false), Check::Next);
}

#[test]
fn a_producer_of_which_a_marker_is_left_goes_on_with_any_sequence() {
    let marker = Batch {
        is_transactional: true,
        is_control: true,
        marker: Some(ControlRecord::Abort {
            coordinator_epoch: 0,
        }),
        ..batch(3, 0, 1, 9)
    };
    // its records lay before the start of the log
    let mut producers = Producers::default();
    producers.appended(&marker);
    let next = batch(3, 5, 1, 10);
    assert_eq!(producers.check(&next, false), Check::Next);
    assert!(!producers.knows_sequence(ProducerId(7)));
    let (is_own, later) = (true, batch(3, 0, 1, 10));
    assert_eq!(
        producers.check(&next, is_own),
        REFUSED,
        "an epoch of its own begins at 0"
    );
    assert_eq!(producers.check(&later, is_own), Check::Next);
    producers.appended(&next);
    assert_eq!(producers.check(&batch(3, 7, 1, 11), false), REFUSED);
    assert_eq!(
        producers.check(&batch(4, 5, 1, 11), false),
        REFUSED,
        "a new epoch begins at 0"
    );
}

#[test]
fn an_epoch_that_a_marker_began_begins_at_zero() {
    let mut producers = after(&[batch(3, 0, 5, 0)]);
    let before = producers.clone();
    let marker = Batch {
        is_transactional: true,
        is_control: true,
        marker: Some(ControlRecord::Commit {
            coordinator_epoch: 0,
        }),
        ..batch(4, 0, 1, 5)
    };
    let undo = producers.appended(&marker).expect("something was noted");
    assert_eq!(producers.check(&batch(4, 5, 1, 6), false), REFUSED);
    assert_eq!(producers.check(&batch(4, 0, 1, 6), false), Check::Next);
    producers.undo(undo);
    assert_eq!(producers, before);
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(Sequence(i32::MAX), 1), Sequence(0));
    assert_eq!(sequence_after(Sequence(i32::MAX - 1), 3), Sequence(1));
    let producers = after(&[batch(0, i32::MAX - 1, 2, 0)]);
    assert_eq!(producers.check(&batch(0, 0, 1, 2), false), Check::Next);
    let producers = after(&[batch(0, i32::MAX, 3, 0)]);
    assert_eq!(producers.check(&batch(0, 2, 1, 3), false), Check::Next);
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut producers = after(&[batch(1, 0, 5, 0)]);
    let fenced = Check::Rejected(ErrorCode::InvalidProducerEpoch);
    assert_eq!(producers.check(&batch(0, 5, 1, 0), false), fenced);
    assert_eq!(producers.check(&batch(2, 5, 1, 0), false), REFUSED);
    let first = batch(2, 0, 1, 5);
    assert_eq!(producers.check(&first, false), Check::Next);
    producers.appended(&first);
    assert_eq!(producers.check(&batch(1, 0, 5, 0), false), fenced);
}

#[test]
fn the_forgotten_may_begin_anywhere() {
    let mut producers = after(&[batch(0, 0, 5, 100)]);
    producers.expire(100);
    assert_eq!(producers.len(), 1);
    producers.expire(101);
    assert!(producers.is_empty());
    assert_eq!(producers.check(&batch(0, 33, 1, 0), false), Check::Next);
}

/// Each line: what happens `=>` the first offset of the oldest open transaction after it.
#[test]
fn the_oldest_open_transaction_is_kept() {
    let table = "
        plain 1 at 0      => none
        data 1 at 10      => 10
        data 2 at 20      => 10
        data 1 at 30      => 10
        plain 3 at 35     => 10
        end 1 at 40       => 20
        data 3 at 50      => 20
        end 1 at 55       => 20
        data 1 at 60      => 20
        end 2 at 70       => 50
        expire 100        => 50
        restore 3 at 55   => 55
        restore 1 none    => 55
        restore 1 at 15   => 15
        truncate 55       => 15
        truncate 15       => 10
        data 9 at 15      => 10
        clear             => none
        data 4 at 80      => 80";
    let mut producers = Producers::default();
    let number = |word: &str| word.parse::<i64>().expect("a number");
    for line in table.trim().lines() {
        let (what, expected) = line.split_once("=>").expect("an arrow");
        let words: Vec<&str> = what.split_whitespace().collect();
        match words[..] {
            [kind @ ("plain" | "data" | "end"), id, "at", offset] => {
                producers.appended(&Batch {
                    producer_id: ProducerId(number(id)),
                    is_transactional: kind != "plain",
                    is_control: kind == "end",
                    marker: (kind == "end").then_some(ControlRecord::Commit {
                        coordinator_epoch: 0,
                    }),
                    ..batch(0, 0, 1, number(offset))
                });
            }
            ["restore", id, ref start @ ..] => {
                let id = ProducerId(number(id));
                let known = producers.iter().find(|(known, _)| *known == id);
                let mut producer = known.expect("known").1.clone();
                producer.transaction_start = start.get(1).map(|offset| Offset(number(offset)));
                producers.restore(id, producer);
            }
            ["expire", timestamp] => producers.expire(number(timestamp)),
            ["truncate", end] => producers.truncate_from_end(Offset(number(end))),
            ["clear"] => producers.clear(),
            _ => panic!("unknown: {line}"),
        }
        let scanned = producers.iter().filter_map(|(_, p)| p.transaction_start);
        let first = producers.transactions().first_open();
        assert_eq!(
            first,
            scanned.min(),
            "as a look at all would say, after {what}"
        );
        let first = first.map_or("none".to_owned(), |offset| offset.to_string());
        assert_eq!(first, expected.trim(), "after {what}");
    }
}
