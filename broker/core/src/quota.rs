//! Client quotas (KIP-13, KIP-546, KIP-599, KIP-612): who may take how much, and which of several
//! quotas holds.
//!
//! The words and the order are Kafka's. A quota is of an entity: a user, a client id, both, or an
//! address; each by its name or as the default of all that have none of their own.
//!
//! Invariant: a rate is above zero and finite; an entity without quotas is absent.

pub mod connections;
#[cfg(test)]
mod tests;
pub mod window;

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Bytes a second that producers send.
    ProducerByteRate,
    /// Bytes a second that consumers are sent.
    ConsumerByteRate,
    /// Time in which requests are worked on, in percent of one thread's.
    RequestPercentage,
    /// Partitions a second that are created or deleted.
    ControllerMutationRate,
    /// Connections a second that an address begins.
    ConnectionCreationRate,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The key of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether it is of addresses, and not of users and client ids.
    #[must_use]
    pub fn is_of_addresses(self) -> bool {
        self == Self::ConnectionCreationRate
    }

    /// The largest value, and Kafka's word for its type, where it is a whole number.
    fn whole(self) -> Option<(f64, &'static str)> {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => Some((i64::MAX as f64, "LONG")),
            Self::ConnectionCreationRate => Some((f64::from(i32::MAX), "INT")),
            Self::RequestPercentage | Self::ControllerMutationRate => None,
        }
    }
}

/// How much of something there may be, in the unit of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    bits: u64,
}

impl Rate {
    /// A rate of that value; none where it is none.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        let bits = value.to_bits();
        (value > 0.0 && value.is_finite()).then_some(Self { bits })
    }

    /// What somebody asks to set, or Kafka's sentence why it cannot be.
    ///
    /// # Errors
    /// It is not above zero, not finite, or not a whole number where that is wanted.
    pub fn checked(key: Key, value: f64) -> Result<Self, String> {
        let name = key.name();
        let Some(rate) = Self::new(value).filter(|_| !value.is_nan()) else {
            return Err(match value > 0.0 {
                true => format!("Quota {name} must be a finite number"),
                false => format!("Quota {name} must be greater than 0"),
            });
        };
        match key.whole() {
            Some((value_max, kind)) if value > value_max => Err(format!(
                "Proposed value for {name} is too large for a {kind}."
            )),
            Some(_) if value % 1.0 > 1e-6 => Err(format!("{name} cannot be a fractional value.")),
            _ => Ok(rate),
        }
    }

    /// Its value.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// A name, or what all get that have no quota by their name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `<default>`.
    Default,
    /// This one.
    Of(String),
}

impl Name {
    /// As on the wire, where null is the default.
    #[must_use]
    pub fn to_wire(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Of(name) => Some(name),
        }
    }
}

/// Kafka's words for the parts of an entity.
pub const USER: &str = "user";
/// See [`USER`].
pub const CLIENT_ID: &str = "client-id";
/// See [`USER`].
pub const IP: &str = "ip";

/// Whom a quota is of. Invariant: an address stands alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entity {
    /// The user.
    pub user: Option<Name>,
    /// The client id.
    pub client_id: Option<Name>,
    /// The address.
    pub ip: Option<Name>,
}

impl Entity {
    /// The entity of these parts: each a type, and a name or null.
    ///
    /// # Errors
    /// Kafka's sentence, where there can be no such one.
    pub fn of_parts<'a>(
        parts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Self, String> {
        let mut entity = Self::default();
        for (kind, name) in parts {
            let part = match kind {
                USER => &mut entity.user,
                CLIENT_ID => &mut entity.client_id,
                IP => &mut entity.ip,
                _ => return Err(format!("Unhandled client quota entity type: {kind}")),
            };
            let name = match name {
                Some("") => return Err(format!("Empty {kind} not supported")),
                Some(text) if kind == IP => Name::Of(address(text)?),
                Some(text) => Name::Of(text.to_owned()),
                None => Name::Default,
            };
            if part.replace(name).is_some() {
                return Err(format!(
                    "Invalid client quota entity, duplicate entity type {kind}"
                ));
            }
        }
        match (
            &entity.ip,
            entity.user.is_some() || entity.client_id.is_some(),
        ) {
            (None, false) => Err("Invalid empty client quota entity".to_owned()),
            (Some(_), true) => Err(
                "Invalid quota entity combination, IP entity should not be combined with User or \
                 ClientId"
                    .to_owned(),
            ),
            _ => Ok(entity),
        }
    }

