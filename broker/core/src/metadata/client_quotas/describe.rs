//! Which quotas a DescribeClientQuotas asks for (KIP-546).

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    ComponentData, DescribeClientQuotasRequest, DescribedQuotaEntity, DescribedQuotas, ValueData,
};

use crate::metadata::Refusal;
use crate::quota::{CLIENT_ID, ClientQuotas, Entity, IP, USER};

/// What is asked of one part of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match<'a> {
    /// This name; none for the default.
    Exact(Option<&'a str>),
    /// Any name, and the default.
    Any,
}

/// A filter of entities: a part's type, and what it must be.
struct Filter<'a> {
    parts: Vec<(&'a str, Match<'a>)>,
    is_strict: bool,
}

/// The quotas that are asked for.
///
/// # Errors
/// Kafka's, where the filter makes no sense.
pub fn describe(
    quotas: &ClientQuotas,
    request: &DescribeClientQuotasRequest,
) -> Result<Vec<DescribedQuotas>, Refusal> {
    let filter = Filter::read(request)?;
    let found = quotas.iter().filter(|(entity, _)| filter.matches(entity));
    let described = found.map(|(entity, rates)| DescribedQuotas {
        entity: entity.parts().map(described).collect(),
        values: rates
            .iter()
            .map(|(key, rate)| ValueData {
                key: key.name().to_owned(),
                value: rate.value(),
            })
            .collect(),
    });
    Ok(described.collect())
}

fn described((kind, name): (&'static str, Option<&str>)) -> DescribedQuotaEntity {
    DescribedQuotaEntity {
        entity_type: kind.to_owned(),
        entity_name: name.map(str::to_owned),
    }
}

impl<'a> Filter<'a> {
    fn read(request: &'a DescribeClientQuotasRequest) -> Result<Self, Refusal> {
        let invalid = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
        let mut parts: Vec<(&str, Match<'a>)> = Vec::new();
        for component in &request.components {
            let kind = component.entity_type.as_str();
            if kind.is_empty() {
                return Err(invalid("Invalid empty entity type.".to_owned()));
            }
            if parts.iter().any(|(other, _)| *other == kind) {
                return Err(invalid(format!(
                    "Entity type {kind} cannot appear more than once in the filter."
                )));
            }
            if ![USER, CLIENT_ID, IP].contains(&kind) {
                let message = format!("Unsupported entity type {kind}");
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
            }
            parts.push((kind, matched(component).map_err(invalid)?));
        }
        if parts.len() > 1 && parts.iter().any(|(kind, _)| *kind == IP) {
            return Err(invalid(
                "Invalid entity filter component combination. IP filter component should not be \
                 used with user or clientId filter component."
                    .to_owned(),
            ));
        }
        Ok(Self {
            parts,
            is_strict: request.strict,
        })
    }

    fn matches(&self, entity: &Entity) -> bool {
        let has = |(wanted, how): &(&str, Match<'_>)| {
            let mut parts = entity.parts();
            let part = parts.find(|(kind, _)| kind == wanted);
            part.is_some_and(|(_, name)| match how {
                Match::Exact(exact) => *exact == name,
                Match::Any => true,
            })
        };
        self.parts.iter().all(has)
            && (!self.is_strict || entity.parts().count() == self.parts.len())
    }
}

fn matched(component: &ComponentData) -> Result<Match<'_>, String> {
    let name = component.r#match.as_deref();
    let also = |kind: &str| format!("Request specified {kind}, but also specified a match string.");
    match (component.match_type, name) {
        (0, Some(name)) => Ok(Match::Exact(Some(name))),
        (0, None) => {
            Err("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned())
        }
        (1, None) => Ok(Match::Exact(None)),
        (1, Some(_)) => Err(also("MATCH_TYPE_DEFAULT")),
        (2, None) => Ok(Match::Any),
        (2, Some(_)) => Err(also("MATCH_TYPE_SPECIFIED")),
        (other, _) => Err(format!("Unknown match type {other}")),
    }
}
