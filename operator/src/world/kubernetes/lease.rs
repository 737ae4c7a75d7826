//! Who works: the holder of one Lease.
//!
//! Invariant: a holder stops [`RENEW_DEADLINE`] after it *sent* the last renewal that was answered,
//! whether its calls fail, are refused or hang; another takes over [`DURATION`] after that renewal
//! was written at the earliest. So two never work at once, as far as clocks run at about one speed.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

/// A holder not heard of for this long has lost it.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that was not answered for this long has lost it.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the holder is heard of.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// How long a call may take; the next one opens another connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the others look.
const ACQUIRE_INTERVAL: Duration = Duration::from_secs(2);

/// The Lease, seen by one process.
pub struct Lease {
    api: Api<Object>,
    name: String,
    identity: String,
}

impl Lease {
    /// The Lease of this name in this namespace.
    pub fn new(client: Client, namespace: Option<String>, name: String) -> Self {
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "ottla-operator".to_owned());
        Self {
            api: Api::namespaced(client, &namespace),
            name,
            identity: format!("{host}-{}", std::process::id()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until this process holds it; since when it does.
    pub async fn acquire(&self) -> Instant {
        // A holder is given up when what it wrote has not changed for the duration, by our clock:
        // the clocks of two machines need not agree.
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            let sent_at = Instant::now();
            match timeout(CALL_TIMEOUT, self.api.get_opt(&self.name)).await {
                Err(_) => warn!("the lease cannot be read: no answer"),
                Ok(Err(error)) => warn!("the lease cannot be read: {error}"),
                Ok(Ok(found)) => {
                    let is_free = match &found {
                        None => true,
                        Some(lease) => self.is_ours(lease) || is_free(lease, &mut seen),
                    };
                    let written = is_free && {
                        let write = timeout(CALL_TIMEOUT, self.write(found));
                        matches!(write.await, Ok(true))
                    };
                    if written {
                        return sent_at;
                    }
                }
            }
            sleep(ACQUIRE_INTERVAL).await;
        }
    }

    /// Renews it; returns when it is lost.
    pub async fn keep(&self, held_since: Instant) {
        keep(held_since, || self.renew()).await;
    }

    async fn renew(&self) -> Renewal {
        let Ok(found) = self.api.get_opt(&self.name).await else {
            return Renewal::Unanswered;
        };
        if !found.as_ref().is_some_and(|lease| self.is_ours(lease)) {
            return Renewal::Lost;
        }
        if self.write(found).await {
            Renewal::Held
        } else {
            Renewal::Unanswered
        }
    }

    /// Whether this process holds it, or the one that ran in this container before.
    fn is_ours(&self, lease: &Object) -> bool {
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_ref());
        holder == Some(&self.identity)
    }

    /// Lets the next one have it at once.
    pub async fn release(&self) {
        let release = async {
            if let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await
                && self.is_ours(&lease)
                && let Some(spec) = &mut lease.spec
            {
                spec.holder_identity = None;
                let _ = self
                    .api
                    .replace(&self.name, &PostParams::default(), &lease)
                    .await;
            }
        };
        // Where it fails, the next one waits for the duration.
        let _ = timeout(CALL_TIMEOUT, release).await;
    }

    async fn write(&self, found: Option<Object>) -> bool {
        let now = MicroTime(jiff::Timestamp::now());
        let exists = found.is_some();
        let mut lease = found.unwrap_or_else(|| Object {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            ..Object::default()
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        let parameters = PostParams::default();
        let written = if exists {
            self.api.replace(&self.name, &parameters, &lease).await
        } else {
            self.api.create(&parameters, &lease).await
        };
        written.is_ok()
    }
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    Held,
    /// Somebody else holds it.
    Lost,
    /// It may have been written or not.
    Unanswered,
}

async fn keep<F: Future<Output = Renewal>>(held_since: Instant, renew: impl Fn() -> F) {
    let mut held_since = held_since;
    loop {
        let renewed = async {
            loop {
                sleep(RENEW_INTERVAL).await;
                let sent_at = Instant::now();
                match timeout(CALL_TIMEOUT, renew()).await {
                    Ok(Renewal::Held) => return Some(sent_at),
                    Ok(Renewal::Lost) => return None,
                    Ok(Renewal::Unanswered) | Err(_) => {}
                }
            }
        };
        tokio::select! {
            renewed = renewed => match renewed {
                Some(sent_at) => held_since = sent_at,
                None => return,
            },
            () = sleep_until(held_since + RENEW_DEADLINE) => return,
        }
    }
}

/// Whether nobody holds it, or who does has not been heard of for the duration.
fn is_free(lease: &Object, seen: &mut Option<(Option<String>, Instant)>) -> bool {
    let version = lease.metadata.resource_version.clone();
    let since = match &seen {
        Some((known, since)) if *known == version => *since,
        _ => Instant::now(),
    };
    *seen = Some((version, since));
    let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_ref());
    holder.is_none_or(String::is_empty) || since.elapsed() > DURATION
}

#[cfg(test)]
mod tests;
