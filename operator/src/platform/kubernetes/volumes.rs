//! Volumes that grow with the spec.
//!
//! A StatefulSet cannot change the size of its volumes, so each claim is asked for by itself. What
//! was granted is not asked for again; what was refused is, every [`RETRY_INTERVAL`].
//!
//! Invariant: no claim is deleted here, and none is asked to shrink.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

/// How often a refused size is asked for again: somebody may have mended the storage class.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// What was asked of the volumes of one cluster.
#[derive(Debug, Default)]
pub struct Volumes {
    asked: BTreeMap<String, (String, Instant)>,
    refused: BTreeMap<i32, String>,
    is_news: bool,
}

impl Volumes {
    /// Why a broker's volume does not grow, by broker.
    pub fn refused(&self) -> impl Iterator<Item = (&i32, &String)> {
        self.refused.iter()
    }

    /// Whether something was granted or refused since this was last asked.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// Asks for this size, once.
    pub async fn grow(
        &mut self,
        claims: &Api<PersistentVolumeClaim>,
        broker: i32,
        claim: &str,
        size: &str,
    ) {
        if let Some((asked, when)) = self.asked.get(claim)
            && asked == size
            && (!self.refused.contains_key(&broker) || when.elapsed() < RETRY_INTERVAL)
        {
            return;
        }
        // One that cannot be read now, or has no volume yet and so cannot be changed, is looked at
        // with the next change of its pod.
        let Ok(Some(found)) = claims.get_opt(claim).await else {
            return;
        };
        let phase = found.status.and_then(|status| status.phase);
        if phase.as_deref() != Some("Bound") {
            return;
        }
        let asked = (size.to_owned(), Instant::now());
        self.asked.insert(claim.to_owned(), asked);
        self.is_news |= self.refused.remove(&broker).is_some();
        let requests = found.spec.and_then(|spec| spec.resources?.requests);
        let has = requests.and_then(|requests| requests.get("storage").cloned());
        if has.is_none_or(|has| has.0 == size) {
            return;
        }
        let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
        let patch = Patch::Merge(patch);
        let patched = claims.patch(claim, &PatchParams::default(), &patch).await;
        if let Err(error) = patched {
            let why = match error {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            };
            let why = format!(
                "its volume cannot grow to {size}: {}; let the storage class allow volume \
                 expansion, or make the cluster anew with another class",
                // more lines show the whole object
                why.lines().next().unwrap_or_default().trim_end_matches('.')
            );
            self.refused.insert(broker, why);
            self.is_news = true;
        }
    }
}
