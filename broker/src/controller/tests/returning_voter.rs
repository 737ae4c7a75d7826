//! A voter that has lost its disk, beside one that has not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use ottla_storage::sim::SimDisk;

use super::{OTHER, Other, beside_on};
use crate::controller::service::Service;
use crate::controller::{Handle, formation, raft};
use crate::peer::{Peer, wire};

/// What the other voter says: that it leads, and how many entries it has.
fn leads_with(entries: i64) -> wire::DescribeResponse {
    let own = wire::describe_response::Progress {
        node_id: OTHER,
        voter: true,
        log_end_offset: entries,
        ..wire::describe_response::Progress::default()
    };
    let returning = wire::describe_response::Progress {
        node_id: 1,
        voter: true,
        ..wire::describe_response::Progress::default()
    };
    wire::DescribeResponse {
        node_id: OTHER,
        leader: Some(OTHER),
        term: 1,
        committed: 2,
        progress: vec![own, returning],
        ..wire::DescribeResponse::default()
    }
}

/// One entry, which is the first or the next one, as the other voter sends it that leads `term`.
fn entry(term: u64, index: u64) -> AppendEntriesRequest<raft::Types> {
    let leader_id = openraft::impls::leader_id_adv::LeaderId {
        term,
        node_id: OTHER,
    };
    let id = |index| raft::LogId { leader_id, index };
    AppendEntriesRequest {
        vote: raft::Vote::new_committed(term, OTHER),
        prev_log_id: index.checked_sub(1).map(id),
        entries: vec![raft::Entry::new_blank(id(index))],
        leader_commit: Some(id(index)),
    }
}

/// The other voter leads, and sends one entry, which is the first or the next one.
async fn send_entry(handle: &Handle, index: u64) {
    let heard = handle.shared.raft.append_entries(entry(1, index)).await;
    heard.expect("the entry is taken");
}

/// Whether an entry of a leader of `term` is taken that comes over the network.
async fn takes_entry_of(handle: &Handle, term: u64) -> bool {
    let service = Service::new(handle.clone(), Arc::default());
    let sent = raft::append_to_wire(&entry(term, 0));
    let answer = service.append(tonic::Request::new(sent)).await;
    let result = answer.map(|answer| answer.into_inner().result);
    matches!(
        result,
        Ok(Some(wire::append_response::Result::Success(true)))
    )
}

fn may_vote(handle: &Handle) -> bool {
    handle.shared.may_vote.load(Ordering::Acquire)
}

async fn stop(handle: Handle, disk: &SimDisk) {
    handle.shared.raft.shutdown().await.expect("it stops");
    disk.crash();
}

#[tokio::test]
async fn a_voter_that_lost_its_disk_does_not_vote_because_it_starts_once_more() {
    let disk = SimDisk::new(7);
    let other = Other::default();
    *other.described.lock().unwrap() = Some(leads_with(3));
    let handle = beside_on(other.clone(), &disk).await;
    let formed = tokio::spawn(formation::run(handle.clone(), String::new()));
    send_entry(&handle, 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!may_vote(&handle), "it lacks two of three entries");
    formed.abort();
    stop(handle, &disk).await;

    let handle = beside_on(other.clone(), &disk).await;
    assert!(!may_vote(&handle), "it has one entry by now, and lacks two");
    let formed = tokio::spawn(formation::run(handle.clone(), String::new()));
    send_entry(&handle, 1).await;
    send_entry(&handle, 2).await;
    formed.await.expect("it ends once the voter may vote");
    assert!(may_vote(&handle));
    stop(handle, &disk).await;
    assert!(
        may_vote(&beside_on(other, &disk).await),
        "it knows what it votes from now on"
    );
}

#[tokio::test]
async fn a_voter_that_lost_its_disk_does_not_vote_by_the_word_of_one_that_follows() {
    let disk = SimDisk::new(7);
    let other = Other::default();
    let follows = wire::DescribeResponse {
        leader: None,
        ..leads_with(3)
    };
    *other.described.lock().unwrap() = Some(follows);
    let handle = beside_on(other.clone(), &disk).await;
    let formed = tokio::spawn(formation::run(handle.clone(), String::new()));
    for index in 0..3 {
        send_entry(&handle, index).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!may_vote(&handle), "others may have acknowledged more");
    *other.described.lock().unwrap() = Some(leads_with(3));
    formed.await.expect("it ends once the voter may vote");
    assert!(may_vote(&handle));
}

#[tokio::test]
async fn a_voter_that_lost_its_disk_does_not_vote_because_all_others_start_once_more() {
    let disk = SimDisk::new(7);
    let other = Other::default();
    // nobody leads yet, and what is committed is on no disk
    let started = wire::DescribeResponse {
        leader: None,
        committed: 0,
        ..leads_with(3)
    };
    *other.described.lock().unwrap() = Some(started);
    let handle = beside_on(other.clone(), &disk).await;
    let formed = tokio::spawn(formation::run(handle.clone(), String::new()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!may_vote(&handle), "it lacks three entries");
    formed.abort();
    stop(handle, &disk).await;
    assert!(
        !may_vote(&beside_on(other, &disk).await),
        "the mark is on its disk still"
    );
}

#[tokio::test]
async fn a_voter_that_lost_its_disk_takes_nothing_of_a_leader_of_the_past() {
    let other = Other::default();
    let handle = beside_on(other.clone(), &SimDisk::new(7)).await;
    assert!(
        !takes_entry_of(&handle, 2).await,
        "it may have voted for another"
    );
    let later = wire::DescribeResponse {
        term: 2,
        ..leads_with(3)
    };
    *other.described.lock().unwrap() = Some(later);
    let formed = tokio::spawn(formation::run(handle.clone(), String::new()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!takes_entry_of(&handle, 1).await, "others know the term 2");
    assert!(takes_entry_of(&handle, 2).await, "this one leads");
    assert!(!formed.is_finished(), "it lacks two of three entries");
}

#[tokio::test]
async fn a_voter_tells_of_the_end_of_its_log_and_of_its_term_from_the_start() {
    let disk = SimDisk::new(7);
    let handle = beside_on(Other::default(), &disk).await;
    for index in 0..3 {
        send_entry(&handle, index).await;
    }
    stop(handle, &disk).await;
    let told = beside_on(Other::default(), &disk).await.describe();
    let own = told.progress.iter().find(|own| own.node_id == told.node_id);
    assert_eq!((told.term, own.map(|own| own.log_end_offset)), (1, Some(3)));
}
