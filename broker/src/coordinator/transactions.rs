//! The shards of transactional ids, and who carries out what they order: markers are written, and
//! ids are fetched that it takes to abort.
//!
//! One task has all markers of this broker's shards ([`Markers`] says which go where), so that
//! those of many transactions share a request to each broker.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_core::ask;
use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use ottla_core::transaction::markers::{Batch, Finished, Markers, Site};
use ottla_core::transaction::request::{Complete, Expire};
use ottla_core::transaction::{self, Body, Order, Request, Response, TRANSACTION_TOPIC};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, ProducerId};
use ottla_protocol::messages::transactions::WriteTxnMarkersResponse;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;

use super::internal_topic::{self, InternalTopic};
use super::log::Log;
use super::producer_ids::ProducerIds;
use super::runtime::{self, Runtime};
use crate::brokers::Brokers;
use crate::config;
use crate::controller;
use crate::env::Env;
use crate::threads;

/// The version of WriteTxnMarkers that is spoken: it tells by which rules epochs go.
const MARKERS_VERSION: i16 = 2;

/// How long to wait before a shard is told again what it could not write.
const TELL_RETRY: Duration = Duration::from_millis(50);

/// What transactions are set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Transactional ids.
    pub shard: transaction::Settings,
    /// `__transaction_state`.
    pub topic: internal_topic::Settings,
}

impl From<&config::Settings> for Settings {
    fn from(settings: &config::Settings) -> Self {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let check_interval_ms = ms(settings.transactional_id_expiration_check_interval);
        let voters = settings.controller_quorum_voters.iter();
        let voters = voters.map(|voter| voter.node_id);
        let segment_bytes = settings.transaction_topic_segment_bytes.to_string();
        Self {
            shard: transaction::Settings {
                timeout_max_ms: i32::try_from(ms(settings.transaction_timeout_max))
                    .unwrap_or(i32::MAX),
                id_expiration_ms: ms(settings.transactional_id_expiration),
                id_expiration_check_interval_ms: check_interval_ms.unsigned_abs(),
                two_phase_commit: settings.two_phase_commit,
            },
            topic: internal_topic::Settings {
                name: TRANSACTION_TOPIC,
                partition_count: settings.transaction_topic_num_partitions,
                replication_factor: settings.transaction_topic_replication_factor,
                min_in_sync: Some(settings.transaction_topic_min_in_sync),
                configs: vec![
                    ("cleanup.policy", "compact".to_owned()),
                    ("compression.type", "uncompressed".to_owned()),
                    ("segment.bytes", segment_bytes),
                    ("unclean.leader.election.enable", "false".to_owned()),
                ],
                voters: voters.collect(),
            },
        }
    }
}

/// What a shard of transactional ids can be asked.
pub trait Ask: ask::Ask<Request = Body, Response = Response> + 'static {}

impl<R: ask::Ask<Request = Body, Response = Response> + 'static> Ask for R {}

/// The way to the coordinators of transactions.
pub struct Transactions {
    shards: Arc<Runtime<transaction::Shard>>,
    topic: InternalTopic,
    settings: transaction::Settings,
    controller: controller::Handle,
    producer_ids: Arc<ProducerIds>,
}

impl Transactions {
    /// Coordinators without shards; [`Self::apply`] brings them.
    pub(super) fn start(
        log: Arc<dyn Log>,
        controller: controller::Handle,
        brokers: Brokers,
        settings: Settings,
        commit_timeout: Duration,
        env: Env,
    ) -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        let shards = runtime::Settings {
            shard: settings.shard.clone(),
            commit_timeout,
            carry_out: Box::new(move |partition, leader_epoch, order| {
                let site = Site {
                    partition,
                    leader_epoch,
                };
                // the task ends with the shards
                let _ = sender.send((site, order));
            }),
        };
        let shards = Arc::new(Runtime::new(log, controller.clone(), shards, env.clone()));
        let producer_ids = Arc::<ProducerIds>::default();
        let carrier = Carrier {
            shards: Arc::downgrade(&shards),
            controller: controller.clone(),
            brokers,
            producer_ids: Arc::clone(&producer_ids),
            env,
            markers: Markers::default(),
            tasks: JoinSet::new(),
        };
        threads::spawn(carrier.run(orders));
        Self {
            shards,
            topic: InternalTopic::new(settings.topic, controller.clone()),
            settings: settings.shard,
            controller,
            producer_ids,
        }
    }

    pub(super) fn apply(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        self.shards.apply(image, delta);
    }

    /// What they are set to.
    #[must_use]
    pub fn settings(&self) -> &transaction::Settings {
        &self.settings
    }

    /// A producer id that nobody has.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while none is to be had.
    pub async fn producer_id(&self) -> Result<ProducerId, ErrorCode> {
        self.producer_ids.next(&self.controller).await
    }

    /// Asks the shard of a transactional id. The request is on its way when this returns; the
    /// future waits for the answer.
    ///
    /// # Errors
    /// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE: the client looks
    /// for the coordinator again, or tries again.
    pub fn request<R: Ask>(
        &self,
        transactional_id: &str,
        version: i16,
        body: R,
    ) -> impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R> {
        ask(&self.shards, transactional_id, version, body)
    }

    /// Asks every shard of this broker.
    pub fn request_all<R: Ask + Clone>(
        &self,
        version: i16,
        body: &R,
    ) -> Vec<impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R>> {
        let request = || Request {
            version,
            body: body.clone().into_request(),
        };
        let sent = self.shards.request_all(request).into_iter();
        sent.map(runtime::answer::<transaction::Shard, R>).collect()
    }

    /// The broker that coordinates a transactional id, creating `__transaction_state` when it is
    /// first needed.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is none.
    pub async fn find(&self, transactional_id: &str) -> Result<NodeId, ErrorCode> {
        self.topic.coordinator(transactional_id).await
    }
}

