//! How long the certificates hold that the operator signs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::is_default;

/// How long the operator's certificates hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct Certificates {
    /// The authorities, ca and users-ca. Default: 1825 days, renewed 365 days before. As many days
    /// before as the others hold at least: none outlives who signed it.
    #[serde(skip_serializing_if = "is_default")]
    pub authorities: CertificateLifetime,
    /// Those of brokers. Default: 90 days, renewed 30 days before.
    #[serde(skip_serializing_if = "is_default")]
    pub brokers: CertificateLifetime,
    /// Those of KafkaUsers. Default: 30 days, renewed 15 days before.
    #[serde(skip_serializing_if = "is_default")]
    pub users: CertificateLifetime,
}

/// How long certificates of one kind hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!has(self.validityDays) || !has(self.renewalDays) || \
        self.renewalDays < self.validityDays")
        .message("renewalDays must be less than validityDays"),
)]
pub struct CertificateLifetime {
    /// How many days they hold. One that holds for longer is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 36500))]
    pub validity_days: Option<i32>,
    /// How many days before they expire others take their place. At most half of validityDays where
    /// it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36499))]
    pub renewal_days: Option<i32>,
}
