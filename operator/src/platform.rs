//! Where brokers run: the seam between one reconcile and two platforms.
//!
//! A platform lays out where brokers live ([`Endpoints`]), keeps them running with the settings it
//! is given, and says how they are. It decides nothing: which broker is restarted when is not its
//! choice.
//!
//! Invariant: nothing here knows what a KafkaCluster is.

use std::collections::BTreeMap;

/// Settings by Kafka's names, as a file holds them.
pub type Properties = BTreeMap<String, String>;

/// One listener for clients, as a platform lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEndpoint {
    /// The listener's name in the spec.
    pub name: String,
    /// `host:port` to listen on.
    pub bind: String,
    /// `host:port` that clients are told.
    pub advertised: String,
}

/// Where one broker lives, as its platform lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For clients, in the order of the spec.
    pub clients: Vec<ClientEndpoint>,
    /// `host:port` for peers to listen on.
    pub peer_bind: String,
    /// `host:port` that peers connect to.
    pub peer_advertised: String,
    /// `host:port` of `/metrics`, `/livez` and `/readyz`.
    pub http_bind: String,
    /// The data directory.
    pub log_dir: String,
    /// The zone the broker stands in.
    pub rack: Option<String>,
}
