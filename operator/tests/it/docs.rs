//! The page of each kind is written from its type, and every reason of a condition is explained.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ottla_operator::condition::{ClusterReason, RebalanceReason, State, TopicReason, UserReason};
use ottla_operator::crd::{KafkaCluster, KafkaRebalance, KafkaTopic, KafkaUser};
use serde_json::Value;

#[path = "../../../broker/core/tests/it/paragraph.rs"]
mod paragraph;
use paragraph::indented;

const HEADER: &str = "<!-- Generated from operator/src/crd; changes by hand are lost. -->\n";

#[test]
fn the_page_of_each_kind_is_fresh() {
    for (file, page) in [
        ("kafkacluster.md", page::<KafkaCluster>(&cluster_reasons())),
        ("kafkatopic.md", page::<KafkaTopic>(&topic_reasons())),
        ("kafkauser.md", page::<KafkaUser>(&user_reasons())),
        (
            "kafkarebalance.md",
            page::<KafkaRebalance>(&rebalance_reasons()),
        ),
    ] {
        let path = docs().join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).expect("docs/ is writable");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == page,
            "docs/{file} is stale: run UPDATE_DOCS=1 cargo test -p ottla-operator --test it"
        );
    }
}

#[test]
fn troubleshooting_explains_every_reason_and_no_other() {
    let path = docs().join("troubleshooting.md");
    let text = std::fs::read_to_string(path).expect("docs/troubleshooting.md is there");
    let mut headings: Vec<&str> = text
        .lines()
        .filter_map(|l| l.strip_prefix("### "))
        .collect();
    headings.sort_unstable();
    let mut words: Vec<&str> = cluster_reasons().iter().map(|(word, ..)| *word).collect();
    words.extend(topic_reasons().iter().map(|(word, ..)| *word));
    words.extend(user_reasons().iter().map(|(word, ..)| *word));
    words.extend(rebalance_reasons().iter().map(|(word, ..)| *word));
    words.sort_unstable();
    words.dedup();
    assert_eq!(
        headings, words,
        "docs/troubleshooting.md has a heading for each reason"
    );
}

/// A reason that nothing ever gives, or an annotation that nothing reads, is a promise not kept.
#[test]
fn every_reason_and_annotation_of_the_docs_is_used_by_the_code() {
    let code = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let reasons = |kind: &str, reasons: Reasons| {
        let uses = reasons
            .into_iter()
            .map(|(word, ..)| format!("{kind}::{word}"));
        uses.collect::<Vec<_>>()
    };
    let mut wanted = reasons("ClusterReason", cluster_reasons());
    wanted.extend(reasons("TopicReason", topic_reasons()));
    wanted.extend(reasons("UserReason", user_reasons()));
    wanted.extend(reasons("RebalanceReason", rebalance_reasons()));
    wanted.extend(annotations());
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    wanted.retain(|name| {
        !code
            .match_indices(name)
            .any(|(at, _)| ends(&code[at + name.len()..]))
    });
    assert!(
        wanted.is_empty(),
        "in the docs, and nowhere in the code: {wanted:?}"
    );
}

/// What the docs name, a test has seen: each reason in a test of its kind, and each annotation.
#[test]
fn every_reason_and_annotation_of_the_docs_stands_in_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for folder in ["src", "../e2e/tests"] {
        collect_tests(&root.join(folder), &mut tests);
    }
    let mut lacking = Vec::new();
    for (kind, reasons) in [
        ("Cluster", cluster_reasons()),
        ("Topic", topic_reasons()),
        ("User", user_reasons()),
        ("Rebalance", rebalance_reasons()),
    ] {
        for (word, ..) in reasons {
            let is_seen = tests
                .iter()
                .any(|test| test.is_of(kind) && test.names(word));
            if !is_seen {
                lacking.push(format!("{kind}Reason::{word}"));
            }
        }
    }
    for name in annotations() {
        if !tests.iter().any(|test| test.text.contains(&name)) {
            lacking.push(name);
        }
    }
    assert!(
        lacking.is_empty(),
        "in the docs, and in no test: {lacking:?}"
    );
}

/// A function of a test, with the path of its file and with what `KIND` stands for there.
struct Test {
    path: String,
    text: String,
}

impl Test {
    /// Whether it is about a kind.
    fn is_of(&self, kind: &str) -> bool {
        let lower = kind.to_lowercase();
        self.path.contains(&format!("/{lower}"))
            || self.text.contains(&format!("Kafka{kind}"))
            || self.text.contains(&format!("kafka{lower}s"))
            || self.text.contains(&format!("until_{lower}("))
    }

