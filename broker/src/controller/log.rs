//! The metadata log on disk: the vote, the entries, how far they are committed.
//!
//! One thread owns the journal and syncs each append before it reports it. Entries are kept in
//! memory as well, since snapshots keep the log short, and reads never wait for the disk.
//!
//! A full disk is waited for: the same bytes are written once there is room. Nothing was promised
//! yet, so this is a slow disk and no failure.
//!
//! Invariant: a vote or an entry is reported as stored only after it is synced.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use ottla_core::planted::{self, Planted};
use ottla_storage::{Disk, Journal, serving, snapshot_file};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::raft::{
    Entry, LogId, Types, Vote, entry_from_wire, entry_to_wire, log_id_from_wire, log_id_to_wire,
    vote_from_wire, vote_to_wire,
};
use crate::env::spend_commit_time;
use crate::peer::wire;
use crate::threads;

/// The directory of the journal, inside the controller's.
const JOURNAL: &str = "log";
/// The file of the vote.
const VOTE: &str = "vote";
/// The file that says what was purged last.
const PURGED: &str = "purged";

/// How long a full disk is waited for before another try.
pub(super) const FULL_RETRY: Duration = Duration::from_millis(200);
/// Of so many tries one is told of.
const FULL_TELL_TRIES: u32 = 150;

/// The metadata log of this node. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    /// Held for look-ups and copies only, never across I/O.
    shared: Arc<Mutex<Shared>>,
    writer: Writer,
    /// With the last clone the writer waits for nothing any more.
    _used: Arc<()>,
}

#[derive(Debug, Default)]
struct Shared {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

/// What the writing thread is told, in order.
struct Command {
    work: Work,
    answer: Answer,
}

enum Work {
    Append(Vec<Bytes>),
    Vote(wire::VoteState),
    TruncateFrom(u64),
    Purge(wire::LogId),
}

/// Who waits for it.
enum Answer {
    Flushed(IOFlushed<Types>),
    Done(oneshot::Sender<io::Result<()>>),
}

impl Command {
    fn answer(self, done: io::Result<()>) {
        match self.answer {
            Answer::Flushed(flushed) => flushed.io_completed(done),
            // nobody waits for the answer where openraft has stopped
            Answer::Done(sender) => _ = sender.send(done),
        }
    }
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
    /// How often a full disk was met.
    tries: u32,
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
        if first > kept_from {
            let dir = dir.display();
            return Err(io::Error::other(format!(
                "the metadata log in {dir} begins at entry {first}, and what goes before it ends \
                 at {kept_from}: bring back a newer backup of the whole directory, or empty it, \
                 and this node gets all from the others"
            )));
        }
        shared.entries = shared.entries.split_off(&kept_from);
        let files = Files {
            disk,
            dir: dir.to_path_buf(),
            journal,
            tries: 0,
        };
        let used = Arc::new(());
        let writer = if inline {
            Writer::Task(spawn_task(files, Arc::downgrade(&used)))
        } else {
            Writer::Thread(spawn(files, Arc::downgrade(&used))?)
        };
        Ok(Self {
            shared: Arc::new(Mutex::new(shared)),
            writer,
            _used: used,
        })
    }

    /// Whether this node has never been part of a quorum.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let shared = self.shared();
        shared.vote.is_none() && shared.purged.is_none() && shared.entries.is_empty()
    }

    /// How many entries it has, from the first one ever.
    #[must_use]
    pub fn end(&self) -> u64 {
        let last = self.last();
        last.map_or(0, |id| id.index.saturating_add(1))
    }

    /// The last entry that it has, or had.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        let shared = self.shared();
        let last = shared.entries.last_key_value();
        last.map(|(_, entry)| entry.log_id).or(shared.purged)
    }

    /// The highest term that the disk knows.
    #[must_use]
    pub fn term(&self) -> u64 {
        let vote = self.shared().vote;
        vote.map_or(0, |vote| vote.leader_id().term)
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

    async fn ask(&self, work: Work) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        let answer = Answer::Done(done);
        self.send(Command { work, answer })?;
        wait.await.map_err(|_| gone())?
    }
}

