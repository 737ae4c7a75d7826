//! What a node tells of itself when it starts.

use ottla_protocol::codec::Kafka;
use ottla_protocol::ids::{NodeId, Uuid};

use crate::image::Endpoint;
use crate::image::record::{ControllerRecord, FeatureRangeRecord, FileConfigRecord};

/// See [`super::Request::RegisterBroker`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RegisterBroker {
    /// The broker's id.
    pub node_id: NodeId,
    /// Which cluster the broker believes to belong to.
    pub cluster_id: String,
    /// Drawn anew by each process.
    pub incarnation_id: Uuid,
    /// The identity of its data directory, drawn when that was made.
    pub storage_id: Uuid,
    /// Whether its last incarnation ended in order, so that also unsynced records are there.
    pub clean_shutdown: bool,
    /// Where clients reach it.
    pub listeners: Vec<Endpoint>,
    /// Where brokers reach it.
    pub peer: Endpoint,
    /// Its failure domain.
    #[kafka(nullable = "0+", default = null)]
    pub rack: Option<String>,
    /// Feature levels that its binary supports.
    pub features: Vec<FeatureRangeRecord>,
    /// What its file sets of the configs that all brokers must agree on; null if it did not tell.
    #[kafka(versions = "0+", nullable = "0+", default = null, tag = 0)]
    pub configs: Option<Vec<FileConfigRecord>>,
}

/// See [`super::Request::RegisterController`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RegisterController {
    /// Which cluster the controller believes to belong to.
    pub cluster_id: String,
    /// The controller.
    pub controller: ControllerRecord,
}
