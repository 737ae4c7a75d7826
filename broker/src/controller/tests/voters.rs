//! Voters come and go while the quorum works.

use ottla_core::voters::Change;
use ottla_protocol::error::ErrorCode;
use tokio::net::TcpListener;

use super::liveness::Voter;
use super::slow_link::answer;
use super::*;
use crate::controller::Refused;

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
    let is_told = async {
        while votes(&other) != [0, 1] || !other.handle.shared.may_vote.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, is_told).await.expect("it votes");

    let removed = other.handle.change_voter(Change::Remove(0), LONG).await;
    assert_eq!(removed, Ok(()));
    assert!(other.handle.is_active());
    assert_eq!(votes(&other), [1]);
}
