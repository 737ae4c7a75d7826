//! The metadata log on disk: the vote, the entries, how far they are committed.
//!
//! One thread owns the journal and syncs each append before it reports it. Entries are kept in
//! memory as well, since snapshots keep the log short, and reads never wait for the disk.
//!
//! Invariant: a vote or an entry is reported as stored only after it is synced.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use ottla_storage::{Disk, Journal, snapshot_file};
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::raft::{
    Entry, LogId, Types, Vote, entry_from_wire, entry_to_wire, log_id_from_wire, log_id_to_wire,
    vote_from_wire, vote_to_wire,
};
use crate::env::spend_commit_time;
use crate::peer::wire;

/// The directory of the journal, inside the controller's.
const JOURNAL: &str = "log";
/// The file of the vote.
const VOTE: &str = "vote";
/// The file that says what was purged last.
const PURGED: &str = "purged";

/// The metadata log of this node. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    /// Held for look-ups and copies only, never across I/O.
    shared: Arc<Mutex<Shared>>,
    writer: Writer,
}

#[derive(Debug, Default)]
struct Shared {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

/// What the writing thread is told, in order.
enum Command {
    Append(Vec<Bytes>, IOFlushed<Types>),
    Vote(wire::VoteState, oneshot::Sender<io::Result<()>>),
    TruncateFrom(u64, oneshot::Sender<io::Result<()>>),
    Purge(wire::LogId, oneshot::Sender<io::Result<()>>),
}

/// How commands are carried out.
#[derive(Clone)]
enum Writer {
    /// By a thread, so that a sync holds up nothing else.
    Thread(std::sync::mpsc::Sender<Command>),
    /// By a task, in a simulation: a sync takes simulated time.
    Task(mpsc::UnboundedSender<Command>),
}

struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    journal: Journal,
}

impl LogStore {
    /// Opens what is in `dir`, or begins with nothing. `inline` does without a thread.
    ///
    /// # Errors
    /// The disk's, or that an entry cannot be read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, inline: bool) -> io::Result<Self> {
        let journal = Journal::open(Arc::clone(&disk), &dir.join(JOURNAL)).map_err(other)?;
        let read = |name| snapshot_file::read(&*disk, &dir.join(name)).map_err(other);
        let mut shared = Shared::default();
        if let Some(bytes) = read(VOTE)? {
            shared.vote = Some(vote_from_wire(&wire::VoteState::decode(&bytes[..])?));
        }
        if let Some(bytes) = read(PURGED)? {
            shared.purged = Some(log_id_from_wire(&wire::LogId::decode(&bytes[..])?));
        }
        let (first, next) = (journal.first_index(), journal.next_index());
        for bytes in journal.read(first..next) {
            let entry = entry_from_wire(wire::Entry::decode(bytes)?).map_err(io::Error::other)?;
            shared.entries.insert(entry.log_id.index, entry);
        }
        // a purge may have been cut short between its file and the journal
        let kept_from = shared.purged.as_ref().map_or(0, |id| id.index + 1);
        shared.entries = shared.entries.split_off(&kept_from);
        let files = Files {
            disk,
            dir: dir.to_path_buf(),
            journal,
        };
        let writer = if inline {
            Writer::Task(spawn_task(files))
        } else {
            Writer::Thread(spawn(files)?)
        };
        Ok(Self {
            shared: Arc::new(Mutex::new(shared)),
            writer,
        })
    }

    /// Whether this node has never been part of a quorum.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let shared = self.shared();
        shared.vote.is_none() && shared.purged.is_none() && shared.entries.is_empty()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command) -> io::Result<()> {
        match &self.writer {
            Writer::Thread(sender) => sender.send(command).map_err(|_| gone()),
            Writer::Task(sender) => sender.send(command).map_err(|_| gone()),
        }
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Command,
    ) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        self.send(command(done))?;
        wait.await.map_err(|_| gone())?
    }
}

fn spawn(mut files: Files) -> io::Result<std::sync::mpsc::Sender<Command>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("metadata-log".into())
        .spawn(move || {
            while let Ok(command) = receiver.recv() {
                files.perform(command);
            }
        })?;
    Ok(sender)
}

fn spawn_task(mut files: Files) -> mpsc::UnboundedSender<Command> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(command) = receiver.recv().await {
            spend_commit_time(&*files.disk).await;
            files.perform(command);
        }
    });
    sender
}

impl Files {
    fn perform(&mut self, command: Command) {
        match command {
            Command::Append(entries, flushed) => {
                flushed.io_completed(self.journal.append(&entries).map_err(other));
            }
            // nobody waits for the answer where openraft has stopped
            Command::Vote(vote, done) => {
                let _ = done.send(self.write(VOTE, &vote.encode_to_vec()));
            }
            Command::TruncateFrom(index, done) => {
                let _ = done.send(self.journal.truncate_suffix(index).map_err(other));
            }
            Command::Purge(id, done) => {
                // the position first: without it the log would seem to begin at nothing
                let written = self.write(PURGED, &id.encode_to_vec());
                let purge = |()| self.journal.purge_prefix(id.index + 1).map_err(other);
                let _ = done.send(written.and_then(purge));
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        snapshot_file::write(&*self.disk, &self.dir.join(name), bytes).map_err(other)
    }
}

fn other(error: ottla_storage::Error) -> io::Error {
    io::Error::other(error)
}

fn gone() -> io::Error {
    io::Error::other("the thread of the metadata log has ended")
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        if let (Bound::Included(start), Bound::Excluded(end)) = bounds
            && start >= end
        {
            return Ok(Vec::new()); // BTreeMap panics at a range that ends before it starts
        }
        Ok(self
            .shared()
            .entries
            .range(bounds)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let shared = self.shared();
        let last = shared
            .entries
            .last_key_value()
            .map(|(_, entry)| entry.log_id);
        Ok(LogState {
            last_purged_log_id: shared.purged,
            last_log_id: last.or(shared.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let on_wire = vote_to_wire(vote);
        self.ask(|done| Command::Vote(on_wire, done)).await?;
        self.shared().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut encoded = Vec::new();
        {
            let mut shared = self.shared();
            for entry in entries {
                encoded.push(Bytes::from(entry_to_wire(&entry).encode_to_vec()));
                shared.entries.insert(entry.log_id.index, entry);
            }
        }
        self.send(Command::Append(encoded, flushed))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        self.shared().entries.split_off(&from);
        self.ask(|done| Command::TruncateFrom(from, done)).await
    }

    async fn purge(&mut self, id: LogId) -> io::Result<()> {
        {
            let mut shared = self.shared();
            shared.purged = Some(id);
            shared.entries = shared.entries.split_off(&(id.index + 1));
        }
        let on_wire = log_id_to_wire(&id);
        self.ask(|done| Command::Purge(on_wire, done)).await
    }
}
