//! A leader without a lease whose followers take nothing.

use super::*;

const GONE: ErrorCode = ErrorCode::NotLeaderOrFollower;

fn look(partition: &mut Partition) -> Vec<(u32, Result<i64, ErrorCode>)> {
    acknowledged(&step(partition, 10, Input::LeaseMissed))
}

#[test]
fn producers_are_sent_to_look_for_another_leader() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    assert_eq!(look(&mut partition), [], "it has waited for no look yet");
    assert!(!partition.is_stranded());
    produce(&mut partition, Acks::All, 2);
    assert_eq!(look(&mut partition), [(1, Err(GONE))]);
    assert!(partition.is_stranded());
    assert_eq!(look(&mut partition), [(2, Err(GONE))]);
}

#[test]
fn nothing_is_appended_that_would_be_sent_again_and_again() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    look(&mut partition);
    look(&mut partition);
    let end = partition.marks().log_end_offset;
    let effects = produce(&mut partition, Acks::All, 2);
    assert_eq!(acknowledged(&effects), [(2, Err(GONE))]);
    assert_eq!(partition.marks().log_end_offset, end);
    // whatever was in doubt: the ISR takes it after all
    step(&mut partition, 11, Input::Flushed(end));
    fetch(&mut partition, 11, 1, end.0);
    assert!(!partition.is_stranded());
    assert_eq!(acknowledged(&produce(&mut partition, Acks::All, 3)), []);
}

#[test]
fn an_isr_that_goes_on_vouches_for_what_it_acknowledges() {
    let mut partition = leader(&[0, 1]);
    for round in 1..4 {
        produce(&mut partition, Acks::All, round);
        assert_eq!(look(&mut partition), []);
        assert!(!partition.is_stranded(), "what is on its way is no sign");
        let end = partition.marks().log_end_offset;
        step(&mut partition, 15, Input::Flushed(end));
        fetch(&mut partition, 15, 1, end.0);
    }
}

#[test]
fn coordinators_wait_on() {
    let mut partition = leader(&[0, 1]);
    let append = Input::Produce {
        batch: batch(10),
        origin: Origin::Coordinator(None),
        acks: Acks::All,
        token: Token(1),
    };
    step(&mut partition, 0, append);
    look(&mut partition);
    assert_eq!(look(&mut partition), []);
    step(&mut partition, 15, Input::Flushed(Offset(10)));
    let effects = fetch(&mut partition, 15, 1, 10);
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
}

#[test]
fn who_deletes_records_is_answered_too() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 1, Input::Flushed(Offset(10)));
    fetch(&mut partition, 1, 1, 10);
    let delete = Input::DeleteRecords {
        offset: Some(Offset(5)),
        token: Token(7),
    };
    step(&mut partition, 2, delete);
    produce(&mut partition, Acks::All, 2);
    look(&mut partition);
    let effects = step(&mut partition, 10, Input::LeaseMissed);
    let refused = Effect::RecordsDeleted {
        token: Token(7),
        result: Err(GONE),
    };
    assert!(effects.contains(&refused), "{effects:?}");
}

#[test]
fn a_lease_that_is_back_lets_producers_wait() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    look(&mut partition);
    step(&mut partition, 20, Input::LeaseRenewed);
    assert_eq!(look(&mut partition), []);
    assert!(!partition.is_stranded());
}
