//! The metadata machine: requests become records, records become the image.
//!
//! [`Metadata::decide`] reads the image and answers what records a request makes and what it will be answered once they
//! are committed; it changes nothing. [`Metadata::replay`] is the only way the image changes, on every node and in the
//! same order. A request's records are one atomic batch: the log takes all of them in one entry or none.

pub mod image;
pub mod record;
mod replay;
pub mod request;

pub use image::{
    BrokerRegistration, ConfigMap, ConfigResource, Endpoint, MetadataDelta, MetadataImage,
    PartitionRegistration, Topic, TopicDelta,
};
pub use record::Record;
pub use request::{Request, Response};

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
}

/// The metadata machine of one node: the image, and what decisions need besides.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    image: MetadataImage,
    delta: MetadataDelta,
    static_configs: std::sync::Arc<ConfigMap>,
}

impl Metadata {
    /// An empty machine; `static_configs` are this broker's server properties by Kafka's names.
    pub fn new(static_configs: ConfigMap) -> Self {
        Self {
            static_configs: std::sync::Arc::new(static_configs),
            ..Self::default()
        }
    }

    /// The image as of the last record replayed.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// What changed since this was last called.
    pub fn take_delta(&mut self) -> MetadataDelta {
        std::mem::take(&mut self.delta)
    }
}
