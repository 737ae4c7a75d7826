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

use ottla_core::acl::{ANONYMOUS, CLUSTER_NAME, Operation, ResourceType, Rules, Subject, Verdict};
use ottla_core::image::{BrokerRegistration, MetadataImage};
use ottla_protocol::api::ApiKey;
use ottla_protocol::error::ErrorCode;

use crate::audit::{Asker, Audit};
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
pub struct Access {
    /// None where nothing is asked.
    asked: Option<Asked>,
    /// Who tells the audit log; none where there is none.
    witness: Option<Witness>,
}

#[derive(Clone, Debug)]
struct Asked {
    settings: Arc<Settings>,
    image: Arc<MetadataImage>,
    principal: Principal,
}

/// What the audit log needs to know of a request.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The log.
    pub audit: Arc<Audit>,
    /// Who asks.
    pub principal: Principal,
    /// Through which listener.
    pub listener: Arc<str>,
    /// By what.
    pub api: ApiKey,
}

impl Witness {
    /// Tells what changes something, and what is denied.
    fn tell(&self, operation: Operation, resource: (ResourceType, &str), verdict: Verdict) {
        use Operation::{Alter, AlterConfigs, Create, CreateTokens, Delete};
        let changes = matches!(
            operation,
            Alter | AlterConfigs | Create | CreateTokens | Delete
        );
        if verdict.is_allowed() && !changes {
            return;
        }
        let asker = Asker {
            principal: &self.principal.name,
            host: self.principal.host,
            listener: &self.listener,
            api: self.api,
        };
        self.audit.decided(asker, operation, resource, verdict);
    }
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
        witness: impl FnOnce() -> Option<Witness>,
    ) -> Self {
        Self {
            asked: settings.authorizer.then(|| Asked {
                settings: Arc::clone(settings),
                image: image(),
                principal: principal.clone(),
            }),
            witness: witness(),
        }
    }

    /// Everything: where there is no authorizer, and for brokers.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            asked: None,
            witness: None,
        }
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.asked.is_none()
    }

    /// The image that the answers are by; none where nothing is asked.
    #[must_use]
    pub fn image(&self) -> Option<&Arc<MetadataImage>> {
        self.asked.as_ref().map(|asked| &asked.image)
    }

    fn judge(&self, operation: Operation, resource_type: ResourceType, name: &str) -> Verdict {
        let Some(asked) = &self.asked else {
            return Verdict::Unasked;
        };
        let (rules, acls) = (asked.rules(), &asked.image.acls);
        rules.judge(acls, asked.subject(), operation, resource_type, name)
    }

    /// Whether the client may do `operation` with the resource. Nobody hears of it: it is asked
    /// where what the client may not see is left out, or where something else may allow it.
    #[must_use]
    pub fn may(&self, operation: Operation, resource_type: ResourceType, name: &str) -> bool {
        self.judge(operation, resource_type, name).is_allowed()
    }

    /// The same of what is done or refused by it; the audit log hears of it.
    fn demand(
        &self,
        operation: Operation,
        (resource_type, name): (ResourceType, &str),
        error: ErrorCode,
    ) -> Result<(), ErrorCode> {
        let verdict = self.judge(operation, resource_type, name);
        if let Some(witness) = &self.witness {
            witness.tell(operation, (resource_type, name), verdict);
        }
        match verdict.is_allowed() {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Whether there is any topic that the client may do `operation` with.
    #[must_use]
    pub fn may_with_any_topic(&self, operation: Operation) -> bool {
        self.asked.as_ref().is_none_or(|asked| {
            let (rules, acls) = (asked.rules(), &asked.image.acls);
            rules.authorize_by_resource_type(acls, asked.subject(), operation, ResourceType::Topic)
        })
    }

    /// Whether the client may do `operation` with the topic; as [`Self::may`], nobody hears of it.
    #[must_use]
    pub fn may_with_topic(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::Topic, name)
    }

    /// The same of the cluster.
    #[must_use]
    pub fn may_with_cluster(&self, operation: Operation) -> bool {
        self.may(operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    /// Asks whether a topic may be created: who may create all may create this one.
    ///
    /// # Errors
    /// Kafka's for topics.
    pub fn create_topic(&self, name: &str) -> Result<(), ErrorCode> {
        let of_all = self.judge(Operation::Create, ResourceType::Cluster, CLUSTER_NAME);
        if !of_all.is_allowed() {
            return self.topic(Operation::Create, name);
        }
        if let Some(witness) = &self.witness {
            witness.tell(Operation::Create, (ResourceType::Topic, name), of_all);
        }
        Ok(())
    }

    /// Asks about a topic.
    ///
    /// # Errors
    /// Kafka's for topics.
    pub fn topic(&self, operation: Operation, name: &str) -> Result<(), ErrorCode> {
        let resource = (ResourceType::Topic, name);
        self.demand(operation, resource, ErrorCode::TopicAuthorizationFailed)
    }

    /// Asks about a group.
    ///
    /// # Errors
    /// Kafka's for groups.
    pub fn group(&self, operation: Operation, id: &str) -> Result<(), ErrorCode> {
        let resource = (ResourceType::Group, id);
        self.demand(operation, resource, ErrorCode::GroupAuthorizationFailed)
    }

    /// Asks about a transactional id.
    ///
    /// # Errors
    /// Kafka's for transactional ids.
    pub fn transactional_id(&self, operation: Operation, id: &str) -> Result<(), ErrorCode> {
        let resource = (ResourceType::TransactionalId, id);
        self.demand(
            operation,
            resource,
            ErrorCode::TransactionalIdAuthorizationFailed,
        )
    }

    /// Asks about tokens of a user, of whom the principal is the name.
    ///
    /// # Errors
    /// Kafka's for delegation tokens.
    pub fn user(&self, operation: Operation, principal: &str) -> Result<(), ErrorCode> {
        let resource = (ResourceType::User, principal);
        let error = ErrorCode::DelegationTokenAuthorizationFailed;
        self.demand(operation, resource, error)
    }

    /// Asks about the cluster.
    ///
    /// # Errors
    /// Kafka's for the cluster.
    pub fn cluster(&self, operation: Operation) -> Result<(), ErrorCode> {
        let resource = (ResourceType::Cluster, CLUSTER_NAME);
        self.demand(operation, resource, ErrorCode::ClusterAuthorizationFailed)
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
        match self.may_with_cluster(Operation::Describe) {
            true => self.operations(ResourceType::Cluster, CLUSTER_NAME),
            false => 0,
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

/// The user of a principal, `User:name`.
#[must_use]
pub fn user(principal: &str) -> &str {
    principal
        .split_once(':')
        .map_or(principal, |(_, name)| name)
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

/// Whether `client_id` is what only some broker can know to call itself.
#[must_use]
pub fn is_some_follower(
    client_id: Option<&str>,
    image: impl FnOnce() -> Arc<MetadataImage>,
) -> bool {
    let claims = client_id.is_some_and(|id| id.starts_with(FOLLOWER));
    claims && image().brokers.values().any(|b| is_follower(client_id, b))
}
