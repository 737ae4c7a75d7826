//! What a KafkaUser says of itself. Pure.

use ottla_protocol::error::ErrorCode;

use super::credentials::text;
use super::validate::ValidatedUser;
use crate::admin::Refusal;
use crate::certificates::{Data, expires, written};
use crate::condition::{UserReason, Verdict, conditions};
use crate::crd::cluster::AuthenticationType;
use crate::crd::{KafkaUser, KafkaUserStatus};
use crate::platform::NotYet;

/// The status before, with only the verdict new.
#[must_use]
pub fn said(object: &KafkaUser, verdict: &Verdict, now: &str) -> KafkaUserStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = conditions(&status.conditions, verdict, generation, now);
    status
}

/// The status of a user that is carried out. `leftover` is whether brokers know it by the name
/// before as well.
pub(super) fn status(
    object: &KafkaUser,
    user: &ValidatedUser,
    (secret, acls): (Option<&Data>, usize),
    refused: Vec<Verdict>,
    leftover: bool,
    now: &str,
) -> KafkaUserStatus {
    let verdict = Verdict::worst(refused).unwrap_or_else(|| {
        let message = format!("{} may do what its ACLs say.", user.principal());
        Verdict::new(UserReason::UserReady, message)
    });
    let mut status = said(object, &verdict, now);
    if !leftover {
        status.principal = user.principal();
    }
    status.acls = i32::try_from(acls).ok();
    if let Some(secret) = secret {
        status.secret_name = object.metadata.name.clone().unwrap_or_default();
        status.rotated = text(secret, "rotated").unwrap_or_default();
        let certificate = text(secret, "user.crt");
        let until = certificate.and_then(|certificate| expires(&certificate));
        status.expires_at = until.map(written);
    }
    status
}

/// No listener is there for a user of this kind.
pub(super) fn no_way(authentication: AuthenticationType) -> Verdict {
    let message = format!(
        "No listener of the cluster has authentication of the type {authentication:?}; add one to \
         the KafkaCluster, or change spec.authentication."
    );
    Verdict::new(UserReason::NoListener, message)
}

/// The listener encrypts, and has no certificate yet that clients could trust.
pub(super) fn no_certificate(listener: &str) -> Verdict {
    let message = format!("Waits for the certificate of the listener {listener}.");
    Verdict::new(UserReason::Applying, message)
}

/// A Secret cannot be had.
pub(super) fn not_yet(why: &NotYet) -> Verdict {
    let reason = match why.is_stuck {
        true => UserReason::CredentialsRefused,
        false => UserReason::Applying,
    };
    Verdict::new(reason, why.message.clone())
}

/// Brokers refused.
pub(super) fn refused_by_broker(refusal: &Refusal) -> Verdict {
    let reason = match refusal.code {
        code if code.is_retriable() => UserReason::Applying,
        ErrorCode::None => UserReason::Applying,
        _ => UserReason::Refused,
    };
    Verdict::new(reason, format!("The cluster says: {}", refusal.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brokers_refuse_for_a_moment_is_asked_for_again() {
        for (code, reason) in [
            (ErrorCode::NotController, "Applying"),
            (ErrorCode::ClusterAuthorizationFailed, "Refused"),
        ] {
            let message = "No.".to_owned();
            let verdict = refused_by_broker(&Refusal { code, message });
            assert_eq!(verdict.reason.word, reason, "{code:?}");
        }
    }
}
