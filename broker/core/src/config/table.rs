//! The one table of all that can be set.
//!
//! Invariant: within a scope a name stands here once; so nothing that is said of it anywhere can
//! contradict what is said elsewhere.

use super::{Key, Scope};

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
mod topic;

/// Every key, those of a scope together.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let parts = [topic::KEYS, broker::KEYS, dynamic::KEYS, group::KEYS];
    parts.into_iter().flatten()
}

/// The keys of one scope.
pub fn keys_of(scope: Scope) -> impl Iterator<Item = &'static Key> {
    keys().filter(move |key| key.scope == scope)
}

/// The broker's or topic's key of that name.
pub(super) fn key(name: &str) -> &'static Key {
    let is_meant =
        |key: &&Key| key.name == name && matches!(key.scope, Scope::Topic | Scope::Broker);
    keys()
        .find(is_meant)
        .expect("asked for by a name in the table")
}
