//! The APIs of Kafka: the table of what is served, and the dispatch.
//!
//! To add one: write `pub async fn handle(context: &Context, request: &RequestContext, body:
//! XRequest) -> XResponse` in the file of its family and add a line to the table below. What stands
//! in the table is advertised, in the range of versions that the request struct names.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Settings;
use crate::controller;
use crate::coordinator;
use crate::env::Env;
use crate::metrics::Metrics;
use crate::replica::Replicas;

/// What a handler works with. Cheap to clone: everything inside is shared.
#[derive(Clone)]
pub struct Context {
    /// The settings this broker runs with.
    pub settings: Arc<Settings>,
    /// The metadata image, and the way to the active controller.
    pub controller: controller::Handle,
    /// The partitions this broker holds.
    pub replicas: Replicas,
    /// Consumer groups and their offsets.
    pub coordinator: coordinator::Handle,
    /// What this broker counts.
    pub metrics: Arc<Metrics>,
    /// Clock and randomness.
    pub env: Env,
}

/// Who asks, and how: one a request.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The version of the API.
    pub api_version: i16,
    /// What the client calls itself.
    pub client_id: Option<Arc<str>>,
    /// Where the client connects from.
    pub client_host: IpAddr,
    /// The name of the listener it came through, in capitals.
    pub listener: Arc<str>,
    /// A number for the connection, unique while the broker runs.
    pub connection_id: u64,
}
