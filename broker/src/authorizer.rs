//! What a client may do: the one place that asks the ACLs.
//!
//! A handler takes an [`Access`] for its request and asks it by resource. Without an authorizer
//! there is nothing to ask, and everything is allowed at the price of one branch.
//!
//! Brokers fetch from each other on a listener for clients. Such a fetch is trusted where its
//! client id names the incarnation of the broker that it speaks for: a random id, drawn by each
//! process, that brokers know of each other by the metadata log and tell nobody else.

use std::net::IpAddr;
use std::sync::Arc;

use ottla_core::acl::{ANONYMOUS, CLUSTER_NAME, Operation, ResourceType, Rules, Subject};
use ottla_core::image::{BrokerRegistration, MetadataImage};
use ottla_protocol::error::ErrorCode;

use crate::config::Settings;

/// Kafka's "not asked for", where a response has room for authorized operations.
pub const NOT_ASKED: i32 = i32::MIN;

/// How the client id of a broker that replicates begins; its incarnation follows.
const FOLLOWER: &str = "ottla-replica-fetcher:";

/// Who a client is: its name, and where it is.
#[derive(Clone, Debug)]
pub struct Principal {
    /// `User:name`.
    pub name: Arc<str>,
    /// Its address.
    pub host: IpAddr,
}

impl Principal {
    /// A client on a listener where nobody says who they are.
    #[must_use]
    pub fn anonymous(host: IpAddr) -> Self {
        let name = Arc::from(ANONYMOUS);
        Self { name, host }
    }
}

/// What one client may do, by the ACLs of one moment.
#[derive(Clone, Debug)]
pub struct Access(Option<Asked>);

#[derive(Clone, Debug)]
struct Asked {
    settings: Arc<Settings>,
    image: Arc<MetadataImage>,
    principal: Principal,
}

impl Asked {
    fn rules(&self) -> Rules<'_> {
        rules(&self.settings)
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            principal: &self.principal.name,
            host: self.principal.host,
        }
    }
}

fn rules(settings: &Settings) -> Rules<'_> {
    Rules {
        super_users: &settings.super_users,
        allow_everyone_if_no_acl_found: settings.allow_everyone_if_no_acl_found,
    }
}

impl Access {
    /// What `principal` may do by these settings and this image.
    #[must_use]
    pub fn of(
        settings: &Arc<Settings>,
        image: impl FnOnce() -> Arc<MetadataImage>,
        principal: &Principal,
    ) -> Self {
        Self(settings.authorizer.then(|| Asked {
            settings: Arc::clone(settings),
            image: image(),
            principal: principal.clone(),
        }))
    }

    /// Everything: where there is no authorizer, and for brokers.
    #[must_use]
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.0.is_none()
    }

    /// The image that the answers are by; none where nothing is asked.
    #[must_use]
    pub fn image(&self) -> Option<&Arc<MetadataImage>> {
        self.0.as_ref().map(|asked| &asked.image)
    }

    /// Whether the client may do `operation` with the resource.
    #[must_use]
    pub fn may(&self, operation: Operation, resource_type: ResourceType, name: &str) -> bool {
        self.0.as_ref().is_none_or(|asked| {
            let acls = &asked.image.acls;
            let subject = asked.subject();
            asked
                .rules()
                .authorize(acls, subject, operation, resource_type, name)
        })
    }

    /// Whether there is any topic that the client may do `operation` with.
    #[must_use]
    pub fn may_with_any_topic(&self, operation: Operation) -> bool {
        self.0.as_ref().is_none_or(|asked| {
            let (rules, acls) = (asked.rules(), &asked.image.acls);
            rules.authorize_by_resource_type(acls, asked.subject(), operation, ResourceType::Topic)
        })
    }

    /// Asks about a topic.
    ///
    /// # Errors
    /// Kafka's for topics.
    pub fn topic(&self, operation: Operation, name: &str) -> Result<(), ErrorCode> {
        match self.may(operation, ResourceType::Topic, name) {
            true => Ok(()),
            false => Err(ErrorCode::TopicAuthorizationFailed),
        }
    }

    /// Asks about a group.
    ///
    /// # Errors
    /// Kafka's for groups.
    pub fn group(&self, operation: Operation, id: &str) -> Result<(), ErrorCode> {
        match self.may(operation, ResourceType::Group, id) {
            true => Ok(()),
            false => Err(ErrorCode::GroupAuthorizationFailed),
        }
    }

    /// Asks about a transactional id.
    ///
    /// # Errors
    /// Kafka's for transactional ids.
    pub fn transactional_id(&self, operation: Operation, id: &str) -> Result<(), ErrorCode> {
        match self.may(operation, ResourceType::TransactionalId, id) {
            true => Ok(()),
            false => Err(ErrorCode::TransactionalIdAuthorizationFailed),
        }
    }

    /// Asks about the cluster.
    ///
    /// # Errors
    /// Kafka's for the cluster.
    pub fn cluster(&self, operation: Operation) -> Result<(), ErrorCode> {
        match self.may(operation, ResourceType::Cluster, CLUSTER_NAME) {
            true => Ok(()),
            false => Err(ErrorCode::ClusterAuthorizationFailed),
        }
    }

    /// What the client may do with the resource, as a bit for each of Kafka's operations.
    #[must_use]
    pub fn operations(&self, resource_type: ResourceType, name: &str) -> i32 {
        let all = resource_type.operations().iter();
        let allowed = all.filter(|operation| self.may(**operation, resource_type, name));
        allowed.fold(0, |bits, operation| bits | 1 << operation.to_wire())
    }

    /// What the client may do with the cluster; nothing is told to whom it may not be described.
    #[must_use]
    pub fn cluster_operations(&self) -> i32 {
        match self.cluster(Operation::Describe) {
            Ok(()) => self.operations(ResourceType::Cluster, CLUSTER_NAME),
            Err(_) => 0,
        }
    }
}

/// Kafka's sentence to an error of authorization.
#[must_use]
pub fn sentence(error: ErrorCode) -> String {
    let what = match error {
        ErrorCode::TopicAuthorizationFailed => "Topic",
        ErrorCode::GroupAuthorizationFailed => "Group",
        ErrorCode::TransactionalIdAuthorizationFailed => "Transactional Id",
        _ => "Cluster",
    };
    format!("{what} authorization failed.")
}

/// What the broker calls itself where it replicates from others.
#[must_use]
pub fn follower_client_id(broker: &BrokerRegistration) -> String {
    format!("{FOLLOWER}{}", broker.incarnation_id)
}

/// Whether `client_id` is what only this broker can know to call itself.
#[must_use]
pub fn is_follower(client_id: Option<&str>, broker: &BrokerRegistration) -> bool {
    let incarnation = client_id.and_then(|id| id.strip_prefix(FOLLOWER));
    incarnation.is_some_and(|text| text.parse() == Ok(broker.incarnation_id))
}
