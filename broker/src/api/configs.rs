//! AlterConfigs, IncrementalAlterConfigs, ListConfigResources. DescribeConfigs is beside them.

mod describe;

pub use describe::handle as describe;

use std::sync::Arc;

use ottla_core::acl::Operation;
use ottla_core::config::{self, ConfigMap};
use ottla_core::image::{ConfigResource, MetadataImage};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
    ConfigResource as ListedResource, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::forward::{submit, until};
use super::{Context, RequestContext};
use crate::authorizer::{Access, sentence};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;

/// IncrementalAlterConfigs; answers once this broker sees the values.
pub async fn incremental_alter(
    context: &Context,
    request: &RequestContext,
    mut body: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let access = context.access(request);
    let mut refused = Vec::new();
    body.resources.retain(|r| {
        let (kind, name) = (r.resource_type, &r.resource_name);
        let permission = permission(&access, Operation::AlterConfigs, kind, name);
        refused.extend(
            permission
                .err()
                .map(|error| IncrementalAlterConfigsResourceResponse {
                    error_code: error.code(),
                    error_message: Some(sentence(error)),
                    resource_type: kind,
                    resource_name: name.clone(),
                }),
        );
        permission.is_ok()
    });
    let mut response = incremental_alter_allowed(context, body).await;
    response.responses.extend(refused);
    response
}

/// Whether the client may do `operation` with what has configs.
fn permission(
    access: &Access,
    operation: Operation,
    resource_type: i8,
    name: &str,
) -> Result<(), ErrorCode> {
    match resource_type {
        TOPIC => access.topic(operation, name),
        GROUP => access.group(operation, name),
        // also of a type that is none, which is refused as such to whom it may concern
        _ => access.cluster(operation),
    }
}

async fn incremental_alter_allowed(
    context: &Context,
    body: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let asked = body.clone();
    match submit(context, body).await {
        Ok(response) => {
            let refused = response.responses.iter().any(|r| r.error_code != 0);
            if !asked.validate_only && !refused {
                until(context, |image| holds(image, &asked)).await;
            }
            response
        }
        Err((code, message)) => IncrementalAlterConfigsResponse {
            responses: asked
                .resources
                .into_iter()
                .map(|resource| IncrementalAlterConfigsResourceResponse {
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name,
                })
                .collect(),
            ..IncrementalAlterConfigsResponse::default()
        },
    }
}

/// Whether the image has all that was set and nothing that was deleted.
fn holds(image: &MetadataImage, asked: &IncrementalAlterConfigsRequest) -> bool {
    asked.resources.iter().all(|resource| {
        let target = ConfigResource::from_wire(resource.resource_type, &resource.resource_name);
        let Some(target) = target else { return true };
        let values = image.configs_of(&target);
        resource
            .configs
            .iter()
            .all(|config| match config.config_operation {
                SET => has(values, &target, &config.name, config.value.as_deref()),
                DELETE => values.is_none_or(|values| !values.contains_key(&config.name)),
                _ => true,
            })
    })
}

/// Whether that is the value, in whatever form the text gives it.
fn has(
    values: Option<&Arc<ConfigMap>>,
    target: &ConfigResource,
    name: &str,
    text: Option<&str>,
) -> bool {
    let wanted = text.map(|text| config::recorded(target.scope(), name, text));
    values.and_then(|values| values.get(name)) == wanted.as_ref()
}

/// AlterConfigs, which replaces all configs of a resource; answers once this broker sees them.
pub async fn alter(
    context: &Context,
    request: &RequestContext,
    mut body: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let access = context.access(request);
    let mut refused = Vec::new();
    body.resources.retain(|r| {
        let (kind, name) = (r.resource_type, &r.resource_name);
        let permission = permission(&access, Operation::AlterConfigs, kind, name);
        refused.extend(permission.err().map(|error| AlterConfigsResourceResponse {
            error_code: error.code(),
            error_message: Some(sentence(error)),
            resource_type: kind,
            resource_name: name.clone(),
        }));
        permission.is_ok()
    });
    let mut response = alter_allowed(context, body).await;
    response.responses.extend(refused);
    response
}

async fn alter_allowed(context: &Context, body: AlterConfigsRequest) -> AlterConfigsResponse {
    let asked = body.clone();
    match submit(context, body).await {
        Ok(response) => {
            let refused = response.responses.iter().any(|r| r.error_code != 0);
            if !asked.validate_only && !refused {
                until(context, |image| is_replaced(image, &asked)).await;
            }
            response
        }
        Err((code, message)) => AlterConfigsResponse {
            responses: asked
                .resources
                .into_iter()
                .map(|resource| AlterConfigsResourceResponse {
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name,
                })
                .collect(),
            ..AlterConfigsResponse::default()
        },
    }
}

fn is_replaced(image: &MetadataImage, asked: &AlterConfigsRequest) -> bool {
    asked.resources.iter().all(|resource| {
        let target = ConfigResource::from_wire(resource.resource_type, &resource.resource_name);
        let Some(target) = target else { return true };
        let values = image.configs_of(&target);
        let mut wanted = resource.configs.iter();
        values.map_or(0, |v| v.len()) == resource.configs.len()
            && wanted.all(|c| has(values, &target, &c.name, c.value.as_deref()))
    })
}

/// ListConfigResources (KIP-1142); version 0 is ListClientMetricsResources.
pub async fn list(
    context: &Context,
    request: &RequestContext,
    body: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    if let Err(error) = context.access(request).cluster(Operation::DescribeConfigs) {
        return ListConfigResourcesResponse {
            error_code: error.code(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let all = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    let wanted = match (request.api_version, body.resource_types.as_slice()) {
        (0, _) => &[CLIENT_METRICS][..],
        (_, []) => &all,
        (_, types) => types,
    };
    if wanted.iter().any(|kind| !all.contains(kind)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let image = context.controller.image();
    let named = |kind: i8| -> Vec<String> {
        match kind {
            TOPIC => image.topics.keys().map(|name| name.to_string()).collect(),
            BROKER | BROKER_LOGGER => image.brokers.keys().map(ToString::to_string).collect(),
            kind => image
                .configs
                .keys()
                .map(ConfigResource::to_wire)
                .filter_map(|(k, name)| (k == kind).then_some(name))
                .collect(),
        }
    };
    let resource = |kind: i8| {
        let resource = move |resource_name| ListedResource {
            resource_name,
            resource_type: kind,
        };
        named(kind).into_iter().map(resource)
    };
    ListConfigResourcesResponse {
        config_resources: wanted.iter().flat_map(|kind| resource(*kind)).collect(),
        ..ListConfigResourcesResponse::default()
    }
}
