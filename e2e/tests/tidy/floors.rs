//! Imports point down, between crates (by their manifests) and inside the broker and the operator.

use crate::source::{code_only, is_word, line_of};
use crate::{Finding, SourceFile, check, enforce, top};

/// Each crate's folder and the crates of this workspace it may build on.
const CRATES: [(&str, &[&str]); 11] = [
    ("broker/histogram", &[]),
    ("broker/protocol/derive", &[]),
    ("broker/protocol", &["ottla-protocol-derive"]),
    ("broker/client", &["ottla-protocol"]),
    ("broker/telemetry", &[]),
    ("broker/core", &["ottla-protocol"]),
    ("operator/jsonpath", &[]),
    ("broker/storage", &["ottla-protocol"]),
    (
        "broker",
        &[
            "ottla-protocol",
            "ottla-client",
            "ottla-core",
            "ottla-storage",
            "ottla-telemetry",
        ],
    ),
    (
        "operator",
        &[
            "ottla-protocol",
            "ottla-client",
            "ottla-core",
            "ottla-telemetry",
        ],
    ),
    ("e2e", &["ottla-protocol", "ottla-client"]),
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
const BROKER: [(&str, u8); 26] = [
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
    ("brokers", 2),
    ("metrics", 1),
    ("audit", 1),
    ("authorizer", 1),
    ("config", 1),
    ("defaults", 1),
    ("descriptors", 1),
    ("env", 1),
    ("stream", 1),
    ("threads", 1),
    ("tls", 1),
    ("budget", 1),
    ("memory", 1),
    ("oauth", 1),
    ("quotas", 1),
    ("tokens", 1),
];

/// The floor of each module at the root of `operator/src`, and of modules in them that stand lower.
const OPERATOR: [(&str, u8); 28] = [
    ("main", 5),
    ("lib", 5),
    ("conformance", 5),
    ("local", 5),
    ("run", 5),
    ("session", 4),
    ("world", 3),
    ("cluster", 3),
    ("topic", 3),
    ("rebalance", 3),
    ("user", 3),
    ("cluster/validate", 2),
    ("validated", 2),
    ("platform", 2),
    ("secrets", 2),
    ("admin", 2),
    ("signals", 2),
    ("manifest", 1),
    ("metrics", 1),
    ("certificates", 1),
    ("fingerprint", 1),
    ("observed", 1),
    ("object", 1),
    ("condition", 1),
    ("approval", 1),
    ("spoken", 0),
    ("testing", 0),
    ("crd", 0),
];

/// The crates that have floors, by their sources.
const ROOMS: [(&str, &[(&str, u8)]); 2] = [("broker/src/", &BROKER), ("operator/src/", &OPERATOR)];

#[test]
fn crates_build_on_lower_crates() {
    enforce(manifests);
}

#[test]
fn modules_import_from_lower_floors() {
    enforce(imports);
}

#[test]
fn modules_with_a_floor_exist() {
    for (root, floors) in ROOMS {
        for (module, _) in floors {
            let file = top().join(format!("{root}{module}.rs"));
            assert!(
                file.exists(),
                "{module} has a floor in {}, but no file",
                file!()
            );
        }
    }
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
    let mut rooms = ROOMS.iter();
    let Some((root, floors)) = rooms.find(|(root, _)| file.path.starts_with(root)) else {
        return Vec::new();
    };
    if !file.is_rust() || file.path.contains("/bin/") {
        return Vec::new();
    }
    let path = file.path[root.len()..].trim_end_matches(".rs");
    // Of a module and what is in it the longest name counts.
    let place_of = |path: &str| {
        let is_in = |module: &str| {
            let rest = path.strip_prefix(module);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let of = floors.iter().filter(|(module, _)| is_in(module));
        of.max_by_key(|(module, _)| module.len()).copied()
    };
    let Some((module, floor)) = place_of(path) else {
        let what = format!("`{path}` has no floor: give its module one in {}", file!());
        return vec![Finding::new(file, 1, what)];
    };
    let code = code_only(&file.text);
    let mut findings = Vec::new();
    for (at, path) in crate_paths(&code) {
        // a name without a floor is an item re-exported by lib.rs, or reported at its own file
        let Some((name, other)) = place_of(&path) else {
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

/// All paths from the crate's root, with `/`: `crate::a::b` and `crate::{a, b::c}`.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && (is_word(code.as_bytes()[at - 1]) || code.as_bytes()[at - 1] == b'$') {
            continue;
        }
        let mut path = String::new();
        let mut start = at + "crate::".len();
        while !code[start..].starts_with('{') {
            let word = word_at(code, start);
            path += word;
            start += word.len();
            if !code[start..].starts_with("::") {
                break;
            }
            path.push('/');
            start += "::".len();
        }
        if !code[start..].starts_with('{') {
            paths.push((at, path));
            continue;
        }
        let mut depth = 0;
        let mut expects_name = false;
        for (offset, byte) in code.as_bytes()[start..].iter().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ if depth == 1 && expects_name && is_word(*byte) => {
                    let name = word_at(code, start + offset);
                    paths.push((start + offset, format!("{path}{name}")));
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
    let part = "use crate::cluster::validate::X;";
    let whole = "use crate::cluster::{status, validate};";
    let from = "operator/src/platform/local.rs";
    assert_eq!(check(from, part, imports), Vec::<String>::new());
    assert_eq!(check(from, whole, imports).len(), 1);
    assert_eq!(
        check("operator/src/cluster/validate/rules.rs", whole, imports).len(),
        1
    );
}
