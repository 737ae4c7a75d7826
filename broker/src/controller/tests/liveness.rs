//! One voter in this process: what it makes of brokers that beat, fall silent or seem to be gone.

#![allow(clippy::disallowed_methods, reason = "tests go by the real clock")]

use std::sync::mpsc;

use ottla_core::image::{Endpoint, MetadataImage};
use ottla_core::metadata::request::{FenceBroker, RegisterBroker};
use ottla_core::metadata::{Metadata, Request, Response};
use ottla_protocol::ids::{BrokerEpoch, NodeId, Uuid};
use ottla_storage::RealDisk;
use tokio::sync::oneshot;

use super::*;
use crate::controller::active::{Message, Outcome};
use crate::controller::{Publisher, lifecycle};
use crate::peer::wire;
use crate::stream::Network;

const NODE: NodeId = NodeId(1);

/// How long a change that has to come may take on a busy machine.
const LONG: Duration = Duration::from_secs(60);

pub(super) struct Voter {
    pub(super) handle: Handle,
    pub(super) publisher: Option<Publisher>,
    dir: tempfile::TempDir,
}

impl Voter {
    /// The only voter, at work.
    pub(super) async fn start() -> Self {
        Self::start_with(0, "0@127.0.0.1:9", defaults::SNAPSHOT_ENTRIES).await
    }

    pub(super) async fn start_with(node: u32, voters: &str, snapshot_entries: u64) -> Self {
        let mut voter = Self::begin(node, voters, snapshot_entries).await;
        formation::run(voter.handle.clone(), "127.0.0.1:9".to_owned()).await;
        voter.until(|image| !image.cluster_id.is_empty()).await;
        voter
    }

    /// A node that is part of nothing yet.
    pub(super) async fn begin(node: u32, voters: &str, snapshot_entries: u64) -> Self {
        Self::begin_in(tempfile::tempdir().unwrap(), node, voters, snapshot_entries).await
    }

    /// The same, with what is in that folder.
    async fn begin_in(
        dir: tempfile::TempDir,
        node: u32,
        voters: &str,
        snapshot_entries: u64,
    ) -> Self {
        let text = format!(
            "node.id={node}\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:9\n\
             controller.quorum.voters={voters}\nbroker.session.timeout.ms=1500\nlog.dirs={}\n",
            dir.path().display()
        );
        let components = Components {
            settings: Arc::new(Settings::from_properties("test", &text).unwrap()),
            env: Env::real(),
            peers: Peers::new(Network::Tcp),
            identity: Identity::default(),
            disk: Arc::new(RealDisk),
            inline: true,
            snapshot_entries,
            metadata: Metadata::default(),
        };
        let (handle, publisher) = start(components).await.unwrap();
        Self {
            handle,
            publisher: Some(publisher),
            dir,
        }
    }

    /// Ends, and begins once more with what is on its disk.
    pub(super) async fn start_again(self, voters: &str) -> Self {
        let raft = &self.handle.shared.raft;
        raft.shutdown().await.expect("it ends");
        let node = self.handle.node_id().0.unsigned_abs();
        Self::begin_in(self.dir, node, voters, defaults::SNAPSHOT_ENTRIES).await
    }

    /// Applies what is published until `holds`.
    pub(super) async fn until(&mut self, holds: impl Fn(&MetadataImage) -> bool) {
        let publisher = self.publisher.as_mut().unwrap();
        let wait = async {
            while !holds(&self.handle.image()) {
                let published = publisher.next().await.unwrap();
                publisher.done(published);
            }
        };
        tokio::time::timeout(LONG, wait).await.expect("it comes");
    }

    pub(super) async fn submit(&self, request: Request) -> Response {
        let Outcome::Done { response, .. } = self.handle.submit_here(request).await else {
            panic!("the only voter is active");
        };
        response
    }

    /// A new process of the broker, whose peers' port is `port`; it has beaten once.
    pub(super) async fn broker(&mut self, incarnation: u8, port: u16) -> BrokerEpoch {
        let request = RegisterBroker {
            node_id: NODE,
            cluster_id: self.handle.image().cluster_id.to_string(),
            incarnation_id: Uuid([incarnation; 16]),
            storage_id: Uuid([9; 16]),
            clean_shutdown: false,
            listeners: Vec::new(),
            peer: Endpoint {
                name: "CONTROLLER".to_owned(),
                host: "127.0.0.1".to_owned(),
                port,
                security_protocol: 0,
            },
            rack: None,
            features: lifecycle::features(),
            configs: None,
        };
        let response = self.submit(Request::RegisterBroker(request)).await;
        let Response::RegisterBroker(Ok(epoch)) = response else {
            panic!("{response:?}");
        };
        assert!(!self.beat(epoch, true).await.is_fenced);
        self.until(|image| {
            image
                .broker(NODE)
                .is_some_and(|b| !b.fenced && b.broker_epoch == epoch)
        })
        .await;
        epoch
    }

