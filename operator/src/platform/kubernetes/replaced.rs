//! Volumes that somebody gives up: the only place where a claim is deleted.
//!
//! The pod goes first, as in a restart, and while it ends its claim does, by its uid: Kubernetes
//! keeps the claim for as long as the pod is there, and the StatefulSet makes another one once it
//! is gone. The other way round a pod that may not go would stay on a claim that is to go with it,
//! whoever ends it and whatever others hold by then. A pod whose node does not answer stays until
//! somebody says that the node is gone for good: that its process has ended nobody here can know.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Preconditions};

use super::apply::not_taken;
use super::build::pods::DATA_VOLUME;
use super::pool::Pool;
use super::volumes::is_of;
use super::{Pods, pool};
use crate::platform::{NotYet, Volume};

impl Pods {
    fn claim(&self, node: i32) -> String {
        format!("{DATA_VOLUME}-{}", pool::pod(&self.cluster, node))
    }

    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The claim of a node, which stands for its volume.
    pub(super) async fn volume_of(&self, node: i32) -> Result<Option<Volume>, NotYet> {
        let name = self.claim(node);
        let found = self.claims().get_opt(&name).await;
        let found = found.map_err(|error| NotYet {
            is_stuck: false,
            message: format!("The volume claim {name} cannot be looked for: {error}."),
        })?;
        let Some(claim) = found else {
            return Ok(None);
        };
        if !is_of(&claim, &self.cluster, Pool::of(node)) {
            return Err(NotYet {
                is_stuck: true,
                message: format!(
                    "The volume claim {name} is labelled as that of another cluster, so it is left \
                     as it is; mend its labels, or delete it by hand."
                ),
            });
        }
        Ok(Some(Volume {
            id: claim.uid().unwrap_or_default(),
            is_going: claim.metadata.deletion_timestamp.is_some(),
        }))
    }

    /// Deletes the pod of a node and then its claim, where it is this one; says whether it did.
    pub(super) async fn give_up_volume(
        &mut self,
        node: i32,
        volume: Option<&Volume>,
    ) -> Result<bool, NotYet> {
        let pod = self.seen.pods.get(&node);
        if pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none()) {
            self.evict(node, true).await?;
        }
        match volume.filter(|volume| !volume.is_going) {
            Some(volume) => self.delete_claim(node, volume).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn delete_claim(&mut self, node: i32, volume: &Volume) -> Result<(), NotYet> {
        let name = self.claim(node);
        let target = ("PersistentVolumeClaim".to_owned(), name.clone());
        let write = format!("delete {}", volume.id);
        if let Some(why) = self.refusals.waits(&target, &write) {
            return Err(why.clone());
        }
        let only = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(volume.id.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = match self.claims().delete(&name, &only).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(not_taken(
                "deletion of the PersistentVolumeClaim",
                &name,
                &error,
            )),
        };
        self.refusals
            .note(&target, &write, deleted.as_ref().copied());
        deleted
    }
}
