//! What a node is: a broker, a controller or both.

use super::{Listener, Settings};

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Whether it holds partitions.
    pub broker: bool,
    /// Whether it may vote in the metadata quorum.
    pub controller: bool,
}

impl Settings {
    /// Holds what else the file says against what the node is; a controller that is no broker
    /// leaves out the default listener for clients.
    pub(super) fn fit_roles(&mut self) -> Result<(), String> {
        let has_voters = !self.controller_quorum_voters.is_empty();
        let name = &self.controller_listener_names;
        let is_peer = |l: &Listener| l.name.eq_ignore_ascii_case(name);
        if !self.roles.broker && !self.statics.contains_key("listeners") {
            self.listeners.retain(is_peer);
        }
        let clients = self.listeners.iter().filter(|l| !is_peer(l)).count();
        let has_peers = self.listeners.len() > clients;
        let id = self.node_id;
        match self.roles {
            Roles { broker: true, .. } if clients == 0 => Err(
                "listeners names no listener for clients; add one, as PLAINTEXT://0.0.0.0:9092"
                    .to_owned(),
            ),
            Roles { broker: false, .. } if clients > 0 => Err(format!(
                "listeners names more than {name}, and process.roles=controller serves no clients \
                 of brokers; leave the others out, or add broker to process.roles"
            )),
            Roles { broker: false, .. } if !has_peers => Err(format!(
                "listeners does not name {name}, by which a controller is reached; add it, as \
                 {name}://0.0.0.0:9091"
            )),
            Roles {
                controller: false, ..
            } if !has_voters => Err(
                "process.roles=broker has no vote, and controller.quorum.voters is empty; name the \
                 controllers there, as 1@host:9091"
                    .to_owned(),
            ),
            Roles {
                controller: false, ..
            } if self.is_voter() => Err(format!(
                "controller.quorum.voters names this node, {id}, and process.roles=broker has no \
                 vote; take it out there, or add controller to process.roles"
            )),
            Roles {
                controller: false, ..
            } if !has_peers => Err(format!(
                "listeners does not name {name}, by which a broker gets the metadata; add it, as \
                 {name}://0.0.0.0:9091"
            )),
            _ => Ok(()),
        }
    }
}
