//! Imports point down, between crates (by their manifests) and inside the broker and the operator.

use crate::source::{code_only, is_word, line_of};
use crate::{Finding, SourceFile, check, enforce};

/// Each crate's folder and the crates of this workspace it may build on.
const CRATES: [(&str, &[&str]); 8] = [
    ("broker/histogram", &[]),
    ("broker/protocol/derive", &[]),
    ("broker/protocol", &["ottla-protocol-derive"]),
    ("broker/core", &["ottla-protocol"]),
    ("broker/storage", &["ottla-protocol"]),
    ("broker", &["ottla-protocol", "ottla-core", "ottla-storage"]),
    ("operator", &["ottla-protocol", "ottla-core"]),
    ("e2e", &["ottla-protocol"]),
];

/// What decides and what keeps bytes is built without a runtime, a network or a source of chance.
const PURE_CRATES: [&str; 4] = [
    "broker/protocol/derive",
    "broker/protocol",
    "broker/core",
    "broker/storage",
];
const IMPURE: [&str; 10] = [
    "tokio", "tonic", "rand", "hyper", "axum", "kube", "openraft", "async", "futures", "turmoil",
];

/// The floor of each module at the root of `broker/src`. A module may use its own floor and below.
const BROKER: [(&str, u8); 15] = [
    ("main", 5),
    ("command", 5),
    ("lib", 5),
    ("node", 4),
    ("api", 3),
    ("net", 3),
    ("coordinator", 2),
    ("replica", 2),
    ("controller", 2),
    ("peer", 2),
    ("metrics", 1),
    ("authorizer", 1),
    ("config", 1),
    ("env", 1),
    ("stream", 1),
];

/// The floor of each module at the root of `operator/src`.
const OPERATOR: [(&str, u8); 18] = [
    ("main", 5),
    ("lib", 5),
    ("conformance", 5),
    ("local", 5),
    ("run", 5),
    ("session", 4),
    ("world", 3),
    ("cluster", 3),
    ("topic", 3),
    ("platform", 3),
    ("admin", 2),
    ("signals", 2),
    ("manifest", 1),
    ("observed", 1),
    ("object", 1),
    ("condition", 1),
    ("testing", 0),
    ("crd", 0),
];

#[test]
fn crates_build_on_lower_crates() {
    enforce(manifests);
}

#[test]
fn modules_import_from_lower_floors() {
    enforce(imports);
}

fn manifests(file: &SourceFile) -> Vec<Finding> {
    let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
        return Vec::new();
    };
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == folder) else {
        // a crate outside the workspace, such as a fuzz target, may use anything
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (line, dependency) in dependencies(&file.text) {
        if dependency.starts_with("ottla-") && !allowed.contains(&dependency) {
            let what = format!("{folder} may not build on {dependency}: imports point down");
            findings.push(Finding::new(file, line, what));
        }
        let stem = dependency.split('-').next().unwrap_or(dependency);
        if PURE_CRATES.contains(&folder) && IMPURE.contains(&stem) {
            let what =
                format!("{folder} may not build on {dependency}: it neither waits nor guesses");
            findings.push(Finding::new(file, line, what));
        }
    }
    findings
}

/// The names under `[dependencies]`, with their lines. Those of tests may be anything.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            section = line;
            if let Some(name) = line.strip_prefix("[dependencies.") {
                found.push((number, name.trim_end_matches(']')));
            }
        } else if section == "[dependencies]" {
            let length = line
                .bytes()
                .take_while(|&b| is_word(b) || b == b'-')
                .count();
            if length > 0 {
                found.push((number, &line[..length]));
            }
        }
    }
    found
}

fn imports(file: &SourceFile) -> Vec<Finding> {
    let rooms = [
        ("broker/src/", &BROKER[..]),
        ("operator/src/", &OPERATOR[..]),
    ];
    let Some((root, floors)) = rooms.iter().find(|(root, _)| file.path.starts_with(root)) else {
        return Vec::new();
    };
    let Some(module) = file.path[root.len()..].split(['/', '.']).next() else {
        return Vec::new();
    };
    if !file.is_rust() || file.path.contains("/bin/") {
        return Vec::new();
    }
    let floor_of = |name: &str| {
        floors
            .iter()
            .find(|(module, _)| *module == name)
            .map(|m| m.1)
    };
    let Some(floor) = floor_of(module) else {
        let what = format!("module `{module}` has no floor: give it one in {}", file!());
        return vec![Finding::new(file, 1, what)];
    };
    let code = code_only(&file.text);
    let mut findings = Vec::new();
    for (at, name) in crate_paths(&code) {
        // a name without a floor is an item re-exported by lib.rs, or reported at its own file
        let Some(other) = floor_of(name) else {
            continue;
        };
        // `testing` is there in tests only, for all floors
        if other > floor && name != "testing" {
            let what = format!(
                "`{module}` (floor {floor}) uses `crate::{name}` (floor {other}): imports point \
                 down; pass what it needs as an argument, or move it to a lower floor"
            );
            findings.push(Finding::new(file, line_of(&code, at), what));
        }
    }
    findings
}

/// The first names of all paths from the crate's root: `crate::a` and `crate::{a, b::c}`.
fn crate_paths(code: &str) -> Vec<(usize, &str)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && (is_word(code.as_bytes()[at - 1]) || code.as_bytes()[at - 1] == b'$') {
            continue;
        }
        let start = at + "crate::".len();
        if !code[start..].starts_with('{') {
            paths.push((start, word_at(code, start)));
            continue;
        }
        let mut depth = 0;
        let mut expects_name = false;
        for (offset, byte) in code.as_bytes()[start..].iter().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ if depth == 1 && expects_name && is_word(*byte) => {
                    paths.push((start + offset, word_at(code, start + offset)));
                }
                _ => {}
            }
            match byte {
                b'{' | b',' => expects_name = depth == 1,
                byte if byte.is_ascii_whitespace() => {}
                _ => expects_name = false,
            }
            if depth == 0 {
                break;
            }
        }
    }
    paths
}

fn word_at(code: &str, at: usize) -> &str {
    let length = code.as_bytes()[at..]
        .iter()
        .take_while(|&&b| is_word(b))
        .count();
    &code[at..at + length]
}

#[test]
fn each_floor_rule_can_fail() {
    let manifest = "[dependencies]\nottla-broker.workspace = true\ntokio = \"1\"\n";
    assert_eq!(
        check("broker/core/Cargo.toml", manifest, manifests).len(),
        2
    );
    let tests_only = "[dev-dependencies]\ntokio = \"1\"\n";
    assert_eq!(
        check("broker/core/Cargo.toml", tests_only, manifests),
        Vec::<String>::new()
    );

    let up =
        "use crate::api::Context;\nuse crate::{\n    config::Settings,\n    net::{a, api},\n};";
    assert_eq!(check("broker/src/replica/task.rs", up, imports).len(), 2);
    assert_eq!(
        check("broker/src/api/produce.rs", up, imports),
        Vec::<String>::new()
    );
    assert_eq!(check("broker/src/attic.rs", "", imports).len(), 1);
    assert_eq!(
        check("operator/src/crd.rs", "crate::cluster::x()", imports).len(),
        1
    );
}
