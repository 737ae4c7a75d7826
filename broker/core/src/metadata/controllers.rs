//! Controllers that are no brokers: what is known of them, and that nothing is finalized that one
//! of them lacks.
//!
//! They have no lease and no epoch: whether one is there, the metadata quorum knows. One that is
//! gone for good is forgotten by UnregisterBroker, once it has no vote; one that lives registers
//! anew.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;

use super::features::CONTROLLERS_VERSION;
use super::request::{Refusal, RegisterController, Response};
use super::{Decision, Metadata};
use crate::image::record::{ControllerRecord, FeatureRangeRecord, Record, RemoveControllerRecord};

impl Metadata {
    pub(super) fn register_controller(&self, request: &RegisterController) -> Decision {
        let node = NodeId(request.controller.node_id);
        if let Err(refusal) = self.check_controller(node, request) {
            return Decision::refused(Response::RegisterController(Err(refusal)));
        }
        let known = self.image.controllers.get(&node);
        let is_known = known.is_some_and(|c| ControllerRecord::of(c) == request.controller);
        let record = (!is_known).then(|| Record::Controller(request.controller.clone()));
        Decision {
            records: record.into_iter().collect(),
            response: Response::RegisterController(Ok(node)),
        }
    }

    fn check_controller(&self, node: NodeId, request: &RegisterController) -> Result<(), Refusal> {
        let (ours, theirs) = (&self.image.cluster_id, &request.cluster_id);
        if **theirs != **ours {
            return Err(Refusal::new(
                ErrorCode::InconsistentClusterId,
                format!("Controller {node} belongs to cluster {theirs}, this is cluster {ours}."),
            ));
        }
        if self.image.broker(node).is_some() {
            return Err(Refusal::new(
                ErrorCode::DuplicateBrokerRegistration,
                format!(
                    "Node {node} is registered as a broker. Move its replicas away and unregister \
                     it, or give the controller another node.id."
                ),
            ));
        }
        // who does not know controllers could not read its record, and would never start again
        let mut brokers = self.image.brokers.values();
        if let Some(old) = brokers.find(|b| !b.features.contains_key(CONTROLLERS_VERSION)) {
            let old = old.node_id;
            return Err(Refusal::new(
                ErrorCode::UnsupportedVersion,
                format!(
                    "Broker {old} is of a version that knows no controllers. Upgrade it, or \
                     unregister it where it is gone for good; then controller {node} registers."
                ),
            ));
        }
        let features = &request.controller.features;
        self.check_features(&format!("Controller {node}"), features)
    }

    /// Whether who supports these features has all that is finalized.
    pub(super) fn check_features(
        &self,
        whose: &str,
        features: &[FeatureRangeRecord],
    ) -> Result<(), Refusal> {
        let lacking = self.image.features.iter().find(|(name, level)| {
            let mut supported = features.iter();
            !supported.any(|f| f.name == **name && (f.min..=f.max).contains(level))
        });
        lacking.map_or(Ok(()), |(name, level)| {
            Err(Refusal::new(
                ErrorCode::UnsupportedVersion,
                format!("{whose} does not support level {level} of feature {name}."),
            ))
        })
    }

    /// What forgets the controller of that id; none where there is none.
    pub(super) fn forget_controller(&self, node: NodeId) -> Option<Record> {
        let node_id = node.0;
        let is_known = self.image.controllers.contains_key(&node);
        is_known.then_some(Record::RemoveController(RemoveControllerRecord { node_id }))
    }
}
