//! What an operator sets about groups, under Kafka's names.

use std::sync::Arc;

use super::GroupId;
use crate::config::ConfigMap;
use crate::image::{ConfigResource, MetadataImage};
use crate::metadata::features::GROUP_VERSION;

/// The settings of groups and their offsets.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`; Kafka's default is no limit, ours is one.
    pub group_size_max: usize,
    /// `group.consumer.max.size`
    pub consumer_group_size_max: usize,
    /// Whether `group.coordinator.rebalance.protocols` has `consumer`.
    pub serves_consumers: bool,
    /// `group.consumer.migration.policy`
    pub migration: Migration,
    /// All that the broker's file sets, for what a group may have of its own.
    pub statics: Arc<ConfigMap>,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            group_size_max: 5_000,
            consumer_group_size_max: 5_000,
            serves_consumers: true,
            migration: Migration::default(),
            statics: Arc::default(),
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 600_000,
        }
    }
}

/// Which way a group with members may go between the two protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Migration {
    /// From the classic protocol to the consumer protocol, and back.
    #[default]
    Bidirectional,
    /// To the consumer protocol.
    Upgrade,
    /// Back to the classic one.
    Downgrade,
    /// Neither: members of both are never in a group at once.
    Disabled,
}

impl Migration {
    /// By Kafka's word for it.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            "disabled" => Self::Disabled,
            _ => Self::Bidirectional,
        }
    }

    pub(super) fn is_enabled(self) -> bool {
        self != Self::Disabled
    }

    pub(super) fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(super) fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// How members of a group with the consumer protocol keep in touch.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConsumerTimes {
    /// `consumer.session.timeout.ms`
    pub(super) session_timeout_ms: i32,
    /// `consumer.heartbeat.interval.ms`
    pub(super) heartbeat_interval_ms: i32,
    /// `consumer.assignment.interval.ms`
    pub(super) assignment_interval_ms: i32,
}

impl Settings {
    /// Whether groups of the consumer protocol are served in this cluster.
    #[must_use]
    pub fn serves_consumers(&self, image: &MetadataImage) -> bool {
        self.serves_consumers && image.feature(GROUP_VERSION) >= 1
    }

    /// Those of one group.
    pub(super) fn consumer_times(&self, image: &MetadataImage, id: &GroupId) -> ConsumerTimes {
        let own = image.configs_of(&ConfigResource::Group(id.to_string()));
        let layers = image.layers(None, &self.statics).with(own.map(Arc::as_ref));
        let number = |name| i32::try_from(layers.number(name)).unwrap_or(i32::MAX);
        ConsumerTimes {
            session_timeout_ms: number("consumer.session.timeout.ms"),
            heartbeat_interval_ms: number("consumer.heartbeat.interval.ms"),
            assignment_interval_ms: number("consumer.assignment.interval.ms"),
        }
    }
}
