//! How long the certificates hold that the operator signs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::template::is_default;

/// What all have to keep to.
pub const RENEWAL_RULE: &str = "renewalDays must be less than validityDays";

/// What authorities have to keep to, or the next one would be due as soon as there is one.
pub const AUTHORITIES_RULE: &str =
    "authorities.renewalDays must be at most half of their validityDays";

/// How long the operator's certificates hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("[has(self.brokers) && !has(self.brokers.validityDays) && \
        has(self.brokers.renewalDays) ? self.brokers.renewalDays < 90 : true, has(self.users) && \
        !has(self.users.validityDays) && has(self.users.renewalDays) ? self.users.renewalDays < \
        30 : true].all(fits, fits)")
        .message(RENEWAL_RULE),
    validation = Rule::new("!has(self.authorities) || !has(self.authorities.renewalDays) || \
        self.authorities.renewalDays * 2 <= (has(self.authorities.validityDays) ? \
        self.authorities.validityDays : 1825)")
        .message(AUTHORITIES_RULE),
    validation = Rule::new("[has(self.brokers) && has(self.brokers.validityDays) ? \
        self.brokers.validityDays : 90, has(self.users) && has(self.users.validityDays) ? \
        self.users.validityDays : 30].all(days, days < (has(self.authorities) && \
        has(self.authorities.renewalDays) ? self.authorities.renewalDays : \
        has(self.authorities) && has(self.authorities.validityDays) && \
        self.authorities.validityDays < 730 ? self.authorities.validityDays / 2 : 365))")
        .message("authorities.renewalDays (default: 365, or half of their validityDays) must be \
            more than the validityDays of brokers and of users"),
)]
pub struct Certificates {
    /// The authorities, ca and users-ca. Default: 1825 days, renewed 365 days before. More days
    /// before than the others hold: one that is renewed signs for another day, and none outlives
    /// who signed it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub authorities: CertificateLifetime,
    /// Those of brokers. Default: 90 days, renewed 30 days before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub brokers: CertificateLifetime,
    /// Those of KafkaUsers. Default: 30 days, renewed 15 days before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub users: CertificateLifetime,
}

/// How long certificates of one kind hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!has(self.validityDays) || !has(self.renewalDays) || \
        self.renewalDays < self.validityDays")
        .message(RENEWAL_RULE),
)]
pub struct CertificateLifetime {
    /// How many days they hold. One that holds for longer is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 36500))]
    pub validity_days: Option<i32>,
    /// How many days before they expire others take their place; of authorities at most half of
    /// validityDays, and of all at most half where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36499))]
    pub renewal_days: Option<i32>,
}
