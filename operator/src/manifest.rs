//! Files of manifests → objects, as strictly as an API server would take them, but in people's
//! words.
//!
//! A file holds documents separated by `---`; what `kubectl` decodes of them is decoded here too:
//! merge keys, and the items of a `List`. Each stands for itself: what is wrong with one is one
//! [`Problem`] with its place and how to mend it, and the others go on. Documents of other API
//! groups are not ours: they are passed over, and counted with a word.
//!
//! Invariant: text comes in as an argument; nothing here reads a disk.

mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use crate::crd::{API_VERSION, GROUP, KafkaCluster, KafkaRebalance, KafkaTopic, KafkaUser};
use crate::spoken::count;

/// The largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The kinds.
const KINDS: [&str; 4] = ["KafkaCluster", "KafkaTopic", "KafkaUser", "KafkaRebalance"];
/// At most so many documents in a file.
pub const DOCUMENTS_MAX: usize = 20_000;

/// An object that somebody wrote.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A cluster.
    Cluster(Box<KafkaCluster>),
    /// A topic.
    Topic(Box<KafkaTopic>),
    /// A user.
    User(Box<KafkaUser>),
    /// A plan for replicas.
    Rebalance(Box<KafkaRebalance>),
}

/// What is wrong with a file or with one of its documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The document, counted from 1; none: the file as a whole.
    pub document: Option<usize>,
    /// The object, as far as it is known, such as `KafkaTopic orders`.
    pub object: String,
    /// What is wrong and how to mend it: one sentence.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        if !self.object.is_empty() {
            write!(f, " ({})", self.object)?;
        }
        write!(f, ": {}", self.sentence)
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The objects in the order of the file.
    pub objects: Vec<Object>,
    /// What could not be taken.
    pub problems: Vec<Problem>,
    /// What is not ours.
    pub notes: Vec<Problem>,
}

/// Parses one file.
#[must_use]
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut foreign: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (index, (line, document)) in documents(text).into_iter().enumerate() {
        if index == DOCUMENTS_MAX {
            parsed.problems.push(Problem {
                file: file.to_owned(),
                document: None,
                object: String::new(),
                sentence: format!("has more than {DOCUMENTS_MAX} documents; split it."),
            });
            break;
        }
        let number = index + 1;
        for item in parse_document(line, document) {
            match item {
                Ok(Item::Ours(object)) => parsed.objects.push(object),
                Ok(Item::Foreign(kind)) => *foreign.entry(kind).or_default() += 1,
                Err(Wrong { object, sentences }) => {
                    for sentence in sentences {
                        parsed.problems.push(Problem {
                            file: file.to_owned(),
                            document: Some(number),
                            object: object.clone(),
                            sentence,
                        });
                    }
                }
            }
        }
    }
    let note = |((api_version, kind), number): ((String, String), usize)| Problem {
        file: file.to_owned(),
        document: None,
        object: String::new(),
        sentence: passed_over(&api_version, &kind, number),
    };
    parsed.notes = foreign.into_iter().map(note).collect();
    parsed
}

/// What is said of so many documents of a kind that is not ours.
fn passed_over(api_version: &str, kind: &str, number: usize) -> String {
    let number = count(number, kind);
    let mend = match KINDS.contains(&kind) {
        true => format!("; those of this operator begin with \"apiVersion: {API_VERSION}\""),
        false => String::new(),
    };
    format!("has {number} of {api_version}, left to others{mend}.")
}

/// The documents of a text that hold anything, each with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut position) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") || bare == "..." {
            documents.push((start_line, &text[start..position]));
            start = position + line.len();
            start_line = number + 1;
        }
        position += line.len();
    }
    documents.push((start_line, &text[start..]));
    documents.retain(|(_, document)| {
        document
            .lines()
            .map(str::trim)
            .any(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with('%'))
    });
    documents
}

struct Wrong {
    object: String,
    sentences: Vec<String>,
}

impl Wrong {
    fn one(object: &str, sentence: impl Into<String>) -> Self {
        Self {
            object: object.to_owned(),
            sentences: vec![sentence.into()],
        }
    }
}

/// Something that a document holds.
enum Item {
    Ours(Object),
    /// Of this apiVersion and kind.
    Foreign((String, String)),
}

fn parse_document(lines_before: usize, text: &str) -> Vec<Result<Item, Wrong>> {
    match read(lines_before, text) {
        Ok(value) => parse_value(value, true),
        Err(wrong) => vec![Err(wrong)],
    }
}

