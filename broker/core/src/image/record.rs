//! The records that the metadata log holds, and that a snapshot is a list of.
//!
//! A record states what is now so, never what was asked for: brokers of two versions replay the
//! same. Each is a type, a version and a body; a body is flexible, so that a later version adds
//! tagged fields that an older broker skips. Its strings may be longer than those of requests:
//! brokers once took and recorded such.

mod delegation_token;
mod nodes;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::codec::{
    Decode, Encode, Error, Kafka, Message, Reader, STRING_BYTES_MAX, Writer,
};
use ottla_protocol::ids::{NodeId, Uuid};

pub use self::delegation_token::{DelegationTokenRecord, RemoveDelegationTokenRecord};
pub use self::nodes::{ControllerRecord, FeatureRangeRecord, RemoveControllerRecord};
use super::{ConfigResource, Endpoint, MetadataImage};
use crate::acl::{Acl, Entry, Operation, PatternType, Permission, ResourceType};
use crate::authentication::{Credential, Mechanism};
use crate::config::agreed::AGREED;
use crate::config::{self, ConfigMap, Scope, Value};
use crate::quota::{Entity, Key, Rate};

/// One fact of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The cluster has an identity.
    Cluster(ClusterRecord),
    /// A broker registered, or changed: replaces what was known of it.
    Broker(BrokerRecord),
    /// A broker is no longer part of the cluster.
    RemoveBroker(RemoveBrokerRecord),
    /// A controller that is no broker registered: replaces what was known of it.
    Controller(ControllerRecord),
    /// A controller is no longer part of the cluster, or is a broker now.
    RemoveController(RemoveControllerRecord),
    /// A topic exists.
    Topic(TopicRecord),
    /// A topic and its partitions and configs are gone.
    RemoveTopic(RemoveTopicRecord),
    /// A partition exists, or changed: replaces what was known of it.
    Partition(PartitionRecord),
    /// A dynamic config is set or removed.
    Config(ConfigRecord),
    /// Producer ids up to here were given out.
    ProducerIds(ProducerIdsRecord),
    /// A feature is finalized at a level; 0 removes it.
    Feature(FeatureRecord),
    /// An ACL is in force.
    Acl(AclRecord),
    /// An ACL is in force no more.
    RemoveAcl(AclRecord),
    /// A user may log in by SCRAM: replaces the credential of the same mechanism.
    ScramCredential(ScramCredentialRecord),
    /// A user may log in by that mechanism no more.
    RemoveScramCredential(RemoveScramCredentialRecord),
    /// A client quota is set or removed.
    ClientQuota(ClientQuotaRecord),
    /// A delegation token exists, or changed: replaces what was known of it.
    DelegationToken(DelegationTokenRecord),
    /// A delegation token is gone.
    RemoveDelegationToken(RemoveDelegationTokenRecord),
}

macro_rules! records {
    ($($number:literal $variant:ident $body:ty;)*) => {
        impl Record {
            /// The record's bytes: type, version, body.
            ///
            /// # Errors
            /// What is too long for its length prefix.
            pub fn encode(&self) -> Result<Bytes, Error> {
                let mut writer = Writer::new().with_long_strings();
                match self {
                    $(Self::$variant(body) => write(&mut writer, $number, body)?,)*
                }
                Ok(writer.into_bytes())
            }

            /// Reads what [`Self::encode`] wrote. A type that is not known is an error: an older
            /// broker must not go on without a fact that a newer one recorded.
            pub fn decode(bytes: Bytes) -> Result<Self, Error> {
                let mut reader = Reader::new(BytesMut::from(bytes)).with_long_strings();
                let number = reader.i16()?;
                let version = reader.i16()?;
                let record = match number {
                    $($number => Self::$variant(<$body>::decode(&mut reader, version)?),)*
                    _ => return Err(Error::UnsupportedVersion {
                        message: "metadata record",
                        version: number,
                    }),
                };
                reader.finish()?;
                Ok(record)
            }
        }
    };
}

records! {
    1 Cluster ClusterRecord;
    2 Broker BrokerRecord;
    3 RemoveBroker RemoveBrokerRecord;
    4 Topic TopicRecord;
    5 RemoveTopic RemoveTopicRecord;
    6 Partition PartitionRecord;
    7 Config ConfigRecord;
    8 ProducerIds ProducerIdsRecord;
    9 Feature FeatureRecord;
    10 Acl AclRecord;
    11 RemoveAcl AclRecord;
    12 ScramCredential ScramCredentialRecord;
    13 RemoveScramCredential RemoveScramCredentialRecord;
    20 ClientQuota ClientQuotaRecord;
    14 DelegationToken DelegationTokenRecord;
    15 RemoveDelegationToken RemoveDelegationTokenRecord;
    21 Controller ControllerRecord;
    22 RemoveController RemoveControllerRecord;
}

impl Record {
    /// Who leads by `before`, and another or nobody does with this.
    #[must_use]
    pub fn replaced_leader(&self, before: &MetadataImage) -> Option<NodeId> {
        let Self::Partition(record) = self else {
            return None;
        };
        let leader = before.partition(record.id())?.leader;
        leader.filter(|leader| leader.0 != record.leader)
    }
}

