//! Rules for Rust source: short functions, documented items, modules that say what they are, and a
//! middle that knows no clock and no unordered map.

use crate::source::{code_only, is_word, line_of, word_positions};
use crate::{Finding, SourceFile, check, enforce};

const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn functions_are_short() {
    enforce(functions);
}

#[test]
fn public_items_are_documented() {
    enforce(documented);
}

#[test]
fn modules_say_what_they_are() {
    enforce(module_docs);
}

#[test]
fn decisions_know_no_clock_and_no_unordered_map() {
    enforce(purity);
}

fn functions(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let mut findings = Vec::new();
    for at in word_positions(&code, "fn") {
        let Some(name) = name_after(&code, at + 2) else {
            continue;
        };
        let Some(close) = body_end(&code, at) else {
            continue;
        };
        let (first, last) = (line_of(&code, at), line_of(&code, close));
        let lines = last - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let what =
                format!("fn {name} has {lines} lines, {FUNCTION_LINES_MAX} at most: split it");
            findings.push(Finding::new(file, first, what));
        }
    }
    findings
}

/// The identifier after this position; none for a function pointer's type.
fn name_after(code: &str, at: usize) -> Option<&str> {
    let rest = code[at..].trim_start();
    let length = rest.bytes().take_while(|&b| is_word(b)).count();
    (length > 0).then(|| &rest[..length])
}

/// Where the body of the function that begins at `at` closes; none where it has no body.
fn body_end(code: &str, at: usize) -> Option<usize> {
    let (mut round, mut curly) = (0, 0);
    for (offset, byte) in code.as_bytes()[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b';' if round == 0 && curly == 0 => return None,
            b'{' if round == 0 || curly > 0 => curly += 1,
            b'}' if curly > 0 => {
                curly -= 1;
                if curly == 0 {
                    return Some(at + offset);
                }
            }
            _ => {}
        }
    }
    None
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

fn purity(file: &SourceFile) -> Vec<Finding> {
    if !file.path.starts_with("broker/core/src/") || !file.is_rust() {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let banned = [
        (
            "HashMap",
            "use BTreeMap: a decision must not depend on the order of a hash",
        ),
        (
            "HashSet",
            "use BTreeSet: a decision must not depend on the order of a hash",
        ),
        ("SystemTime", "take the time as an argument"),
        ("Instant::now", "take the time as an argument"),
        ("async fn", "decide without waiting; the driver waits"),
    ];
    let mut findings = Vec::new();
    for (word, instead) in banned {
        for at in word_positions(&code, word) {
            let what = format!("`{word}` in broker/core: {instead}");
            findings.push(Finding::new(file, line_of(&code, at), what));
        }
    }
    findings
}

#[test]
fn each_rust_rule_can_fail() {
    let long = format!("fn f(a: [u8; 2]) {{\n{}}}\n", "    x;\n".repeat(69));
    assert_eq!(check("a.rs", &long, functions).len(), 1);
    let fits = format!("fn f() {{\n{}}}\n", "    x;\n".repeat(68));
    assert_eq!(check("a.rs", &fits, functions), Vec::<String>::new());

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
    assert_eq!(
        check("broker/core/src/a.rs", "use HashMap;", purity).len(),
        1
    );
    assert_eq!(
        check("broker/core/src/a.rs", "// no HashMap", purity),
        Vec::<String>::new()
    );
}
