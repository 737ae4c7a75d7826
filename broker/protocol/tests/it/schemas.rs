//! Holds every struct against the schema files that Apache Kafka publishes in its jars: each field,
//! version, nullability, tag and default.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla_protocol::codec::{Field, Type};
use ottla_protocol::messages::transaction_records::OWN_TAGS;
use serde_json::Value;

use crate::catalogue::{self, Entry, Role};

const JARS: [&str; 3] = [
    "kafka-clients-4.3.1.jar",
    "kafka-group-coordinator-4.3.1.jar",
    "kafka-transaction-coordinator-4.3.1.jar",
];

type Range = (i16, i16);

#[test]
fn every_struct_is_kafkas_schema() {
    let schemas = schemas();
    let mut slips = Vec::new();
    for entry in catalogue::all() {
        let schema = schemas
            .get(entry.name)
            .unwrap_or_else(|| panic!("no schema {}", entry.name));
        message(&entry, schema, &mut slips);
    }
    assert!(
        slips.is_empty(),
        "{} slips:\n{}",
        slips.len(),
        slips.join("\n")
    );
}

/// The folder that holds Kafka's jars: fetched once, kept outside the checkout.
fn jars() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("e2e/setup/kafka")).output();
    let output = output.expect("e2e/setup/kafka cannot be started");
    assert!(
        output.status.success(),
        "Kafka's jars cannot be fetched: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn schemas() -> BTreeMap<String, Value> {
    let folder = jars();
    let mut schemas = BTreeMap::new();
    for jar in JARS {
        let path = folder.join(jar);
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut archive = zip::ZipArchive::new(file).expect("a jar is a zip file");
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).expect("listed");
            let name = file.name().expect("a name").into_owned();
            let Some(name) = name.strip_prefix("common/message/") else {
                continue;
            };
            let Some(name) = name.strip_suffix(".json") else {
                continue;
            };
            let mut text = String::new();
            file.read_to_string(&mut text).expect("UTF-8");
            let schema = serde_json::from_str(&without_comments(&text));
            schemas.insert(
                name.to_owned(),
                schema.unwrap_or_else(|e| panic!("{name}: {e}")),
            );
        }
    }
    schemas
}

