//! Committed entries become the metadata image; snapshots are lists of records.
//!
//! [`Machine`] belongs to openraft, which applies entries in order; [`State`] is what others read
//! of it. Each applied batch is published with what it changed, in the order of the log.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use ottla_core::image::record::Record;
use ottla_core::metadata::Metadata;
use ottla_protocol::codec;
use ottla_storage::{Disk, snapshot_file};
use prost::Message;
use tokio::sync::mpsc;

use super::log::{FULL_RETRY, is_full, other};
use super::raft::{
    LogId, Membership, SnapshotMeta, StoredMembership, Types, snapshot_meta_from_wire,
    snapshot_meta_to_wire,
};
use crate::peer::{Links, wire};
use crate::threads;

/// The file of the newest snapshot.
const SNAPSHOT: &str = "snapshot";

/// A node of the quorum.
pub type Raft = openraft::Raft<Types, Machine>;

/// A snapshot as openraft hands it around: its encoded records.
pub type Snapshot = openraft::alias::SnapshotOf<Types, Bytes>;

/// The image after an applied batch, and what the batch changed.
#[derive(Clone, Debug)]
pub struct Published {
    /// The image.
    pub image: Arc<MetadataImage>,
    /// What changed since the image before.
    pub delta: MetadataDelta,
    /// The index of the batch's last entry.
    pub applied: u64,
}

/// The applied state; shared between openraft's task and the active controller.
#[derive(Debug, Default)]
pub struct State {
    /// The metadata as of `applied`.
    pub metadata: Metadata,
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<(SnapshotMeta, Bytes)>,
}

impl State {
    /// The index of the last entry that is applied; 0 where none is.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.map_or(0, |id| id.index)
    }
}

/// The state machine of this node.
pub struct Machine {
    /// Held for a replay or a copy, never across I/O or an await.
    state: Arc<Mutex<State>>,
    published: mpsc::UnboundedSender<Published>,
    /// Told who registers: a controller that begins looks at brokers by what is applied, whatever
    /// of it is published.
    links: Links,
    file: SnapshotFile,
}

/// Where the snapshot is kept.
#[derive(Clone)]
struct SnapshotFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// In a simulation no thread of its own writes it.
    inline: bool,
}

