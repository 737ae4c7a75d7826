//! Pods learn the rack they stand in from the label of their node.
//!
//! A broker waits for that when it starts, but not for ever. One that serves before it was told
//! runs without a rack, so its pod is marked to be restarted when it is told.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::Pods;
use super::apply::not_taken;
use super::build::pods::{LATE_RACK, RACK};
use super::pool::Pool;
use super::state::is_ready;
use crate::platform::NotYet;

impl Pods {
    /// Tells pods that were placed which rack they stand in; answers with what is in the way.
    pub(super) async fn tell_racks(&mut self) -> Vec<NotYet> {
        let Some(rack) = self.spec.as_ref().and_then(|spec| spec.rack.clone()) else {
            return Vec::new();
        };
        let is_told = |pod: &Pod| {
            pod.annotations().contains_key(RACK)
                || pod.uid().is_some_and(|uid| self.annotated.contains(&uid))
        };
        let pods = self.seen.pods_of(Pool::Brokers).map(|(_, pod)| pod);
        let pods: Vec<Pod> = pods.filter(|pod| !is_told(pod)).cloned().collect();
        let mut missing = Vec::new();
        for pod in pods {
            let (target, uid) = (("rack".to_owned(), pod.name_any()), pod.uid());
            let uid = uid.unwrap_or_default();
            if let Some(why) = self.refusals.waits(&target, &uid) {
                missing.push(why.clone());
                continue;
            }
            let told = self.tell_rack(&pod, &rack.topology_key).await;
            self.refusals.note(&target, &uid, told.as_ref().copied());
            missing.extend(told.err());
        }
        missing
    }

    async fn tell_rack(&mut self, pod: &Pod, label: &str) -> Result<(), NotYet> {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else {
            return Ok(());
        };
        let name = pod.name_any();
        if !self.racks.contains_key(&node) {
            let nodes: Api<Node> = Api::all(self.client.clone());
            let found = nodes.get(&node).await;
            let found = found.map_err(|error| NotYet {
                is_stuck: false,
                message: format!("The rack of {name} is not known: node {node}: {error}."),
            })?;
            let Some(rack) = found.labels().get(label) else {
                return Err(NotYet {
                    is_stuck: false,
                    message: format!(
                        "The node {node} has no label {label}, so {name} has no rack; label the \
                         node, or correct spec.rack.topologyKey."
                    ),
                });
            };
            self.racks.insert(node.clone(), rack.clone());
        }
        let mut annotations = json!({ RACK: self.racks[&node] });
        if is_ready(pod) {
            annotations[LATE_RACK] = json!("true");
        }
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let told = pods.patch(&name, &PatchParams::default(), &patch).await;
        told.map_err(|error| not_taken("rack of Pod", &name, &error))?;
        self.annotated.extend(pod.uid());
        Ok(())
    }
}