    /// Its parts, in Kafka's order: each a type, and a name or null.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let parts = [
            (USER, &self.user),
            (CLIENT_ID, &self.client_id),
            (IP, &self.ip),
        ];
        let named = parts.into_iter();
        named.filter_map(|(kind, name)| Some((kind, name.as_ref()?.to_wire())))
    }

    /// Whether it can have a quota of that key.
    #[must_use]
    pub fn takes(&self, key: Key) -> bool {
        self.ip.is_some() == key.is_of_addresses()
    }

    fn of(user: Option<Name>, client_id: Option<Name>) -> Self {
        Self {
            user,
            client_id,
            ip: None,
        }
    }
}

/// An address as it is written everywhere. Names are not looked up: what they stand for may change.
fn address(text: &str) -> Result<String, String> {
    let parsed: Result<IpAddr, _> = text.parse();
    let canonical = parsed.map(|ip| ip.to_canonical().to_string());
    canonical.map_err(|_| format!("{text} is not a valid IP or resolvable host."))
}

/// Who is counted together, and how much they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rate.
    pub rate: Rate,
    /// Whether each user is counted for itself.
    pub by_user: bool,
    /// Whether each client id is counted for itself.
    pub by_client_id: bool,
}

/// All quotas of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientQuotas {
    by_entity: BTreeMap<Entity, BTreeMap<Key, Rate>>,
}

impl ClientQuotas {
    /// Sets a quota.
    pub fn set(&mut self, entity: Entity, key: Key, rate: Rate) {
        self.by_entity.entry(entity).or_default().insert(key, rate);
    }

    /// Takes a quota away, where it is there.
    pub fn remove(&mut self, entity: &Entity, key: Key) {
        if let Some(rates) = self.by_entity.get_mut(entity) {
            rates.remove(&key);
            if rates.is_empty() {
                self.by_entity.remove(entity);
            }
        }
    }

    /// The quota of exactly this entity.
    #[must_use]
    pub fn get(&self, entity: &Entity, key: Key) -> Option<Rate> {
        self.by_entity.get(entity)?.get(&key).copied()
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_entity.is_empty()
    }

    /// All of them, by entity.
    pub fn iter(&self) -> impl Iterator<Item = (&Entity, &BTreeMap<Key, Rate>)> {
        self.by_entity.iter()
    }

    /// The quota that holds for this user and client id: the first that is there, in Kafka's order.
    /// A quota of a user alone is shared by all its clients, and the other way round; one of both,
    /// or of a default, is each one's own.
    #[must_use]
    pub fn find(&self, key: Key, user: &str, client_id: &str) -> Option<Found> {
        if self.is_empty() {
            return None;
        }
        let (all, none) = (Some(Name::Default), None);
        let user = Some(Name::Of(user.to_owned()));
        let client_id = Some(Name::Of(client_id.to_owned()));
        let levels = [
            (&user, &client_id),
            (&user, &all),
            (&user, &none),
            (&all, &client_id),
            (&all, &all),
            (&all, &none),
            (&none, &client_id),
            (&none, &all),
        ];
        levels.into_iter().find_map(|(user, client_id)| {
            let rate = self.get(&Entity::of(user.clone(), client_id.clone()), key)?;
            Some(Found {
                rate,
                by_user: user.is_some(),
                by_client_id: client_id.is_some(),
            })
        })
    }

    /// How many connections a second may begin from this address.
    #[must_use]
    pub fn connection_rate(&self, address: IpAddr) -> Option<Rate> {
        let of = |name| Entity {
            ip: Some(name),
            ..Entity::default()
        };
        let key = Key::ConnectionCreationRate;
        let own = of(Name::Of(address.to_canonical().to_string()));
        self.get(&own, key)
            .or_else(|| self.get(&of(Name::Default), key))
    }
}