impl Machine {
    /// Begins with the snapshot in `dir`, or with nothing. `metadata` is the empty machine, `links`
    /// are the connections with peers; `inline` does without a thread.
    ///
    /// # Errors
    /// The disk's, or that the snapshot cannot be read.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &std::path::Path,
        metadata: Metadata,
        (published, links): (mpsc::UnboundedSender<Published>, &Links),
        inline: bool,
    ) -> io::Result<Self> {
        let path = dir.join(SNAPSHOT);
        let machine = Self {
            state: Arc::new(Mutex::new(State {
                metadata,
                ..State::default()
            })),
            published,
            links: links.clone(),
            file: SnapshotFile { disk, path, inline },
        };
        let stored = snapshot_file::read(&*machine.file.disk, &machine.file.path);
        if let Some(bytes) = stored.map_err(io::Error::other)? {
            let (meta, records) = read_file(Bytes::from(bytes))?;
            machine.install(meta, records)?;
        }
        Ok(machine)
    }

    /// The applied state.
    #[must_use]
    pub fn state(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn install(&self, meta: SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        let records = decode_records(bytes.clone())?;
        let mut state = self.lock();
        state.metadata.install(&records);
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.snapshot = Some((meta, bytes));
        self.publish(&mut state);
        Ok(())
    }

    fn publish(&self, state: &mut State) {
        let published = Published {
            image: Arc::new(state.metadata.image().clone()),
            delta: state.metadata.take_delta(),
            applied: state.applied(),
        };
        let changed = published.delta.brokers.iter();
        for broker in changed.filter_map(|node| published.image.broker(*node)) {
            self.links.registered(broker.node_id, broker.broker_epoch);
        }
        // nobody listens while the node stops
        let _ = self.published.send(published);
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut responders = Vec::new();
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let mut state = self.lock();
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(records) => {
                    for record in decode_records(records.0)? {
                        state.metadata.replay(&record);
                    }
                }
                EntryPayload::Membership(membership) => {
                    let membership: Membership = membership;
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            responders.extend(responder);
        }
        self.publish(&mut self.lock());
        // only now, so that who asked finds the outcome in the published image
        for responder in responders {
            responder.send(());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        Builder {
            state: Arc::clone(&self.state),
            file: self.file.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        self.file.write(meta, &bytes).await?;
        self.install(meta.clone(), bytes)
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let state = self.lock();
        let snapshot = state.snapshot.clone();
        Ok(snapshot.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Makes snapshots of the applied state.
pub struct Builder {
    state: Arc<Mutex<State>>,
    file: SnapshotFile,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (meta, image) = {
            let state = lock();
            let meta = SnapshotMeta {
                last_log_id: state.applied,
                last_membership: state.membership.clone(),
            };
            (meta, state.metadata.image().clone())
        };
        let bytes = encode_records(&image.to_records()).map_err(io::Error::other)?;
        self.file.write(&meta, &bytes).await?;
        lock().snapshot = Some((meta.clone(), bytes.clone()));
        Ok(Snapshot {
            meta,
            snapshot: bytes,
        })
    }
}

/// Records one after the other, each behind its length.
///
/// # Errors
/// A record that could not be read again.
pub fn encode_records(records: &[Record]) -> Result<Bytes, codec::Error> {
    let mut bytes = BytesMut::new();
    for record in records {
        let encoded = record.encode()?;
        let length = encoded.len();
        let prefix = u32::try_from(length).map_err(|_| codec::Error::TooLong { length })?;
        bytes.put_u32(prefix);
        bytes.put_slice(&encoded);
    }
    Ok(bytes.freeze())
}

/// The opposite of [`encode_records`].
///
/// # Errors
/// That the bytes are no records.
pub fn decode_records(mut bytes: Bytes) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.try_get_u32().map_err(io::Error::other)? as usize;
        if length > bytes.len() {
            return Err(io::Error::other("a metadata record is cut short"));
        }
        records.push(Record::decode(bytes.split_to(length)).map_err(io::Error::other)?);
    }
    Ok(records)
}

impl SnapshotFile {
    /// Writes it, once there is room on the disk, and holds up no other task meanwhile.
    ///
    /// ```text
    /// | length of meta u32 | meta | records … |
    /// ```
    async fn write(&self, meta: &SnapshotMeta, records: &[u8]) -> io::Result<()> {
        let meta = snapshot_meta_to_wire(meta).encode_to_vec();
        let mut bytes = Vec::with_capacity(4 + meta.len() + records.len());
        bytes.put_u32(meta.len() as u32);
        bytes.put_slice(&meta);
        bytes.put_slice(records);
        let bytes = Bytes::from(bytes);
        loop {
            let (file, content) = (self.clone(), bytes.clone());
            let write = move || snapshot_file::write(&*file.disk, &file.path, &content);
            let written = threads::blocking(self.inline, write).await;
            let gone = || io::Error::other("the process ends");
            let written = written.ok_or_else(gone)?.map_err(other);
            if !is_full(&written) {
                return written;
            }
            tokio::time::sleep(FULL_RETRY).await;
        }
    }
}

fn read_file(mut bytes: Bytes) -> io::Result<(SnapshotMeta, Bytes)> {
    let length = bytes.try_get_u32().map_err(io::Error::other)? as usize;
    if length > bytes.len() {
        return Err(io::Error::other("a metadata snapshot is cut short"));
    }
    let meta = wire::SnapshotMeta::decode(bytes.split_to(length))?;
    Ok((
        snapshot_meta_from_wire(&meta).map_err(io::Error::other)?,
        bytes,
    ))
}
