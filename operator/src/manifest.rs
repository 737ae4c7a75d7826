//! Files of manifests → objects, as strictly as an API server would take them, but in people's
//! words.
//!
//! A file holds documents separated by `---`. Each stands for itself: what is wrong with one is one
//! [`Problem`] with its place and how to mend it, and the others go on. Documents of other API
//! groups are not ours and are passed over.
//!
//! Invariant: text comes in as an argument; nothing here reads a disk.

mod schema;

use std::fmt;
use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use crate::crd::{API_VERSION, GROUP, KafkaCluster, KafkaRebalance, KafkaTopic, KafkaUser};

/// The largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
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
}

/// Parses one file.
#[must_use]
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
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
        match parse_document(line, document) {
            Ok(Some(object)) => parsed.objects.push(object),
            Ok(None) => {}
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
    parsed
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

fn parse_document(lines_before: usize, text: &str) -> Result<Option<Object>, Wrong> {
    let value: Value = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map_or(String::new(), |place| {
            format!(" at line {}", lines_before + place.line())
        });
        let cause = error.to_string();
        let cause = cause.split(" at line ").next().unwrap_or(&cause).to_owned();
        Wrong::one("", format!("is not YAML{place}: {cause}."))
    })?;
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
        return Ok(None);
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
            .map(|cluster| Some(Object::Cluster(Box::new(cluster)))),
        "KafkaTopic" => typed::<KafkaTopic>(&object, value, &TOPIC_SCHEMA)
            .map(|topic| Some(Object::Topic(Box::new(topic)))),
        "KafkaUser" => typed::<KafkaUser>(&object, value, &USER_SCHEMA)
            .map(|user| Some(Object::User(Box::new(user)))),
        "KafkaRebalance" => typed::<KafkaRebalance>(&object, value, &REBALANCE_SCHEMA)
            .map(|rebalance| Some(Object::Rebalance(Box::new(rebalance)))),
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