    /// Whether it has a reason in quotes, be it with its message, or by its name in the code.
    fn names(&self, reason: &str) -> bool {
        let forms = [
            format!("\"{reason}\""),
            format!("\"{reason}: "),
            format!(" {reason}: "),
            format!("Reason::{reason}"),
        ];
        forms.iter().any(|form| self.text.contains(form))
    }
}

/// The functions of all tests below a folder.
fn collect_tests(folder: &Path, tests: &mut Vec<Test>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            collect_tests(&path, tests);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let path = path.to_string_lossy().into_owned();
        let is_test = ["/conformance", "/tests/", "/tests.rs"];
        let text = match is_test.iter().any(|part| path.contains(part)) {
            true => text.as_str(),
            false => text.split_once("mod tests {").map_or("", |(_, own)| own),
        };
        let kind = text.split_once("const KIND: &str = \"");
        let kind = kind.and_then(|(_, rest)| rest.split('"').next());
        let kind = kind.unwrap_or("KIND").to_owned();
        let mut function = String::new();
        for line in text.lines().chain(["fn "]) {
            let words = line.trim_start().trim_start_matches("pub ");
            if words.trim_start_matches("async ").starts_with("fn ") {
                tests.push(Test {
                    path: path.clone(),
                    text: std::mem::take(&mut function).replace("KIND", &kind),
                });
            }
            function += line;
            function.push('\n');
        }
    }
}

/// The annotations that pages of the docs name.
fn annotations() -> Vec<String> {
    let mut all = Vec::new();
    for page in std::fs::read_dir(docs()).expect("docs/ is there") {
        let text = std::fs::read_to_string(page.expect("docs/ can be read").path());
        let text = text.unwrap_or_default();
        let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || "./-".contains(c)));
        let names = names.filter(|name| name.starts_with("ottla.io/"));
        let names = names.filter(|name| !name.starts_with("ottla.io/v1"));
        all.extend(names.map(|name| name.trim_end_matches(['.', '-']).to_owned()));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Rules and dashboards of the chart ask for metrics that there are.
#[test]
fn the_charts_metrics_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let brokers = std::fs::read_to_string(docs().join("metrics.md")).expect("the page is there");
    let known = brokers + &code(&root.join("src"));
    let mut asked = 0;
    for file in std::fs::read_dir(root.join("../charts/ottla/files")).expect("the files are there")
    {
        let path = file.expect("the folder can be read").path();
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for metric in words.filter(|word| word.starts_with("ottla_")) {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| metric.strip_suffix(suffix));
            let there = [Some(metric), base].into_iter().flatten();
            let is_there = there.clone().any(|name| {
                known.contains(&format!("`{name}`")) || known.contains(&format!("\"{name}\""))
            });
            assert!(is_there, "{}: nobody serves {metric}", path.display());
            asked += 1;
        }
    }
    assert!(asked > 20, "the chart asks for {asked} metrics");
}

/// All code but that of tests.
fn code(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).expect("src/ is there") {
        let path = entry.expect("src/ can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            all += &code(&path);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            all += &std::fs::read_to_string(&path).unwrap_or_default();
        }
    }
    all
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

type Reasons = Vec<(&'static str, String, &'static str)>;

fn cluster_reasons() -> Reasons {
    let all = ClusterReason::ALL.iter();
    all.map(|r| {
        (
            r.word(),
            shown(r.state(), r.patience_minutes()),
            r.meaning(),
        )
    })
    .collect()
}

fn topic_reasons() -> Reasons {
    let all = TopicReason::ALL.iter();
    all.map(|r| {
        (
            r.word(),
            shown(r.state(), r.patience_minutes()),
            r.meaning(),
        )
    })
    .collect()
}

fn user_reasons() -> Reasons {
    let all = UserReason::ALL.iter();
    all.map(|r| {
        (
            r.word(),
            shown(r.state(), r.patience_minutes()),
            r.meaning(),
        )
    })
    .collect()
}

fn rebalance_reasons() -> Reasons {
    let all = RebalanceReason::ALL.iter();
    all.map(|r| {
        (
            r.word(),
            shown(r.state(), r.patience_minutes()),
            r.meaning(),
        )
    })
    .collect()
}

fn shown(state: State, patience_minutes: u32) -> String {
    match patience_minutes {
        0 => format!("{state:?}"),
        minutes => format!("Reconciling, after {minutes} min {state:?}"),
    }
}