fn read(lines_before: usize, text: &str) -> Result<Value, Wrong> {
    let not_yaml = |error: serde_yaml::Error| {
        let place = error.location().map_or(String::new(), |place| {
            format!(" at line {}", lines_before + place.line())
        });
        let cause = error.to_string();
        let cause = cause.split(" at line ").next().unwrap_or(&cause).to_owned();
        Wrong::one("", format!("is not YAML{place}: {cause}."))
    };
    let mut value: Value = serde_yaml::from_str(text).map_err(not_yaml)?;
    value.apply_merge().map_err(not_yaml)?;
    Ok(value)
}

/// What an object holds: itself, or its items where it is a list, as `kubectl get -o yaml` writes
/// several. `may_be_list` is whether it is no item itself.
fn parse_value(mut value: Value, may_be_list: bool) -> Vec<Result<Item, Wrong>> {
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_own = text_of("apiVersion").split('/').next() == Some(GROUP);
    let kind = text_of("kind").to_owned();
    let is_list = match kind.strip_suffix("List") {
        Some("") => text_of("apiVersion") == "v1",
        Some(kind) => is_own && KINDS.contains(&kind),
        None => false,
    };
    if !(is_list && may_be_list) {
        return vec![parse_object(value)];
    }
    let items = value.get_mut("items").map(std::mem::take);
    let Some(Value::Sequence(items)) = items else {
        return vec![Err(Wrong::one(&kind, "has no items."))];
    };
    let numbered = (1..).zip(items);
    let parsed = numbered.flat_map(|(number, item)| {
        let told = move |wrong: Wrong| Wrong {
            object: format!("item {number} {}", wrong.object).trim().to_owned(),
            ..wrong
        };
        let parsed = parse_value(item, false).into_iter();
        parsed.map(move |one| one.map_err(told))
    });
    parsed.collect()
}

fn parse_object(value: Value) -> Result<Item, Wrong> {
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text_of("apiVersion"), text_of("kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err(Wrong::one(
            "",
            format!(
                "has no apiVersion or no kind; begin it with \"apiVersion: {API_VERSION}\" and \
                 \"kind: KafkaTopic\"."
            ),
        ));
    }
    let group = api_version.split('/').next().unwrap_or_default();
    if group != GROUP {
        let kind = (api_version.to_owned(), kind.to_owned());
        return Ok(Item::Foreign(kind));
    }
    if api_version != API_VERSION {
        return Err(Wrong::one(
            kind,
            format!("has apiVersion {api_version}; the version known here is {API_VERSION}."),
        ));
    }
    let name = value
        .get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let object = format!("{kind} {name}").trim().to_owned();
    match kind {
        "KafkaCluster" => typed::<KafkaCluster>(&object, value, &CLUSTER_SCHEMA)
            .map(|cluster| Item::Ours(Object::Cluster(Box::new(cluster)))),
        "KafkaTopic" => typed::<KafkaTopic>(&object, value, &TOPIC_SCHEMA)
            .map(|topic| Item::Ours(Object::Topic(Box::new(topic)))),
        "KafkaUser" => typed::<KafkaUser>(&object, value, &USER_SCHEMA)
            .map(|user| Item::Ours(Object::User(Box::new(user)))),
        "KafkaRebalance" => typed::<KafkaRebalance>(&object, value, &REBALANCE_SCHEMA)
            .map(|rebalance| Item::Ours(Object::Rebalance(Box::new(rebalance)))),
        _ => Err(Wrong::one(
            &object,
            format!(
                "{GROUP} has no kind {kind}; the kinds are KafkaCluster, KafkaTopic, KafkaUser and \
                 KafkaRebalance."
            ),
        )),
    }
}

static CLUSTER_SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema_of::<KafkaCluster>);
static TOPIC_SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema_of::<KafkaTopic>);
static USER_SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema_of::<KafkaUser>);
static REBALANCE_SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema_of::<KafkaRebalance>);

fn schema_of<K: CustomResourceExt>() -> serde_json::Value {
    let crd = serde_json::to_value(K::crd()).expect("a CRD made of plain data serializes");
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema");
    schema.expect("every CRD of ours has a schema").clone()
}

fn typed<K: DeserializeOwned>(
    object: &str,
    mut value: Value,
    schema: &serde_json::Value,
) -> Result<K, Wrong> {
    if let Some(mapping) = value.as_mapping_mut() {
        // What an export of `kubectl get -o yaml` carries along is nobody's wish.
        mapping.remove("status");
    }
    let sentences = schema::check(&value, schema);
    if !sentences.is_empty() {
        return Err(Wrong {
            object: object.to_owned(),
            sentences,
        });
    }
    serde_yaml::from_value(value)
        .map_err(|error| Wrong::one(object, format!("cannot be read: {error}.")))
}

#[cfg(test)]
mod tests;
