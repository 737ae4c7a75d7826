//! Transactions on a leader: who may write into them, where they end, what may be read.

use ottla_protocol::record::ControlRecord;

use super::*;
use crate::partition::producers::Open;

/// A leader of epoch 1 with one follower, and what it was told.
struct Script {
    partition: Partition,
    guards: Vec<Option<Guard>>,
    /// The transactions that were open at a look.
    seen: Vec<Open>,
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse()
        .unwrap_or_else(|_| panic!("{word} is no number"))
}

/// `pid 7, epoch 2, sequence 5, 3 records` is written `7/2 5+3`.
fn of_producer(producer: &str, sequence: i32, count: i32) -> Batch {
    let (id, epoch) = producer.split_once('/').expect("producer/epoch");
    Batch {
        producer_id: ProducerId(number(id)),
        producer_epoch: ProducerEpoch(number(epoch)),
        base_sequence: Sequence(sequence),
        ..batch(count)
    }
}

fn of_range(producer: &str, range: &str) -> Batch {
    let (sequence, count) = range.split_once('+').expect("sequence+count");
    Batch {
        is_transactional: true,
        ..of_producer(producer, number(sequence), number(count))
    }
}

impl Script {
    /// Who leads in it counts what is in memory: what is appended is acknowledged.
    fn new() -> Self {
        let mut partition = partition(Durability::Replicated);
        step(
            &mut partition,
            0,
            Input::Assigned(assignment(0, 1, &[0, 1])),
        );
        Self {
            partition,
            guards: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn append(&mut self, batch: Batch, origin: Origin) -> String {
        let produce = Input::Produce {
            batch,
            origin,
            acks: Acks::Leader,
            token: Token(0),
        };
        let effects = step(&mut self.partition, 0, produce);
        match acknowledged(&effects)[..] {
            [(_, Ok(offset))] => offset.to_string(),
            [(_, Err(error))] => error.name().to_owned(),
            _ => "nothing".to_owned(),
        }
    }

    /// A marker that may only end one transaction, as it was at a look.
    fn abort_only(&mut self, of: Open) -> String {
        let batch = Batch {
            is_transactional: true,
            is_control: true,
            marker: Some(ControlRecord::Abort {
                coordinator_epoch: of.coordinator_epoch,
            }),
            producer_id: of.producer_id,
            producer_epoch: of.producer_epoch,
            base_sequence: Sequence(-1),
            ..batch(1)
        };
        let origin = Origin::Marker {
            transaction_version: 0,
            of: Some(of),
        };
        self.append(batch, origin)
    }

    fn marker(&mut self, marker: ControlRecord, producer: &str, version: &[&str]) -> String {
        let batch = Batch {
            is_transactional: true,
            is_control: true,
            marker: Some(marker),
            ..of_producer(producer, -1, 1)
        };
        let transaction_version = version.first().map_or(0, |word| number(&word[1..]));
        let origin = Origin::Marker {
            transaction_version,
            of: None,
        };
        self.append(batch, origin)
    }

    fn data(&mut self, producer: &str, range: &str, guard: Option<Guard>, v2: bool) -> String {
        let membership = Membership {
            guard,
            has_own_epoch: v2,
        };
        self.append(of_range(producer, range), Origin::Client(membership))
    }

    /// What an action comes to.
    fn act(&mut self, words: &[&str]) -> String {
        match *words {
            ["data", producer, range, ref v2 @ ..] => {
                let guard = self.partition.verification(&of_range(producer, range));
                self.data(producer, range, guard, !v2.is_empty())
            }
            ["unverified", producer, range] => self.data(producer, range, None, false),
            ["verify", producer, range] => {
                let guard = self.partition.verification(&of_range(producer, range));
                self.guards.push(guard);
                guard.map_or("needless", |_| "guarded").to_owned()
            }
            ["disproved", which, producer] => {
                let guard = self.guards[number::<usize>(which)].expect("a guard");
                let id = ProducerId(number(producer));
                self.partition.verification_refused(id, guard);
                "forgotten".to_owned()
            }
            ["verified", which, producer, range] => {
                let guard = self.guards[number::<usize>(which)];
                self.data(producer, range, guard, false)
            }
            ["plain", producer, range] => {
                let batch = Batch {
                    is_transactional: false,
                    ..of_range(producer, range)
                };
                self.append(batch, CLIENT)
            }
            ["offsets", producer, count] => {
                let batch = Batch {
                    is_transactional: true,
                    ..of_producer(producer, 0, number(count))
                };
                let (id, epoch) = (batch.producer_id, batch.producer_epoch);
                let guard = self.partition.verification_of_offsets(id, epoch);
                self.append(batch, Origin::Coordinator(guard))
            }
            ["commit", producer, coordinator, ref version @ ..] => {
                let coordinator_epoch = number(&coordinator[1..]);
                self.marker(
                    ControlRecord::Commit { coordinator_epoch },
                    producer,
                    version,
                )
            }
            ["abort", producer, coordinator, ref version @ ..] => {
                let coordinator_epoch = number(&coordinator[1..]);
                self.marker(
                    ControlRecord::Abort { coordinator_epoch },
                    producer,
                    version,
                )
            }
            ["abort-only", which] => self.abort_only(self.seen[number::<usize>(which)]),
            _ => self.look(words),
        }
    }

    /// What is told, or seen.
    fn look(&mut self, words: &[&str]) -> String {
        match *words {
            ["replicated", offset] => {
                step(
                    &mut self.partition,
                    0,
                    Input::Flushed(Offset(number(offset))),
                );
                fetch(&mut self.partition, 0, 1, number(offset));
                format!("stable {}", self.partition.last_stable_offset())
            }
            ["refused", offset] => {
                // what the log makes of the last append
                step(
                    &mut self.partition,
                    0,
                    Input::AppendFailed(Offset(number(offset))),
                );
                format!("stable {}", self.partition.last_stable_offset())
            }
            ["delete", offset] => {
                step(
                    &mut self.partition,
                    0,
                    Input::LogStartMoved(Offset(number(offset))),
                );
                format!("stable {}", self.partition.last_stable_offset())
            }
            ["aborted", from, until] => {
                let transactions = self.partition.producers().transactions();
                let found = transactions.aborted(Offset(number(from)), Offset(number(until)));
                let shown = found
                    .iter()
                    .map(|a| format!("{}@{}", a.producer_id, a.first_offset));
                shown.collect::<Vec<_>>().join(" ")
            }
            ["see"] => {
                self.seen = self.partition.producers().open().collect();
                let shown = self.seen.iter().map(|open| {
                    format!(
                        "{}@{}-{}",
                        open.producer_id, open.first_offset, open.last_offset
                    )
                });
                shown.collect::<Vec<_>>().join(" ")
            }
            ["open"] => {
                let first = self.partition.producers().transactions().first_open();
                first.map_or("none".to_owned(), |offset| offset.to_string())
            }
            _ => panic!("unknown: {words:?}"),
        }
    }
}

/// Each line: an action `=>` what it comes to; for an append its offset or error.
pub(super) fn runs(table: &str) {
    let mut script = Script::new();
    for line in table.trim().lines() {
        let (action, expected) = line.split_once("=>").expect("an arrow");
        let words: Vec<&str> = action.split_whitespace().collect();
        assert_eq!(script.act(&words), expected.trim(), "{}", line.trim());
    }
}

#[test]
fn what_is_stable_ends_at_the_oldest_transaction_whose_marker_is_not_replicated() {
    runs(
        "plain 9/0 0+5    => 0
         data 1/0 0+5     => 5
         data 2/0 0+5     => 10
         replicated 15    => stable 5
         commit 1/0 c0    => 15
         data 1/0 5+4     => 16
         replicated 15    => stable 5
         replicated 16    => stable 10
         abort 2/0 c0     => 20
         replicated 20    => stable 10
         replicated 21    => stable 16
         commit 1/0 c0    => 21
         replicated 22    => stable 22",
    );
}

#[test]
fn a_log_that_begins_within_a_transaction_is_stable_to_there() {
    runs(
        "data 1/0 0+9     => 0
         replicated 9     => stable 0
         delete 5         => stable 5
         abort 1/0 c0     => 9
         replicated 10    => stable 10
         aborted 5 10     => 1@0
         plain 9/0 0+5    => 10
         replicated 15    => stable 15
         delete 12        => stable 15
         aborted 0 15     => ",
    );
}

#[test]
fn aborted_transactions_are_those_with_records_in_the_range() {
    runs(
        "data 1/0 0+5     => 0
         data 2/0 0+5     => 5
         data 3/0 0+5     => 10
         abort 2/0 c0     => 15
         abort 1/0 c0     => 16
         commit 3/0 c0    => 17
         data 2/0 5+2     => 18
         abort 2/0 c0     => 20
         aborted 0 21     => 1@0 2@5 2@18
         aborted 0 5      => 1@0
         aborted 0 6      => 1@0 2@5
         aborted 16 18    => 1@0
         aborted 17 18    => 
         aborted 17 19    => 2@18
         aborted 20 21    => 2@18
         aborted 21 30    => ",
    );
}

#[test]
fn a_marker_of_one_transaction_ends_none_but_that() {
    runs(
        "data 1/0 0+5     => 0
         data 2/0 0+5     => 5
         data 3/0 0+5     => 10
         see              => 1@0-4 2@5-9 3@10-14
         data 2/0 5+1     => 15
         commit 3/0 c0    => 16
         data 3/0 5+1     => 17
         abort-only 0     => 18
         abort-only 0     => INVALID_TXN_STATE
         abort-only 1     => INVALID_TXN_STATE
         abort-only 2     => INVALID_TXN_STATE
         open             => 5
         see              => 2@5-15 3@17-17
         abort-only 0     => 19
         abort-only 1     => 20
         open             => none
         aborted 0 30     => 1@0 2@5 3@17
         data 1/0 5+1     => 21",
    );
}

#[test]
fn a_marker_of_an_old_coordinator_or_epoch_is_refused() {
    runs(
        "data 1/3 0+5     => 0
         commit 1/2 c5    => INVALID_PRODUCER_EPOCH
         commit 1/3 c5    => 5
         commit 1/3 c5    => 6
         data 1/3 5+1     => 7
         commit 1/3 c4    => TRANSACTION_COORDINATOR_FENCED
         abort 1/4 c6     => 8
         data 1/3 6+1     => INVALID_PRODUCER_EPOCH
         data 1/4 6+1     => OUT_OF_ORDER_SEQUENCE_NUMBER
         data 1/4 0+1     => 9
         abort 8/0 c0     => 10",
    );
}

#[test]
fn with_an_epoch_a_transaction_a_marker_is_of_the_next_one() {
    runs(
        "data 1/3 0+5 v2        => 0
         commit 1/3 c0 v2       => INVALID_PRODUCER_EPOCH
         commit 1/4 c0 v2       => 5
         commit 1/4 c0 v2       => 6
         commit 1/3 c0 v2       => INVALID_PRODUCER_EPOCH
         data 1/4 0+5 v2        => 7
         commit 1/4 c0 v2       => INVALID_PRODUCER_EPOCH
         data 2/32767 0+1 v2    => 12
         abort 2/32767 c0 v2    => 13
         data 3/0 4+1 v2        => OUT_OF_ORDER_SEQUENCE_NUMBER
         data 3/0 4+1           => 14",
    );
}

#[test]
fn what_the_log_refuses_was_never_there() {
    runs(
        "data 1/0 0+5     => 0
         data 2/0 0+5     => 5
         replicated 10    => stable 0
         abort 1/1 c7     => 10
         refused 10       => stable 0
         aborted 0 20     => 
         open             => 0
         data 1/0 5+5     => 10
         refused 10       => stable 0
         data 1/0 0+5     => 0
         data 1/0 5+5     => 10
         data 3/0 0+1     => 15
         refused 15       => stable 0
         abort 1/0 c0     => 15
         commit 2/0 c0    => 16
         open             => none
         aborted 0 20     => 1@0",
    );
}

#[test]
fn six_batches_and_one_that_is_refused_leave_five_that_are_known() {
    runs(
        "data 1/0 0+1     => 0
         data 1/0 1+1     => 1
         data 1/0 2+1     => 2
         data 1/0 3+1     => 3
         data 1/0 4+1     => 4
         data 1/0 5+1     => 5
         refused 5        => stable 0
         data 1/0 0+1     => 0
         data 1/0 4+1     => 4
         data 1/0 5+1     => 5",
    );
}

/// What a producer leaves of two transactions that it aborted, at 0 and at 2.
pub(super) fn with_two_aborted() -> Producers {
    let mut producers = Producers::default();
    let abort = ControlRecord::Abort {
        coordinator_epoch: 0,
    };
    for (offset, marker) in [(0, None), (1, Some(abort)), (2, None), (3, Some(abort))] {
        let _ = producers.appended(&Batch {
            base_offset: Offset(offset),
            producer_id: ProducerId(1),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(offset as i32),
            is_transactional: true,
            is_control: marker.is_some(),
            marker,
            ..batch(1)
        });
    }
    producers
}
