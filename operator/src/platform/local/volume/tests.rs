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
fn a_folder_that_is_elsewhere_stays_and_says_how_it_is_emptied() {
    let base = tempfile::tempdir().unwrap();
    let (folder, link) = (base.path().join("there"), base.path().join("orders-1"));
    make(&folder, "directory.id=one\n");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    assert_eq!(stays(&folder), None);
    let why = stays(&link).unwrap();
    assert!(
        why.is_stuck && why.message.contains("is a link"),
        "{}",
        why.message
    );
    let why = stays(Path::new("/proc")).unwrap();
    assert!(why.message.contains("a mount point"), "{}", why.message);
}
