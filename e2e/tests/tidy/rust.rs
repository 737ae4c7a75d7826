//! Rules for Rust source that clippy has not: documented items, also those that no other crate sees
//! (`missing_docs` passes over them), modules that say what they are, and a middle that does not
//! wait.

use crate::source::{code_only, line_of, word_positions};
use crate::{Finding, SourceFile, check, enforce};

#[test]
fn public_items_are_documented() {
    enforce(documented);
}

#[test]
fn modules_say_what_they_are() {
    enforce(module_docs);
}

#[test]
fn decisions_do_not_wait() {
    enforce(waits);
}

#[test]
fn tasks_of_the_broker_begin_where_it_is_seen_that_they_touch_no_disk() {
    enforce(tasks);
}

fn documented(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let lines: Vec<_> = file.text.lines().collect();
    let mut findings = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let Some(item) = line.trim_start().strip_prefix("pub ") else {
            continue;
        };
        let kinds = [
            "fn", "const", "static", "struct", "enum", "trait", "type", "union", "async", "unsafe",
        ];
        let Some(kind) = kinds
            .iter()
            .find(|kind| item.starts_with(&format!("{kind} ")))
        else {
            continue;
        };
        if !has_docs_above(&lines[..index]) {
            let what =
                format!("pub {kind} without a doc comment: say what it is for or what holds");
            findings.push(Finding::new(file, index + 1, what));
        }
    }
    findings
}

/// Whether a doc comment stands above, attributes between aside.
fn has_docs_above(lines: &[&str]) -> bool {
    let mut in_attribute = false;
    for line in lines.iter().rev().map(|line| line.trim()) {
        if line.starts_with("///") || line.starts_with("#[doc") || line.ends_with("*/") {
            return true;
        }
        // an attribute over several lines is read from its end
        in_attribute |= line == ")]" || line == "]";
        if line.starts_with("#[") {
            in_attribute = false;
        } else if !in_attribute {
            // inside a macro the doc is a fragment: `$(#[$doc:meta])*` or `$(#[$doc])*`
            return line.starts_with("$(#[");
        }
    }
    false
}

fn module_docs(file: &SourceFile) -> Vec<Finding> {
    let exempt = file.is_test() && !file.path.ends_with("/main.rs");
    if !file.is_rust() || exempt || file.text.starts_with("//!") {
        return Vec::new();
    }
    let what = "begin with a `//!` line: what this module holds, and what must be true in it";
    vec![Finding::new(file, 1, what)]
}

fn waits(file: &SourceFile) -> Vec<Finding> {
    if !file.path.starts_with("broker/core/src/") || !file.is_rust() {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let found = word_positions(&code, "async");
    let what = "`async` in broker/core: decide without waiting; the driver waits";
    found
        .map(|at| Finding::new(file, line_of(&code, at), what))
        .collect()
}

fn tasks(file: &SourceFile) -> Vec<Finding> {
    let begins_tasks = ["broker/src/threads.rs", "broker/src/audit.rs"];
    let is_broker = file.path.starts_with("broker/src/") && file.is_rust();
    if !is_broker || file.is_test() || begins_tasks.contains(&file.path.as_str()) {
        return Vec::new();
    }
    // what stands in a file's own tests may do as it likes
    let code = code_only(&file.text);
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let what = "a task begins by `threads::spawn`, and what waits for a disk by \
                `threads::blocking`: tasks share their threads";
    let found = ["tokio::spawn", "spawn_blocking"].into_iter();
    found
        .flat_map(|call| code.match_indices(call))
        .map(|(at, _)| Finding::new(file, line_of(code, at), what))
        .collect()
}

#[test]
fn each_rust_rule_can_fail() {
    assert_eq!(check("src/a.rs", "pub fn f() {}", documented).len(), 1);
    let attributes = "/// What.\n#[derive(\n    Clone,\n)]\n#[must_use]\npub struct S;";
    assert_eq!(
        check("src/a.rs", attributes, documented),
        Vec::<String>::new()
    );
    assert_eq!(
        check(
            "src/a.rs",
            "}\n\n#[must_use]\npub const fn f() {}",
            documented
        )
        .len(),
        1
    );

    assert_eq!(check("src/a.rs", "use x;", module_docs).len(), 1);
    let core = |text: &str| check("broker/core/src/a.rs", text, waits).len();
    assert_eq!(core("async fn f() {}"), 1);
    assert_eq!(core("// no async"), 0);
    let broker = |text: &str| check("broker/src/a.rs", text, tasks).len();
    assert_eq!(
        broker("fn f() { tokio::spawn(a()); spawn_blocking(b); }"),
        2
    );
    assert_eq!(broker("fn f() { threads::spawn(a()); }"), 0);
}
