//! FindCoordinator: which broker coordinates a group.

use ottla_core::acl::Operation;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::super::{Context, RequestContext};
use crate::authorizer::sentence;

/// The first version that asks for several keys.
const BATCH_VERSION: i16 = 4;

/// Kafka's number for "the key is a group id".
const KEY_TYPE_GROUP: i8 = 0;

/// Kafka's number for "the key is a transactional id"; before version 1 there is none.
const KEY_TYPE_TRANSACTION: i8 = 1;

/// Answers a FindCoordinator.
pub async fn find_coordinator(
    context: &Context,
    request: &RequestContext,
    body: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if request.api_version >= BATCH_VERSION {
        let mut coordinators = Vec::with_capacity(body.coordinator_keys.len());
        for key in body.coordinator_keys {
            coordinators.push(find(context, request, body.key_type, key).await);
        }
        return FindCoordinatorResponse {
            coordinators,
            ..FindCoordinatorResponse::default()
        };
    }
    let found = find(context, request, body.key_type, body.key).await;
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

async fn find(
    context: &Context,
    request: &RequestContext,
    key_type: i8,
    key: String,
) -> Coordinator {
    let access = context.access(request);
    let permission = match key_type {
        KEY_TYPE_GROUP => access.group(Operation::Describe, &key),
        KEY_TYPE_TRANSACTION => access.transactional_id(Operation::Describe, &key),
        _ => {
            let message = "only coordinators of groups and of transactions are served";
            return none(key, ErrorCode::InvalidRequest, message.to_owned());
        }
    };
    if let Err(error) = permission {
        return none(key, error, sentence(error));
    }
    let found = match key_type {
        KEY_TYPE_TRANSACTION => context.coordinator.transactions().find(&key).await,
        _ => context.coordinator.find(&key).await,
    };
    let node_id = match found {
        Ok(node_id) => node_id,
        Err(error) => return none(key, error, "the coordinator is not available".to_owned()),
    };
    let image = context.controller.image();
    let endpoint = image
        .broker(node_id)
        .and_then(|broker| broker.listener(&request.listener));
    match endpoint {
        Some(endpoint) => Coordinator {
            key,
            node_id: node_id.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            error_code: ErrorCode::None.code(),
            error_message: None,
        },
        None => {
            let message = format!("broker {node_id} has no listener {}", request.listener);
            none(key, ErrorCode::CoordinatorNotAvailable, message)
        }
    }
}

fn none(key: String, error: ErrorCode, message: String) -> Coordinator {
    Coordinator {
        key,
        node_id: -1,
        host: String::new(),
        port: -1,
        error_code: error.code(),
        error_message: Some(message),
    }
}