fn ask<R: Ask>(
    shards: &Runtime<transaction::Shard>,
    transactional_id: &str,
    version: i16,
    body: R,
) -> impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R> {
    let body = body.into_request();
    let sent = shards.request(transactional_id, Request { version, body });
    runtime::answer::<transaction::Shard, R>(sent)
}

/// What a task of the carrier comes to.
enum Done {
    /// A broker has answered, or not.
    Answered(Batch, Option<WriteTxnMarkersResponse>),
    /// What a shard says to it that a transaction's markers are written.
    Told(Finished, Result<bool, ErrorCode>),
    /// A transaction is aborted, or will be tried again by its shard.
    Expired,
}

/// Carries out what the shards order.
struct Carrier {
    shards: Weak<Runtime<transaction::Shard>>,
    controller: controller::Handle,
    brokers: Brokers,
    producer_ids: Arc<ProducerIds>,
    env: Env,
    markers: Markers,
    tasks: JoinSet<Done>,
}

impl Carrier {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<(Site, Order)>) {
        let mut images = self.controller.subscribe();
        loop {
            self.send_out();
            let deadline = self.markers.next_deadline_ms().map(|at_ms| {
                let left_ms = at_ms.saturating_sub(self.now_ms());
                tokio::time::Instant::now() + Duration::from_millis(left_ms)
            });
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some((site, order)) = order else { return };
                    self.take(site, order);
                    while let Ok((site, order)) = orders.try_recv() {
                        self.take(site, order);
                    }
                }
                Some(done) = self.tasks.join_next() => self.done(done),
                changed = images.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let image = Arc::clone(&images.borrow_and_update());
                    self.markers.on_image(self.now_ms(), &image, self.controller.node_id());
                }
                () = sleep_until(deadline) => {
                    let image = self.controller.image();
                    self.markers.on_time(self.now_ms(), &image);
                }
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.env.now_ms()).unwrap_or(0)
    }

    fn take(&mut self, site: Site, order: Order) {
        match order {
            Order::Write(ending) => {
                let image = self.controller.image();
                self.markers.order(self.now_ms(), &image, site, ending);
            }
            Order::Expire {
                transactional_id,
                producer,
            } => {
                let (shards, controller) = (self.shards.clone(), self.controller.clone());
                let producer_ids = Arc::clone(&self.producer_ids);
                self.tasks.spawn(threads::served(async move {
                    // without an id, the shard comes again
                    if let Ok(fresh) = producer_ids.next(&controller).await
                        && let Some(shards) = shards.upgrade()
                    {
                        let id = Arc::clone(&transactional_id);
                        let body = Expire {
                            transactional_id,
                            producer,
                            fresh,
                        };
                        let _ = ask(&shards, &id, 0, body).await;
                    }
                    Done::Expired
                }));
            }
        }
    }

    fn send_out(&mut self) {
        while let Some(batch) = self.markers.next_batch() {
            let (brokers, controller) = (self.brokers.clone(), self.controller.clone());
            self.tasks.spawn(threads::served(async move {
                let answer = write(&brokers, &controller, &batch).await;
                Done::Answered(batch, answer)
            }));
        }
        while let Some(finished) = self.markers.next_finished() {
            let shards = self.shards.clone();
            self.tasks.spawn(threads::served(async move {
                let told = tell(&shards, &finished).await;
                Done::Told(finished, told)
            }));
        }
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Answered(batch, answer)) => {
                self.markers
                    .on_answer(self.now_ms(), batch, answer.as_ref());
            }
            Ok(Done::Told(finished, told)) => {
                let (image, me) = (self.controller.image(), self.controller.node_id());
                self.markers.on_told(&image, me, finished, told);
            }
            // nobody aborts them, and a panic ends the process
            Ok(Done::Expired) | Err(_) => {}
        }
    }
}

/// Sends markers; no answer where the broker is not there, or is found to be gone meanwhile.
async fn write(
    brokers: &Brokers,
    controller: &controller::Handle,
    batch: &Batch,
) -> Option<WriteTxnMarkersResponse> {
    let mut images = controller.subscribe();
    let gone = images.wait_for(|image| !image.is_unfenced(batch.node));
    tokio::select! {
        answer = brokers.call(batch.node, &batch.request, MARKERS_VERSION) => match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                debug!(broker = %batch.node, %error, "markers were not written");
                None
            }
        },
        _ = gone => None,
    }
}

/// Tells a shard that all markers are written; waits a little where it could not take that.
async fn tell(
    shards: &Weak<Runtime<transaction::Shard>>,
    finished: &Finished,
) -> Result<bool, ErrorCode> {
    let Some(shards) = shards.upgrade() else {
        return Err(ErrorCode::NotCoordinator);
    };
    let body = Complete {
        transactional_id: Arc::clone(&finished.transactional_id),
        producer: finished.producer,
        prepared_ms: finished.prepared_ms,
    };
    let told = ask(&shards, &finished.transactional_id, 0, body);
    drop(shards);
    let told = told.await;
    if told.is_err() {
        tokio::time::sleep(TELL_RETRY).await;
    }
    told
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
