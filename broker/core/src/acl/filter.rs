//! Which ACLs somebody asks for, to see or to delete them.

use ottla_protocol::messages::access::{DeleteAclsFilter, DescribeAclsRequest};

use super::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};

const UNKNOWN: i8 = 0;
const ANY: i8 = 1;

/// Kafka's number of the pattern type that means "what covers the resource of this name".
const MATCH: i8 = 2;

/// A filter with every field of an ACL; each may be left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    resource_type: i8,
    name: Option<String>,
    pattern_type: i8,
    principal: Option<String>,
    host: Option<String>,
    operation: i8,
    permission: i8,
}

impl Filter {
    /// Whether the filter covers this ACL.
    #[must_use]
    pub fn matches(&self, acl: &Acl) -> bool {
        let is = |wanted: i8, has: i8| wanted == ANY || wanted == has;
        let named = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|w| w == has);
        is(self.resource_type, acl.resource_type.to_wire())
            && self.matches_name(acl)
            && named(&self.principal, &acl.entry.principal)
            && named(&self.host, &acl.entry.host)
            && is(self.operation, acl.entry.operation.to_wire())
            && is(self.permission, acl.entry.permission.to_wire())
    }

    fn matches_name(&self, acl: &Acl) -> bool {
        let pattern_type = acl.pattern_type.to_wire();
        if ![ANY, MATCH, pattern_type].contains(&self.pattern_type) {
            return false;
        }
        let Some(name) = &self.name else {
            return true;
        };
        if self.pattern_type != MATCH {
            return *name == acl.resource_name;
        }
        match acl.pattern_type {
            PatternType::Literal => *name == acl.resource_name || acl.resource_name == WILDCARD,
            PatternType::Prefixed => name.starts_with(&acl.resource_name),
        }
    }

    /// What is wrong with the filter: a number that is none of Kafka's.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let is_known = |number: i8, known: bool| number != UNKNOWN && (number == ANY || known);
        let resource_type = ResourceType::from_wire(self.resource_type).is_some();
        let pattern_type = PatternType::from_wire(self.pattern_type).is_some();
        if !is_known(self.resource_type, resource_type)
            || !is_known(
                self.pattern_type,
                pattern_type || self.pattern_type == MATCH,
            )
        {
            return Some("Unknown patternFilter.");
        }
        let operation = Operation::from_wire(self.operation).is_some();
        let permission = Permission::from_wire(self.permission).is_some();
        if !is_known(self.operation, operation) || !is_known(self.permission, permission) {
            return Some("Unknown entryFilter.");
        }
        None
    }
}

impl From<&DescribeAclsRequest> for Filter {
    fn from(asked: &DescribeAclsRequest) -> Self {
        Self {
            resource_type: asked.resource_type_filter,
            name: asked.resource_name_filter.clone(),
            pattern_type: asked.pattern_type_filter,
            principal: asked.principal_filter.clone(),
            host: asked.host_filter.clone(),
            operation: asked.operation,
            permission: asked.permission_type,
        }
    }
}

impl From<&DeleteAclsFilter> for Filter {
    fn from(asked: &DeleteAclsFilter) -> Self {
        Self {
            resource_type: asked.resource_type_filter,
            name: asked.resource_name_filter.clone(),
            pattern_type: asked.pattern_type_filter,
            principal: asked.principal_filter.clone(),
            host: asked.host_filter.clone(),
            operation: asked.operation,
            permission: asked.permission_type,
        }
    }
}
