//! Writes frames, and takes files again whose content is no longer needed.

use std::path::PathBuf;
use std::sync::Arc;

use super::{
    BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, Operation, Position,
    RECORD_HEADER_BYTES, slot_path, span,
};
use crate::disk::Mode;
use crate::disk::aligned::{Out, STAGING_BYTES, Staging};
use crate::error::Context;
use crate::{Disk, File, Result};

/// One change, as it waits to be written.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) lsn: u64,
    /// The log's.
    pub(crate) number: u64,
    pub(crate) operation: Operation,
}

impl Record {
    fn frame_bytes(&self) -> u64 {
        let payload = match &self.operation {
            Operation::Append { bytes } => bytes.len(),
            other => other.payload().len(),
        };
        (RECORD_HEADER_BYTES + payload) as u64
    }
}

#[derive(Debug)]
struct Slot {
    number: u32,
    /// 0: free.
    generation: u64,
}

/// The writing end. Whoever commits owns it (a mutex in the store).
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    seed: u32,
    segment_bytes: u64,
    mode: Mode,
    slots: Vec<Slot>,
    /// The file of the present generation; none before the first frame after a start.
    file: Option<Arc<dyn File>>,
    position: Position,
    durable_sequence: u64,
    /// Whether there are frames that a sync must still make durable.
    is_unsynced: bool,
    staging: Staging,
}

impl Writer {
    /// `slots` are the files that exist, with the generation that each holds; `position` is where
    /// the first frame goes: always the front of a new generation.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        seed: u32,
        segment_bytes: u64,
        direct: bool,
        slots: &[(u32, u64)],
        position: Position,
    ) -> Self {
        assert_eq!(position.offset, 0, "a start begins a generation");
        Self {
            disk,
            dir,
            seed,
            segment_bytes,
            mode: if direct {
                Mode::CreateDirect
            } else {
                Mode::Create
            },
            slots: slots
                .iter()
                .map(|&(number, generation)| Slot { number, generation })
                .collect(),
            file: None,
            position,
            durable_sequence: position.sequence - 1,
            is_unsynced: false,
            staging: Staging::default(),
        }
    }

    /// Where the next frame goes. Everything before is in files, synced or not.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// How many files hold what may still be needed.
    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.generation != 0)
            .count()
    }

    /// Whether the next record goes into the present file.
    pub(crate) fn has_room(&self, record: &Record) -> bool {
        self.file.is_some() && self.fits(record.frame_bytes())
    }

    fn fits(&self, body_bytes: u64) -> bool {
        self.position.offset == 0 || self.position.offset + span(body_bytes) <= self.segment_bytes
    }

    /// Files that hold only generations before this one may be written again.
    pub(crate) fn release_before(&mut self, generation: u64) {
        for slot in &mut self.slots {
            if slot.generation < generation {
                slot.generation = 0;
            }
        }
    }

    /// Writes one frame with as many of the records as fit, and returns how many that were (at
    /// least one). Not durable before [`Self::sync`]. After an error nothing has changed.
    pub(crate) fn write(&mut self, records: &[Record]) -> Result<usize> {
        assert!(!records.is_empty(), "a frame has records");
        if self.file.is_none() || !self.fits(records[0].frame_bytes()) {
            self.next_file()?;
        }
        let mut body_bytes = 0;
        let mut count = 0;
        for record in records {
            let more = body_bytes + record.frame_bytes();
            if count > 0 && (more > FRAME_BYTES_MAX || !self.fits(more)) {
                break;
            }
            body_bytes = more;
            count += 1;
        }
        let header = FrameHeader {
            generation: self.position.generation,
            sequence: self.position.sequence,
            durable_sequence: self.durable_sequence,
            body_bytes,
            records: count as u32,
        };
        // a commit that is one write is synced by that write
        let at_once = count == records.len() && header.span() < STAGING_BYTES as u64;
        let durably = at_once && !self.is_unsynced;
        self.write_frame(&header, &records[..count], durably)?;
        self.is_unsynced = !durably;
        self.position.offset += header.span();
        self.position.sequence += 1;
        Ok(count)
    }

    fn write_frame(
        &mut self,
        header: &FrameHeader,
        records: &[Record],
        durably: bool,
    ) -> Result<()> {
        let Some(file) = &self.file else {
            unreachable!("a file was chosen")
        };
        let offset = self.position.offset;
        let mut out = Out::new(&**file, &mut self.staging, offset);
        let written = (|| {
            out.push(&header.encode(self.seed))?;
            for record in records {
                let payload = record.operation.payload();
                let kind = record.operation.kind();
                let mut bytes = [0; RECORD_HEADER_BYTES];
                bytes[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
                bytes[8] = kind;
                bytes[12..20].copy_from_slice(&record.number.to_le_bytes());
                bytes[20..28].copy_from_slice(&record.lsn.to_le_bytes());
                let crc = Operation::crc(&bytes[4..], kind, &payload);
                bytes[..4].copy_from_slice(&crc.to_le_bytes());
                out.push(&bytes)?;
                out.push(&payload)?;
            }
            if durably {
                out.finish_durably()
            } else {
                out.finish()
            }
        })();
        assert!(
            written.is_err() || out.position() == offset + header.span(),
            "a frame fills its span"
        );
        written.context("write", &self.dir)
    }

    /// Makes every frame written so far durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if let Some(file) = &self.file
            && self.is_unsynced
        {
            file.sync_data().sync_context(&self.dir)?;
        }
        self.is_unsynced = false;
        self.durable_sequence = self.position.sequence - 1;
        Ok(())
    }

    /// Goes on in a free file, or a new one.
    fn next_file(&mut self) -> Result<()> {
        // frames of one file are durable before the next file has any
        if self.file.is_some() && self.durable_sequence + 1 != self.position.sequence {
            self.sync()?;
        }
        let free = self.slots.iter().position(|slot| slot.generation == 0);
        let number = match free {
            Some(place) => self.slots[place].number,
            None => self
                .slots
                .iter()
                .map(|slot| slot.number + 1)
                .max()
                .unwrap_or(0),
        };
        let path = slot_path(&self.dir, number);
        let file = self.disk.open(&path, self.mode).context("create", &path)?;
        if free.is_none() {
            self.disk.sync_dir(&self.dir).sync_context(&self.dir)?;
        }
        let generation = self.position.generation + u64::from(self.file.is_some());
        match free {
            Some(place) => self.slots[place].generation = generation,
            None => self.slots.push(Slot { number, generation }),
        }
        self.file = Some(file);
        self.position = Position {
            generation,
            offset: 0,
            ..self.position
        };
        Ok(())
    }
}

const _: () = assert!(FRAME_HEADER_BYTES < BLOCK_BYTES as usize);
