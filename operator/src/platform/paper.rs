//! What the tests' platforms share, whose brokers are not there.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClientEndpoint, Endpoints, Listener};
use crate::validated::FIRST_CONTROLLER;

/// Where nodes that are not there would listen; clients are sent to `advertised`.
pub fn lay_out(
    nodes: &BTreeSet<i32>,
    listeners: &[Listener],
    advertised: &str,
) -> BTreeMap<i32, Endpoints> {
    let client = |listener: &Listener| ClientEndpoint {
        name: listener.name.clone(),
        bind: format!("127.0.0.1:{}", listener.port),
        advertised: advertised.to_owned(),
    };
    let of_broker = |node: i32| listeners.iter().filter(move |_| node < FIRST_CONTROLLER);
    let endpoints = |broker: i32| Endpoints {
        clients: of_broker(broker).map(client).collect(),
        peer_bind: format!("127.0.0.1:{}", 9100 + broker),
        peer_advertised: format!("127.0.0.1:{}", 9100 + broker),
        http_bind: "127.0.0.1:9404".to_owned(),
        log_dir: "/data".into(),
        certificates: "/certificates".into(),
        rack: None,
    };
    nodes.iter().map(|id| (*id, endpoints(*id))).collect()
}
