//! A config, and the names that it goes by.

use super::value::{Bounds, InvalidValue, Kind, Value};

/// How the names of those defaults of groups end that change while a broker runs.
const GROUPS_DYNAMIC: &str = ".assignment.interval.ms";

/// Limits that are none until somebody sets them, as tools rely on; and what Kafka keeps for its
/// own tests.
const ONLY_WHERE_SET: [&str; 6] = [
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "log.initial.task.delay.ms",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];

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
    /// What it does, in a sentence or two; empty where it does nothing, and [`Effect`] says why.
    pub doc: &'static str,
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
            // hours and minutes are for files, and so is most of what gives the defaults of groups
            update: match (self.scope, place) {
                (Scope::Topic, 0) => Update::Dynamic,
                (Scope::Group, _) if synonym.name.ends_with(GROUPS_DYNAMIC) => Update::Dynamic,
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

    /// Whether it is told of where nobody set it.
    pub fn is_told_unset(&self) -> bool {
        !self.name.starts_with("internal.") && !ONLY_WHERE_SET.contains(&self.name)
    }

    /// The default as the broker's setting of that name shows it; none where another one does.
    pub fn default_under(&self, name: &str) -> Option<Value> {
        let weakest = self.synonyms.last().filter(|_| self.scope != Scope::Broker);
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
            Kind::String | Kind::Class | Kind::Password => "text",
            Kind::Int | Kind::Short | Kind::Long => "a whole number",
            Kind::Double => "a number",
            Kind::List => "a list with commas",
        };
        match (self.key.bounds.words().as_str(), self.key.effect) {
            ("nothing", Effect::AcceptedWithoutEffect(why)) => format!("nothing: {why}"),
            ("", _) => kind.to_owned(),
            (bounds, _) => format!("{kind}, {bounds}"),
        }
    }
}
