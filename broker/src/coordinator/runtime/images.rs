//! What of the metadata a shard has not seen yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use tokio::sync::Notify;

/// Deltas that may wait; more are merged.
const DELTAS_MAX: usize = 16;

/// Images on their way to one shard. None is lost, however long the shard loads or its requests
/// wait: those that wait become one.
pub(in crate::coordinator) struct Images {
    unseen: Mutex<Unseen>,
    changed: Notify,
}

struct Unseen {
    image: Arc<MetadataImage>,
    deltas: Vec<Arc<MetadataDelta>>,
}

impl Images {
    /// A shard that has seen nothing before `image`.
    pub(in crate::coordinator) fn new(image: Arc<MetadataImage>) -> Self {
        let deltas = Vec::new();
        Self {
            unseen: Mutex::new(Unseen { image, deltas }),
            changed: Notify::new(),
        }
    }

    fn unseen(&self) -> MutexGuard<'_, Unseen> {
        // each change is one assignment
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a new image.
    pub(in crate::coordinator) fn put(
        &self,
        image: &Arc<MetadataImage>,
        delta: &Arc<MetadataDelta>,
    ) {
        let mut unseen = self.unseen();
        unseen.image = Arc::clone(image);
        unseen.deltas.push(Arc::clone(delta));
        if unseen.deltas.len() > DELTAS_MAX {
            let merged = merge(&std::mem::take(&mut unseen.deltas));
            unseen.deltas.push(Arc::new(merged));
        }
        self.changed.notify_one();
    }

    /// The newest image, for a shard that has just loaded; what it changed is still to be seen.
    pub(in crate::coordinator) fn latest(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.unseen().image)
    }

    /// Waits for an image that was not seen; returns it and what it changed.
    pub(in crate::coordinator) async fn next(&self) -> (Arc<MetadataImage>, MetadataDelta) {
        loop {
            {
                let mut unseen = self.unseen();
                if !unseen.deltas.is_empty() {
                    let delta = merge(&std::mem::take(&mut unseen.deltas));
                    return (Arc::clone(&unseen.image), delta);
                }
            }
            self.changed.notified().await;
        }
    }
}

fn merge(deltas: &[Arc<MetadataDelta>]) -> MetadataDelta {
    let mut merged = MetadataDelta::default();
    for delta in deltas {
        merged.merge(MetadataDelta::clone(delta));
    }
    merged
}
