//! openraft's own suite over the metadata log and the state machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use ottla_core::metadata::Metadata;
use ottla_storage::sim::SimDisk;
use ottla_storage::{Disk, RealDisk};
use tokio::sync::mpsc;

use crate::controller::log::LogStore;
use crate::controller::machine::{Machine, Published};
use crate::controller::raft::Types;
use crate::peer::Links;

/// What a store needs as long as it lives.
type Kept = (
    Option<tempfile::TempDir>,
    mpsc::UnboundedReceiver<Published>,
);

/// Each store begins with nothing.
struct Builder {
    /// Whether the disk is simulated, and written by a task.
    is_simulated: bool,
    stores: AtomicU64,
}

impl StoreBuilder<Types, LogStore, Machine, Kept> for Builder {
    async fn build(&self) -> Result<(Kept, LogStore, Machine), StorageError<Types>> {
        let seed = self.stores.fetch_add(1, Ordering::Relaxed);
        let folder = (!self.is_simulated).then(|| tempfile::tempdir().expect("a folder"));
        let (disk, dir): (Arc<dyn Disk>, _) = match &folder {
            None => (Arc::new(SimDisk::new(seed)), Path::new("/metadata")),
            Some(folder) => (Arc::new(RealDisk), folder.path()),
        };
        disk.create_dir_all(dir).expect("a folder");
        let inline = self.is_simulated;
        let log = LogStore::open(Arc::clone(&disk), dir, inline).expect("an empty log");
        let (sender, published) = mpsc::unbounded_channel();
        let machine = Machine::open(
            disk,
            dir,
            Metadata::default(),
            (sender, &Links::default()),
            inline,
        );
        let machine = machine.expect("no snapshot");
        Ok(((folder, published), log, machine))
    }
}

async fn suite(is_simulated: bool) {
    let builder = Builder {
        is_simulated,
        stores: AtomicU64::new(0),
    };
    let passed = Suite::test_all(builder).await;
    passed.expect("openraft is content with the storage");
}

#[tokio::test(start_paused = true)]
async fn openrafts_suite_passes_on_a_simulated_disk() {
    suite(true).await;
}

#[tokio::test]
async fn openrafts_suite_passes_on_files() {
    suite(false).await;
}