/// The schemas have `//` comments, which JSON has not.
fn without_comments(text: &str) -> String {
    let strip = |line: &str| {
        let mut quoted = false;
        for (at, letter) in line.char_indices() {
            match letter {
                '"' => quoted = !quoted,
                '/' if !quoted && line[at..].starts_with("//") => return line[..at].to_owned(),
                _ => {}
            }
        }
        line.to_owned()
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

fn message(entry: &Entry, schema: &Value, slips: &mut Vec<String>) {
    let versions = range(schema, "validVersions").expect("validVersions");
    let ours = (*entry.versions.start(), *entry.versions.end());
    let flexible = range(schema, "flexibleVersions").map_or(i16::MAX, |range| range.0);
    let key = schema["apiKey"].as_i64();
    let (our_key, kind) = match entry.role {
        Role::Request(api) => (Some(i64::from(api.key())), "request"),
        Role::Response(api) => (Some(i64::from(api.key())), "response"),
        Role::Record => (key, schema["type"].as_str().unwrap_or_default()),
    };
    let mut compare = Compare {
        path: entry.name.to_owned(),
        schema,
        slips,
    };
    compare.same("versions", ours, versions);
    // a message that never reaches its flexible versions has none
    let reached = |first: i16| if first > versions.1 { i16::MAX } else { first };
    compare.same("flexible", reached(entry.flexible), reached(flexible));
    compare.same("key", our_key, key);
    compare.same("type", Some(kind), schema["type"].as_str());
    if let Role::Request(api) = entry.role {
        compare.same("header", reached(api.flexible()), reached(flexible));
    }
    compare.fields(entry.fields, &schema["fields"], versions);
}

struct Compare<'a> {
    path: String,
    schema: &'a Value,
    slips: &'a mut Vec<String>,
}

impl Compare<'_> {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, ours: T, schema: T) {
        if ours != schema {
            let path = &self.path;
            self.slips.push(format!(
                "{path}: {what} is {ours:?}, and {schema:?} in the schema"
            ));
        }
    }

    fn fields(&mut self, ours: &[Field], schema: &Value, within: Range) {
        let theirs = schema.as_array().expect("fields");
        // a tag of our own says what Kafka does not
        let shared = |field: &&Field| field.tag.is_none_or(|tag| tag < OWN_TAGS);
        let ours: Vec<&Field> = ours.iter().filter(shared).collect();
        let names = |names: Vec<String>| names.join(" ");
        let our_names = names(ours.iter().map(|field| plain(field.name)).collect());
        let their_names = names(
            theirs
                .iter()
                .map(|field| plain(text(field, "name")))
                .collect(),
        );
        self.same("list of fields", our_names, their_names);
        for (our, their) in ours.into_iter().zip(theirs) {
            let path = self.path.clone();
            self.path = format!("{path}.{}", our.name);
            self.field(our, their, within);
            self.path = path;
        }
    }

    fn field(&mut self, our: &Field, their: &Value, within: Range) {
        let versions = range(their, "versions").or_else(|| range(their, "taggedVersions"));
        let versions = meet(versions.expect("versions"), within);
        self.same("versions", meet(our.versions, within), versions);
        let nullable = range(their, "nullableVersions").map(|range| meet(range, versions));
        let ours = our.nullable.map(|range| meet(range, versions));
        self.same(
            "nullable",
            ours.filter(|r| r.0 <= r.1),
            nullable.filter(|r| r.0 <= r.1),
        );
        let tag = their["tag"].as_u64().map(|tag| tag as u32);
        self.same("tag", our.tag, tag);
        if tag.is_some() {
            let tagged = range(their, "taggedVersions").expect("taggedVersions");
            self.same(
                "tagged versions",
                meet(our.versions, within),
                meet(tagged, within),
            );
        }
        // whether a field may be left out matters only where some version lacks it
        if versions != within {
            let ignorable = matches!(&their["ignorable"], Value::Bool(true))
                || their["ignorable"].as_str() == Some("true");
            self.same("ignorable", our.ignorable, ignorable);
        }
        let default = default_of(their);
        self.same("default", our_default(our), default);
        self.kind(our.kind, text(their, "type"), their, versions);
    }

    fn kind(&mut self, ours: Type, theirs: &str, field: &Value, versions: Range) {
        match (ours, theirs.strip_prefix("[]")) {
            (Type::Array(item), Some(theirs)) => self.kind(*item, theirs, field, versions),
            (Type::Plain(ours), None) => self.same("type", ours, theirs),
            (Type::Struct(_, fields), None) => {
                let inline = field["fields"].is_array().then(|| field["fields"].clone());
                let shared = || {
                    let shared = self.schema["commonStructs"].as_array()?;
                    let found = shared
                        .iter()
                        .find(|shared| text(shared, "name") == theirs)?;
                    Some(found["fields"].clone())
                };
                match inline.or_else(shared) {
                    Some(theirs) => self.fields(fields, &theirs, versions),
                    None => self.same("type", "a struct", theirs),
                }
            }
            (ours, _) => self.same("type", format!("{ours:?}").as_str(), theirs),
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A name without what the two languages write differently.
fn plain(name: &str) -> String {
    name.replace("r#", "").replace('_', "").to_lowercase()
}

fn range(value: &Value, key: &str) -> Option<Range> {
    let text = value[key].as_str().filter(|text| *text != "none")?;
    let number = |text: &str| text.parse().expect("a version");
    if let Some(first) = text.strip_suffix('+') {
        return Some((number(first), i16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((number(first), number(last)))
}

fn meet(one: Range, other: Range) -> Range {
    (one.0.max(other.0), one.1.min(other.1))
}

/// The schema's default as Rust writes it; empty where it is the type's own.
fn default_of(field: &Value) -> String {
    let default = match &field["default"] {
        Value::Null => String::new(),
        Value::String(text) => text.to_lowercase(),
        other => other.to_string(),
    };
    match default.as_str() {
        "0" | "false" => String::new(),
        "0x7fffffff" => "i32::MAX".to_owned(),
        "9223372036854775807" => "i64::MAX".to_owned(),
        "-2147483648" => "i32::MIN".to_owned(),
        _ => default,
    }
}

fn our_default(field: &Field) -> String {
    field.default.replace([' ', '"'], "")
}
