//! Pods go: the only place where one is deleted by itself.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams, Preconditions};

use super::apply::not_taken;
use super::{Pods, state};
use crate::platform::NotYet;

impl Pods {
    /// Has the pod of a broker go, so that it comes back as the StatefulSet says now. `is_asked` is
    /// whether budgets have their say: where several go together, they had it of the first one, and
    /// would have each further one wait for that.
    pub(super) async fn evict(&mut self, broker: i32, is_asked: bool) -> Result<(), NotYet> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(pod) = self.seen.pods.get(&broker) else {
            return Ok(());
        };
        // Only the pod that the plan was made for: not one that has come in its place since.
        let only = DeleteParams {
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let name = self.pod(broker);
        let target = ("Pod".to_owned(), name.clone());
        let uid = pod.uid().unwrap_or_default();
        if let Some(why) = self.refusals.waits(&target, &uid) {
            return Err(why.clone());
        }
        // The PodDisruptionBudget has its say, beside whoever drains a node at the same time. It
        // counts ready pods only: of one that is not, it would hold up the restart that mends it.
        let gone = if is_asked && state::is_ready(pod) {
            let evict = EvictParams {
                delete_options: Some(only),
                ..EvictParams::default()
            };
            pods.evict(&name, &evict).await.map(drop)
        } else {
            pods.delete(&name, &only).await.map(drop)
        };
        match gone {
            Ok(()) => {
                self.deleted.extend(pod.uid());
                self.seen.pods.remove(&broker);
                self.refusals.note(&target, &uid, Ok(()));
                Ok(())
            }
            // It is gone already: what was wanted.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            // Another has come in its place, or somebody wrote at the same time: the watch tells.
            Err(error) => {
                let why = not_taken("eviction of Pod", &name, &error);
                self.refusals.note(&target, &uid, Err(&why));
                Err(why)
            }
        }
    }
}
