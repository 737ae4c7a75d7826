//! Client quotas: AlterClientQuotas and DescribeClientQuotas (KIP-546).

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_core::metadata::Refusal;
use ottla_core::metadata::client_quotas::{Changes, answered, changes, describe};
use ottla_protocol::messages::access::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
};

use crate::api::forward::{submit_with, until};
use crate::api::{Context, RequestContext};
use crate::authorizer::sentence;

/// DescribeClientQuotas.
pub async fn describe_client_quotas(
    context: &Context,
    request: &RequestContext,
    body: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let permission = context.access(request).cluster(Operation::DescribeConfigs);
    let described = match permission {
        Ok(()) => describe(&context.controller.image().client_quotas, &body),
        Err(error) => Err(Refusal::new(error, sentence(error))),
    };
    match described {
        Ok(entries) => DescribeClientQuotasResponse {
            entries: Some(entries),
            ..DescribeClientQuotasResponse::default()
        },
        Err(refusal) => DescribeClientQuotasResponse {
            error_code: refusal.error_code,
            error_message: Some(refusal.message),
            entries: None,
            ..DescribeClientQuotasResponse::default()
        },
    }
}

/// AlterClientQuotas; answers once the quotas are in force here.
pub async fn alter_client_quotas(
    context: &Context,
    request: &RequestContext,
    body: AlterClientQuotasRequest,
) -> AlterClientQuotasResponse {
    let permission = context.access(request).cluster(Operation::AlterConfigs);
    let (asked, validate_only) = (body.entries.clone(), body.validate_only);
    match submit_with(context, permission, body).await {
        Ok(response) => {
            let done = asked.iter().zip(&response.entries);
            let done = done.filter(|(_, entry)| entry.error_code == 0 && !validate_only);
            let done: Vec<Changes> = done.filter_map(|(asked, _)| changes(asked).ok()).collect();
            until(context, |image| done.iter().all(|done| holds(image, done))).await;
            response
        }
        Err((error, message)) => {
            let refused = asked.iter();
            let refused = refused.map(|asked| answered(asked, Some((error, message.clone()))));
            AlterClientQuotasResponse {
                throttle_time_ms: 0,
                entries: refused.collect(),
            }
        }
    }
}

fn holds(image: &MetadataImage, (entity, rates): &Changes) -> bool {
    let mut rates = rates.iter();
    rates.all(|(key, rate)| image.client_quotas.get(entity, *key) == *rate)
}
