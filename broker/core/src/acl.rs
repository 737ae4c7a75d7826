//! Access control lists: who may do what with which resource.
//!
//! The words and numbers are Kafka's. [`Acls`] holds all of a cluster's, [`Rules`] decides by them
//! as Apache Kafka's StandardAuthorizer does.

mod filter;
mod host;
mod rules;
mod set;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use host::is_host;
pub use rules::{Rules, Subject, Verdict};
pub use set::{Acls, Entry};

/// A name, a principal's name or a host that stands for all of them.
pub const WILDCARD: &str = "*";

/// The principal that stands for every user.
pub const EVERYONE: &str = "User:*";

/// Who a client is that has not said who it is.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

/// The one name of the one resource of type cluster.
pub const CLUSTER_NAME: &str = "kafka-cluster";

macro_rules! numbered {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $each:literal])+ $variant:ident = $number:literal,)*
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(i8)]
        pub enum $name {
            $($(#[doc = $each])+ $variant = $number,)*
        }

        impl $name {
            /// The one of that number; none where an ACL cannot have it.
            #[must_use]
            pub fn from_wire(number: i8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's number.
            #[must_use]
            pub fn to_wire(self) -> i8 {
                self as i8
            }

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }
    };
}

numbered! {
    /// What kind of thing is protected.
    ResourceType {
        /// A topic.
        Topic = 2,
        /// A group.
        Group = 3,
        /// The cluster as a whole.
        Cluster = 4,
        /// A transactional id.
        TransactionalId = 5,
        /// A delegation token.
        DelegationToken = 6,
        /// A user, as the owner of tokens.
        User = 7,
    }
}

numbered! {
    /// How a resource is named.
    PatternType {
        /// By its name; `*` for all.
        Literal = 3,
        /// By the beginning of its name (KIP-290).
        Prefixed = 4,
    }
}

numbered! {
    /// What is done.
    Operation {
        /// Every operation.
        All = 2,
        /// Reads records, joins a group, commits its offsets.
        Read = 3,
        /// Writes records.
        Write = 4,
        /// Creates topics.
        Create = 5,
        /// Deletes topics, records, groups.
        Delete = 6,
        /// Changes the resource.
        Alter = 7,
        /// Learns that the resource is there, and what it is like.
        Describe = 8,
        /// What brokers do among themselves.
        ClusterAction = 9,
        /// Reads configs.
        DescribeConfigs = 10,
        /// Sets configs.
        AlterConfigs = 11,
        /// Writes with a producer id.
        IdempotentWrite = 12,
        /// Creates delegation tokens.
        CreateTokens = 13,
        /// Describes delegation tokens.
        DescribeTokens = 14,
        /// Prepares a transaction.
        TwoPhaseCommit = 15,
    }
}

numbered! {
    /// Whether an ACL gives or takes.
    Permission {
        /// Takes, whatever others give.
        Deny = 2,
        /// Gives.
        Allow = 3,
    }
}

/// One ACL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// The type of the resources.
    pub resource_type: ResourceType,
    /// The name, its beginning, or `*`.
    pub resource_name: String,
    /// Which of them.
    pub pattern_type: PatternType,
    /// Who, from where, does what.
    pub entry: Entry,
}

impl Operation {
    /// Whether to allow `self` is to allow `wanted`. To deny implies nothing beyond itself.
    fn allows(self, wanted: Self) -> bool {
        self == Self::All
            || self == wanted
            || match wanted {
                Self::Describe => {
                    matches!(self, Self::Read | Self::Write | Self::Delete | Self::Alter)
                }
                Self::DescribeConfigs => self == Self::AlterConfigs,
                _ => false,
            }
    }

    /// Whether to deny `self` is to deny `wanted`.
    fn denies(self, wanted: Self) -> bool {
        self == Self::All || self == wanted
    }
}

impl ResourceType {
    /// What can be done with such a resource at all.
    #[must_use]
    pub fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            Self::Topic => &[
                Read,
                Write,
                Create,
                Delete,
                Alter,
                Describe,
                DescribeConfigs,
                AlterConfigs,
            ],
            Self::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[
                Create,
                Alter,
                Describe,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
            ],
            Self::TransactionalId => &[Write, Describe, TwoPhaseCommit],
            Self::DelegationToken => &[Describe],
            Self::User => &[CreateTokens, DescribeTokens],
        }
    }
}
