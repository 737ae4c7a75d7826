//! The metadata machine: requests become records, records become the image.
//!
//! [`Metadata::decide`] reads the image and answers what records a request makes and what it will
//! be answered once they are committed; it changes nothing. [`Metadata::replay`] is the only way
//! the image changes, on every node and in the same order. A request's records are one atomic
//! batch: the log takes all of them in one entry or none.

mod acls;
mod brokers;
pub mod client_quotas;
mod configs;
mod controllers;
pub mod delegation_tokens;
mod elections;
pub mod features;
pub mod hand_over;
mod in_sync;
mod lost_replicas;
pub mod metered;
pub mod names;
mod partitions;
mod producer_ids;
pub mod reassignments;
pub mod request;
mod scram_credentials;
#[cfg(test)]
pub(crate) mod tests;
pub mod topics;

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_protocol::ids::NodeId;
pub use request::{Refusal, Request, Response};

use crate::config::ConfigMap;
use crate::image::delta::MetadataDelta;
use crate::image::record::Record;
use crate::image::{MetadataImage, Topic};
use elections::Rules;
use features::ELIGIBLE_LEADER_REPLICAS_VERSION;
use metered::Purse;

/// What a request comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What becomes so, in this order and all at once; empty where nothing changes.
    pub records: Vec<Record>,
    /// What is answered once the records are committed.
    pub response: Response,
}

/// The circumstances of a decision: time and chance are arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Drawn anew for each decision; topic ids and placement come from it.
    pub seed: u64,
    /// What the client that asks may spend; none where nobody bounds it.
    pub purse: Option<Purse>,
}

/// The metadata machine of one node: the image, and what decisions need besides.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    image: MetadataImage,
    delta: MetadataDelta,
    static_configs: Arc<ConfigMap>,
    /// See [`Self::set_unaware`].
    unaware: BTreeSet<NodeId>,
    /// See [`Self::set_full`].
    full: FullDisks,
}

/// Brokers whose disks have no room for records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FullDisks {
    /// All of them.
    pub brokers: BTreeSet<NodeId>,
    /// Those that were asked to hand over and came to nothing with it, and whose leases have run
    /// out since: another may lead, and none of them serves what it has seen of the past.
    pub without_lease: BTreeSet<NodeId>,
}

impl Metadata {
    /// An empty machine; `static_configs` is what this broker's file sets.
    pub fn new(static_configs: ConfigMap) -> Self {
        Self {
            static_configs: Arc::new(static_configs),
            ..Self::default()
        }
    }

    /// The image as of the last record replayed.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Which brokers may not have heard yet that another leads what they led, by their beats; whom
    /// records replace that are replayed from now on are added.
    pub fn set_unaware(&mut self, unaware: BTreeSet<NodeId>) {
        self.unaware = unaware;
    }

    /// Which brokers have no room for records, by their beats: they lead what nobody else can.
    pub fn set_full(&mut self, full: FullDisks) {
        self.full = full;
    }

    /// Makes one committed record part of the image.
    pub fn replay(&mut self, record: &Record) {
        self.unaware.extend(record.replaced_leader(&self.image));
        self.image.replay(record, &mut self.delta);
    }

    /// Replaces the image by what the records of a snapshot say; the delta then names all that
    /// differs.
    pub fn install<'a>(&mut self, snapshot: impl IntoIterator<Item = &'a Record>) {
        let mut fresh = MetadataImage::default();
        let mut ignored = MetadataDelta::default();
        for record in snapshot {
            fresh.replay(record, &mut ignored);
        }
        self.delta
            .merge(MetadataDelta::between(&self.image, &fresh));
        self.image = fresh;
    }

    /// What changed since this was last called.
    pub fn take_delta(&mut self) -> MetadataDelta {
        std::mem::take(&mut self.delta)
    }

    /// What a request comes to at this moment, by the image as it is.
    pub fn decide(&self, moment: Moment, request: &Request) -> Decision {
        match request {
            Request::FormatCluster(r) => self.format_cluster(r),
            Request::RegisterBroker(r) => self.register_broker(r),
            Request::BrokerHeartbeat(r) => self.broker_heartbeat(r),
            Request::FenceBroker(r) => self.fence_broker(*r),
            Request::AlterPartition(r) => self.alter_partition(r),
            Request::AllocateProducerIds(r) => self.allocate_producer_ids(*r),
            Request::RebalanceLeaders(r) => self.rebalance_leaders(*r),
            Request::HandOver(r) => self.hand_over(r),
            Request::CreateTopics(r) => self.create_topics(moment, r),
            Request::DeleteTopics(r) => self.delete_topics(moment, r),
            Request::CreatePartitions(r) => self.create_partitions(moment, r),
            Request::AlterConfigs(r) => self.alter_configs(r),
            Request::IncrementalAlterConfigs(r) => self.incremental_alter_configs(r),
            Request::ElectLeaders(r) => self.elect_leaders(r),
            Request::AlterPartitionReassignments(r) => self.alter_partition_reassignments(r),
            Request::UnregisterBroker(r) => self.unregister_broker(r),
            Request::UpdateFeatures(r) => self.update_features(r),
            Request::CreateAcls(r) => self.create_acls(r),
            Request::DeleteAcls(r) => self.delete_acls(r),
            Request::AlterUserScramCredentials(r) => self.alter_user_scram_credentials(r),
            Request::AlterClientQuotas(r) => self.alter_client_quotas(r),
            Request::Metered(r) => self.metered(moment, r),
            Request::LoseReplicas(r) => self.lose_replicas(r),
            Request::CreateDelegationToken(r) => self.create_delegation_token(moment, r),
            Request::RenewDelegationToken(r) => self.renew_delegation_token(moment, r),
            Request::ExpireDelegationToken(r) => self.expire_delegation_token(moment, r),
            Request::RemoveExpiredTokens(_) => self.remove_expired_tokens(moment),
            Request::RegisterController(r) => self.register_controller(r),
        }
    }

    /// What the topic's configs say about elections, as the controller sees them.
    fn rules(&self, topic: &Topic) -> Rules<'_> {
        let layers = self
            .image
            .topic_layers(None, &self.static_configs, &topic.name);
        Rules {
            min_insync_replicas: layers.min_insync_replicas(topic.replication_factor()),
            min_insync_replicas_after: layers
                .min_insync_replicas(topic.target_replication_factor()),
            allows_unclean: layers.get("unclean.leader.election.enable").flag(),
            keeps_eligible: self.keeps_eligible(),
            durability: layers.durability(),
            unaware: &self.unaware,
            full: &self.full,
        }
    }

    /// Whether who is not in sync may be eligible.
    fn keeps_eligible(&self) -> bool {
        self.image.feature(ELIGIBLE_LEADER_REPLICAS_VERSION) > 0
    }
}

impl Decision {
    /// Nothing changes, and that is well.
    fn unchanged(response: Response) -> Self {
        let records = Vec::new();
        Self { records, response }
    }

    /// Nothing changes, because the request is refused.
    fn refused(response: Response) -> Self {
        Self::unchanged(response)
    }
}
