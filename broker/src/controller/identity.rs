//! Which cluster this node belongs to, and that its quorum is of no other.
//!
//! A data directory that was put in the wrong place brings a metadata log of another cluster into
//! this one's quorum, whose nodes have the same ids. So calls of the quorum carry the cluster's id
//! and are refused where it is another one, and a node that finds itself among strangers says so
//! and ends.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

use super::{Handle, formation};

/// The header of a call that says of which cluster the caller is.
const HEADER: &str = "ottla-cluster-id";

/// How often the voters are asked until this node serves.
const ASK_INTERVAL: Duration = Duration::from_millis(300);

/// The cluster's id, once this node knows it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    known: Arc<OnceLock<String>>,
    /// The sentence about the strangers that it is among.
    among_strangers: Arc<OnceLock<String>>,
}

impl Identity {
    /// Takes the id that the data directory or the metadata tells; the first one stays.
    pub fn learn(&self, cluster_id: &str) {
        if !cluster_id.is_empty() {
            let _ = self.known.set(cluster_id.to_owned()); // told again each time
        }
    }

    /// Says in a call of which cluster the caller is.
    pub fn sign<T>(&self, mut request: Request<T>) -> Request<T> {
        let known = self.known.get();
        if let Some(id) = known.and_then(|id| MetadataValue::try_from(id.as_str()).ok()) {
            request.metadata_mut().insert(HEADER, id);
        }
        request
    }

    /// Refuses a call from another cluster.
    pub fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let caller = request.metadata().get(HEADER);
        match (caller.and_then(|id| id.to_str().ok()), self.known.get()) {
            (Some(caller), Some(known)) if caller != known => Err(Status::failed_precondition(
                format!("this is cluster {known}, the caller is of cluster {caller}"),
            )),
            _ => Ok(()),
        }
    }

    /// The sentence about the strangers that this node is among, where it is.
    #[must_use]
    pub fn among_strangers(&self) -> Option<String> {
        self.among_strangers.get().cloned()
    }
}

/// Asks the voters of which cluster they are, until this node serves or a majority is of another.
pub async fn watch(handle: Handle) {
    let shared = &handle.shared;
    while !handle.has_lease() && handle.presence().borrow().is_err() {
        let voters = handle.voters().len();
        let others = formation::ask(&handle, &BTreeMap::new()).await.clusters;
        if let Some(known) = shared.identity.known.get() {
            let mut strangers = others.iter().filter(|id| !id.is_empty() && *id != known);
            if strangers.clone().count() > voters / 2
                && let Some(stranger) = strangers.next()
            {
                let sentence = format!(
                    "the data directory {} belongs to cluster {known}, but the voters of \
                     controller.quorum.voters are of cluster {stranger}; put the right directory \
                     back, or choose an empty one to start anew",
                    shared.settings.log_dirs[0].display()
                );
                let _ = shared.identity.among_strangers.set(sentence); // nobody else sets it
                return;
            }
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}
