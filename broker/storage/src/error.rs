//! What can go wrong on a disk, one variant per thing that a caller can tell apart.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_protocol::ids::{Offset, TopicPartition};
use ottla_protocol::record_batch;
use rustix::io::Errno;

/// Storage's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A storage error. Cheap to clone: a failed fsync is told to everyone who waits.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The system refused an operation on a file.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// What was written may be lost, whatever the system said, and even if a later sync succeeds.
    #[error("sync {path}: {source}", path = path.display())]
    Sync {
        /// Of which file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A write or fsync failed before: nothing more is done in this directory until a restart.
    #[error("data directory {dir} is offline: {reason}", dir = dir.display())]
    Offline {
        /// The directory.
        dir: PathBuf,
        /// The first failure.
        reason: Arc<str>,
    },
    /// Free space is below the reserve; retriable, reads go on.
    #[error(
        "data directory {dir} is full: free some space or lower retention", dir = dir.display()
    )]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// Bytes on disk are not what was written.
    #[error("{path} is damaged at byte {position}: {what}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong there.
        what: Cow<'static, str>,
    },
    /// Another process has the directory.
    #[error(
        "data directory {dir} is in use by {holder}: stop it or choose another log.dirs",
        dir = dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// "process N" or "another process".
        holder: String,
    },
    /// The directory belongs to another cluster or node.
    #[error(
        "data directory {dir} belongs to {found}, not to {expected}: \
         choose another log.dirs, or empty it to start anew",
        dir = dir.display()
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The file belongs to another partition (it was moved or swapped).
    #[error(
        "{path} belongs to another partition or topic: put the right file back",
        path = path.display()
    )]
    WrongIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The offset is outside of the log.
    #[error("offset {offset} is outside of {log_start_offset}..{log_end_offset}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: Offset,
        /// Where the log starts.
        log_start_offset: Offset,
        /// Where the log ends.
        log_end_offset: Offset,
    },
    /// What was given to append is not a sequence of whole, stamped record batches.
    #[error("not appendable: {0}")]
    InvalidBatches(record_batch::Error),
    /// There is such a log already.
    #[error("the log of {0} exists already")]
    LogExists(TopicPartition),
    /// The log was deleted.
    #[error("the log of {0} is deleted")]
    LogDeleted(TopicPartition),
}

impl Error {
    /// Whether the same call may succeed later without anybody's help to this process.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.is_no_space()
    }

    /// Whether what was written is not there any more, or cannot be read: only another copy of it
    /// helps.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::WrongIdentity { .. } => true,
            Self::Io { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
                    || source.raw_os_error() == Some(Errno::IO.raw_os_error())
            }
            _ => false,
        }
    }

    /// Bytes on disk that are not what was written.
    pub(crate) fn corrupt(path: &Path, position: u64, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            position,
            what: what.into(),
        }
    }

    /// Whether a write found no room: the same bytes may be written again later. A sync that says
    /// so is as final as any other that failed.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// Adds what was tried on which file to an [`io::Error`].
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
    /// As [`Self::context`], of a sync.
    fn sync_context(self, path: &Path) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.to_path_buf(),
            source: Arc::new(source),
        })
    }
    fn sync_context(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Sync {
            path: path.to_path_buf(),
            source: Arc::new(source),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_waited_for_and_a_failed_sync_is_not() {
        let full = || -> io::Result<()> { Err(io::ErrorKind::StorageFull.into()) };
        let path = Path::new("f");
        assert!(full().context("write", path).unwrap_err().is_no_space());
        assert!(!full().sync_context(path).unwrap_err().is_no_space());
    }
}
