//! The one table of all that can be set.
//!
//! Invariant: within a scope a name stands here once; so nothing that is said of it anywhere can
//! contradict what is said elsewhere.

use ottla_protocol::codec::STRING_BYTES_MAX;

use super::key::{Key, Name, Scope};
use super::value::Value;

macro_rules! keys {
    (@scale) => { 1 };
    (@scale $scale:ident) => { $scale };
    ($($name:literal $kind:ident $default:literal $bounds:expr,
       $scope:ident $update:ident [$($synonym:literal $(* $unit:ident)?),*] $effect:expr,
       $doc:literal;)*) => {
        pub(super) static KEYS: &[$crate::config::Key] = &[$($crate::config::Key {
            name: $name,
            kind: $crate::config::Kind::$kind,
            default: $default,
            bounds: $bounds,
            scope: $crate::config::Scope::$scope,
            update: $crate::config::Update::$update,
            synonyms: &[$($crate::config::Synonym {
                name: $synonym,
                scale: keys!(@scale $($unit)?),
            }),*],
            effect: $effect,
            doc: $doc,
        }),*];
    };
}

mod broker;
mod dynamic;
mod group;
mod kafka;
mod quota;
mod security;
mod topic;
mod transaction;

/// Every key, those of a scope together.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let parts = [
        topic::KEYS,
        broker::KEYS,
        dynamic::KEYS,
        kafka::KEYS,
        quota::KEYS,
        security::KEYS,
        group::KEYS,
        transaction::KEYS,
    ];
    parts.into_iter().flatten()
}

/// The keys of one scope.
pub fn keys_of(scope: Scope) -> impl Iterator<Item = &'static Key> {
    keys().filter(move |key| key.scope == scope)
}

/// The broker's, topic's or group's key of that name.
pub(super) fn key(name: &str) -> &'static Key {
    let is_read = |scope| matches!(scope, Scope::Topic | Scope::Broker | Scope::Group);
    let is_meant = |key: &&Key| key.name == name && is_read(key.scope);
    keys()
        .find(is_meant)
        .expect("asked for by a name in the table")
}

/// Every name that a value can be set by in that scope.
pub fn names(scope: Scope) -> impl Iterator<Item = Name> {
    keys().flat_map(move |key| key.names(scope))
}

/// What a name means in that scope; none where nothing has it.
pub fn find(scope: Scope, name: &str) -> Option<Name> {
    names(scope).find(|known| known.name == name)
}

/// A value that was recorded: as text, and maybe by a broker of another version. Nothing goes by
/// what is too long to be answered.
pub fn recorded(scope: Scope, name: &str, text: &str) -> Value {
    let known = find(scope, name).filter(|_| text.len() <= STRING_BYTES_MAX);
    let parsed = known.and_then(|name| name.parse(text).ok());
    parsed.unwrap_or_else(|| Value::Foreign(text.to_owned()))
}

/// The known name of a broker's setting that is nearest to a mistyped one, where one is near.
pub fn closest(name: &str) -> Option<&'static str> {
    let near = names(Scope::Broker)
        .map(|known| (strsim::levenshtein(name, known.name), known.name))
        .min()?;
    (near.0 <= 3).then_some(near.1)
}
