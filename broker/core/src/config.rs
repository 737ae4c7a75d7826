//! Configs that are metadata: what may be set on topics, brokers, groups and client metrics, and
//! what it means.
//!
//! Each kind of resource has one table of [`Key`]s. The table is all there is: decisions validate
//! by it, DescribeConfigs answers from it, and the documentation is written from it. A name that is
//! not in the table is refused; one that is there but changes nothing here says so in [`Effect`].

pub mod broker;
pub mod client_metrics;
pub mod effective;
pub mod group;
pub mod markdown;
#[cfg(test)]
mod tests;
pub mod topic;
mod value;

pub use effective::{Layers, Source, TopicConfig};
pub use value::InvalidValue;

/// One config: everything that anybody needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What it is where nobody set it, as text.
    pub default: &'static str,
    /// Which values are accepted.
    pub bounds: Bounds,
    /// Whether this broker acts on it.
    pub effect: Effect,
    /// Server properties that give the default, the strongest first.
    pub synonyms: &'static [Synonym],
    /// What it does, in a sentence or two.
    pub doc: &'static str,
}

/// The type of a config's value; Kafka's numbers in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// A number of 32 bits.
    Int = 3,
    /// A number of 64 bits.
    Long = 5,
    /// A fraction.
    Double = 6,
    /// Texts between commas.
    List = 7,
}

/// Which values of a [`Kind`] are accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// All.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers between these two, both included.
    Between(i64, i64),
    /// Numbers between these two, or the third.
    BetweenOr(i64, i64, i64),
    /// Fractions between 0 and 1.
    Fraction,
    /// One of these words; for a list: any of them, each at most once.
    OneOf(&'static [&'static str]),
    /// `*`, or pairs of a partition and a broker, `0:1,1:2`.
    PartitionReplicas,
    /// Of [`Bounds::OneOf`], or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

/// Whether a config does anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The broker acts on it.
    Applied,
    /// The value is kept and shown, and nothing else; the text says why that is right.
    AcceptedWithoutEffect(&'static str),
}

/// A server property behind a topic's config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The property's name.
    pub name: &'static str,
    /// How many of the topic config's units one unit of the property is.
    pub scale: i64,
}

impl Key {
    /// Checks a value and says what is wrong with it.
    pub fn validate(&self, text: &str) -> Result<(), InvalidValue> {
        value::validate(self, text)
    }
}

/// Finds a key in a table.
pub fn find(table: &'static [Key], name: &str) -> Option<&'static Key> {
    table.iter().find(|key| key.name == name)
}
