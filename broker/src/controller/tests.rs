//! A node and one other voter, which is told what to answer.

mod given_up;
mod liveness;
mod long_requests;
mod moved;
mod returning_voter;
mod slow_link;
mod storage;
mod voters;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::Empty;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::AppendEntriesRequest;
use ottla_core::image::Endpoint;
use ottla_core::image::record::FeatureRangeRecord;
use ottla_core::metadata::features::{FEATURES, Feature};
use ottla_core::metadata::request::{AlterPartition, RegisterBroker};
use ottla_core::metadata::{Metadata, Request, Response};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, Uuid};
use ottla_storage::sim::SimDisk;
use tokio::sync::{Notify, watch};
use tonic::{Status, Streaming};

use super::active::Outcome;
use super::{Components, Error, Handle, Identity, formation, raft, start};
use crate::config::Settings;
use crate::coordinator::ProducerIds;
use crate::defaults;
use crate::env::Env;
use crate::peer::{Links, Peer, Peers, serve, wire};
use crate::stream::Network;

/// The other voter's id.
const OTHER: u64 = 2;

/// A voter that votes for whoever asks, takes every entry, and answers each request alike.
#[derive(Clone, Default)]
struct Other {
    /// Whether entries that are sent to it stay without an answer.
    is_silent: Arc<AtomicBool>,
    /// Wakes whoever waits for entries, or a heartbeat, to be sent to it.
    is_followed: Arc<Notify>,
    /// What it answers requests to the active controller.
    response: Option<Response>,
    /// By which index of the log it says that it decided.
    applied: u64,
    /// How it describes the quorum; where it says nothing, it is empty.
    described: Arc<Mutex<Option<wire::DescribeResponse>>>,
}

type Answered<T> = Result<tonic::Response<T>, Status>;

fn answered<T>(message: T) -> Answered<T> {
    Ok(tonic::Response::new(message))
}

#[tonic::async_trait]
impl Peer for Other {
    async fn append(
        &self,
        _: tonic::Request<wire::AppendRequest>,
    ) -> Answered<wire::AppendResponse> {
        if self.is_silent.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        self.is_followed.notify_one();
        let result = Some(wire::append_response::Result::Success(true));
        answered(wire::AppendResponse { result })
    }

    async fn vote(
        &self,
        request: tonic::Request<wire::VoteRequest>,
    ) -> Answered<wire::VoteResponse> {
        answered(wire::VoteResponse {
            vote: request.into_inner().vote,
            granted: true,
            ..wire::VoteResponse::default()
        })
    }

    async fn pre_vote(
        &self,
        request: tonic::Request<wire::VoteRequest>,
    ) -> Answered<wire::VoteResponse> {
        self.vote(request).await
    }

    async fn install_snapshot(
        &self,
        _: tonic::Request<Streaming<wire::SnapshotPart>>,
    ) -> Answered<wire::SnapshotResponse> {
        Err(Status::unavailable("none is taken here"))
    }

    type ForwardStream = Empty<Result<wire::ForwardedOutcome, Status>>;

    async fn forward(
        &self,
        _: tonic::Request<Streaming<wire::ForwardedBatch>>,
    ) -> Answered<Self::ForwardStream> {
        Err(Status::unavailable("none is taken here"))
    }

    async fn transfer_leader(
        &self,
        _: tonic::Request<wire::TransferLeaderRequest>,
    ) -> Answered<wire::TransferLeaderResponse> {
        answered(wire::TransferLeaderResponse::default())
    }

    async fn describe(
        &self,
        _: tonic::Request<wire::DescribeRequest>,
    ) -> Answered<wire::DescribeResponse> {
        let described = self.described.lock().unwrap().clone();
        answered(described.unwrap_or(wire::DescribeResponse {
            node_id: OTHER,
            ..wire::DescribeResponse::default()
        }))
    }

    async fn submit(
        &self,
        _: tonic::Request<wire::SubmitRequest>,
    ) -> Answered<wire::SubmitResponse> {
        let response = self
            .response
            .as_ref()
            .map(Response::encode)
            .map(Result::unwrap);
        answered(wire::SubmitResponse {
            result: response.map(wire::submit_response::Result::Response),
            applied: self.applied,
        })
    }

    async fn join(&self, _: tonic::Request<wire::JoinRequest>) -> Answered<wire::JoinResponse> {
        Err(Status::unavailable("nobody joins here"))
    }

    async fn change_voter(
        &self,
        _: tonic::Request<wire::ChangeVoterRequest>,
    ) -> Answered<wire::ChangeVoterResponse> {
        Err(Status::unavailable("nobody votes here"))
    }

    type SessionStream = Empty<Result<wire::Standing, Status>>;

    async fn session(
        &self,
        _: tonic::Request<Streaming<wire::Beat>>,
    ) -> Answered<Self::SessionStream> {
        Err(Status::unavailable("nobody is known here"))
    }
}

/// Has `other` answer, and says where.
async fn serve_other(other: Other) -> std::net::SocketAddr {
    let listener = Network::Tcp.listen("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _keep = stop;
        serve(listener, Links::default(), other, stopped).await
    });
    address
}

/// A node of a quorum of two, whose other voter is `other`.
async fn beside(other: Other) -> Handle {
    beside_on(other, &SimDisk::new(7)).await
}

