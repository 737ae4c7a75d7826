//! Setting and removing client quotas (KIP-546).
//!
//! An entity stands for itself: where one thing asked of it is wrong, nothing of it is done.

mod describe;

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterQuotas, AlteredQuotaEntity,
    AlteredQuotas,
};

pub use self::describe::describe;
use super::request::Response;
use super::{Decision, Metadata};
use crate::excerpt;
use crate::image::record::{ClientQuotaRecord, Record};
use crate::quota::{ClientQuotas, Entity, Key, Rate};

/// What is asked of one entity: by key, its rate, or none where it is to have none.
pub type Changes = (Entity, BTreeMap<Key, Option<Rate>>);

impl Metadata {
    pub(super) fn alter_client_quotas(&self, request: &AlterClientQuotasRequest) -> Decision {
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        let mut entries = Vec::with_capacity(request.entries.len());
        for asked in &request.entries {
            let changes =
                changes(asked).and_then(|(entity, rates)| match seen.insert(entity.clone()) {
                    true => Ok((entity, rates)),
                    false => Err(format!("Ignoring duplicate entity {}", shown(&entity))),
                });
            let refusal = match changes {
                Ok(changes) => {
                    records.extend(self.records(&changes));
                    None
                }
                Err(message) => Some(message),
            };
            entries.push(answered(
                asked,
                refusal.map(|m| (ErrorCode::InvalidRequest, m)),
            ));
        }
        if request.validate_only {
            records.clear();
        }
        Decision {
            records,
            response: Response::AlterClientQuotas(AlterClientQuotasResponse {
                throttle_time_ms: 0,
                entries,
            }),
        }
    }

    fn records(&self, (entity, rates): &Changes) -> Vec<Record> {
        let known: &ClientQuotas = &self.image.client_quotas;
        let new = rates
            .iter()
            .filter(|(key, rate)| known.get(entity, **key) != **rate);
        let record =
            |(key, rate): (&Key, &Option<Rate>)| ClientQuotaRecord::of(entity, *key, *rate);
        new.map(record).map(Record::ClientQuota).collect()
    }
}

/// What is asked of an entity.
///
/// # Errors
/// Kafka's sentence, where something of it is wrong.
pub fn changes(asked: &AlterQuotas) -> Result<Changes, String> {
    let parts = asked.entity.iter();
    let parts = parts.map(|part| (part.entity_type.as_str(), part.entity_name.as_deref()));
    let entity = Entity::of_parts(parts)?;
    let mut names = BTreeSet::new();
    let mut rates = BTreeMap::new();
    for op in &asked.ops {
        if !names.insert(op.key.as_str()) {
            return Err(format!(
                "Duplicate quota key {} not updating quota for this entity {}",
                op.key,
                shown(&entity)
            ));
        }
        let key = Key::named(&op.key).filter(|key| entity.takes(*key));
        match (key, op.remove) {
            (Some(key), true) => drop(rates.insert(key, None)),
            (None, true) => {} // it has no such quota
            (Some(key), false) => drop(rates.insert(key, Some(Rate::checked(key, op.value)?))),
            (None, false) => return Err(format!("Invalid configuration key {}", op.key)),
        }
    }
    Ok((entity, rates))
}

/// The answer to what was asked of an entity.
#[must_use]
pub fn answered(asked: &AlterQuotas, refusal: Option<(ErrorCode, String)>) -> AlteredQuotas {
    let part = |part: &ottla_protocol::messages::access::AlterQuotaEntity| AlteredQuotaEntity {
        entity_type: part.entity_type.clone(),
        entity_name: part.entity_name.clone(),
    };
    let (error, message) = refusal.unzip();
    AlteredQuotas {
        error_code: error.unwrap_or(ErrorCode::None).code(),
        error_message: message.map(excerpt::message),
        entity: asked.entity.iter().map(part).collect(),
    }
}

/// `user=alice, client-id=<default>`.
fn shown(entity: &Entity) -> String {
    let part =
        |(kind, name): (&str, Option<&str>)| format!("{kind}={}", name.unwrap_or("<default>"));
    entity.parts().map(part).collect::<Vec<_>>().join(", ")
}
