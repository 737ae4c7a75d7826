//! Voters come and go while the quorum works.

use openraft::async_runtime::WatchReceiver;
use openraft::{BasicNode, ChangeMembers};
use ottla_core::voters::Change;
use ottla_protocol::error::ErrorCode;
use tokio::net::TcpListener;

use super::liveness::Voter;
use super::slow_link::answer;
use super::*;
use crate::controller::Refused;
use crate::peer::wire::describe_response::Progress;

/// How long a change may take on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Applies what is published, for good.
fn follow(node: &mut Voter) {
    let mut publisher = node.publisher.take().expect("nobody else follows");
    tokio::spawn(async move {
        while let Some(published) = publisher.next().await {
            publisher.done(published);
        }
    });
}

fn votes(node: &Voter) -> Vec<i32> {
    node.handle.voters().keys().map(|id| id.0).collect()
}

/// Of how many sets of voters majorities are needed.
fn sets(node: &Voter) -> usize {
    let metrics = node.handle.shared.raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    membership.get_joint_config().len()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect(what);
}

/// The only voter, and another node that takes what is sent to it, without a vote.
async fn beside_a_follower() -> (Voter, Other) {
    let mut voter = Voter::start().await;
    follow(&mut voter);
    let other = Other::default();
    let node = BasicNode::new(serve_other(other.clone()).await);
    let joins = ChangeMembers::SetNodes([(OTHER, node)].into());
    let joined = voter.handle.shared.raft.change_membership(joins, true);
    joined.await.expect("it is taken in");
    let is_heard = || {
        let own = voter.handle.describe();
        let mut nodes = own.progress.iter();
        nodes.any(|node| node.node_id == OTHER && node.last_fetch_ms > 0)
    };
    until("it follows", is_heard).await;
    (voter, other)
}

#[tokio::test]
async fn a_node_that_does_not_follow_now_is_made_no_voter() {
    let (voter, other) = beside_a_follower().await;
    let own = voter.handle.describe();
    let described = |term: u64, cluster_id: &str| wire::DescribeResponse {
        node_id: OTHER,
        term,
        cluster_id: cluster_id.to_owned(),
        progress: vec![Progress {
            node_id: OTHER,
            log_end_offset: 1_000,
            ..Progress::default()
        }],
        ..wire::DescribeResponse::default()
    };
    let add = |patience| voter.handle.change_voter(Change::Add(OTHER), patience);
    for answer in [
        described(own.term - 1, &own.cluster_id),
        described(own.term, "another"),
    ] {
        *other.described.lock().unwrap() = Some(answer);
        let refused = add(Duration::from_millis(300))
            .await
            .map_err(|refused| refused.0);
        assert_eq!(refused, Err(ErrorCode::RequestTimedOut));
        assert_eq!(votes(&voter), [0]);
    }
    *other.described.lock().unwrap() = Some(described(own.term, &own.cluster_id));
    assert_eq!(add(LONG).await, Ok(()));
    assert_eq!(votes(&voter), [0, 2]);
}

/// Whoever asked may be gone, and so may the active controller that began it.
#[tokio::test]
async fn a_change_of_the_voters_is_finished_though_nobody_waits_for_it() {
    let (voter, other) = beside_a_follower().await;
    other.is_silent.store(true, Ordering::Release);
    let raft = voter.handle.shared.raft.clone();
    let asked = tokio::spawn(async move {
        let add = ChangeMembers::AddVoterIds([OTHER].into());
        raft.change_membership(add, true).await
    });
    until("the first step is in the log", || sets(&voter) == 2).await;
    asked.abort();
    other.is_silent.store(false, Ordering::Release);
    until("the second step is taken", || sets(&voter) == 1).await;
    assert_eq!(votes(&voter), [0, 2]);
}

#[tokio::test]
async fn a_voter_elects_another_before_it_has_caught_up_where_they_are_two() {
    let port = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let (first, second) = (port().await, port().await);
    let first_at = first.local_addr().unwrap();
    let voters = format!("0@{first_at}");
    let at = second.local_addr().unwrap().to_string();
    let mut voter = Voter::start_with(0, &voters, defaults::SNAPSHOT_ENTRIES).await;
    let stop = answer(&voter.handle, first).await;
    let mut other = Voter::begin(1, &voters, defaults::SNAPSHOT_ENTRIES).await;
    let _second = answer(&other.handle, second).await;
    let comes = tokio::spawn(formation::run(other.handle.clone(), at.clone()));
    other.until(|image| !image.cluster_id.is_empty()).await;
    follow(&mut voter);
    follow(&mut other);
    comes.abort(); // it stays without a vote
    let added = voter.handle.change_voter(Change::Add(1), LONG).await;
    assert_eq!(added, Ok(()));

    stop.send(true).expect("it answers until then");
    let mut voter = voter.start_again(&voters).await;
    follow(&mut voter);
    let first = TcpListener::bind(first_at).await.expect("the port is free");
    let _first = answer(&voter.handle, first).await;
    tokio::spawn(formation::run(other.handle.clone(), at));
    until("one of them leads", || other.handle.active().is_some()).await;
    let votes_again = || other.handle.shared.may_vote.load(Ordering::Acquire);
    until("the other one votes too", votes_again).await;
    drop(voter);
}

#[tokio::test]
async fn a_node_that_follows_is_made_a_voter_and_the_leader_gives_its_vote_away() {
    let port = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let (first, second) = (port().await, port().await);
    let voters = format!("0@{}", first.local_addr().unwrap());
    let at = second.local_addr().unwrap().to_string();
    let mut voter = Voter::start_with(0, &voters, defaults::SNAPSHOT_ENTRIES).await;
    let _first = answer(&voter.handle, first).await;
    let mut other = Voter::begin(1, &voters, defaults::SNAPSHOT_ENTRIES).await;
    let _second = answer(&other.handle, second).await;
    tokio::spawn(formation::run(other.handle.clone(), at));
    other.until(|image| !image.cluster_id.is_empty()).await;
    follow(&mut voter);
    follow(&mut other);

    let only = other.handle.change_voter(Change::Remove(0), LONG).await;
    let Err(Refused(ErrorCode::InvalidRequest, why)) = only else {
        panic!("{only:?}");
    };
    assert_eq!(why, "node 0 is the only voter");

    let added = other.handle.change_voter(Change::Add(1), LONG).await;
    assert_eq!(added, Ok(()));
    let may_vote = || other.handle.shared.may_vote.load(Ordering::Acquire);
    until("it votes", || votes(&other) == [0, 1] && may_vote()).await;

    let removed = other.handle.change_voter(Change::Remove(0), LONG).await;
    assert_eq!(removed, Ok(()));
    assert!(other.handle.is_active());
    assert_eq!(votes(&other), [1]);
}
