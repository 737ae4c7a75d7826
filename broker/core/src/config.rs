//! Everything that can be set: of a broker in its file or while it runs, for all brokers, on a
//! topic, a group, a subscription.
//!
//! There is one [`table`] of [`Key`]s, and it is all there is: a broker reads its file by it,
//! requests are checked by it, DescribeConfigs answers from it, the operator judges a spec by it
//! before any broker is started with it, and the pages of the documentation are written from it. A
//! name that is not in the table is refused; one that is there but changes nothing here says so in
//! [`Effect`].
//!
//! A value is text only at the edge. There [`Name::parse`] makes a [`Value`] of it or says what is
//! wrong; inside, values are typed. One rule says which of several holds: [`Layers`].

pub mod agreed;
pub mod client_metrics;
pub mod layers;
pub mod settings;
pub mod table;
#[cfg(test)]
mod tests;
pub mod topic;
mod value;

use std::collections::BTreeMap;

pub use agreed::Agreed;
pub use layers::{Layers, Source};
pub use topic::{Durability, TopicConfig};
pub use value::{InvalidValue, Value};

/// Values that somebody set, by name.
pub type ConfigMap = BTreeMap<String, Value>;

/// One config: everything that anybody needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name, or one under `ottla.`.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What it is where nobody set it, as text.
    pub default: &'static str,
    /// Which values are accepted.
    pub bounds: Bounds,
    /// What it is set on.
    pub scope: Scope,
    /// What it takes to change it.
    pub update: Update,
    /// Whether this broker acts on it.
    pub effect: Effect,
    /// Of a topic's or a group's config: the broker's settings that give its default, the strongest
    /// first. Of a broker's: other names that Kafka has for it.
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
    /// One of these words; for a list: any of them, each at most once.
    OneOf(&'static [&'static str]),
    /// `*`, or pairs of a partition and a broker, `0:1,1:2`.
    PartitionReplicas,
    /// `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

/// What a config is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A broker, by its file or while it runs, or all brokers.
    Broker,
    /// A topic.
    Topic,
    /// A consumer, share or streams group.
    Group,
    /// A subscription to clients' metrics (KIP-714).
    ClientMetrics,
}

/// What it takes to change a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// A restart of the broker.
    Restart,
    /// A request.
    Dynamic,
}

/// Whether a config does anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The broker acts on it.
    Applied,
    /// The value is kept and shown, and nothing else; the text says why that is right.
    AcceptedWithoutEffect(&'static str),
}

/// Another name of a config, in the scope of brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The name.
    pub name: &'static str,
    /// How many of the config's own units one unit of this one is.
    pub scale: i64,
}

/// A name that a value can be set by, and what it is a name of.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The name.
    pub name: &'static str,
    /// What it names.
    pub key: &'static Key,
    /// How many of the key's units one unit of a value under this name is.
    pub scale: i64,
    /// What it takes to change a value under this name.
    pub update: Update,
}

impl Key {
    /// The names that it is set by in that scope, the strongest first.
    pub fn names(&'static self, scope: Scope) -> impl Iterator<Item = Name> {
        let own = (self.scope == scope).then_some(Name {
            name: self.name,
            key: self,
            scale: 1,
            update: self.update,
        });
        let others = match scope {
            Scope::Broker => self.synonyms,
            _ => &[],
        };
        let synonym = move |(place, synonym): (usize, &Synonym)| Name {
            name: synonym.name,
            key: self,
            scale: synonym.scale,
            // hours and minutes are for files, and so is what gives the defaults of groups
            update: match (self.scope, place) {
                (Scope::Topic, 0) => Update::Dynamic,
                _ => Update::Restart,
            },
        };
        own.into_iter()
            .chain(others.iter().enumerate().map(synonym))
    }

    /// Its value where nobody set it.
    pub fn default_value(&self) -> Value {
        // one without a default is shown as nothing
        Value::parse(self.kind, self.default).unwrap_or_else(|_| Value::Text(String::new()))
    }

    /// The default as the broker's setting of that name shows it; none where another one does.
    pub fn default_under(&self, name: &str) -> Option<Value> {
        let weakest = self.synonyms.last().filter(|_| self.scope == Scope::Topic);
        match weakest {
            Some(weakest) if weakest.name != name => None,
            Some(weakest) => Some(self.default_value().divided(weakest.scale)),
            None => Some(self.default_value()),
        }
    }
}

impl Name {
    /// The value that the text is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, text: &str) -> Result<Value, InvalidValue> {
        let parsed = Value::parse(self.key.kind, text).and_then(|value| {
            let own = value.clone().scaled(self.scale);
            own.check(self.key.kind, self.key.bounds).map(|()| value)
        });
        parsed.map_err(|reason| InvalidValue {
            name: self.name.to_owned(),
            value: text.to_owned(),
            reason,
        })
    }

    /// The name that its value is kept under: another name of the same setting is no setting of
    /// its own.
    pub fn kept_as(&self) -> &'static str {
        match self.key.scope {
            Scope::Broker => self.key.name,
            _ => self.name,
        }
    }

    /// What a value must be, as the end of a sentence: what to give.
    pub fn expected(&self) -> String {
        let kind = match self.key.kind {
            Kind::Boolean => "true or false",
            Kind::String => "text",
            Kind::Int | Kind::Long => "a whole number",
            Kind::Double => "a number",
            Kind::List => "a list with commas",
        };
        match self.key.bounds.words().as_str() {
            "" => kind.to_owned(),
            bounds => format!("{kind}, {bounds}"),
        }
    }
}

impl Bounds {
    /// Which values they are, for people; empty for all.
    pub fn words(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::AtLeast(low) => format!("at least {low}"),
            Self::Between(low, high) => format!("{low} to {high}"),
            Self::BetweenOr(low, high, other) => format!("{low} to {high}, or {other}"),
            Self::OneOf(words) => format!("of {}", words.join(", ")),
            Self::PartitionReplicas => "pairs `partition:broker`, or `*`".to_owned(),
            Self::OffsetReset => "`latest`, `earliest` or `by_duration:…`".to_owned(),
        }
    }
}

/// Every name that a value can be set by in that scope.
pub fn names(scope: Scope) -> impl Iterator<Item = Name> {
    table::keys().flat_map(move |key| key.names(scope))
}

/// What a name means in that scope; none where nothing has it.
pub fn find(scope: Scope, name: &str) -> Option<Name> {
    names(scope).find(|known| known.name == name)
}

/// A value that was recorded: as text, and maybe by a broker of another version.
pub fn recorded(scope: Scope, name: &str, text: &str) -> Value {
    let parsed = find(scope, name).and_then(|name| name.parse(text).ok());
    parsed.unwrap_or_else(|| Value::Foreign(text.to_owned()))
}

/// The known name of a broker's setting that is nearest to a mistyped one, where one is near.
pub fn closest(name: &str) -> Option<&'static str> {
    let near = names(Scope::Broker)
        .map(|known| (strsim::levenshtein(name, known.name), known.name))
        .min()?;
    (near.0 <= 3).then_some(near.1)
}
