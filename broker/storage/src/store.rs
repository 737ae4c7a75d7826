//! One data directory.
//!
//! ```text
//! <dir>/.lock                       held while a process has the directory open
//! <dir>/meta.properties             whose data this is
//! <dir>/wal/0000.wal …              the write-ahead log
//! <dir>/checkpoint                  every log's state, and where the WAL's tail begins
//! <dir>/high-watermarks             lower bounds for after a restart
//! <dir>/<topic>-<partition>/        one log:
//!     partition.metadata            whose directory this is
//!     <base offset>.log, .index     segments
//!     <offset>.snapshot             producer state
//! <dir>/….deleted/                  a deleted log, on its way out
//! ```
//!
//! The life of a record: `append` queues it for the WAL and keeps it in memory; a commit makes it
//! durable in the WAL; a flush writes it into its segment; a checkpoint syncs the segments and
//! notes every log's state, from when on the WAL's older files are free. A start reads the
//! checkpoint and replays the WAL from there.

mod checkpoint;
mod commit;
mod directory;
mod flush;
mod image;
mod log_dir;
mod meta;
mod open;
mod producers;
mod threads;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_protocol::ids::{
    NodeId, Offset, PartitionIndex, TopicId, TopicIdPartition, TopicName, TopicPartition, Uuid,
};

use self::commit::Wal;
use self::directory::Directory;
use crate::fields::{eight, four};
use crate::log::{LogReader, SharedLog, State};
use crate::ranked::{MAINTENANCE, Ranked, WAL, lock};
use crate::shared::Shared;
use crate::wal::Operation;
use crate::{Disk, Error, Log, LogSettings, Result, snapshot_file};

const HIGH_WATERMARKS: &str = "high-watermarks";
/// Topic id, partition, offset.
const MARK_BYTES: usize = 28;

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
    /// The last record of this log that was committed. What is said here was computed before any
    /// truncation with a higher lsn.
    pub lsn: u64,
}

/// What one commit made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The logs that it touched, each once.
    pub logs: Vec<Durable>,
    /// Every record up to this one, of any log, is durable.
    pub lsn: u64,
    /// Bytes of record batches written.
    pub bytes: u64,
    /// How long the committing thread took for it; a simulation, which has no such thread, spends
    /// the time of a commit itself.
    pub took: Duration,
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

/// One data directory: it owns its logs, which know it only by what they share.
#[derive(Debug)]
pub struct Store {
    identity: Identity,
    directory: Directory,
    wal: Ranked<Wal, WAL>,
    /// Whoever writes segments or a checkpoint holds it, during I/O.
    maintenance: Ranked<(), MAINTENANCE>,
    /// The lsn that the last checkpoint contains.
    checkpointed_lsn: AtomicU64,
    threads: threads::Threads,
    _lock: Box<dyn crate::disk::Lock>,
}

/// While it lives, appends do not wake the committing thread; once dropped, what was queued is
/// committed in one go. To be held for one request's appends, never across an await.
#[derive(Debug)]
pub struct Hold<'a> {
    shared: &'a Shared,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.shared.holds.fetch_sub(1, Ordering::AcqRel);
        let mut queue = lock(&self.shared.queue);
        let wake = !queue.records.is_empty() && std::mem::take(&mut queue.is_awaited);
        drop(queue);
        if wake {
            self.shared.queued.notify_all();
        }
    }
}

impl Store {
    fn shared(&self) -> &Arc<Shared> {
        &self.directory.shared
    }

    /// The directory's identity: its own directory id, as kept in `meta.properties`.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared().dir
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &dyn Disk {
        &*self.directory.shared.disk
    }

    /// Holds the next commit back until several appends are queued.
    #[must_use]
    pub fn hold(&self) -> Hold<'_> {
        self.shared().holds.fetch_add(1, Ordering::AcqRel);
        Hold {
            shared: self.shared(),
        }
    }

    /// Makes a log that starts at offset 0. Exists on disk after the next commit.
    pub fn create(
        &self,
        id: TopicIdPartition,
        topic: TopicName,
        settings: LogSettings,
    ) -> Result<Log> {
        let shared = self.shared();
        shared.check_online()?;
        let mut logs = lock(&self.directory.logs);
        let name = TopicPartition {
            topic: topic.clone(),
            partition: id.partition,
        };
        if logs.has(&name) {
            return Err(Error::LogExists(name));
        }
        let state = State::new(settings, 0);
        let log = SharedLog::new(shared.clone(), logs.next_number, id, topic.clone(), state);
        let log = Arc::new(log);
        log.change(&mut lock(&log.state), Operation::Create { id, topic });
        logs.insert(log.clone());
        Ok(Log {
            reader: LogReader { log },
        })
    }

    /// Deletes a log; its files go in the background after the next commit.
    pub fn delete(&self, log: Log) -> Result<()> {
        self.shared().check_online()?;
        let log = log.reader.log;
        let lsn = log.change(&mut lock(&log.state), Operation::Delete);
        lock(&self.directory.logs).delete(log, lsn);
        Ok(())
    }

    /// Bytes free on the file system. Below the reserve appends are refused
    /// ([`Error::DiskFull`]) until a later look finds more.
    pub fn free_bytes(&self) -> Result<u64> {
        self.shared().measure_space()
    }

    /// Why the directory is offline, where it is.
    #[must_use]
    pub fn offline(&self) -> Option<&Error> {
        self.shared().offline.get()
    }

    /// Whose data a directory holds that nobody has open; none where it is new.
    ///
    /// # Errors
    /// The disk's, or that the directory is damaged.
    pub fn identify(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>> {
        meta::read(disk, dir)
    }

    /// The last record that was queued for the write-ahead log, and the last one that is on disk.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        // in this order: what is durable was queued before
        let durable = self.shared().durable_lsn.load(Ordering::Acquire);
        (lock(&self.shared().queue).last_lsn, durable)
    }

    /// Whether appends are refused, because too little space was left at the last look.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared().is_full.load(Ordering::Acquire)
    }

    /// Keeps the high watermarks: a lower bound for each log after a restart.
    pub fn write_high_watermarks(&self, marks: &[(TopicIdPartition, Offset)]) -> Result<()> {
        self.shared().check_online()?;
        let mut content = Vec::with_capacity(marks.len() * MARK_BYTES);
        for (id, offset) in marks {
            content.extend_from_slice(&id.topic_id.0.0);
            content.extend_from_slice(&id.partition.0.to_le_bytes());
            content.extend_from_slice(&offset.0.to_le_bytes());
        }
        snapshot_file::write(
            &*self.shared().disk,
            &self.shared().dir.join(HIGH_WATERMARKS),
            &content,
        )
    }

    /// The high watermarks last kept (none where there are none, or the file is damaged: they are
    /// found again by replication).
    #[must_use]
    pub fn read_high_watermarks(&self) -> Vec<(TopicIdPartition, Offset)> {
        let path = self.shared().dir.join(HIGH_WATERMARKS);
        let content = snapshot_file::read(&*self.shared().disk, &path)
            .ok()
            .flatten();
        let mark = |bytes: &[u8]| {
            let mut topic_id = [0; 16];
            topic_id.copy_from_slice(&bytes[..16]);
            let partition = PartitionIndex(i32::from_le_bytes(four(bytes, 16)));
            let id = TopicIdPartition {
                topic_id: TopicId(Uuid(topic_id)),
                partition,
            };
            (id, Offset(i64::from_le_bytes(eight(bytes, 20))))
        };
        content
            .unwrap_or_default()
            .chunks_exact(MARK_BYTES)
            .map(mark)
            .collect()
    }
}
