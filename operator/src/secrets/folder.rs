//! A Secret as a folder: a file for each key, which its owner alone may read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::surplus;
use crate::certificates::Data;
use crate::platform::NotYet;

/// The largest file that is read.
const BYTES_MAX: u64 = 1 << 20;

/// What the folder holds.
pub(super) fn read(folder: &Path) -> Result<Option<Data>, NotYet> {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(not_yet(folder, "read", &error)),
    };
    let mut data = Data::new();
    for file in files.flatten() {
        let path = file.path();
        let Some(key) = file.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let is_small = std::fs::metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= BYTES_MAX);
        if is_small && !key.ends_with(".new") {
            let bytes = std::fs::read(&path).map_err(|error| not_yet(&path, "read", &error))?;
            data.insert(key, bytes);
        }
    }
    Ok(Some(data))
}

/// Writes what differs, each file whole, and removes what of its own is not to be there.
pub(super) fn write(
    folder: &Path,
    data: &Data,
    is_own: fn(&Data, &str) -> bool,
) -> Result<(), NotYet> {
    let no = |error: io::Error| not_yet(folder, "written", &error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(no)?;
    let before = read(folder)?.unwrap_or_default();
    for key in surplus(&before, data, is_own) {
        std::fs::remove_file(folder.join(key)).map_err(no)?;
    }
    for (key, bytes) in data
        .iter()
        .filter(|(key, bytes)| before.get(*key) != Some(bytes))
    {
        let new = folder.join(format!("{key}.new"));
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(no)?;
        file.write_all(bytes).map_err(no)?;
        std::fs::rename(&new, folder.join(key)).map_err(no)?;
    }
    Ok(())
}

/// Removes the folder.
pub(super) fn delete(folder: &Path) -> Result<(), NotYet> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(not_yet(folder, "removed", &error))
        }
        _ => Ok(()),
    }
}

fn not_yet(path: &Path, done: &str, error: &io::Error) -> NotYet {
    NotYet {
        is_stuck: true,
        message: format!("{} cannot be {done}: {error}.", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_written_and_only_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("users/alice");
        assert_eq!(read(&folder).unwrap(), None);
        let data = |pairs: &[(&str, &str)]| -> Data {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(key, text)| ((*key).to_owned(), text.as_bytes().to_vec()));
            pairs.collect()
        };
        let first = data(&[("username", "alice"), ("password", "x")]);
        let is_own = |_: &Data, key: &str| key != "notes";
        write(&folder, &first, is_own).unwrap();
        assert_eq!(read(&folder).unwrap(), Some(first));
        let second = data(&[("username", "alice"), ("user.key", "y")]);
        std::fs::write(folder.join("notes"), "z").unwrap();
        write(&folder, &second, is_own).unwrap();
        let mut found = read(&folder).unwrap().unwrap();
        assert_eq!(found.remove("notes"), Some(b"z".to_vec()));
        assert_eq!(found, second);
        for path in [folder.clone(), folder.join("user.key")] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "others may read it");
        }
        delete(&folder).unwrap();
        delete(&folder).unwrap();
        assert_eq!(read(&folder).unwrap(), None);
    }
}
