//! What no group would take of a heartbeat.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_groups::ConsumerGroupHeartbeatRequest;

use super::ASSIGNORS;
use super::state::AWAY_EPOCH;
use super::wire::Refusal;

/// The first version in which clients make their members' ids.
const OWN_MEMBER_ID_VERSION: i16 = 1;

/// How many topics a member may name.
const TOPICS_MAX: usize = 10_000;

/// Whether the request makes sense by itself.
pub fn check(body: &ConsumerGroupHeartbeatRequest, version: i16) -> Result<(), Refusal> {
    let wrong = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let is_empty = |text: &Option<String>| text.as_deref() == Some("");
    let epoch = body.member_epoch;
    if body.member_id.is_empty() && (version >= OWN_MEMBER_ID_VERSION || epoch != 0) {
        return wrong("MemberId can't be empty.");
    }
    if body.group_id.trim().is_empty() {
        return wrong("GroupId can't be empty.");
    }
    if is_empty(&body.instance_id) {
        return wrong("InstanceId can't be empty.");
    }
    if is_empty(&body.rack_id) {
        return wrong("RackId can't be empty.");
    }
    if epoch < AWAY_EPOCH {
        return wrong("MemberEpoch is invalid: it is one that was told, 0, -1 or -2.");
    }
    if epoch == AWAY_EPOCH && body.instance_id.is_none() {
        return wrong("InstanceId can't be null where a member leaves for a while.");
    }
    if epoch == 0 {
        if body.rebalance_timeout_ms < 0 {
            return wrong("RebalanceTimeoutMs must be provided in first request.");
        }
        let owned = body.topic_partitions.as_ref();
        if owned.is_none_or(|owned| !owned.is_empty()) {
            return wrong("TopicPartitions must be empty when (re-)joining.");
        }
        // empty ones are taken: the member subscribes to nothing yet
        if body.subscribed_topic_names.is_none() && body.subscribed_topic_regex.is_none() {
            return wrong("SubscribedTopicNames or SubscribedTopicRegex must be given.");
        }
    }
    let names = body.subscribed_topic_names.as_ref().map_or(0, Vec::len);
    if names > TOPICS_MAX {
        return wrong(&format!(
            "SubscribedTopicNames has {names} names, {TOPICS_MAX} at most."
        ));
    }
    if let Some(name) = &body.server_assignor
        && !ASSIGNORS.contains(&name.as_str())
    {
        let known = ASSIGNORS.join(", ");
        let message = format!("ServerAssignor {name} is none of {known}.");
        return Err(Refusal::new(ErrorCode::UnsupportedAssignor, message));
    }
    Ok(())
}
