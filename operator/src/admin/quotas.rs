//! Calls about how much users may take.

use std::collections::BTreeMap;

use ottla_core::quota::{Key, Rate, USER};
use ottla_protocol::messages::access::{
    AlterClientQuotasRequest, AlterQuotaEntity, AlterQuotas, ComponentData,
    DescribeClientQuotasRequest, OpData,
};

use super::{Admin, Error, Refusal, refusal};

/// Kafka's number for a user of any name.
const ANY: i8 = 2;
/// At most so many users in one request.
const BATCH_MAX: usize = 500;

/// Rates by what they bound.
pub type Rates = BTreeMap<Key, Rate>;

impl Admin {
    /// The quotas of users by their names, those of a user and a client id together left out.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn user_quotas(&mut self) -> Result<BTreeMap<String, Rates>, Error> {
        let request = DescribeClientQuotasRequest {
            components: vec![ComponentData {
                entity_type: USER.to_owned(),
                match_type: ANY,
                r#match: None,
            }],
            strict: true,
        };
        let answer = self.call(&request).await?;
        refusal(answer.error_code, answer.error_message).map_err(Error::Refused)?;
        let mut quotas = BTreeMap::new();
        for entry in answer.entries.unwrap_or_default() {
            let name = entry.entity.into_iter().next();
            let Some(name) = name.and_then(|part| part.entity_name) else {
                continue; // the default of all users is nobody's
            };
            let rates = entry.values.iter();
            let rates = rates.filter_map(|v| Some((Key::named(&v.key)?, Rate::new(v.value)?)));
            quotas.insert(name, rates.collect());
        }
        Ok(quotas)
    }

    /// Sets the quotas of users, and takes away where there is no rate; tells what was refused of
    /// which user.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn alter_user_quotas(
        &mut self,
        changes: &BTreeMap<String, BTreeMap<Key, Option<Rate>>>,
    ) -> Result<Vec<(String, Refusal)>, Error> {
        let entries: Vec<AlterQuotas> = changes.iter().map(entry).collect();
        let mut refused = Vec::new();
        for batch in entries.chunks(BATCH_MAX) {
            let request = AlterClientQuotasRequest {
                entries: batch.to_vec(),
                validate_only: false,
            };
            for entry in self.call(&request).await?.entries {
                let name = entry.entity.into_iter().next();
                let name = name.and_then(|part| part.entity_name).unwrap_or_default();
                if let Err(why) = refusal(entry.error_code, entry.error_message) {
                    refused.push((name, why));
                }
            }
        }
        Ok(refused)
    }
}

fn entry((user, rates): (&String, &BTreeMap<Key, Option<Rate>>)) -> AlterQuotas {
    let op = |(key, rate): (&Key, &Option<Rate>)| OpData {
        key: key.name().to_owned(),
        value: rate.map_or(0.0, Rate::value),
        remove: rate.is_none(),
    };
    AlterQuotas {
        entity: vec![AlterQuotaEntity {
            entity_type: USER.to_owned(),
            entity_name: Some(user.clone()),
        }],
        ops: rates.iter().map(op).collect(),
    }
}
