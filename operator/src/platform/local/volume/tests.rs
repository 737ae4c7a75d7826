//! Folders of the real file system.

use super::*;
use crate::platform::is_same_volume;

fn id(folder: &Path) -> String {
    let volume = volume(folder).unwrap();
    volume.map_or(String::new(), |volume| volume.id)
}

/// A folder with that in its `meta.properties`.
fn make(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(IDENTITY_FILE), text).unwrap();
}

#[test]
fn a_folder_that_does_not_say_what_it_is_can_be_given_up_and_is_known_from_the_next() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("orders-1");
    assert_eq!(id(&folder), "");
    for damage in ["", "not text \u{0}", "directory.id"] {
        make(&folder, "directory.id=one\n");
        let whole = id(&folder);
        assert!(whole.starts_with("one@"), "{whole}");
        make(&folder, damage);
        let damaged = id(&folder);
        assert!(damaged.starts_with("?@"), "{damaged}");
        assert!(is_same_volume(&damaged, &whole) && is_same_volume(&whole, &damaged));
        // a file that is a folder cannot be read at all
        std::fs::remove_file(folder.join(IDENTITY_FILE)).unwrap();
        std::fs::create_dir(folder.join(IDENTITY_FILE)).unwrap();
        assert_eq!(id(&folder), damaged);

        let gone = give_up(&folder).unwrap();
        assert_eq!(id(&folder), "", "a broker without data");
        make(&folder, "directory.id=two\n");
        assert!(!is_same_volume(&damaged, &id(&folder)));
        assert_eq!(
            left_given_up("orders", base.path()),
            std::slice::from_ref(&gone)
        );
        std::fs::remove_dir_all(gone).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_folder_that_is_elsewhere_stays_and_nobody_is_told_to_delete_what_is_in_it() {
    let base = tempfile::tempdir().unwrap();
    let (folder, link) = (base.path().join("there"), base.path().join("orders-1"));
    make(&folder, "directory.id=one\n");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    assert_eq!(stays(&folder), None);
    for (path, what) in [
        (link.as_path(), "is a link"),
        (Path::new("/proc"), "is a mount point"),
    ] {
        let why = stays(path).unwrap();
        assert!(
            why.is_stuck && why.message.contains(what),
            "{}",
            why.message
        );
        // the operator stops broker 0 last, which alone is in sync then
        assert!(!why.message.contains("delete"), "{}", why.message);
    }
}

#[test]
fn a_mount_of_the_same_file_system_is_seen() {
    let mounts = b"29 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        61 29 8:1 /srv/one /data/orders-1 rw,relatime - ext4 /dev/sda1 rw\n\
        62 29 8:1 /srv/two /my\\040data/orders\\134-2 rw - ext4 /dev/sda1 rw\n";
    let is_mounted = |folder: &str| is_among(mounts, Path::new(folder));
    assert!(is_mounted("/data/orders-1") && is_mounted("/my data/orders\\-2"));
    assert!(!is_mounted("/data") && !is_mounted("/data/orders-10") && !is_mounted("/srv/one"));
    assert!(super::is_mounted(Path::new("/proc")));
}

/// Root may write everywhere but where nobody may.
#[test]
fn a_folder_beside_which_nothing_can_be_written_stays() {
    let why = stays(Path::new("/proc/self/fdinfo")).unwrap();
    assert!(
        why.message.contains("/proc/self cannot be written"),
        "{}",
        why.message
    );
}
