//! Rules for every file: its name, its size, its lines, its words.

use crate::source::word_positions;
use crate::{Finding, SourceFile, check, enforce};

const FILE_LINES_MAX: usize = 500;
const LINE_COLUMNS_MAX: usize = 100;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "mod",
];

#[test]
fn files_are_named_for_what_they_hold() {
    enforce(names);
}

#[test]
fn files_are_short() {
    enforce(length);
}

#[test]
fn lines_are_short() {
    enforce(columns);
}

#[test]
fn words_that_put_work_off_are_not_left_behind() {
    enforce(words);
}

fn names(file: &SourceFile) -> Vec<Finding> {
    let parts = file.path.split('/').flat_map(|part| {
        let stem = part.split('.').next().unwrap_or(part);
        stem.split(['_', '-'])
    });
    parts
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| {
            Finding::new(
                file,
                1,
                format!("`{part}` says nothing: name what is inside"),
            )
        })
        .collect()
}

/// Prose, code and manifests; test vectors and the like may be as long as they are.
fn is_written_by_hand(file: &SourceFile) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let known = [
        ".rs", ".java", ".py", ".sh", ".md", ".proto", ".toml", ".yaml", ".yml", ".tpl",
    ];
    let script = !name.contains('.') && (name == "Makefile" || file.text.starts_with("#!"));
    (script || known.iter().any(|end| name.ends_with(end))) && !file.is_generated()
}

fn length(file: &SourceFile) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !is_written_by_hand(file) || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what =
        format!("{lines} lines, {FILE_LINES_MAX} at most: split it by what changes together");
    vec![Finding::new(file, lines, what)]
}

fn columns(file: &SourceFile) -> Vec<Finding> {
    if !is_written_by_hand(file) {
        return Vec::new();
    }
    let is_prose = file.path.ends_with(".md");
    let mut is_code = false;
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let width = line.chars().count();
        is_code ^= line.trim_start().starts_with("```");
        // in prose a row of a table, a bare link and what is shown as it is cannot be broken
        let is_whole = is_code || line.starts_with('|') || !line.trim().contains(' ');
        if width > LINE_COLUMNS_MAX && !(is_prose && is_whole) {
            let what = format!("{width} columns, {LINE_COLUMNS_MAX} at most: break the line");
            findings.push(Finding::new(file, number, what));
        }
    }
    findings
}

fn words(file: &SourceFile) -> Vec<Finding> {
    // written in two halves, so that this file does not find itself
    let unfinished = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("HA", "CK"),
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
    ];
    let elsewhere = [
        concat!("/wo", "rk/"),
        concat!("work", "place"),
        concat!("design", ".md"),
        concat!("../", "shared"),
        concat!("the C", "EO"),
    ];
    let hosts = [
        concat!("registry.npm", "js.org"),
        concat!("py", "pi.org"),
        concat!("repo1.", "maven"),
        concat!("repo.", "maven"),
        concat!("proxy.go", "lang"),
        concat!("deb.", "debian.org"),
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
    ];
    if file.is_generated() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for word in unfinished {
            if word_positions(line, word).next().is_some() {
                let what = format!("`{word}`: finish it, or leave it out and open an issue");
                findings.push(Finding::new(file, number, what));
            }
        }
        for word in elsewhere.iter().filter(|word| line.contains(**word)) {
            let what =
                format!("`{word}` means nothing to a reader of this repository: say it here");
            findings.push(Finding::new(file, number, what));
        }
        for host in hosts.iter().filter(|host| line.contains(**host)) {
            let what = format!("`{host}`: name packages, not the host they come from");
            findings.push(Finding::new(file, number, what));
        }
    }
    findings
}

#[test]
fn each_text_rule_can_fail() {
    assert_eq!(check("src/group_manager.rs", "", names).len(), 1);
    assert_eq!(check("src/net/mod.rs", "", names).len(), 1);
    assert_eq!(check("src/commonality.rs", "", names), Vec::<String>::new());

    assert_eq!(
        check("a.rs", &"\n".repeat(500), length),
        Vec::<String>::new()
    );
    assert_eq!(check("a.rs", &"\n".repeat(501), length).len(), 1);
    assert_eq!(
        check("a.json", &"\n".repeat(501), length),
        Vec::<String>::new()
    );

    assert_eq!(
        check("a.rs", &"é".repeat(100), columns),
        Vec::<String>::new()
    );
    assert_eq!(check("a.rs", &"é".repeat(101), columns).len(), 1);
    assert_eq!(
        check("a.md", &format!("| {} |", "é".repeat(101)), columns),
        Vec::<String>::new()
    );

    // what `mktemp` fills in is no mark of work that is left
    let line = format!(
        "{}!() // mktemp /tmp/x.{}",
        ["to", "do"].concat(),
        "X".repeat(6)
    );
    assert_eq!(check("a.rs", &line, words).len(), 1);
    assert_eq!(
        check("a.rs", concat!("// see /wo", "rk/notes"), words).len(),
        1
    );
}
