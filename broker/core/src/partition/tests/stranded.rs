//! A leader without a lease whose followers take nothing.

use super::*;

fn refused(effects: &[Effect]) -> Vec<Token> {
    let refused = |effect: &Effect| match effect {
        Effect::Acknowledge {
            token,
            result: Err(ErrorCode::NotLeaderOrFollower),
        } => Some(*token),
        _ => None,
    };
    effects.iter().filter_map(refused).collect()
}

#[test]
fn producers_are_sent_to_look_for_another_leader() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    let effects = step(&mut partition, 10, Input::LeaseMissed);
    assert_eq!(refused(&effects), [], "it has waited for no look yet");
    produce(&mut partition, Acks::All, 2);
    let effects = step(&mut partition, 20, Input::LeaseMissed);
    assert_eq!(refused(&effects), [Token(1)]);
    assert!(partition.is_stranded());
    let effects = step(&mut partition, 30, Input::LeaseMissed);
    assert_eq!(refused(&effects), [Token(2)]);
}

#[test]
fn an_isr_that_goes_on_vouches_for_what_it_acknowledges() {
    let mut partition = leader(&[0, 1]);
    step(&mut partition, 10, Input::LeaseMissed);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 15, Input::Flushed(Offset(10)));
    fetch(&mut partition, 15, 1, 10);
    let effects = step(&mut partition, 20, Input::LeaseMissed);
    assert_eq!(refused(&effects), []);
    assert!(!partition.is_stranded(), "all is committed");
}

#[test]
fn a_lease_that_is_back_lets_producers_wait() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 10, Input::LeaseMissed);
    step(&mut partition, 20, Input::LeaseRenewed);
    assert!(!partition.is_stranded());
    let effects = step(&mut partition, 30, Input::LeaseMissed);
    assert_eq!(refused(&effects), []);
}
