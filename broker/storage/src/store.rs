//! One data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::ids::{NodeId, Offset, TopicIdPartition, TopicName, Uuid};

use crate::{Disk, Error, Log, LogSettings, Result};

/// Bounds and sizes of one data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of one WAL segment.
    pub wal_segment_bytes: u64,
    /// How many WAL segments may be in use before a checkpoint must free one.
    pub wal_segments_max: usize,
    /// Record bytes kept in memory, flushed ones (as a cache) included.
    pub memory_bytes_max: usize,
    /// Record bytes not yet in segments at which writing them begins.
    pub flush_bytes: usize,
    /// Free bytes on the file system under which appends are refused.
    pub disk_reserve_bytes: u64,
    /// Segment and index files held open.
    pub files_open_max: usize,
    /// Write the WAL past the page cache.
    pub wal_direct: bool,
    /// Without commits for this long, a checkpoint is made, so that a restart replays nothing.
    pub checkpoint_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wal_segment_bytes: 64 << 20,
            wal_segments_max: 4,
            memory_bytes_max: 32 << 20,
            flush_bytes: 16 << 20,
            disk_reserve_bytes: 128 << 20,
            files_open_max: 256,
            wal_direct: true,
            checkpoint_idle: Duration::from_secs(5),
        }
    }
}

/// Whose data this is. A directory of another cluster or node is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster_id: String,
    /// This node's id.
    pub node_id: NodeId,
    /// The id to give to a directory that is new; an existing one keeps its own.
    pub directory_id: Uuid,
}

/// What opening a directory gave.
#[derive(Debug)]
pub struct Opened {
    /// The directory.
    pub store: Arc<Store>,
    /// The logs in it.
    pub logs: Vec<Log>,
}

/// One log's progress by a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Which log.
    pub id: TopicIdPartition,
    /// Everything below survives a power cut.
    pub durable_end_offset: Offset,
}

/// What one commit made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The logs that it touched, each once.
    pub logs: Vec<Durable>,
    /// Bytes of records written.
    pub bytes: u64,
}

/// Producer state as of an offset, opaque to storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Batches below this offset are contained.
    pub offset: Offset,
    /// The state.
    pub bytes: Vec<u8>,
}

/// Who is told what the store's own threads did. Called with no storage lock held.
pub trait Listener: Send + Sync + 'static {
    /// A commit is durable.
    fn committed(&self, committed: Committed);
    /// The directory went offline; told once.
    fn offline(&self, error: &Error);
    /// A checkpoint asks for the producer state of a log that changed since the last one; may lock
    /// the partition. `None`: the log has no idempotent producers.
    fn producer_state(&self, id: TopicIdPartition) -> Option<ProducerState> {
        let _ = id;
        None
    }
}

/// One data directory; shared by all its logs.
#[derive(Debug)]
pub struct Store {
    identity: Identity,
}

impl Store {
    /// Locks the directory, makes it where missing, and recovers what is in it.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        settings: Settings,
    ) -> Result<Opened> {
        let _ = (disk, dir, settings);
        Ok(Opened {
            store: Arc::new(Self { identity }),
            logs: Vec::new(),
        })
    }

    /// The directory's identity: its own directory id, as kept in `meta.properties`.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes a log that starts at offset 0. Exists on disk after the next commit.
    pub fn create(
        self: &Arc<Self>,
        id: TopicIdPartition,
        topic: TopicName,
        settings: LogSettings,
    ) -> Result<Log> {
        let _ = (id, topic, settings);
        Err(Error::Offline {
            dir: Default::default(),
            reason: "not built yet".into(),
        })
    }

    /// Deletes a log; its files go in the background after the next commit.
    pub fn delete(&self, log: Log) -> Result<()> {
        drop(log);
        Ok(())
    }

    /// Makes everything queued durable with one fsync. Inline in the simulator; in production
    /// the thread of [`Store::spawn`] does it.
    pub fn commit(&self) -> Result<Committed> {
        Ok(Committed::default())
    }

    /// Writes segments where memory asks for it, checkpoints where the WAL asks for it, deletes
    /// files that are no longer needed. Inline in the simulator; a thread's work in production.
    pub fn maintain(&self, listener: &dyn Listener) -> Result<()> {
        let _ = listener;
        Ok(())
    }

    /// Flushes and syncs everything, so that the next start replays nothing.
    pub fn checkpoint(&self, listener: &dyn Listener) -> Result<()> {
        let _ = listener;
        Ok(())
    }

    /// Starts the committing and the flushing thread. They end when [`Store::close`] is called.
    pub fn spawn(self: &Arc<Self>, listener: Arc<dyn Listener>) {
        drop(listener);
    }

    /// Commits, checkpoints, and stops the threads.
    pub fn close(&self) -> Result<()> {
        Ok(())
    }

    /// Bytes free on the file system, and whether appends are refused for that reason.
    pub fn free_bytes(&self) -> Result<u64> {
        Ok(0)
    }

    /// Keeps the high watermarks: a lower bound for each log after a restart.
    pub fn write_high_watermarks(&self, marks: &[(TopicIdPartition, Offset)]) -> Result<()> {
        let _ = marks;
        Ok(())
    }

    /// The high watermarks last kept (none where there are none, or the file is damaged).
    #[must_use]
    pub fn read_high_watermarks(&self) -> Vec<(TopicIdPartition, Offset)> {
        Vec::new()
    }
}