fn page<K: kube::CustomResourceExt>(reasons: &Reasons) -> String {
    let crd = serde_json::to_value(K::crd()).expect("a CRD serializes");
    let names = &crd["spec"]["names"];
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let properties = &schema["properties"];
    let mut page = format!(
        "{HEADER}# {}\n\n{}\n\nShort name: `{}`. `kubectl explain {}.spec` shows the same.\n",
        names["kind"].as_str().unwrap_or_default(),
        schema["description"].as_str().unwrap_or_default(),
        names["shortNames"][0].as_str().unwrap_or_default(),
        names["singular"].as_str().unwrap_or_default(),
    );
    for part in ["spec", "status"] {
        let _ = write!(page, "\n## {part}\n\n");
        fields(&mut page, part, &properties[part]);
    }
    page += "\n## Rules\n\nWhat the API server refuses, with these words:\n\n";
    rules(&mut page, "", schema);
    page += "\n## Reasons of conditions\n\n`Ready`, `Reconciling` and `Stalled` carry one of \
             these reasons; exactly one of the three is True.\n\
             [Troubleshooting](troubleshooting.md) says what to do.\n\n\
             | reason | True is | because |\n|---|---|---|\n";
    for (word, state, meaning) in reasons {
        let _ = writeln!(page, "| `{word}` | {state} | {meaning} |");
    }
    page
}

/// One line a field that has a description, those of objects and lists below them.
fn fields(page: &mut String, path: &str, schema: &Value) {
    let required = schema["required"].as_array();
    let properties = schema["properties"].as_object();
    for (name, field) in properties.into_iter().flatten() {
        // What has none is a part of a type of Kubernetes': its own documentation has it.
        let Some(text) = field["description"].as_str() else {
            continue;
        };
        let path = format!("{path}.{name}");
        let is_required = required.is_some_and(|all| all.contains(&Value::from(name.as_str())));
        let _ = write!(page, "- **`{path}`** ({}", kind(field));
        if is_required {
            page.push_str(", required");
        }
        // What a status has before anybody has said anything is of no use to anybody.
        let default = field.get("default").filter(|_| !path.starts_with("status"));
        if let Some(default) = default.filter(|default| !default.is_array()) {
            let _ = write!(page, ", default `{}`", default.to_string().replace('"', ""));
        }
        let _ = write!(page, ")\n{}", indented("  ", text));
        fields(page, &path, field);
        fields(page, &format!("{path}[]"), &field["items"]);
    }
}

fn kind(field: &Value) -> String {
    let values = field["enum"].as_array();
    if let Some(values) = values {
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        // a long choice has a line of its own
        let (before, between) = if values.len() > 3 {
            ("\n  ", ", ")
        } else {
            ("", " or ")
        };
        return format!("{before}{}", values.join(between));
    }
    let number = |name: &str| field[name].as_f64();
    let mut kind = field["type"].as_str().unwrap_or_default().to_owned();
    if let (Some(least), Some(most)) = (number("minimum"), number("maximum")) {
        let _ = write!(kind, ", {least} to {most}");
    }
    kind
}

/// The messages of the rules in CEL, by the field that they stand at.
fn rules(page: &mut String, path: &str, schema: &Value) {
    let stated = schema["x-kubernetes-validations"].as_array();
    for rule in stated.into_iter().flatten() {
        let at = if path.is_empty() { "the object" } else { path };
        let message = rule["message"].as_str().unwrap_or_default();
        let message = indented("  ", message);
        let _ = write!(page, "- `{}`:\n{message}", at.trim_start_matches('.'));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        rules(page, &path, field);
        rules(page, &format!("{path}[]"), &field["items"]);
    }
}

/// Of a cluster with dedicated controllers one of them is the active controller, which alerts and
/// dashboards ask for.
#[test]
fn the_charts_pod_monitor_takes_in_brokers_and_controllers() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/ottla");
    let monitoring = std::fs::read_to_string(chart.join("templates/monitoring.yaml"));
    let monitoring = monitoring.expect("the template is there");
    let (_, monitor) = monitoring
        .split_once("kind: PodMonitor")
        .expect("it has one");
    let (monitor, _) = monitor
        .split_once("kind: PrometheusRule")
        .expect("and more");
    let is_of_both = "- key: app.kubernetes.io/component\n      operator: In\n      \
                      values: [broker, controller]";
    assert!(monitor.contains(is_of_both), "{monitor}");
    assert!(
        !monitor.contains("app.kubernetes.io/component: broker"),
        "{monitor}"
    );
}
