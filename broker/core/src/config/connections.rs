//! How many connections a broker takes.

use std::net::IpAddr;

use super::value::{Value, address_count};
use super::{Layers, table};
use crate::quota::Rate;

/// What holds for one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many there may be; none where only the open files count.
    pub all: Option<usize>,
    /// How many there may be from this address.
    pub from_address: usize,
}

impl ConnectionLimits {
    /// The limits for a connection from `address`, as they are set now.
    #[must_use]
    pub fn of(layers: &Layers<'_>, address: IpAddr) -> Self {
        let count = |name| usize::try_from(layers.number(name)).unwrap_or(usize::MAX);
        let overrides = layers.value(table::key("max.connections.per.ip.overrides"), None);
        let own = match &overrides.0 {
            Value::List(items) => items.iter().find_map(|item| {
                let (host, count) = address_count(item)?;
                (host.parse() == Ok(address)).then_some(count as usize)
            }),
            _ => None,
        };
        Self {
            all: Some(count("max.connections")).filter(|max| *max > 0),
            from_address: own.unwrap_or_else(|| count("max.connections.per.ip")),
        }
    }
}

/// How many connections may begin in a second, as it is set now.
#[must_use]
pub fn rate(layers: &Layers<'_>) -> Option<Rate> {
    creation_rate(&layers.get("max.connection.creation.rate"))
}

/// The rate of that number. Kafka's largest bounds nothing, and zero is as slow as can be.
#[must_use]
pub(super) fn creation_rate(value: &Value) -> Option<Rate> {
    let number = u32::try_from(value.number()).unwrap_or(0);
    let is_set = number < i32::MAX.unsigned_abs();
    Rate::new(f64::from(number).max(0.001)).filter(|_| is_set)
}

#[test]
fn what_is_set_while_a_broker_runs_holds_and_an_address_may_have_its_own() {
    use super::{ConfigMap, Scope, recorded};

    let map = |pairs: &[(&str, &str)]| -> ConfigMap {
        let value = |(k, v): &(&str, &str)| ((*k).to_owned(), recorded(Scope::Broker, k, v));
        pairs.iter().map(value).collect()
    };
    let file = map(&[("max.connections", "9"), ("max.connections.per.ip", "5")]);
    let overrides = (
        "max.connections.per.ip.overrides",
        "10.0.0.1:7,::1:3,host:4",
    );
    let set = map(&[("max.connections", "0"), overrides]);
    let layers = Layers {
        own: None,
        broker: None,
        cluster: None,
        statics: &file,
        agreed: None,
    };
    let of = |layers: &Layers<'_>, address: &str| {
        let limits = ConnectionLimits::of(layers, address.parse().unwrap());
        (limits.all, limits.from_address)
    };
    assert_eq!(of(&layers, "10.0.0.1"), (Some(9), 5));
    let layers = Layers {
        cluster: Some(&set),
        ..layers
    };
    assert_eq!(of(&layers, "10.0.0.1"), (None, 7));
    assert_eq!(of(&layers, "::1"), (None, 3));
    assert_eq!(of(&layers, "10.0.0.2"), (None, 5));
}
