//! Everything that can be set: of a broker in its file or while it runs, for all brokers, on a
//! topic, a group, a subscription.
//!
//! There is one [`table`] of [`Key`]s, and it is all there is: a broker reads its file by it,
//! requests are checked by it, DescribeConfigs answers from it, the operator judges a spec by it
//! before any broker is started with it, and the pages of the documentation are written from it. A
//! name that is not in the table is refused, but of brokers while they run: there it is kept, as
//! Kafka does. One that is there but changes nothing here says so in [`Effect`].
//!
//! A value is text only at the edge. There [`Name::parse`] makes a [`Value`] of it or says what is
//! wrong; inside, values are typed. One rule says which of several holds: [`Layers`].

pub mod agreed;
pub mod client_metrics;
pub mod connections;
pub mod group;
mod key;
pub mod layers;
pub mod settings;
pub mod table;
#[cfg(test)]
mod tests;
pub mod topic;
mod value;

use std::collections::BTreeMap;

pub use agreed::Agreed;
pub use key::{Effect, Key, Name, Scope, Synonym, Update};
pub use layers::{Layers, Source};
pub use table::{closest, find, names, recorded};
pub use topic::{Durability, TopicConfig};
pub use value::{Bounds, InvalidValue, Kind, Value};

/// Values that somebody set, by name.
pub type ConfigMap = BTreeMap<String, Value>;
