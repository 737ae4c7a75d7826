//! No circle of imports: among the children of a module, what one child's files import from another
//! never leads back, at every level of every crate. So each folder can be read from its lowest file
//! to its highest. A file and those below it in its own folder may name each other: they are one.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{code_only, is_word, line_of, word_positions};
use crate::{Finding, SourceFile, files, report};

/// The folders whose modules are looked at: each is the root of a crate.
const ROOTS: [&str; 8] = [
    "broker/client/src/",
    "broker/telemetry/src/",
    "broker/core/src/",
    "broker/protocol/derive/src/",
    "broker/protocol/src/",
    "broker/src/",
    "broker/storage/src/",
    "operator/src/",
];

/// An import that leads from one child of a module to another: where it stands.
type Place = (String, usize);

/// What the children of one module import from each other.
type Level = BTreeMap<String, BTreeMap<String, Place>>;

#[test]
fn imports_make_no_circle() {
    let files = files();
    report(
        ROOTS
            .iter()
            .flat_map(|root| circles(root, &files))
            .collect(),
    );
}

fn circles(root: &str, files: &[SourceFile]) -> Vec<Finding> {
    let production: Vec<_> = files
        .iter()
        .filter(|file| file.path.starts_with(root) && file.is_rust() && !file.is_test())
        .collect();
    let modules: BTreeSet<_> = production
        .iter()
        .map(|file| module(root, &file.path))
        .collect();
    let mut levels: BTreeMap<Vec<String>, Level> = BTreeMap::new();
    for file in production {
        let here = module(root, &file.path);
        let code = code_only(&file.text);
        let code = &code[..code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len())];
        for (at, path) in paths(code) {
            let Some(there) = resolve(&here, &path, &modules) else {
                continue;
            };
            let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
            // one of the two contains the other: a family
            let (Some(from), Some(to)) = (here.get(common), there.get(common)) else {
                continue;
            };
            levels
                .entry(here[..common].to_vec())
                .or_default()
                .entry(from.clone())
                .or_default()
                .entry(to.clone())
                .or_insert_with(|| (file.path.clone(), line_of(code, at)));
        }
    }
    levels.values().filter_map(circle).collect()
}

/// The names of the module that a file holds, from the crate's root.
fn module(root: &str, path: &str) -> Vec<String> {
    let name = path[root.len()..].trim_end_matches(".rs");
    match name {
        "lib" | "main" => Vec::new(),
        _ => name.split('/').map(str::to_string).collect(),
    }
}

/// The file that a path leads to, seen from the module `here`: the deepest module on its way.
fn resolve(
    here: &[String],
    path: &[String],
    modules: &BTreeSet<Vec<String>>,
) -> Option<Vec<String>> {
    let mut at = here.to_vec();
    let mut rest = path.iter();
    match rest.next()?.as_str() {
        "crate" => at.clear(),
        "super" => drop(at.pop()),
        _ => {}
    }
    for name in rest {
        if name == "super" {
            at.pop();
            continue;
        }
        at.push(name.clone());
        if !modules.contains(&at) {
            at.pop();
            break;
        }
    }
    // from the crate's root, or a macro's text, nothing is known of the file
    (!at.is_empty() && at != here).then_some(at)
}

/// All paths that begin with `crate`, `self` or `super`, trees of `use` spread out.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for root in ["crate", "self", "super"] {
        for at in word_positions(code, root) {
            let before = code[..at].trim_end();
            let is_inner = before.ends_with("::") || before.ends_with('$');
            if !is_inner && code[at + root.len()..].starts_with("::") {
                spread(code, at, &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one path from `at` on and adds it, or each branch of its tree; gives where it ends.
fn spread(
    code: &str,
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let bytes = code.as_bytes();
    let (start, depth) = (at, prefix.len());
    loop {
        let length = bytes[at..].iter().take_while(|&&b| is_word(b)).count();
        if length > 0 {
            prefix.push(code[at..at + length].to_string());
            at += length;
        }
        if !code[at..].starts_with("::") {
            found.push((start, prefix.clone()));
            break;
        }
        at += 2;
        if bytes.get(at) == Some(&b'{') {
            at = branches(code, at + 1, prefix, found);
            break;
        }
    }
    prefix.truncate(depth);
    at
}

/// The branches of a tree of `use` from behind its brace; gives the place behind the closing one.
fn branches(
    code: &str,
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let bytes = code.as_bytes();
    while at < bytes.len() && bytes[at] != b'}' {
        if is_word(bytes[at]) {
            at = spread(code, at, prefix, found);
            // a new name or a glob behind the path
            while at < bytes.len() && !matches!(bytes[at], b',' | b'}') {
                at += 1;
            }
        } else {
            at += 1;
        }
    }
    at + 1
}

/// One circle among the children of a module, told with where each of its imports stands.
fn circle(level: &Level) -> Option<Finding> {
    let shortest = level
        .keys()
        .filter_map(|start| way_back(level, start))
        .min_by_key(Vec::len)?;
    let places: Vec<_> = shortest
        .iter()
        .zip(shortest.iter().cycle().skip(1))
        .map(|(from, to)| {
            let (file, line) = &level[from][to];
            format!("{from} uses {to} ({file}:{line})")
        })
        .collect();
    let (file, line) = level[&shortest[0]][&shortest[1 % shortest.len()]].clone();
    let what = format!(
        "a circle of imports: {}; move what both need below them",
        places.join(", ")
    );
    Some(Finding { file, line, what })
}

/// The shortest way from a child back to itself.
fn way_back(level: &Level, start: &String) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in level.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([way.clone(), vec![next.clone()]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
fn found_in(sources: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = sources
        .iter()
        .map(|(path, text)| SourceFile {
            path: format!("broker/src/{path}"),
            text: (*text).to_string(),
        })
        .collect();
    circles("broker/src/", &files)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn circles_are_found_at_every_level() {
    let no = Vec::<String>::new();
    let two = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "fn f() { super::a::f() }"),
    ];
    assert_eq!(
        found_in(&two),
        [
            "broker/src/a.rs:1: a circle of imports: a uses b (broker/src/a.rs:1), b uses a \
             (broker/src/b.rs:1); move what both need below them"
        ]
    );
    let family = [
        ("a.rs", "use a::b::B;\nuse self::b::C;"),
        ("a/b.rs", "use super::A;"),
    ];
    assert_eq!(found_in(&family), no);
    let below = [
        ("a.rs", ""),
        (
            "a/x.rs",
            "use crate::{\n    a::y::{self, Y},\n    b::B,\n};",
        ),
        ("a/y.rs", "use super::x::X;"),
        ("b.rs", ""),
    ];
    assert_eq!(found_in(&below).len(), 1);
    let families = [
        ("a.rs", ""),
        ("a/x.rs", "use crate::b::B;"),
        ("b.rs", ""),
        ("b/y.rs", "use super::super::a::A;"),
    ];
    assert_eq!(found_in(&families).len(), 1);
    let tests_only = [
        ("a.rs", "use crate::b::B;"),
        ("b/tests.rs", "use crate::a::A;"),
        ("b.rs", "// crate::a::A"),
    ];
    assert_eq!(found_in(&tests_only), no);
}
