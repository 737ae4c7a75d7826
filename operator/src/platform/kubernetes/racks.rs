//! Pods learn the rack they stand in from the label of their node.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};

use super::Pods;
use super::build::pods::RACK;

impl Pods {
    /// Tells pods that were placed which rack they stand in.
    pub(super) async fn tell_racks(&mut self) {
        let Some(rack) = self.spec.as_ref().and_then(|spec| spec.rack.as_ref()) else {
            return;
        };
        let key = &rack.topology_key;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        for pod in self.seen.pods.values() {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            let uid = pod.uid().unwrap_or_default();
            let told = pod.annotations().contains_key(RACK) || self.annotated.contains(&uid);
            let (Some(node), false) = (node, told) else {
                continue;
            };
            if !self.racks.contains_key(&node) {
                let nodes: Api<Node> = Api::all(self.client.clone());
                let Ok(found) = nodes.get(&node).await else {
                    continue;
                };
                self.racks
                    .insert(node.clone(), found.labels().get(key).cloned());
            }
            let Some(Some(rack)) = self.racks.get(&node) else {
                continue;
            };
            let patch = serde_json::json!({ "metadata": { "annotations": { RACK: rack } } });
            let told = pods
                .patch(
                    &pod.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(patch),
                )
                .await;
            if told.is_ok() {
                self.annotated.insert(uid);
            }
        }
    }
}