/// Writes type, version and body; the version is the newest that there is.
pub(crate) fn write<M: Message>(writer: &mut Writer, number: i16, body: &M) -> Result<(), Error> {
    let version = *M::VERSIONS.end();
    writer.buffer().put_i16(number);
    writer.buffer().put_i16(version);
    body.encode(writer, version)
}

/// See [`Record::Cluster`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ClusterRecord {
    /// The cluster's id, as text.
    pub cluster_id: String,
    /// The epoch that the next registration of a broker gets, at least.
    pub next_broker_epoch: i64,
}

/// See [`Record::Broker`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct BrokerRecord {
    /// The broker's id.
    pub node_id: i32,
    /// The process's random id.
    pub incarnation_id: Uuid,
    /// The incarnation's epoch.
    pub broker_epoch: i64,
    /// The data directory's id.
    pub storage_id: Uuid,
    /// Where clients reach it.
    pub listeners: Vec<Endpoint>,
    /// Where brokers reach it.
    pub peer: Endpoint,
    /// Its failure domain.
    #[kafka(nullable = "0+", default = null)]
    pub rack: Option<String>,
    /// Feature levels that its binary supports.
    pub features: Vec<FeatureRangeRecord>,
    /// Whether it is fenced.
    pub fenced: bool,
    /// Whether it is shutting down.
    pub in_controlled_shutdown: bool,
    /// What its file sets of the configs that all brokers must agree on; null if it did not tell.
    #[kafka(versions = "0+", nullable = "0+", default = null, tag = 0)]
    pub configs: Option<Vec<FileConfigRecord>>,
}

/// A config that a broker's file sets.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct FileConfigRecord {
    /// The config's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FileConfigRecord {
    /// What a broker whose file sets `statics` tells of it.
    pub fn of(statics: &ConfigMap) -> Vec<Self> {
        let told = statics
            .iter()
            .filter(|(name, _)| AGREED.contains(&name.as_str()));
        told.map(|(name, value)| Self {
            name: name.clone(),
            value: value.to_string(),
        })
        .collect()
    }

    /// The configs that such records tell.
    pub fn configs(records: &[Self]) -> ConfigMap {
        let value = |r: &Self| {
            let value = config::recorded(Scope::Broker, &r.name, &r.value);
            (r.name.clone(), value)
        };
        records.iter().map(value).collect()
    }
}

/// See [`Record::RemoveBroker`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveBrokerRecord {
    /// The broker's id.
    pub node_id: i32,
}

/// See [`Record::Topic`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct TopicRecord {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The topic's name.
    pub name: String,
}

/// See [`Record::RemoveTopic`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveTopicRecord {
    /// The topic's id.
    pub topic_id: Uuid,
}

/// See [`Record::Partition`] and [`super::PartitionRegistration`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct PartitionRecord {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// All replicas.
    pub replicas: Vec<i32>,
    /// In-sync replicas.
    pub isr: Vec<i32>,
    /// Replicas being added.
    pub adding_replicas: Vec<i32>,
    /// Replicas being removed.
    pub removing_replicas: Vec<i32>,
    /// Eligible leader replicas.
    pub elr: Vec<i32>,
    /// Who led last, while nobody may.
    pub last_known_elr: Vec<i32>,
    /// The leader; −1 for none.
    pub leader: i32,
    /// The leader epoch.
    pub leader_epoch: i32,
    /// The partition epoch.
    pub partition_epoch: i32,
    /// Whom the leader is to hand over to; −1 for nobody.
    #[kafka(versions = "0+", default = -1, tag = 0)]
    pub successor: i32,
}

/// See [`Record::Config`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConfigRecord {
    /// Kafka's number of the resource type.
    pub resource_type: i8,
    /// The resource's name; empty for the cluster-wide default of brokers.
    pub resource_name: String,
    /// The config's name.
    pub name: String,
    /// Its value; null removes it.
    #[kafka(nullable = "0+", default = null)]
    pub value: Option<String>,
}

impl ConfigRecord {
    /// The record that sets (or, with no value, removes) a config of a resource.
    pub fn new(resource: &ConfigResource, name: &str, value: Option<&Value>) -> Self {
        let (resource_type, resource_name) = resource.to_wire();
        Self {
            resource_type,
            resource_name,
            name: name.to_owned(),
            value: value.map(Value::to_string),
        }
    }
}

/// See [`Record::ProducerIds`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ProducerIdsRecord {
    /// The first id that was not given out.
    pub next_producer_id: i64,
}

/// See [`Record::Feature`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct FeatureRecord {
    /// The feature's name.
    pub name: String,
    /// Its finalized level.
    pub level: i16,
}

/// See [`Record::Acl`] and [`Record::RemoveAcl`]. Numbers are those of [`crate::acl`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct AclRecord {
    /// The type of the resources.
    pub resource_type: i8,
    /// Their name, or how it begins.
    pub resource_name: String,
    /// Which of the two.
    pub pattern_type: i8,
    /// Who.
    pub principal: String,
    /// From where.
    pub host: String,
    /// Does what.
    pub operation: i8,
    /// Whether that is allowed.
    pub permission: i8,
}

