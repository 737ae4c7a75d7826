//! The decision, as Apache Kafka's StandardAuthorizer makes it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::host::covers;
use super::{Acls, EVERYONE, Entry, Operation, PatternType, Permission, ResourceType, WILDCARD};

/// Who asks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `User:name`.
    pub principal: &'a str,
    /// The client's address.
    pub host: IpAddr,
}

/// What holds beside the ACLs.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Principals that may do everything.
    pub super_users: &'a BTreeSet<String>,
    /// Whether a resource that no ACL covers is open to everyone.
    pub allow_everyone_if_no_acl_found: bool,
}

impl Subject<'_> {
    fn is_meant(&self, entry: &Entry) -> bool {
        (entry.principal == self.principal || entry.principal == EVERYONE)
            && covers(&entry.host, self.host)
    }
}

/// What a decision is, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody decides: there is no authorizer.
    Unasked,
    /// It is a super user.
    SuperUser,
    /// An ACL denies it.
    Denied,
    /// An ACL allows it, and none denies it.
    Allowed,
    /// There are ACLs about the resource, and none allows it.
    NoAllow,
    /// There is no ACL about the resource, and such resources are open.
    Open,
    /// There is no ACL about the resource, and such resources are closed.
    Closed,
}

impl Verdict {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        matches!(
            self,
            Self::Unasked | Self::SuperUser | Self::Allowed | Self::Open
        )
    }

    /// Why.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unasked => "no authorizer",
            Self::SuperUser => "super user",
            Self::Denied => "an ACL denies it",
            Self::Allowed => "an ACL allows it",
            Self::NoAllow => "no ACL allows it",
            Self::Open => "no ACL is about it, and it is open",
            Self::Closed => "no ACL is about it",
        }
    }
}

impl Rules<'_> {
    /// Whether `subject` may do `operation` with the resource.
    #[must_use]
    pub fn authorize(
        &self,
        acls: &Acls,
        subject: Subject<'_>,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> bool {
        let verdict = self.judge(acls, subject, operation, resource_type, name);
        verdict.is_allowed()
    }

    /// Whether `subject` may do `operation` with the resource, and why. A super user may; what one
    /// ACL denies, no other allows; without an ACL that speaks of the subject it may not, unless
    /// there is none about the resource at all and such resources are open.
    #[must_use]
    pub fn judge(
        &self,
        acls: &Acls,
        subject: Subject<'_>,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> Verdict {
        if self.super_users.contains(subject.principal) {
            return Verdict::SuperUser;
        }
        let (mut is_covered, mut is_allowed, mut is_denied) = (false, false, false);
        acls.covering(resource_type, name, |entries| {
            is_covered = true;
            for entry in entries.iter().filter(|entry| subject.is_meant(entry)) {
                match entry.permission {
                    Permission::Allow => is_allowed |= entry.operation.allows(operation),
                    Permission::Deny => is_denied |= entry.operation.denies(operation),
                }
            }
            is_denied
        });
        match (is_covered, self.allow_everyone_if_no_acl_found) {
            (true, _) if is_denied => Verdict::Denied,
            (true, _) if is_allowed => Verdict::Allowed,
            (true, _) => Verdict::NoAllow,
            (false, true) => Verdict::Open,
            (false, false) => Verdict::Closed,
        }
    }

    /// Whether there can be any resource of the type that `subject` may do `operation` with
    /// (KIP-679).
    #[must_use]
    pub fn authorize_by_resource_type(
        &self,
        acls: &Acls,
        subject: Subject<'_>,
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        // a name that no ACL is likely to have: super users, open clusters, and `*`
        if self.authorize(acls, subject, operation, resource_type, "hardcode") {
            return true;
        }
        let of = |pattern_type, permission| {
            let named = acls.named(resource_type, pattern_type);
            named.filter(move |(_, entry)| {
                entry.permission == permission
                    && subject.is_meant(entry)
                    && entry.operation.denies(operation)
            })
        };
        let denied: BTreeSet<&str> = names(of(PatternType::Literal, Permission::Deny));
        if denied.contains(WILDCARD) {
            return false;
        }
        let denied_prefixes = names(of(PatternType::Prefixed, Permission::Deny));
        let is_open = |name: &str| !denied_prefixes.iter().any(|p| name.starts_with(p));
        let mut allowed = of(PatternType::Literal, Permission::Allow).map(|(name, _)| name);
        let mut prefixes = of(PatternType::Prefixed, Permission::Allow).map(|(name, _)| name);
        // a literal `*` leaves names open that nothing denies
        allowed.any(|n| n == WILDCARD || (!denied.contains(n) && is_open(n)))
            || prefixes.any(is_open)
    }
}

fn names<'a>(named: impl Iterator<Item = (&'a str, &'a Entry)>) -> BTreeSet<&'a str> {
    named.map(|(name, _)| name).collect()
}
