//! Who works: the holder of one Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tracing::warn;

const NAME: &str = "ottla-operator";
/// A holder not heard of for this long has lost it.
const DURATION: Duration = Duration::from_secs(15);
/// How often the holder is heard of.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);
/// How often the others look.
const ACQUIRE_INTERVAL: Duration = Duration::from_secs(2);

/// The Lease, seen by one process.
pub struct Lease {
    api: Api<Object>,
    identity: String,
}

impl Lease {
    /// The Lease in this namespace.
    pub fn new(client: Client, namespace: Option<String>) -> Self {
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "ottla-operator".to_owned());
        Self {
            api: Api::namespaced(client, &namespace),
            identity: format!("{host}-{}", std::process::id()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Waits until this process holds it.
    pub async fn acquire(&self) {
        // A holder is given up when what it wrote has not changed for the duration, by our clock:
        // the clocks of two machines need not agree.
        let mut seen: Option<(Option<String>, tokio::time::Instant)> = None;
        loop {
            match self.api.get_opt(NAME).await {
                Err(error) => warn!("the lease cannot be read: {error}"),
                Ok(None) => {
                    if self.write(None).await {
                        return;
                    }
                }
                Ok(Some(lease)) => {
                    let version = lease.metadata.resource_version.clone();
                    let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.clone());
                    let free = holder.is_none_or(|holder| holder.is_empty());
                    let since = match &seen {
                        Some((known, since)) if *known == version => *since,
                        _ => tokio::time::Instant::now(),
                    };
                    seen = Some((version, since));
                    if (free || since.elapsed() > DURATION) && self.write(Some(lease)).await {
                        return;
                    }
                }
            }
            tokio::time::sleep(ACQUIRE_INTERVAL).await;
        }
    }

    /// Renews it; returns when it is lost.
    pub async fn keep(&self) {
        let mut renewed = tokio::time::Instant::now();
        while renewed.elapsed() < DURATION {
            tokio::time::sleep(RENEW_INTERVAL).await;
            if let Ok(Some(lease)) = self.api.get_opt(NAME).await {
                let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_ref());
                if holder != Some(&self.identity) {
                    return;
                }
                if self.write(Some(lease)).await {
                    renewed = tokio::time::Instant::now();
                }
            }
        }
    }

    /// Lets the next one have it at once.
    pub async fn release(&self) {
        if let Ok(Some(mut lease)) = self.api.get_opt(NAME).await
            && let Some(spec) = &mut lease.spec
            && spec.holder_identity.as_ref() == Some(&self.identity)
        {
            spec.holder_identity = None;
            let _ = self.api.replace(NAME, &PostParams::default(), &lease).await;
        }
    }

    async fn write(&self, found: Option<Object>) -> bool {
        let now = MicroTime(jiff::Timestamp::now());
        let exists = found.is_some();
        let mut lease = found.unwrap_or_else(|| Object {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
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
            self.api.replace(NAME, &parameters, &lease).await
        } else {
            self.api.create(&parameters, &lease).await
        };
        written.is_ok()
    }
}
