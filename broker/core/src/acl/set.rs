//! All ACLs of a cluster, found by the resource that they are about.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};

/// Who, from where, does what; and whether that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// `User:name`, or `User:*` for everyone.
    pub principal: String,
    /// An address, or `*` for all.
    pub host: String,
    /// What is done.
    pub operation: Operation,
    /// Whether it is allowed.
    pub permission: Permission,
}

type ByName = BTreeMap<String, BTreeSet<Entry>>;

/// A set of ACLs. A pattern without entries is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acls {
    by_pattern: BTreeMap<(ResourceType, PatternType), ByName>,
}

impl Acls {
    /// Adds an ACL; one that is there already stays as it is.
    pub fn insert(&mut self, acl: Acl) {
        let patterns = self.by_pattern.entry((acl.resource_type, acl.pattern_type));
        let entries = patterns.or_default().entry(acl.resource_name);
        entries.or_default().insert(acl.entry);
    }

    /// Takes an ACL out, where it is there.
    pub fn remove(&mut self, acl: &Acl) {
        let key = (acl.resource_type, acl.pattern_type);
        let Some(patterns) = self.by_pattern.get_mut(&key) else {
            return;
        };
        if let Some(entries) = patterns.get_mut(&acl.resource_name) {
            entries.remove(&acl.entry);
            if entries.is_empty() {
                patterns.remove(&acl.resource_name);
            }
        }
        if patterns.is_empty() {
            self.by_pattern.remove(&key);
        }
    }

    /// Whether this ACL is there.
    #[must_use]
    pub fn contains(&self, acl: &Acl) -> bool {
        let patterns = self.by_pattern.get(&(acl.resource_type, acl.pattern_type));
        let entries = patterns.and_then(|p| p.get(&acl.resource_name));
        entries.is_some_and(|entries| entries.contains(&acl.entry))
    }

    /// All of them, by type, pattern and name.
    pub fn iter(&self) -> impl Iterator<Item = Acl> + '_ {
        self.by_pattern
            .iter()
            .flat_map(|(&(resource_type, pattern_type), names)| {
                names.iter().flat_map(move |(name, entries)| {
                    entries.iter().map(move |entry| Acl {
                        resource_type,
                        resource_name: name.clone(),
                        pattern_type,
                        entry: entry.clone(),
                    })
                })
            })
    }

    /// The patterns of one kind, by name.
    pub(super) fn named(
        &self,
        resource_type: ResourceType,
        pattern_type: PatternType,
    ) -> impl Iterator<Item = (&str, &Entry)> {
        let names = self.by_pattern.get(&(resource_type, pattern_type));
        let names = names.into_iter().flatten();
        names.flat_map(|(name, entries)| entries.iter().map(|entry| (name.as_str(), entry)))
    }

    /// Shows `see` the entries of each pattern that covers the resource, until it says enough.
    pub(super) fn covering(
        &self,
        resource_type: ResourceType,
        name: &str,
        mut see: impl FnMut(&BTreeSet<Entry>) -> bool,
    ) {
        if let Some(literal) = self.by_pattern.get(&(resource_type, PatternType::Literal)) {
            for name in [name, WILDCARD] {
                if literal.get(name).is_some_and(&mut see) {
                    return;
                }
            }
        }
        if let Some(prefixed) = self.by_pattern.get(&(resource_type, PatternType::Prefixed)) {
            covering_prefixes(prefixed, name, see);
        }
    }
}

/// Finds the keys that `name` begins with, the longest first, in as many steps as there are keys
/// that come near: the greatest key up to `name` either is one of them, or shares a beginning with
/// `name` that every other of them has to be within.
fn covering_prefixes(keys: &ByName, name: &str, mut see: impl FnMut(&BTreeSet<Entry>) -> bool) {
    let mut upper = Bound::Included(name);
    while let Some((key, entries)) = keys.range::<str, _>((Bound::Unbounded, upper)).next_back() {
        if name.starts_with(key.as_str()) {
            if see(entries) {
                return;
            }
            upper = Bound::Excluded(&name[..key.len()]);
        } else {
            let shared = name.bytes().zip(key.bytes()).take_while(|(a, b)| a == b);
            let mut shared = shared.count();
            while !name.is_char_boundary(shared) {
                shared -= 1;
            }
            upper = Bound::Included(&name[..shared]);
        }
    }
}
