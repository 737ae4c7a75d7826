//! Who is in the way of a restart where controllers are no brokers.

use super::{ObservedBroker, brokers, health, plan};
use crate::cluster::rolling_restart::Obstacle;

/// Three brokers, the first of which is to restart, and the controller 1000, which is not ready.
fn there() -> Vec<ObservedBroker> {
    let mut all = brokers("!..b");
    all[3].id = 1000;
    all
}

#[test]
fn a_controller_that_does_not_vote_holds_up_no_broker() {
    let voters = health("0* 1 2", "t:0,1,2/0,1,2");
    assert_eq!(plan(&there(), &voters, (true, 1)).restart, Some(0));
    let mut without_process = there();
    without_process[3].runs = false;
    assert_eq!(plan(&without_process, &voters, (true, 1)).restart, Some(0));
}

#[test]
fn a_controller_that_votes_is_waited_for() {
    let voters = health("0 1 2* 1000 1001", "");
    let planned = plan(&there(), &voters, (true, 1));
    let away = |why: &Obstacle| matches!(why, Obstacle::Away { broker: 1000, .. });
    assert!(planned.restart.is_none() && planned.waiting.get(&0).is_some_and(away));
}
