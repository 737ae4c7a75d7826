//! The disks of nodes: what the spec says of them. Of controllers that are to go it says nothing
//! any more: their StatefulSet does, and where that is lost, the claims of its pods.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::ResourceExt;
use kube::api::Api;

use super::Pods;
use super::build::pods::{DATA_VOLUME, storage};
use super::pool::Pool;
use super::volumes::is_of;
use crate::crd::cluster::{ReclaimPolicy, Storage};
use crate::platform::NotYet;
use crate::validated::ValidatedCluster;

impl Pods {
    /// Asks for larger volumes where the spec does.
    pub(super) async fn grow_volumes(&mut self) {
        let Some(spec) = &self.spec else {
            return;
        };
        for (broker, pod) in &self.seen.pods {
            let pool = Pool::of(*broker);
            let wanted = storage(spec, pool).filter(|_| pool.is_wanted(spec));
            let Some(storage) = wanted else {
                continue;
            };
            let claim = format!("{DATA_VOLUME}-{}", pod.name_any());
            let uid = pod.uid().unwrap_or_default();
            let claims = Api::namespaced(self.client.clone(), &self.namespace);
            let refusals = &mut self.refusals;
            let grow = self
                .volumes
                .grow(&claims, refusals, (*broker, &claim, &uid), &storage.size);
            grow.await;
        }
    }

    /// Has controllers that are to go keep the disks that they have.
    pub(super) fn keep_disks(&self, spec: &mut ValidatedCluster) {
        if !leaves(spec) {
            return;
        }
        if let Some(set) = self.seen.sets.get(&Pool::Controllers) {
            spec.controllers.storage = of_set(set);
        } else if let Some(found) = self.disks.clone().flatten() {
            spec.controllers.storage = Some(found);
        }
    }

    /// Looks for the disks of controllers that are to go and have no StatefulSet any more.
    pub(super) async fn find_disks(&mut self) -> Result<(), NotYet> {
        let Some(mut spec) = self.spec.take() else {
            return Ok(());
        };
        let has_set = self.seen.sets.contains_key(&Pool::Controllers);
        let mut found = Ok(());
        if !leaves(&spec) || has_set {
            self.disks = None;
        } else if self.disks.is_none() {
            match self.look_for_disks(&spec).await {
                Ok(disks) => self.disks = Some(disks),
                Err(not_known) => found = Err(not_known),
            }
            self.keep_disks(&mut spec);
        }
        self.spec = Some(spec);
        found
    }

    async fn look_for_disks(&self, spec: &ValidatedCluster) -> Result<Option<Storage>, NotYet> {
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let policy = spec.storage.as_ref().map(|storage| storage.reclaim_policy);
        for id in &spec.controllers.ids {
            let name = format!("{DATA_VOLUME}-{}", self.pod(*id));
            let found = claims.get_opt(&name).await.map_err(|error| NotYet {
                is_stuck: false,
                message: format!("The volume claim {name} cannot be looked for: {error}."),
            })?;
            let ours = found.filter(|claim| is_of(claim, &self.cluster, Pool::Controllers));
            let ours = ours.and_then(|claim| of_claim(&claim.spec?, policy.unwrap_or_default()));
            if ours.is_some() {
                return Ok(ours);
            }
        }
        Ok(None)
    }
}

fn leaves(spec: &ValidatedCluster) -> bool {
    Pool::Controllers.is_needed(spec) && !Pool::Controllers.is_wanted(spec)
}

fn of_set(set: &StatefulSet) -> Option<Storage> {
    let spec = set.spec.as_ref()?;
    let retention = spec.persistent_volume_claim_retention_policy.as_ref();
    let deleted = retention.and_then(|policy| policy.when_deleted.as_deref());
    let policy = match deleted {
        Some("Delete") => ReclaimPolicy::Delete,
        _ => ReclaimPolicy::Retain,
    };
    let claim = spec.volume_claim_templates.as_ref()?.first()?;
    of_claim(claim.spec.as_ref()?, policy)
}

fn of_claim(claim: &PersistentVolumeClaimSpec, reclaim_policy: ReclaimPolicy) -> Option<Storage> {
    let requests = claim.resources.as_ref()?.requests.as_ref()?;
    Some(Storage {
        size: requests.get("storage")?.0.clone(),
        storage_class_name: claim.storage_class_name.clone(),
        reclaim_policy,
    })
}
