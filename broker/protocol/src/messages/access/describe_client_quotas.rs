//! DescribeClientQuotas: the request and its answer.

use crate::codec::Kafka;

/// Asks for the quotas that match a filter.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeClientQuotas,
    versions = "0-1",
    flexible = "1+",
    response = DescribeClientQuotasResponse
)]
pub struct DescribeClientQuotasRequest {
    pub components: Vec<ComponentData>,
    pub strict: bool,
}

/// One entry of [`DescribeClientQuotasRequest::components`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ComponentData {
    pub entity_type: String,
    pub match_type: i8,
    #[kafka(nullable = "0+")]
    pub r#match: Option<String>,
}

/// The quotas found, by entity.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    #[kafka(nullable = "0+")]
    pub entries: Option<Vec<DescribedQuotas>>,
}

/// One entry of [`DescribeClientQuotasResponse::entries`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedQuotas {
    pub entity: Vec<DescribedQuotaEntity>,
    pub values: Vec<ValueData>,
}

/// One entry of [`DescribedQuotas::entity`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedQuotaEntity {
    pub entity_type: String,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<String>,
}

/// One entry of [`DescribedQuotas::values`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ValueData {
    pub key: String,
    pub value: f64,
}
