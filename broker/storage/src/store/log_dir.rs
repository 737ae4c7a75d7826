//! The directory of one log: made with its identity, removed with its log.

use std::sync::atomic::Ordering;

use super::directory::Directory;
use crate::disk::Mode;
use crate::error::Context;
use crate::log::SharedLog;
use crate::ranked::lock;
use crate::{Result, disk};

/// Says whose directory it is.
const METADATA: &str = "partition.metadata";

/// Makes the log's directory with its identity.
pub(super) fn make(directory: &Directory, log: &SharedLog) -> Result<()> {
    if lock(&log.files).is_dir_made {
        return Ok(());
    }
    // a deleted log may have left a directory of this name
    remove_deleted(directory)?;
    let disk = &*log.shared.disk;
    disk.create_dir_all(&log.dir).context("create", &log.dir)?;
    let path = log.dir.join(METADATA);
    let file = disk.open(&path, Mode::Create).context("create", &path)?;
    file.set_len(0).context("cut", &path)?;
    file.write_at(metadata(log).as_bytes(), 0)
        .context("write", &path)?;
    let mut files = lock(&log.files);
    files.is_dir_made = true;
    (files.is_metadata_changed, files.is_dir_changed) = (true, true);
    Ok(())
}

/// Makes what says whose directory it is durable: a power cut would else leave a directory that
/// nobody may remove.
pub(super) fn sync_metadata(log: &SharedLog) -> Result<()> {
    let path = log.dir.join(METADATA);
    let file = log.shared.disk.open(&path, Mode::Write);
    let file = file.context("open", &path)?;
    file.sync_data().sync_context(&path)
}

/// What `partition.metadata` says.
fn metadata(log: &SharedLog) -> String {
    let SharedLog { number, id, .. } = log;
    format!(
        "version: 0\ntopic_id: {}\nlog_number: {number}\n",
        id.topic_id
    )
}

/// Removes the directories of logs whose deletion is durable: renamed at once, so that the name is
/// free, then emptied.
pub(super) fn remove_deleted(directory: &Directory) -> Result<()> {
    let shared = &*directory.shared;
    let durable = shared.durable_lsn.load(Ordering::Acquire);
    let due = lock(&directory.logs).take_deleted(durable);
    let disk = &*shared.disk;
    for log in due {
        shared.files.close_log(log.number);
        // the name may belong to a new log already
        let path = log.dir.join(METADATA);
        let found = disk::read_whole(disk, &path, 4096).unwrap_or_default();
        if found != metadata(&log).as_bytes() {
            continue;
        }
        let doomed = shared
            .dir
            .join(format!("{}.{}.deleted", log.name, log.number));
        disk.rename(&log.dir, &doomed).context("rename", &log.dir)?;
        disk.sync_dir(&shared.dir).sync_context(&shared.dir)?;
        disk.remove_dir_all(&doomed).context("remove", &doomed)?;
    }
    Ok(())
}
