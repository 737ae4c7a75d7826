//! The map tells the truth: what README.md, ARCHITECTURE.md and the docs name is there, and the top
//! level holds only what a reader expects.

use crate::{Finding, SourceFile, check, enforce, files, report, top};

const TOP_LEVEL: [&str; 13] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "broker",
    "charts",
    "crds",
    "docs",
    "e2e",
    "examples",
];

#[test]
fn files_named_in_prose_exist() {
    enforce(named_paths);
}

#[test]
fn links_in_prose_lead_somewhere() {
    enforce(links);
}

#[test]
fn the_top_level_stays_as_it_is() {
    let mut findings = Vec::new();
    for file in files() {
        let first = file.path.split('/').next().unwrap_or_default();
        let known = TOP_LEVEL.contains(&first) || first == "operator" || first.starts_with('.');
        if !known {
            let what = "not at the top level: put it into the folder of what it belongs to";
            findings.push(Finding::new(&file, 1, what));
        }
    }
    report(findings);
}

/// Words in backticks that look like a path from the top: `broker/src/net.rs`, `e2e/kind`.
fn named_paths(file: &SourceFile) -> Vec<Finding> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for word in line.split('`').skip(1).step_by(2) {
            let folder = word.split('/').next().unwrap_or_default();
            let is_path = word.contains('/')
                && (TOP_LEVEL.contains(&folder) || folder == "operator")
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if is_path && !top().join(word).exists() {
                let what = format!("`{word}` does not exist: name what is there now");
                findings.push(Finding::new(file, number, what));
            }
        }
    }
    findings
}

/// Relative links of Markdown: `[text](docs/page.md#part)`.
fn links(file: &SourceFile) -> Vec<Finding> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let here = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for target in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            let is_relative = !path.is_empty() && !path.contains(':') && !path.contains(' ');
            if is_relative && !top().join(here).join(path).exists() {
                findings.push(Finding::new(
                    file,
                    number,
                    format!("the link {target} is dead"),
                ));
            }
        }
    }
    findings
}

#[test]
fn each_map_rule_can_fail() {
    let gone = "see `broker/src/attic.rs`, `broker/Cargo.toml` and `a/b`";
    assert_eq!(check("README.md", gone, named_paths).len(), 1);
    assert_eq!(
        check("e2e/a.md", "[a](../LICENSE) [b](b.md#c) [c](x:y)", links).len(),
        1
    );
}
