//! AlterClientQuotas: the request and its answer.

use crate::codec::Kafka;

/// Sets and removes quotas.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = AlterClientQuotas,
    versions = "0-1",
    flexible = "1+",
    response = AlterClientQuotasResponse
)]
pub struct AlterClientQuotasRequest {
    pub entries: Vec<AlterQuotas>,
    pub validate_only: bool,
}

/// One entry of [`AlterClientQuotasRequest::entries`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterQuotas {
    pub entity: Vec<AlterQuotaEntity>,
    pub ops: Vec<OpData>,
}

/// One entry of [`AlterQuotas::entity`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterQuotaEntity {
    pub entity_type: String,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<String>,
}

/// One entry of [`AlterQuotas::ops`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OpData {
    pub key: String,
    pub value: f64,
    pub remove: bool,
}

/// What became of each entity.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasResponse {
    pub throttle_time_ms: i32,
    pub entries: Vec<AlteredQuotas>,
}

/// One entry of [`AlterClientQuotasResponse::entries`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlteredQuotas {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub entity: Vec<AlteredQuotaEntity>,
}

/// One entry of [`AlteredQuotas::entity`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlteredQuotaEntity {
    pub entity_type: String,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<String>,
}
