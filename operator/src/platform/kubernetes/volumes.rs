//! Volumes that grow with the spec.
//!
//! A StatefulSet cannot change the size of its volumes, so each claim is asked for by itself. What
//! was granted is looked at until it is there; what was refused is asked for again, less and less
//! often: somebody may have mended the storage class.
//!
//! Invariant: no claim is deleted here, and none is asked to shrink: sizes are compared as
//! quantities, and one that somebody else made larger stays.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::apply::{INSTANCE, not_taken};
use super::build::COMPONENT;
use super::pool::Pool;
use super::quantity::is_smaller;
use super::refusals::Refusals;
use crate::platform::NotYet;
use crate::validated::CONTROLLERS_MAX;

/// How often a volume that grows is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The nodes of a pool that have claims, from the first one on, or had: whoever may have voted
/// counts also behind one whose claim is lost. `name` is that of a node's claim.
///
/// # Errors
/// Why that is not known.
pub async fn left(
    claims: &Api<PersistentVolumeClaim>,
    (cluster, pool): (&str, Pool),
    name: impl Fn(i32) -> String,
) -> Result<Range<i32>, NotYet> {
    let first = pool.nodes().start;
    let mut left = first..first;
    for node in pool.nodes() {
        let claim = name(node);
        match claims.get_opt(&claim).await {
            Ok(Some(found)) if is_of(&found, cluster, pool) => left.end = node + 1,
            Ok(_) if node - first >= CONTROLLERS_MAX => break,
            Ok(_) => {}
            Err(error) => {
                return Err(NotYet {
                    is_stuck: false,
                    message: format!(
                        "Whether an earlier cluster left the volume claim {claim} cannot be \
                         looked for: {error}."
                    ),
                });
            }
        }
    }
    Ok(left)
}

/// Whether a claim is that of a pool's node: the brokers of a cluster `a-controllers` have claims
/// of the names that those of the controllers of a cluster `a` have. One that says nothing of that
/// was made by hand, as from a backup.
pub fn is_of(claim: &PersistentVolumeClaim, cluster: &str, pool: Pool) -> bool {
    let says = |key: &str, wanted: &str| claim.labels().get(key).is_none_or(|has| has == wanted);
    says(INSTANCE, cluster) && says(COMPONENT, pool.component())
}

/// What was asked of the volumes of one cluster.
#[derive(Debug, Default)]
pub struct Volumes {
    /// Which size was asked of which claim, for a pod of this uid, and when.
    asked: BTreeMap<String, (String, String, Instant)>,
    refused: BTreeMap<i32, String>,
    growing: BTreeMap<i32, String>,
    is_news: bool,
}

impl Volumes {
    /// Why a broker's volume does not grow, by broker.
    pub fn refused(&self) -> impl Iterator<Item = (&i32, &String)> {
        self.refused.iter()
    }

    /// What volumes are doing that are not as large as they were asked to be, by broker.
    pub fn growing(&self) -> impl Iterator<Item = (&i32, &String)> {
        self.growing.iter()
    }

    /// Whether something was granted or refused since this was last asked.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// Asks for this size, once for each pod: another one may have another claim of that name.
    pub async fn grow(
        &mut self,
        claims: &Api<PersistentVolumeClaim>,
        refusals: &mut Refusals,
        (broker, claim, pod): (i32, &str, &str),
        size: &str,
    ) {
        let target = ("PersistentVolumeClaim".to_owned(), claim.to_owned());
        if refusals.waits(&target, size).is_some() {
            return;
        }
        let again_after = if self.refused.contains_key(&broker) {
            Duration::ZERO
        } else if self.growing.contains_key(&broker) {
            LOOK_INTERVAL
        } else {
            Duration::MAX
        };
        if let Some((asked, of, when)) = self.asked.get(claim)
            && (asked.as_str(), of.as_str()) == (size, pod)
            && when.elapsed() < again_after
        {
            return;
        }
        // One that cannot be read now, or has no volume yet and so cannot be changed, is looked at
        // with the next change of its pod.
        let Ok(Some(found)) = claims.get_opt(claim).await else {
            return;
        };
        let status = found.status.clone().unwrap_or_default();
        if status.phase.as_deref() != Some("Bound") {
            return;
        }
        let asked = (size.to_owned(), pod.to_owned(), Instant::now());
        self.asked.insert(claim.to_owned(), asked);
        self.is_news |= self.refused.remove(&broker).is_some();
        let grows = growing(&status, size);
        self.is_news |= self.growing.get(&broker) != grows.as_ref();
        match grows {
            Some(grows) => drop(self.growing.insert(broker, grows)),
            None => drop(self.growing.remove(&broker)),
        }
        let requests = found.spec.and_then(|spec| spec.resources?.requests);
        let asks = requests.and_then(|requests| requests.get("storage").cloned());
        if asks.is_none_or(|asks| !is_smaller(&asks.0, size)) {
            return;
        }
        let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
        let patch = Patch::Merge(patch);
        let patched = claims.patch(claim, &PatchParams::default(), &patch).await;
        let refused = patched.map_err(|error| not_taken("PersistentVolumeClaim", claim, &error));
        refusals.note(&target, size, refused.as_ref().map(|_| ()));
        let Err(NotYet { is_stuck, message }) = refused else {
            return;
        };
        self.is_news = true;
        // more lines show the whole object
        let why = message.lines().next().unwrap_or_default();
        let why = why.trim_end_matches('.');
        if is_stuck {
            let why = format!(
                "its volume cannot grow to {size}: {why}; let the storage class allow volume \
                 expansion, or make the cluster anew with another class"
            );
            self.refused.insert(broker, why);
        } else {
            let why = format!("its volume is to grow to {size}: {why}");
            self.growing.insert(broker, why);
        }
    }
}

/// What a volume does that is smaller than it should be.
fn growing(status: &PersistentVolumeClaimStatus, size: &str) -> Option<String> {
    let capacity = status.capacity.as_ref()?.get("storage")?;
    if !is_smaller(&capacity.0, size) {
        return None;
    }
    let has = format!("its volume has {} and grows to {size}", capacity.0);
    let resizing = |condition: &str| condition.contains("Resiz") || condition.contains("Resize");
    let conditions = status.conditions.iter().flatten();
    let mut said = conditions.filter(|condition| resizing(&condition.type_));
    let said = said.find_map(|condition| condition.message.clone());
    let said = said.filter(|said| !said.is_empty());
    Some(said.map_or(has.clone(), |said| {
        format!("{has}: {}", said.trim_end_matches('.'))
    }))
}

#[cfg(test)]
mod tests;
