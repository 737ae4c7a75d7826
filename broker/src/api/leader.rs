//! What Produce and Fetch say alike: how a request names a topic (KIP-516), and where the leaders
//! are that the answer names (KIP-951).

use std::collections::BTreeSet;

use ottla_core::image::BrokerRegistration;
use ottla_protocol::ids::{NodeId, TopicId, TopicName, Uuid};

use super::{Context, RequestContext};
use crate::replica::TopicKey;

/// The first version of Produce and of Fetch that names topics by id.
const TOPIC_IDS_VERSION_MIN: i16 = 13;

/// The topic, as this version of the request names it.
pub(super) fn topic_key(version: i16, name: &str, id: Uuid) -> TopicKey {
    match version >= TOPIC_IDS_VERSION_MIN {
        true => TopicKey::Id(TopicId(id)),
        false => TopicKey::Name(TopicName::from(name)),
    }
}

/// Where clients of the request's listener reach `leaders`; `endpoint` gets a broker's id, host,
/// port and rack.
pub(super) fn endpoints<E>(
    context: &Context,
    request: &RequestContext,
    leaders: BTreeSet<NodeId>,
    endpoint: impl Fn(i32, String, i32, Option<String>) -> E,
) -> Vec<E> {
    if leaders.is_empty() {
        return Vec::new();
    }
    let image = context.controller.image();
    let of = |broker: &BrokerRegistration| {
        let listener = broker.listener(&request.listener)?;
        let rack = broker.rack.as_deref().map(str::to_owned);
        let port = i32::from(listener.port);
        Some(endpoint(
            broker.node_id.0,
            listener.host.clone(),
            port,
            rack,
        ))
    };
    let brokers = leaders.into_iter().filter_map(|node| image.broker(node));
    brokers.filter_map(|broker| of(broker)).collect()
}
