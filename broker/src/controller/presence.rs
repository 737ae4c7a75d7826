//! The life of a controller that is no broker: it registers, and looks whether the quorum goes on
//! with it. It has no lease: what it decides and acknowledges goes by the quorum's terms alone.

use ottla_core::image::Endpoint;
use ottla_core::image::record::{ControllerRecord, FeatureRangeRecord};
use ottla_core::metadata::request::RegisterController;
use ottla_protocol::ids::{NodeId, Uuid};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{Handle, Quorum, QuorumNode, lifecycle};

/// Who was not heard, or has lacked something, for longer is not there.
const LAG_MAX_MS: i64 = 3000;

/// Why a controller takes no part now, in the words of `/readyz`.
pub type Standing = Result<(), String>;

/// Without a majority.
const NO_QUORUM: &str = "waiting for the metadata quorum; a majority of its voters must be up";

/// What registration tells of a controller.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where its peers and clients reach it.
    pub peer: Endpoint,
    /// The identity of its data directory.
    pub storage_id: Uuid,
    /// Feature levels that its binary supports.
    pub features: Vec<FeatureRangeRecord>,
}

impl From<lifecycle::Registration> for Registration {
    fn from(broker: lifecycle::Registration) -> Self {
        Self {
            peer: broker.peer,
            storage_id: broker.storage_id,
            features: broker.features,
        }
    }
}

/// How a controller stands; before it has looked, without a quorum.
pub(super) fn begin() -> watch::Sender<Standing> {
    watch::Sender::new(Err(NO_QUORUM.to_owned()))
}

/// Registers this node where the metadata do not know it as it is, and looks how it stands, until
/// its runtime ends.
pub async fn run(handle: Handle, registration: Registration) {
    let record = ControllerRecord {
        node_id: handle.node_id().0,
        storage_id: registration.storage_id,
        peer: registration.peer,
        features: registration.features,
    };
    let refusal = watch::Sender::new(None);
    // a request may take long without a majority; how this node stands is told meanwhile
    tokio::join!(
        keep_registered(&handle, &record, &refusal),
        look(&handle, &record, &refusal)
    );
}

fn is_registered(handle: &Handle, controller: &ControllerRecord) -> bool {
    let image = handle.image();
    let known = image.controllers.get(&handle.node_id());
    known == Some(&controller.registration())
}

async fn keep_registered(
    handle: &Handle,
    controller: &ControllerRecord,
    refusal: &watch::Sender<Option<String>>,
) {
    loop {
        if !is_registered(handle, controller) {
            let request = RegisterController {
                cluster_id: handle.image().cluster_id.to_string(),
                controller: controller.clone(),
            };
            match handle.submit(request).await {
                Ok(Ok(_)) => {
                    info!("registered as a controller");
                    refusal.send_replace(None);
                }
                Ok(Err(refused)) => {
                    let is_new = refusal.borrow().as_ref() != Some(&refused.message);
                    if is_new {
                        warn!("registration was refused: {}", refused.message);
                        refusal.send_replace(Some(refused.message));
                    }
                }
                Err(error) => debug!("registration has to wait: {error}"),
            }
        }
        tokio::time::sleep(handle.shared.settings.heartbeat_interval).await;
    }
}

async fn look(
    handle: &Handle,
    controller: &ControllerRecord,
    refusal: &watch::Sender<Option<String>>,
) {
    loop {
        let standing = match handle.quorum().await {
            Ok(quorum) => standing(&quorum, handle.node_id()),
            Err(_) => Err(NO_QUORUM.to_owned()),
        };
        let standing = standing.and_then(|()| match &*refusal.borrow() {
            _ if is_registered(handle, controller) => Ok(()),
            Some(why) => Err(format!("the registration is refused: {why}")),
            None => Err("waiting for registration".to_owned()),
        });
        handle.shared.presence.send_if_modified(|before| {
            let has_changed = *before != standing;
            *before = standing;
            has_changed
        });
        tokio::time::sleep(handle.shared.settings.heartbeat_interval).await;
    }
}

/// How `node` stands, by what the active controller says: whether a majority follows that, and
/// whether this node has what it has.
fn standing(quorum: &Quorum, node: NodeId) -> Standing {
    let everybody = || quorum.voters.iter().chain(&quorum.observers);
    let of = |node| everybody().find(|known| known.node_id == node);
    let now = quorum
        .leader
        .and_then(of)
        .map_or(0, |own| own.last_fetch_ms);
    let is_near = |at: i64| now - at <= LAG_MAX_MS;
    let voters = quorum.voters.iter();
    let heard = voters.filter(|voter: &&QuorumNode| is_near(voter.last_fetch_ms));
    if 2 * heard.count() <= quorum.voters.len() {
        return Err(NO_QUORUM.to_owned());
    }
    match of(node) {
        Some(own) if is_near(own.last_caught_up_ms) => Ok(()),
        _ => Err("waiting to catch up with the metadata of the active controller".to_owned()),
    }
}

impl Handle {
    /// How this node stands, a controller that is no broker.
    #[must_use]
    pub fn presence(&self) -> watch::Receiver<Standing> {
        self.shared.presence.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: the voters as `node@heard/had-everything` in seconds ago, the active controller
    /// first, with `-` before those that do not vote; then what node 1 says of itself.
    const CASES: &str = "
        0@0/0 1@0/0 2@0/0 => Ok
        0@0/0 1@0/0 2@9/9 => Ok
        0@0/0 1@0/9 2@0/0 => catch up
        0@0/0 1@0/1 2@0/0 => Ok
        0@0/0 1@9/9 2@0/0 => catch up
        0@0/0 1@9/9 2@9/9 => quorum
        1@0/0 0@9/9 2@9/9 => quorum
        0@0/0 2@0/0 3@0/0 => catch up
        0@0/0 2@0/0 -1@0/0 => Ok
        1@0/0 => Ok
    ";

    #[test]
    fn a_controller_is_there_while_a_majority_is_and_it_has_everything() {
        for case in CASES.lines().filter(|case| case.contains("=>")) {
            let (nodes, wanted) = case.split_once(" => ").unwrap();
            let mut quorum = Quorum::default();
            for text in nodes.split_whitespace() {
                let (id, ago) = text.trim_start_matches('-').split_once('@').unwrap();
                let (heard, complete) = ago.split_once('/').unwrap();
                let ms = |seconds: &str| 100_000 - seconds.parse::<i64>().unwrap() * 1000;
                let node = QuorumNode {
                    node_id: NodeId(id.parse().unwrap()),
                    log_end_offset: 1,
                    last_fetch_ms: ms(heard),
                    last_caught_up_ms: ms(complete),
                };
                quorum.leader = quorum.leader.or(Some(node.node_id));
                match text.starts_with('-') {
                    true => quorum.observers.push(node),
                    false => quorum.voters.push(node),
                }
            }
            let told = format!("{:?}", standing(&quorum, NodeId(1)));
            assert!(told.contains(wanted), "{case}: {told}");
        }
    }
}
