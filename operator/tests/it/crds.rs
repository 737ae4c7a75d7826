//! The committed CRDs are what the types say, and small enough for every way of installing them.

use std::path::Path;

/// `kubectl apply` keeps the whole object in an annotation of at most 256 KiB; ours stay far below.
const CRD_BYTES_MAX: usize = 88 * 1024;

#[test]
fn committed_crds_are_fresh_and_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // A chart can only hold what lies in its folder, so it has a copy.
    let folders = ["crds", "charts/ottla/crds-by-operator"];
    let printed = ottla_operator::crd::all();
    for (folder, (file, printed)) in folders
        .iter()
        .flat_map(|f| printed.iter().map(move |p| (f, p)))
    {
        let path = root.join(folder).join(file);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, printed).expect("crds/ is writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == *printed,
            "{folder}/{file} is stale: run UPDATE_EXPECT=1 cargo test -p ottla-operator"
        );
        assert!(
            printed.len() < CRD_BYTES_MAX,
            "{file} has {} bytes",
            printed.len()
        );
    }
}
