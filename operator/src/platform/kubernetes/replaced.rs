//! Volumes that somebody gives up: the only place where a claim is deleted.
//!
//! The claim goes first, by its uid: Kubernetes keeps it for as long as the pod is there, and the
//! StatefulSet makes another one once it is gone. Then the pod goes as in a restart. One whose node
//! does not answer stays until somebody says that the node is gone for good: that its process has
//! ended nobody here can know.

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

    /// Deletes the claim of a node, where it is this one, and its pod.
    pub(super) async fn give_up_volume(
        &mut self,
        node: i32,
        volume: Option<&Volume>,
    ) -> Result<(), NotYet> {
        if let Some(volume) = volume.filter(|volume| !volume.is_going) {
            self.delete_claim(node, volume).await?;
        }
        let pod = self.seen.pods.get(&node);
        if pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some()) {
            return Ok(());
        }
        self.evict(node, true).await
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
