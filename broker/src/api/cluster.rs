//! DescribeCluster, UnregisterBroker, UpdateFeatures.

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::cluster::{
    UnregisterBrokerRequest, UnregisterBrokerResponse, UpdatableFeatureResult,
    UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use ottla_protocol::messages::metadata::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::forward::{submit_with, until};
use super::metadata::contact;
use super::{Context, RequestContext, controllers};
use crate::authorizer::{NOT_ASKED, sentence};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

/// DescribeCluster: of brokers on their listeners, of controllers (`bootstrap.controllers`) on
/// theirs, where that takes the right to alter the cluster.
pub async fn describe(
    context: &Context,
    request: &RequestContext,
    body: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let permission = match request.asks_controller {
        // where peers come in, whoever asks is no client as others are
        true => context.access(request).cluster(Operation::Alter),
        false => Ok(()),
    };
    let permission = permission.map_err(|error| (error, sentence(error)));
    let checked =
        permission.and_then(|()| check_endpoint(body.endpoint_type, request.asks_controller));
    if let Err((code, message)) = checked {
        return DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(message),
            endpoint_type: BROKERS,
            ..DescribeClusterResponse::default()
        };
    }
    let image = context.controller.image();
    let (brokers, controller_id) = match request.asks_controller {
        true => (controllers::listed(context), context.controller.active()),
        false => {
            let brokers = brokers(&image, request, body.include_fenced_brokers);
            (brokers, Some(contact(context, &image)))
        }
    };
    DescribeClusterResponse {
        endpoint_type: body.endpoint_type,
        cluster_id: image.cluster_id.to_string(),
        controller_id: controller_id.map_or(-1, |node| node.0),
        brokers,
        cluster_authorized_operations: match body.include_cluster_authorized_operations {
            true => context.access(request).cluster_operations(),
            false => NOT_ASKED,
        },
        ..DescribeClusterResponse::default()
    }
}

/// Whether what is asked for is what answers on this listener; a refusal in Kafka's words.
fn check_endpoint(wanted: i8, asks_controller: bool) -> Result<(), (ErrorCode, String)> {
    match (wanted, asks_controller) {
        (BROKERS, false) | (CONTROLLERS, true) => Ok(()),
        (BROKERS | CONTROLLERS, _) => {
            let (is, wants) = match asks_controller {
                true => ("CONTROLLER", "BROKER"),
                false => ("BROKER", "CONTROLLER"),
            };
            let message = format!(
                "The request was sent to an endpoint of type {is}, but we wanted an endpoint of \
                 type {wants}"
            );
            Err((ErrorCode::MismatchedEndpointType, message))
        }
        _ => {
            let message = format!("Unsupported endpoint type {wanted}");
            Err((ErrorCode::UnsupportedEndpointType, message))
        }
    }
}

/// The brokers by the listener that was asked.
fn brokers(
    image: &MetadataImage,
    request: &RequestContext,
    includes_fenced: bool,
) -> Vec<DescribeClusterBroker> {
    let shown = image.brokers.values();
    let shown = shown.filter(|b| !b.fenced || includes_fenced);
    let brokers = shown.filter_map(|b| {
        let listener = b.listener(&request.listener)?;
        Some(DescribeClusterBroker {
            broker_id: b.node_id.0,
            host: listener.host.clone(),
            port: i32::from(listener.port),
            rack: b.rack.as_deref().map(str::to_owned),
            is_fenced: b.fenced && request.api_version >= 2,
        })
    });
    brokers.collect()
}

/// UnregisterBroker; answers once the broker is gone, here too. A controller that votes stays: what
/// is finalized would not look at it, and it decides by its vote.
pub async fn unregister_broker(
    context: &Context,
    request: &RequestContext,
    body: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let node = NodeId(body.broker_id);
    let permission = context.access(request).cluster(Operation::Alter);
    let is_controller = context.controller.image().controllers.contains_key(&node);
    if permission.is_ok() && is_controller && context.controller.voters().contains_key(&node) {
        return UnregisterBrokerResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some(format!(
                "Controller {node} votes in the metadata quorum. Take its vote with \
                 kafka-metadata-quorum remove-controller, and unregister it then."
            )),
            ..UnregisterBrokerResponse::default()
        };
    }
    match submit_with(context, permission, body).await {
        Ok(response) => {
            if response.error_code == 0 {
                until(context, |image| image.broker(node).is_none()).await;
            }
            response
        }
        Err((code, message)) => UnregisterBrokerResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..UnregisterBrokerResponse::default()
        },
    }
}

/// UpdateFeatures. Before version 2 each feature has a result of its own; from then on there is one
/// for all.
pub async fn update_features(
    context: &Context,
    request: &RequestContext,
    mut body: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    if request.api_version == 0 {
        for update in &mut body.feature_updates {
            update.upgrade_type = match std::mem::take(&mut update.allow_downgrade) {
                true => SAFE_DOWNGRADE,
                false => UPGRADE,
            };
        }
    }
    let names: Vec<String> = body
        .feature_updates
        .iter()
        .map(|u| u.feature.clone())
        .collect();
    let permission = context.access(request).cluster(Operation::Alter);
    let submitted = submit_with(context, permission, body).await;
    let mut response = match submitted {
        Ok(response) => response,
        // that nothing was decided is said of the whole in every version
        Err((code, message)) => {
            return UpdateFeaturesResponse {
                error_code: code.code(),
                error_message: Some(message),
                ..UpdateFeaturesResponse::default()
            };
        }
    };
    if request.api_version < 2 {
        // the forwarded answer has one result for all; old clients want one each
        let (error_code, error_message) = (response.error_code, response.error_message.take());
        response.error_code = 0;
        response.results = names
            .into_iter()
            .map(|feature| UpdatableFeatureResult {
                feature,
                error_code,
                error_message: error_message.clone(),
            })
            .collect();
    }
    response
}