#[allow(clippy::disallowed_methods, reason = "simulations have `spawn_task`")]
fn spawn(mut files: Files, used: Weak<()>) -> io::Result<std::sync::mpsc::Sender<Command>> {
    let (sender, receiver) = std::sync::mpsc::channel::<Command>();
    std::thread::Builder::new()
        .name("metadata-log".into())
        .spawn(move || {
            while let Ok(command) = receiver.recv() {
                let mut done = files.perform(&command.work);
                while is_full(&done) && used.strong_count() > 0 {
                    files.tell_full();
                    std::thread::sleep(FULL_RETRY);
                    done = files.perform(&command.work);
                }
                command.answer(done);
            }
        })?;
    Ok(sender)
}

fn spawn_task(mut files: Files, used: Weak<()>) -> mpsc::UnboundedSender<Command> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Command>();
    threads::spawn(async move {
        while let Some(mut command) = receiver.recv().await {
            if planted::is(Planted::UnsyncedMetadata) {
                let work = std::mem::replace(&mut command.work, Work::Append(Vec::new()));
                command.answer(Ok(()));
                spend_commit_time(&*files.disk).await;
                let _ = serving::blocking(|| files.perform(&work));
                continue;
            }
            spend_commit_time(&*files.disk).await;
            let mut done = serving::blocking(|| files.perform(&command.work));
            while is_full(&done) && used.strong_count() > 0 {
                files.tell_full();
                tokio::time::sleep(FULL_RETRY).await;
                done = serving::blocking(|| files.perform(&command.work));
            }
            command.answer(done);
        }
    });
    sender
}

impl Files {
    /// Does it, or, on a full disk, nothing: then it may be done again.
    fn perform(&mut self, work: &Work) -> io::Result<()> {
        match work {
            Work::Append(entries) => self.journal.append(entries).map_err(other),
            Work::Vote(vote) => self.write(VOTE, &vote.encode_to_vec()),
            Work::TruncateFrom(index) => self.journal.truncate_suffix(*index).map_err(other),
            Work::Purge(id) => {
                // the position first: without it the log would seem to begin at nothing
                self.write(PURGED, &id.encode_to_vec())?;
                self.journal.purge_prefix(id.index + 1).map_err(other)
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        snapshot_file::write(&*self.disk, &self.dir.join(name), bytes).map_err(other)
    }

    fn tell_full(&mut self) {
        if self.tries.is_multiple_of(FULL_TELL_TRIES) {
            let dir = self.dir.display();
            warn!("the metadata log waits: the disk of {dir} is full; free some space");
        }
        self.tries += 1;
    }
}

/// A storage error, of the kind that says whether the same may be tried again.
pub(super) fn other(error: ottla_storage::Error) -> io::Error {
    match error.is_retriable() {
        true => io::Error::new(io::ErrorKind::StorageFull, error),
        false => io::Error::other(error),
    }
}

/// Whether only room on the disk was missing.
pub(super) fn is_full<T>(done: &io::Result<T>) -> bool {
    let kind = done.as_ref().err().map(io::Error::kind);
    kind == Some(io::ErrorKind::StorageFull)
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
        self.ask(Work::Vote(on_wire)).await?;
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
        self.send(Command {
            work: Work::Append(encoded),
            answer: Answer::Flushed(flushed),
        })
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        self.shared().entries.split_off(&from);
        self.ask(Work::TruncateFrom(from)).await
    }

    async fn purge(&mut self, id: LogId) -> io::Result<()> {
        {
            let mut shared = self.shared();
            shared.purged = Some(id);
            shared.entries = shared.entries.split_off(&(id.index + 1));
        }
        let on_wire = log_id_to_wire(&id);
        self.ask(Work::Purge(on_wire)).await
    }
}

#[cfg(test)]
mod tests {
    use ottla_storage::sim::SimDisk;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_waited_for_and_the_vote_is_kept() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/metadata");
        let open = || LogStore::open(Arc::new(disk.clone()), dir, true).unwrap();
        let mut store = open();
        disk.set_bytes_max(disk.used_bytes());
        let vote = Vote::new(3, 1);
        let saving = tokio::spawn(async move { store.save_vote(&vote).await });
        tokio::time::sleep(FULL_RETRY * 3).await;
        assert!(!saving.is_finished(), "it waits");
        disk.set_bytes_max(1 << 30);
        saving.await.unwrap().unwrap();
        disk.crash();
        assert_eq!(open().read_vote().await.unwrap(), Some(vote));
    }
}
