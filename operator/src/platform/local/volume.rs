//! The folder of a node as the volume that it may give up.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::settings_file::parse_settings;
use crate::platform::{NotYet, UNREAD, Volume};

/// The file in which a broker says whose data are beside it.
const IDENTITY_FILE: &str = "meta.properties";
/// What follows the name of a folder that was given up.
const GIVEN_UP: &str = ".replaced-";
/// What is mounted where, as Linux tells it.
const MOUNTS: &str = "/proc/self/mountinfo";

/// The volume that stands for a folder's data, by the id that the broker has given them; none where
/// there are none. What cannot be read, or says nothing, is what somebody may want to be rid of.
///
/// # Errors
/// Why it is not known whether the folder is there.
pub fn volume(folder: &Path) -> Result<Option<Volume>, NotYet> {
    let id = match std::fs::read_to_string(folder.join(IDENTITY_FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) => None,
        Ok(text) => parse_settings(&text).remove("directory.id"),
    };
    let id = id.unwrap_or_else(|| UNREAD.to_owned());
    let place = std::fs::metadata(folder).map_err(|error| NotYet {
        is_stuck: false,
        message: format!("The folder {} cannot be read: {error}.", folder.display()),
    })?;
    Ok(Some(Volume {
        id: format!("{id}@{}", place.ino()),
        is_going: false,
    }))
}

/// Why a folder cannot be given up, where it leads to another place or is one, or nobody may
/// write beside it: it cannot have another name then. To be known before its process ends.
pub fn stays(folder: &Path) -> Option<NotYet> {
    let parent = folder.parent().unwrap_or(folder);
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let is_mounted = || device(parent) != device(folder) || is_mounted(folder);
    let why = if folder.is_symlink() {
        "it is a link"
    } else if is_mounted() {
        "it is a mount point"
    } else if let Err(error) = access(parent, Access::WRITE_OK | Access::EXEC_OK) {
        return Some(stuck(format!(
            "The folder {} cannot have another name, so it is not given up: {} cannot be written \
             ({error}). Mend that, or remove the annotation.",
            folder.display(),
            parent.display()
        )));
    } else {
        return None;
    };
    // whoever deleted the data by hand would do so where they may be the only ones by then
    Some(stuck(format!(
        "The folder {} cannot have another name, so it is not given up: {why}. Stop the operator, \
         have the data at that place themselves, and start the operator again; or remove the \
         annotation.",
        folder.display()
    )))
}

fn stuck(message: String) -> NotYet {
    NotYet {
        is_stuck: true,
        message,
    }
}

/// Whether something is mounted on a folder, be it of the same file system.
fn is_mounted(folder: &Path) -> bool {
    let (Ok(folder), Ok(mounts)) = (folder.canonicalize(), std::fs::read(MOUNTS)) else {
        return false;
    };
    is_among(&mounts, &folder)
}

/// The fifth word of each line is where; what is no plain character in it is written as octal.
fn is_among(mounts: &[u8], folder: &Path) -> bool {
    let escaped = folder
        .as_os_str()
        .as_bytes()
        .iter()
        .flat_map(|byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            plain => vec![*plain],
        });
    let escaped: Vec<u8> = escaped.collect();
    let mut lines = mounts.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        words.nth(4).is_some_and(|place| place == escaped)
    })
}

/// Gives a folder another name, by which it is no broker's any more: half of the data is nothing to
/// start with. Says which.
///
/// # Errors
/// Those of the file system.
pub fn give_up(folder: &Path) -> std::io::Result<PathBuf> {
    let free = (0..)
        .map(|number| given_up(folder, number))
        .find(|name| !name.exists());
    let name = free.unwrap_or_else(|| given_up(folder, 0));
    std::fs::rename(folder, &name)?;
    Ok(name)
}

fn given_up(folder: &Path, number: u32) -> PathBuf {
    let mut name = folder.to_owned().into_os_string();
    name.push(format!("{GIVEN_UP}{number}"));
    PathBuf::from(name)
}

/// The folders in `data_dir` that brokers of a cluster have given up, and that are there still.
pub fn left_given_up(cluster: &str, data_dir: &Path) -> Vec<PathBuf> {
    let is_one = |name: &str| {
        let own = name
            .strip_prefix(cluster)
            .and_then(|rest| rest.strip_prefix('-'));
        let number = own.and_then(|rest| rest.split_once(GIVEN_UP));
        number
            .is_some_and(|(id, number)| id.parse::<u32>().is_ok() && number.parse::<u32>().is_ok())
    };
    let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    let given_up = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_one));
    given_up.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests;