    pub(super) async fn beat(&self, epoch: BrokerEpoch, ready: bool) -> wire::Standing {
        self.beat_at(epoch, ready, None).await
    }

    /// A beat of a broker that acts by the metadata up to that entry.
    async fn beat_at(
        &self,
        epoch: BrokerEpoch,
        ready: bool,
        applied: Option<u64>,
    ) -> wire::Standing {
        let (reply, standing) = oneshot::channel();
        let beat = wire::Beat {
            node_id: NODE.0 as u64,
            broker_epoch: epoch.0,
            number: 1,
            ready,
            want_shut_down: false,
            applied,
            disk_full: false,
        };
        let message = Message::Beat { beat, reply };
        self.handle.shared.messages.send(message).await.unwrap();
        standing.await.unwrap()
    }
}

#[tokio::test]
async fn a_late_fencing_of_an_old_process_leaves_the_new_one_its_lease() {
    let mut voter = Voter::start().await;
    let old = voter.broker(1, 9).await;
    voter.broker(2, 9).await;
    let late = FenceBroker {
        node_id: NODE,
        broker_epoch: old,
    };
    voter.submit(Request::FenceBroker(late)).await;
    // it dies without a further beat, and its lease has to run out
    voter
        .until(|image| image.broker(NODE).is_some_and(|broker| broker.fenced))
        .await;
}

#[tokio::test]
async fn a_fenced_broker_is_back_once_it_has_seen_that_it_was_fenced() {
    let mut voter = Voter::start().await;
    let epoch = voter.broker(1, 9).await;
    voter
        .until(|image| image.broker(NODE).is_some_and(|broker| !broker.fenced))
        .await;
    let before = voter.handle.applied();
    let fence = FenceBroker {
        node_id: NODE,
        broker_epoch: epoch,
    };
    voter.submit(Request::FenceBroker(fence)).await;
    voter
        .until(|image| image.broker(NODE).is_some_and(|broker| broker.fenced))
        .await;
    let standing = voter.beat_at(epoch, true, Some(before)).await;
    assert!(standing.is_fenced, "it leads on by what was");
    assert_eq!(standing.lease_ms, 0);
    let standing = voter
        .beat_at(epoch, true, Some(voter.handle.applied()))
        .await;
    assert!(!standing.is_fenced);
    assert_eq!(standing.lease_ms, 1500);
}

#[tokio::test]
async fn a_refused_connection_alone_fences_nobody() {
    let mut voter = Voter::start().await;
    // nobody listens there: a firewall that rejects, or a Service without endpoints
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let epoch = voter.broker(1, port).await;
    let message = Message::Suspect { node_id: NODE };
    voter.handle.shared.messages.send(message).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        // not ready: once fenced it would stay so
        assert!(!voter.beat(epoch, false).await.is_fenced, "it beats");
    }
}

/// The controller's task stood for longer than a session may, and much came meanwhile: a broker
/// whose beat is behind all of that has beaten in time.
#[tokio::test]
async fn nobody_is_silent_whose_beat_waits_behind_others_requests() {
    let mut voter = Voter::start().await;
    let epoch = voter.broker(1, 9).await;
    assert!(!voter.beat(epoch, true).await.is_fenced);
    std::thread::sleep(Duration::from_millis(1600)); // this thread runs the task, too
    let mut answers = Vec::new();
    for _ in 0..300 {
        let (reply, answer) = oneshot::channel();
        let request = Request::FenceBroker(FenceBroker {
            node_id: NodeId(99),
            broker_epoch: BrokerEpoch(1),
        });
        let message = Message::Submit { request, reply };
        voter.handle.shared.messages.try_send(message).unwrap();
        answers.push(answer);
    }
    // not ready: once fenced it would stay so
    assert!(!voter.beat(epoch, false).await.is_fenced);
}

/// What waits for news must not run in circles when no more can come.
#[test]
fn an_answer_waits_for_a_failover_asleep_while_the_node_stops() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let spent = runtime.block_on(async {
            let mut voter = Voter::start().await;
            voter.broker(1, 9).await;
            voter.handle.suspect(NODE);
            drop(voter.publisher.take()); // the node stops
            let polls = std::cell::Cell::new(0);
            voter
                .handle
                .settled(|_, _| {
                    polls.set(polls.get() + 1);
                    true
                })
                .await;
            polls.get()
        });
        let _ = done.send(spent);
    });
    let looks = is_done.recv_timeout(LONG).expect("it ends");
    assert!(looks < 5, "it looked {looks} times");
}