/// The same, with what is on that disk.
async fn beside_on(other: Other, disk: &SimDisk) -> Handle {
    beside_with(other, disk, "").await
}

async fn beside_with(other: Other, disk: &SimDisk, more_settings: &str) -> Handle {
    let address = serve_other(other).await;
    let text = format!(
        "node.id=1\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\nlog.dirs=/data\n\
         controller.quorum.voters=1@127.0.0.1:1,{OTHER}@{address}\n{more_settings}"
    );
    let settings = Settings::from_properties("test", &text).expect("valid settings");
    let components = Components {
        settings: Arc::new(settings),
        env: Env::simulated(7, 1_000_000),
        peers: Peers::new(Network::Tcp),
        identity: Identity::default(),
        disk: Arc::new(disk.clone()),
        inline: true,
        snapshot_entries: defaults::SNAPSHOT_ENTRIES,
        metadata: Metadata::default(),
    };
    let (handle, mut publisher) = start(components).await.expect("an empty disk");
    tokio::spawn(async move {
        while let Some(published) = publisher.next().await {
            publisher.done(published);
        }
    });
    handle
}

#[tokio::test]
async fn the_answer_to_another_request_is_an_error_and_ends_nothing() {
    let response = Some(Response::RebalanceLeaders(Ok(1)));
    let handle = beside(Other {
        response,
        ..Other::default()
    })
    .await;
    handle.shared.broker_epoch.store(1, Ordering::Release);
    let_other_lead(&handle).await;
    let ids = ProducerIds::default();
    let refused = ids.next(&handle).await;
    assert_eq!(refused, Err(ErrorCode::CoordinatorLoadInProgress));
}

async fn let_other_lead(handle: &Handle) {
    let leads = AppendEntriesRequest {
        vote: raft::Vote::new_committed(1, OTHER),
        prev_log_id: None,
        entries: Vec::new(),
        leader_commit: None,
    };
    let heard = handle.shared.raft.append_entries(leads).await;
    heard.expect("the other voter leads");
    assert_eq!(handle.active(), Some(NodeId(OTHER as i32)));
}

/// An ISR is decided by configs that a broker which lags behind does not go by yet: a leader that
/// made it its own at once would acknowledge by a min.insync.replicas from before.
#[tokio::test]
async fn the_answer_to_an_isr_change_is_dropped_until_the_image_shows_it() {
    for (applied, is_shown) in [(0, true), (1_000, false)] {
        let other = Other {
            response: Some(Response::AlterPartition(Ok(Vec::new()))),
            applied,
            ..Other::default()
        };
        let handle = beside(other).await;
        let_other_lead(&handle).await;
        let answer = handle.submit(AlterPartition::default()).await;
        assert_eq!(answer.is_ok(), is_shown, "decided by {applied}: {answer:?}");
    }
}

/// The same at work, as the active controller.
async fn active_beside(other: Other, more_settings: &str) -> Handle {
    let handle = beside_with(other, &SimDisk::new(7), more_settings).await;
    formation::run(handle.clone(), "127.0.0.1:1".to_owned()).await;
    while handle.image().cluster_id.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    handle
}

fn registration(handle: &Handle) -> RegisterBroker {
    let range = |feature: &Feature| FeatureRangeRecord {
        name: feature.name.to_owned(),
        min: feature.min,
        max: feature.max,
    };
    RegisterBroker {
        node_id: NodeId(7),
        cluster_id: handle.image().cluster_id.to_string(),
        incarnation_id: Uuid([7; 16]),
        storage_id: Uuid([7; 16]),
        clean_shutdown: true,
        listeners: Vec::new(),
        peer: Endpoint {
            name: "CONTROLLER".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 1,
            security_protocol: 0,
        },
        rack: None,
        features: FEATURES.iter().map(range).collect(),
        configs: None,
    }
}

/// The lease by which openraft writes is shorter than the time for which this node may decide.
#[tokio::test]
async fn what_is_decided_while_a_majority_is_heard_late_is_written_once_it_is_heard() {
    let other = Other::default();
    let is_silent = Arc::clone(&other.is_silent);
    let handle = active_beside(other, "broker.session.timeout.ms=600000\n").await;
    let raft = &handle.shared.raft;
    let term = || raft.metrics().borrow_watched().current_term;
    let before = term();
    is_silent.store(true, Ordering::Release);
    let is_late = || {
        let acked = raft.metrics().borrow_watched().last_quorum_acked;
        acked.is_some_and(|acked| acked.elapsed() > handle.shared.settings.election_timeout)
    };
    while !is_late() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let request = Request::RegisterBroker(registration(&handle));
    let asked = tokio::spawn({
        let handle = handle.clone();
        async move { handle.submit_here(request).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    is_silent.store(false, Ordering::Release);
    let outcome = asked.await.expect("it ends");
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    assert_eq!(term(), before);
}

#[tokio::test]
async fn a_request_to_a_controller_that_is_cut_off_has_an_end() {
    let other = Other::default();
    let is_silent = Arc::clone(&other.is_silent);
    let handle = active_beside(other, "").await;
    is_silent.store(true, Ordering::Release);
    // from here on only time passes
    tokio::time::pause();
    let submitted = handle.submit(registration(&handle));
    let ended = tokio::time::timeout(Duration::from_secs(60), submitted).await;
    assert!(
        matches!(ended, Ok(Err(Error::TimedOut))),
        "it may have been carried out: {ended:?}"
    );
}
