//! Features: what levels this binary supports, and which are finalized for the cluster.
//!
//! Only what the broker really does is supported. A client that finds `share.version` or
//! `streams.version` missing falls back to classic groups, as it does with older clusters. A level
//! is finalized only where every registered broker and controller supports it.

use std::collections::BTreeMap;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::cluster::{
    FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::request::{Refusal, Response};
use super::{Decision, Metadata};
use crate::image::ConfigResource;
use crate::image::record::{FeatureRecord, Record};
use crate::transaction::TransactionVersion;
use crate::transaction::state::TRANSACTION_VERSION;

/// A feature that this binary supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// The lowest level supported.
    pub min: i16,
    /// The highest level supported.
    pub max: i16,
    /// The level of a new cluster.
    pub default: i16,
}

/// Finalized at level 1, who leaves an ISR that is below min ISR stays eligible to lead (KIP-966).
/// At level 0 nobody outside an ISR is, and its last member stays in it.
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// Finalized at level 1, groups may have the consumer protocol.
pub const GROUP_VERSION: &str = "group.version";

/// Kafka's level for metadata version 4.3-IV0: tools print that name for it.
pub const METADATA_VERSION: i16 = 30;

/// What this binary supports, by name, in order.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: ELIGIBLE_LEADER_REPLICAS_VERSION,
        min: 0,
        max: 1,
        default: 1,
    },
    Feature {
        name: GROUP_VERSION,
        min: 0,
        max: 1,
        default: 1,
    },
    Feature {
        name: "kraft.version",
        min: 0,
        max: 0,
        default: 0,
    },
    Feature {
        name: "metadata.version",
        min: METADATA_VERSION,
        max: METADATA_VERSION,
        default: METADATA_VERSION,
    },
    Feature {
        name: TRANSACTION_VERSION,
        min: 0,
        max: TransactionVersion::SECOND.0,
        default: TransactionVersion::SECOND.0,
    },
];

/// What a node that knows controllers that are no brokers tells with its registration, and no
/// client: the metadata of a cluster that has one cannot be read without it.
pub const CONTROLLERS_VERSION: &str = "ottla.controllers.version";

/// What a node of this binary registers with, by name, in order: the lowest and highest level.
#[must_use]
pub fn registered() -> Vec<(&'static str, i16, i16)> {
    let features = FEATURES.iter().map(|f| (f.name, f.min, f.max));
    let mut all: Vec<_> = features.chain([(CONTROLLERS_VERSION, 0, 1)]).collect();
    all.sort_unstable();
    all
}

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

impl Metadata {
    pub(super) fn update_features(&self, request: &UpdateFeaturesRequest) -> Decision {
        let mut records = Vec::new();
        let mut first = None;
        for update in &request.feature_updates {
            let refusal = self.check_update(update).err();
            if refusal.is_none() && self.image.feature(&update.feature) != update.max_version_level
            {
                records.push(Record::Feature(FeatureRecord {
                    name: update.feature.clone(),
                    level: update.max_version_level,
                }));
            }
            first = first.or(refusal);
        }
        let ends_eligibility = |record: &Record| {
            matches!(record, Record::Feature(r)
                if r.name == ELIGIBLE_LEADER_REPLICAS_VERSION && r.level == 0)
        };
        if records.iter().any(ends_eligibility) {
            self.forget_eligible(&ConfigResource::Cluster, &mut records);
        }
        // all or nothing, as clients of version 2 expect, and one answer for all
        if request.validate_only || first.is_some() {
            records.clear();
        }
        Decision {
            records,
            response: Response::UpdateFeatures(UpdateFeaturesResponse {
                error_code: first.as_ref().map_or(0, |r| r.error_code),
                error_message: first.map(|r| r.message),
                ..UpdateFeaturesResponse::default()
            }),
        }
    }

    fn check_update(&self, update: &FeatureUpdateKey) -> Result<(), Refusal> {
        let (name, level) = (&update.feature, update.max_version_level);
        let refuse = |message| Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message));
        let Some(feature) = FEATURES.iter().find(|f| f.name == name) else {
            return refuse(format!(
                "Invalid update version {level} for feature {name}. The controller does not \
                 support this feature."
            ));
        };
        if !(feature.min..=feature.max).contains(&level) {
            return refuse(format!(
                "Invalid update version {level} for feature {name}. The controller only supports \
                 versions {}-{}.",
                feature.min, feature.max
            ));
        }
        let lacks = |range: Option<&(i16, i16)>| match range {
            Some((min, max)) => !(*min..=*max).contains(&level),
            None => level != 0,
        };
        let brokers = self.image.brokers.values();
        let brokers = brokers.map(|b| ("Broker", b.node_id, &b.features));
        let controllers = self.image.controllers.values();
        let controllers = controllers.map(|c| ("Controller", c.node_id, &c.features));
        let lacking = |(_, _, levels): &(_, _, &BTreeMap<_, _>)| lacks(levels.get(name));
        if let Some((kind, id, _)) = brokers.chain(controllers).find(lacking) {
            return refuse(format!(
                "Invalid update version {level} for feature {name}. {kind} {id} does not support \
                 it."
            ));
        }
        let observed = self.image.feature(name);
        match update.upgrade_type {
            UPGRADE if level < observed => refuse(format!(
                "Invalid update version {level} for feature {name}. Can't downgrade the version of \
                 this feature without setting the upgrade type to either safe or unsafe downgrade."
            )),
            SAFE_DOWNGRADE | UNSAFE_DOWNGRADE if level > observed => refuse(format!(
                "Invalid update version {level} for feature {name}. Can't downgrade to a newer \
                 version."
            )),
            UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE => Ok(()),
            _ => {
                let message = format!("Unknown upgrade type for feature {name}.");
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }
}
