//! How much memory this process may take, where a control group limits it.

use std::path::{Path, PathBuf};

/// The kernel's way of saying "no limit" in version 1 is a number near 2^63.
const UNLIMITED: u64 = 1 << 60;

/// The smallest limit of the control groups that this process is in; none where there is none.
#[must_use]
pub fn limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(Path::new("/sys/fs/cgroup"), &groups)
}

/// `groups` is a line for each hierarchy: `number:controllers:path`; version 2 has number 0 and no
/// controllers. Each folder above a group's limits it too. In a container the path may be one that
/// only the host sees: then the mount is the group itself.
fn limit_of(mount: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_unified = number == "0" && controllers.is_empty();
        let is_memory = controllers.split(',').any(|name| name == "memory");
        match (is_unified, is_memory) {
            (true, _) => lowest(mount, path, "memory.max"),
            (_, true) => lowest(&mount.join("memory"), path, "memory.limit_in_bytes"),
            _ => None,
        }
    });
    limits.min()
}

fn lowest(root: &Path, path: &str, file: &str) -> Option<u64> {
    let group: PathBuf = root.join(path.trim_start_matches('/'));
    let folders = group
        .ancestors()
        .take_while(|folder| folder.starts_with(root));
    let limits = folders.filter_map(|folder| {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        text.trim().parse().ok() // "max" is none
    });
    limits.filter(|limit| *limit < UNLIMITED).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_with(files: &[(&str, &str)], groups: &str) -> Option<u64> {
        let mount = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = mount.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        limit_of(mount.path(), groups)
    }

    #[test]
    fn the_lowest_limit_above_the_process_counts() {
        let unified = [
            ("pods/memory.max", "4096\n"),
            ("pods/one/memory.max", "max\n"),
            ("memory.max", "8192\n"),
        ];
        assert_eq!(limit_with(&unified, "0::/pods/one\n"), Some(4096));
        assert_eq!(limit_with(&unified, "0::/\n"), Some(8192));
        assert_eq!(limit_with(&unified, "0::/seen/by/the/host\n"), Some(8192));
        let first = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/a/memory.limit_in_bytes", "1000\n"),
        ];
        let groups = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n";
        assert_eq!(limit_with(&first, groups), Some(1000));
        assert_eq!(limit_with(&first, "4:memory:/\n"), None);
        assert_eq!(limit_with(&[], "0::/\n"), None);
        assert_eq!(limit_with(&[], "nonsense"), None);
    }
}
