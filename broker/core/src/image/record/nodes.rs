//! What nodes tell of their binaries, and the records of controllers that are no brokers.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::codec::Kafka;
use ottla_protocol::ids::{NodeId, Uuid};

use crate::image::{ControllerRegistration, Endpoint};

/// What levels of a feature a binary supports.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct FeatureRangeRecord {
    /// The feature's name.
    pub name: String,
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

impl FeatureRangeRecord {
    /// The levels that such records tell, by feature.
    pub fn levels(records: &[Self]) -> BTreeMap<String, (i16, i16)> {
        let level = |f: &Self| (f.name.clone(), (f.min, f.max));
        records.iter().map(level).collect()
    }

    /// The records that tell these levels.
    pub fn all(levels: &BTreeMap<String, (i16, i16)>) -> Vec<Self> {
        let record = |(name, (min, max)): (&String, &(i16, i16))| Self {
            name: name.clone(),
            min: *min,
            max: *max,
        };
        levels.iter().map(record).collect()
    }
}

/// See [`super::Record::Controller`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ControllerRecord {
    /// The controller's id.
    pub node_id: i32,
    /// The data directory's id.
    pub storage_id: Uuid,
    /// Where peers and clients of controllers reach it.
    pub peer: Endpoint,
    /// Feature levels that its binary supports.
    pub features: Vec<FeatureRangeRecord>,
}

impl ControllerRecord {
    /// The record that states a registration.
    pub fn of(controller: &ControllerRegistration) -> Self {
        Self {
            node_id: controller.node_id.0,
            storage_id: controller.storage_id,
            peer: controller.peer.clone(),
            features: FeatureRangeRecord::all(&controller.features),
        }
    }

    /// The registration that this record states.
    pub fn registration(&self) -> Arc<ControllerRegistration> {
        Arc::new(ControllerRegistration {
            node_id: NodeId(self.node_id),
            storage_id: self.storage_id,
            peer: self.peer.clone(),
            features: FeatureRangeRecord::levels(&self.features),
        })
    }
}

/// See [`super::Record::RemoveController`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveControllerRecord {
    /// The controller's id.
    pub node_id: i32,
}
