//! The names and contents of the simulated disk, as seen and as durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Random, SECTOR_BYTES, lock, not_found};
use crate::disk::Entry;

/// A file's content.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// As a process sees it.
    pub(super) bytes: Vec<u8>,
    /// As after the last sync.
    durable: Vec<u8>,
    /// Since then, in order.
    pending: Vec<Pending>,
}

#[derive(Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

fn put(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position..end].copy_from_slice(bytes);
}

impl Inode {
    pub(super) fn write(&mut self, position: usize, bytes: &[u8]) {
        put(&mut self.bytes, position, bytes);
        self.pending.push(Pending::Write(position, bytes.to_vec()));
    }

    pub(super) fn set_len(&mut self, bytes: usize) {
        if self.bytes.len() != bytes {
            self.bytes.resize(bytes, 0);
            self.pending.push(Pending::SetLen(bytes));
        }
    }

    pub(super) fn sync(&mut self) {
        for pending in self.pending.drain(..) {
            match pending {
                Pending::Write(position, bytes) => put(&mut self.durable, position, &bytes),
                Pending::SetLen(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// A bit of the medium turns over.
    pub(super) fn flip(&mut self, position: usize, bit: u8) {
        for content in [&mut self.bytes, &mut self.durable] {
            if let Some(byte) = content.get_mut(position) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// A sync failed: what was pending never arrives.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }

    fn crash(&mut self, random: &mut Random) {
        let mood = random.below(4);
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::SetLen(bytes) if mood != 0 => self.durable.resize(bytes, 0),
                Pending::SetLen(_) => {}
                Pending::Write(position, bytes) => {
                    self.crash_write(position, &bytes, mood, random);
                }
            }
        }
        self.bytes = self.durable.clone();
    }

    /// Each sector arrives or not; the length may be there before the bytes are.
    fn crash_write(&mut self, position: usize, bytes: &[u8], mood: usize, random: &mut Random) {
        let mut at = 0;
        while at < bytes.len() {
            let place = position + at;
            let end = bytes.len().min(at + SECTOR_BYTES - place % SECTOR_BYTES);
            let arrives = match mood {
                0 => false,
                1 => true,
                _ => random.one_in(2),
            };
            if arrives {
                put(&mut self.durable, place, &bytes[at..end]);
            }
            at = end;
        }
    }
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create(PathBuf, Arc<Mutex<Inode>>),
    MakeDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    RemoveAll(PathBuf),
}

impl Change {
    fn parent(&self) -> &Path {
        let path = match self {
            Self::Create(path, _) | Self::MakeDir(path) | Self::Rename(path, _) => path,
            Self::Remove(path) | Self::RemoveAll(path) => path,
        };
        path.parent().unwrap_or(Path::new(""))
    }
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    fn change(&mut self, change: &Change) {
        match change {
            Change::Create(path, inode) => {
                self.files.insert(path.clone(), inode.clone());
            }
            Change::MakeDir(path) => {
                self.dirs.insert(path.clone());
            }
            Change::Remove(path) => {
                self.files.remove(path);
            }
            Change::RemoveAll(dir) => {
                self.files.retain(|path, _| !path.starts_with(dir));
                self.dirs.retain(|path| !path.starts_with(dir));
            }
            Change::Rename(from, to) => {
                // most are of a small file that is written anew
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                    return;
                }
                let moved = |path: &Path| match path.strip_prefix(from) {
                    Ok(rest) if rest.as_os_str().is_empty() => to.clone(),
                    Ok(rest) => to.join(rest),
                    Err(_) => path.to_path_buf(),
                };
                let files = std::mem::take(&mut self.files);
                let (unmoved, moving): (BTreeMap<_, _>, BTreeMap<_, _>) = files
                    .into_iter()
                    .partition(|(path, _)| !path.starts_with(from));
                self.files = unmoved;
                self.files.extend(
                    moving
                        .into_iter()
                        .map(|(path, inode)| (moved(&path), inode)),
                );
                self.dirs = self.dirs.iter().map(|path| moved(path)).collect();
            }
        }
    }
}

/// All names.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    pub(super) dirs: BTreeSet<PathBuf>,
    durable: Names,
    pending: Vec<Change>,
}

impl Default for Tree {
    /// The roots are there before anything is synced.
    fn default() -> Self {
        let dirs = BTreeSet::from(["/".into(), "".into()]);
        let durable = Names {
            dirs: dirs.clone(),
            ..Names::default()
        };
        Self {
            files: BTreeMap::new(),
            dirs,
            durable,
            pending: Vec::new(),
        }
    }
}

impl Tree {
    pub(super) fn change(&mut self, change: Change) -> io::Result<()> {
        let exists = match &change {
            Change::Rename(path, _) => self.files.contains_key(path) || self.dirs.contains(path),
            Change::Remove(path) => self.files.contains_key(path),
            Change::RemoveAll(path) => self.dirs.contains(path),
            Change::Create(..) | Change::MakeDir(_) => true,
        };
        if !exists {
            return Err(not_found());
        }
        let files = std::mem::take(&mut self.files);
        let mut seen = Names {
            files,
            dirs: std::mem::take(&mut self.dirs),
        };
        seen.change(&change);
        (self.files, self.dirs) = (seen.files, seen.dirs);
        self.pending.push(change);
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Arc<Mutex<Inode>>> {
        let parent = path.parent().ok_or_else(not_found)?;
        if !self.dirs.contains(parent) {
            return Err(not_found());
        }
        let inode = Arc::<Mutex<Inode>>::default();
        self.change(Change::Create(path.to_path_buf(), inode.clone()))?;
        Ok(inode)
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) {
        let missing: Vec<_> = dir
            .ancestors()
            .take_while(|dir| !self.dirs.contains(*dir))
            .collect();
        for dir in missing.into_iter().rev() {
            let made = self.change(Change::MakeDir(dir.to_path_buf()));
            debug_assert!(made.is_ok(), "a directory can be made anywhere");
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        if !self.dirs.contains(dir) {
            return Err(not_found());
        }
        let name = |path: &PathBuf| {
            let is_here = path.parent() == Some(dir);
            is_here.then(|| {
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned()
            })
        };
        // paths are sorted by their parts: what is in a directory comes right after it
        let from = dir.to_path_buf();
        let files = self.files.range(from.clone()..).map(|(path, _)| path);
        let files = files.take_while(|path| path.starts_with(dir));
        let files = files.filter_map(name).map(|name| Entry {
            name,
            is_dir: false,
        });
        let dirs = self.dirs.range(from..);
        let dirs = dirs.take_while(|path| path.starts_with(dir));
        let dirs = dirs
            .filter_map(name)
            .map(|name| Entry { name, is_dir: true });
        let mut entries: Vec<_> = files.chain(dirs).collect();
        entries.sort();
        Ok(entries)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.files
            .values()
            .map(|inode| lock(inode).bytes.len() as u64)
            .sum()
    }

    pub(super) fn set_content(&mut self, path: &Path, bytes: Vec<u8>) {
        let inode = Inode {
            bytes: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        };
        let inode = Arc::new(Mutex::new(inode));
        self.files.insert(path.to_path_buf(), inode.clone());
        self.durable.files.insert(path.to_path_buf(), inode);
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.dirs.contains(dir) && dir != Path::new("") {
            return Err(not_found());
        }
        let Self {
            durable, pending, ..
        } = self;
        pending.retain(|change| {
            let is_here = change.parent() == dir;
            if is_here {
                durable.change(change);
            }
            !is_here
        });
        Ok(())
    }

    pub(super) fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.durable.change(&change);
        }
        self.files.values().for_each(|inode| lock(inode).sync());
    }

    /// Of the unsynced names of each directory, the first few have arrived.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let mut lost: BTreeSet<PathBuf> = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let parent = change.parent().to_path_buf();
            if lost.contains(&parent) || random.one_in(3) {
                lost.insert(parent);
            } else {
                self.durable.change(&change);
            }
        }
        let Names { files, dirs } = &mut self.durable;
        let reachable: BTreeSet<_> = dirs
            .iter()
            .filter(|dir| dir.ancestors().all(|dir| dirs.contains(dir)))
            .cloned()
            .collect();
        *dirs = reachable;
        files.retain(|path, _| path.parent().is_some_and(|parent| dirs.contains(parent)));
        // an inode has a life of its own from here on: old handles must not reach it
        for inode in files.values_mut() {
            let mut old = lock(inode);
            old.crash(random);
            let (bytes, durable) = (old.bytes.clone(), old.durable.clone());
            drop(old);
            *inode = Arc::new(Mutex::new(Inode {
                bytes,
                durable,
                pending: Vec::new(),
            }));
        }
        (self.files, self.dirs) = (files.clone(), dirs.clone());
    }
}
