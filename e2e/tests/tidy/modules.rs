//! Every Rust file is part of a program: one that no module names compiles never, and stays behind
//! unseen when its code moves.

use std::collections::BTreeMap;

use crate::source::code_only;
use crate::{Finding, SourceFile, files, report};

/// Files that cargo finds by themselves.
const ROOTS: [&str; 3] = ["lib", "main", "build"];
/// Folders whose files are programs of their own.
const PROGRAMS: [&str; 3] = ["bin", "examples", "fuzz_targets"];

#[test]
fn every_file_is_in_a_module() {
    report(left_behind(&files()));
}

fn left_behind(files: &[SourceFile]) -> Vec<Finding> {
    let rust = files.iter().filter(|file| file.is_rust());
    let code: BTreeMap<&str, String> = rust
        .clone()
        .map(|file| (file.path.as_str(), code_only(&file.text)))
        .collect();
    let is_left = |file: &&SourceFile| {
        let Some((folder, name)) = file.path.rsplit_once('/') else {
            return false;
        };
        let name = name.trim_end_matches(".rs");
        let within = folder.rsplit('/').next().unwrap_or_default();
        if ROOTS.contains(&name) || PROGRAMS.contains(&within) {
            return false;
        }
        let parents = [
            format!("{folder}.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}/main.rs"),
        ];
        let mut parents = parents.iter().filter_map(|path| code.get(path.as_str()));
        !parents.any(|code| {
            let mut lines = code.lines().map(str::trim_end);
            lines.any(|line| line.ends_with(&format!("mod {name};")))
        })
    };
    let what = "in no module: delete it, or name it in one";
    rust.filter(is_left)
        .map(|file| Finding::new(file, 1, what))
        .collect()
}

#[test]
fn what_no_module_names_is_found() {
    let file = |path: &str, text: &str| SourceFile {
        path: path.to_string(),
        text: text.to_string(),
    };
    let tree = [
        file("a/src/lib.rs", "mod b;\n// mod gone;\n"),
        file("a/src/b.rs", "pub(crate) mod c;\n"),
        file("a/src/b/c.rs", ""),
        file("a/src/b/d.rs", ""),
        file("a/src/gone.rs", ""),
        file("a/src/bin/tool.rs", ""),
    ];
    let found: Vec<_> = left_behind(&tree).into_iter().map(|f| f.file).collect();
    assert_eq!(found, ["a/src/b/d.rs", "a/src/gone.rs"]);
}