impl From<&Acl> for AclRecord {
    fn from(acl: &Acl) -> Self {
        Self {
            resource_type: acl.resource_type.to_wire(),
            resource_name: acl.resource_name.clone(),
            pattern_type: acl.pattern_type.to_wire(),
            principal: acl.entry.principal.clone(),
            host: acl.entry.host.clone(),
            operation: acl.entry.operation.to_wire(),
            permission: acl.entry.permission.to_wire(),
        }
    }
}

impl AclRecord {
    /// The ACL that this record is about; none where it has a number that is none, or a name that
    /// is too long for anybody and anything to have.
    pub fn acl(&self) -> Option<Acl> {
        let names = [&self.resource_name, &self.principal, &self.host];
        if names.iter().any(|name| name.len() > STRING_BYTES_MAX) {
            return None;
        }
        Some(Acl {
            resource_type: ResourceType::from_wire(self.resource_type)?,
            resource_name: self.resource_name.clone(),
            pattern_type: PatternType::from_wire(self.pattern_type)?,
            entry: Entry {
                principal: self.principal.clone(),
                host: self.host.clone(),
                operation: Operation::from_wire(self.operation)?,
                permission: Permission::from_wire(self.permission)?,
            },
        })
    }
}

/// See [`Record::ScramCredential`].
#[derive(Clone, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ScramCredentialRecord {
    /// The user.
    pub name: String,
    /// Kafka's number of the mechanism.
    pub mechanism: i8,
    /// See [`Credential::salt`].
    pub salt: Bytes,
    /// See [`Credential::stored_key`].
    pub stored_key: Bytes,
    /// See [`Credential::server_key`].
    pub server_key: Bytes,
    /// See [`Credential::iterations`].
    pub iterations: i32,
}

// no key of it is shown
impl fmt::Debug for ScramCredentialRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, mechanism, ..
        } = self;
        write!(f, "ScramCredentialRecord({name:?}, {mechanism})")
    }
}

impl ScramCredentialRecord {
    /// The record that states a credential.
    pub fn of(user: &str, mechanism: Mechanism, credential: &Credential) -> Self {
        Self {
            name: user.to_owned(),
            // one that has no number keeps no credential
            mechanism: mechanism.scram_number().unwrap_or_default(),
            salt: credential.salt.clone(),
            stored_key: credential.stored_key.clone(),
            server_key: credential.server_key.clone(),
            iterations: credential.iterations,
        }
    }

    /// Whose credential this record states, by which mechanism, and what it is; none where the
    /// mechanism is not known.
    pub fn credential(&self) -> Option<((String, Mechanism), Credential)> {
        let mechanism = Mechanism::scram_numbered(self.mechanism)?;
        let credential = Credential {
            salt: self.salt.clone(),
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
            iterations: self.iterations,
        };
        Some(((self.name.clone(), mechanism), credential))
    }
}

/// See [`Record::RemoveScramCredential`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveScramCredentialRecord {
    /// The user.
    pub name: String,
    /// Kafka's number of the mechanism.
    pub mechanism: i8,
}

/// See [`Record::ClientQuota`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ClientQuotaRecord {
    /// Whose quota it is.
    pub entity: Vec<QuotaEntityRecord>,
    /// What is bounded, by Kafka's name.
    pub key: String,
    /// The bits of the rate, a number of 64 bits by IEEE 754; 0 removes the quota.
    pub rate_bits: i64,
}

/// One part of a [`ClientQuotaRecord`]'s entity.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct QuotaEntityRecord {
    /// Kafka's word for the part.
    pub entity_type: String,
    /// The name; null for the default.
    #[kafka(nullable = "0+", default = null)]
    pub entity_name: Option<String>,
}

impl ClientQuotaRecord {
    /// The record that sets (or, with no rate, removes) a quota.
    pub fn of(entity: &Entity, key: Key, rate: Option<Rate>) -> Self {
        let part = |(kind, name): (&str, Option<&str>)| QuotaEntityRecord {
            entity_type: kind.to_owned(),
            entity_name: name.map(str::to_owned),
        };
        Self {
            entity: entity.parts().map(part).collect(),
            key: key.name().to_owned(),
            rate_bits: rate.map_or(0, |rate| rate.value().to_bits().cast_signed()),
        }
    }

    /// Whose quota this record sets, of what, and to which rate, or to none; nothing where it says
    /// what this version does not understand.
    pub fn quota(&self) -> Option<(Entity, Key, Option<Rate>)> {
        let parts = self.entity.iter();
        let parts = parts.map(|part| (part.entity_type.as_str(), part.entity_name.as_deref()));
        let entity = Entity::of_parts(parts).ok()?;
        let rate = Rate::new(f64::from_bits(self.rate_bits.cast_unsigned()));
        Some((entity, Key::named(&self.key)?, rate))
    }
}
