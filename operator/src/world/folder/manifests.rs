//! The folder of manifests: what its files hold, read again where they changed.
//!
//! Files are told apart by name, change time, size and inode, looked at every [`SCAN_INTERVAL`]: a
//! few system calls for each file, on every platform the same.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::manifest::{FILE_BYTES_MAX, Object, Parsed, Problem, parse};

/// How often the folder is looked at.
pub const SCAN_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    modified: (i64, i64),
    bytes: u64,
    inode: u64,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    parsed: Parsed,
}

/// A folder that is watched.
#[derive(Debug)]
pub struct Manifests {
    path: PathBuf,
    files: BTreeMap<String, Entry>,
}

impl Manifests {
    /// A folder that has yet to be read.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what changed; says whether anything did.
    ///
    /// # Errors
    /// When the folder itself cannot be read; then it is taken to hold what it held.
    pub fn scan(&mut self) -> std::io::Result<bool> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_manifest = name.ends_with(".yaml") || name.ends_with(".yml");
            if !is_manifest || name.starts_with('.') {
                continue;
            }
            // Follows links, as ConfigMaps mount files; what vanished in between is gone.
            if let Ok(metadata) = std::fs::metadata(entry.path())
                && metadata.is_file()
            {
                let fingerprint = Fingerprint {
                    modified: (metadata.mtime(), metadata.mtime_nsec()),
                    bytes: metadata.len(),
                    inode: metadata.ino(),
                };
                found.insert(name, fingerprint);
            }
        }
        let before = self.files.len();
        self.files.retain(|name, _| found.contains_key(name));
        let mut changed = self.files.len() != before;
        for (name, fingerprint) in found {
            let known = self.files.get(&name).map(|entry| &entry.fingerprint);
            if known != Some(&fingerprint) {
                let parsed = self.read(&name);
                self.files.insert(
                    name,
                    Entry {
                        fingerprint,
                        parsed,
                    },
                );
                changed = true;
            }
        }
        Ok(changed)
    }

    fn read(&self, name: &str) -> Parsed {
        let path = self.path.join(name);
        let problem = |sentence: String| Parsed {
            problems: vec![Problem {
                file: name.to_owned(),
                document: None,
                object: String::new(),
                sentence,
            }],
            ..Parsed::default()
        };
        if std::fs::metadata(&path).is_ok_and(|file| file.len() > FILE_BYTES_MAX) {
            let megabytes = FILE_BYTES_MAX >> 20;
            return problem(format!("is larger than {megabytes} MiB; split it."));
        }
        match std::fs::read(&path) {
            Err(error) => problem(format!("cannot be read: {error}.")),
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => parse(name, &text),
                Err(_) => problem("is not text in UTF-8.".to_owned()),
            },
        }
    }

    /// All objects with the names of their files, in the order of files and documents.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.files.iter().flat_map(|(name, entry)| {
            let objects = entry.parsed.objects.iter();
            objects.map(move |object| (name.as_str(), object))
        })
    }

    /// What is wrong with the files, and what in them is not ours.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let parsed = self.files.values().map(|entry| &entry.parsed);
        parsed.flat_map(|parsed| parsed.problems.iter().chain(&parsed.notes))
    }

    /// Whether a file is gone or was read without a problem, so that what it does not hold is not
    /// wanted any more.
    #[must_use]
    pub fn is_sure_of(&self, file: &str) -> bool {
        let entry = self.files.get(file);
        entry.is_none_or(|entry| entry.parsed.problems.is_empty())
    }
}
