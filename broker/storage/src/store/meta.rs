//! `meta.properties`: whose data a directory holds, as text that people may read.

use std::io;
use std::path::Path;

use ottla_protocol::ids::NodeId;

use super::Identity;
use crate::error::Context;
use crate::{Disk, Error, Result, snapshot_file};

const FILE: &str = "meta.properties";
const BYTES_MAX: usize = 64 << 10;
/// The layout of the directory that this build writes and reads.
const VERSION: &str = "1";

/// What the directory says it is; `None` where it is new.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>> {
    let path = dir.join(FILE);
    let bytes = match crate::disk::read_whole(disk, &path, BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.context("read", &path)?,
    };
    let damaged = |what: &'static str| Error::corrupt(&path, 0, what);
    let text = String::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if field("version") != Some(VERSION) {
        return Err(damaged("its version is not one that this build reads"));
    }
    let identity = || {
        Some(Identity {
            cluster_id: field("cluster.id")?.to_owned(),
            node_id: NodeId(field("node.id")?.parse().ok()?),
            directory_id: field("directory.id")?.parse().ok()?,
        })
    };
    identity()
        .map(Some)
        .ok_or_else(|| damaged("a field is missing or malformed"))
}

/// The directory's own identity: the one that it has, or, where it is new, the one given.
pub(crate) fn claim(disk: &dyn Disk, dir: &Path, wanted: Identity) -> Result<Identity> {
    let Some(found) = read(disk, dir)? else {
        // the directories above may be new too; those that may not be synced were not made here
        for above in dir.ancestors().skip(1) {
            let _ = disk.sync_dir(above);
        }
        let Identity {
            cluster_id,
            node_id,
            directory_id,
        } = &wanted;
        let text = format!(
            "version={VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\n\
             directory.id={directory_id}\n"
        );
        snapshot_file::write_plain(disk, &dir.join(FILE), text.as_bytes())?;
        return Ok(wanted);
    };
    if found.cluster_id != wanted.cluster_id {
        return Err(Error::Foreign {
            dir: dir.to_path_buf(),
            found: format!("cluster {}", found.cluster_id),
            expected: format!("cluster {}", wanted.cluster_id),
        });
    }
    if found.node_id != wanted.node_id {
        return Err(Error::Foreign {
            dir: dir.to_path_buf(),
            found: format!("node {}", found.node_id),
            expected: format!("node {}", wanted.node_id),
        });
    }
    Ok(found)
}
