//! Checks a document against the schema of its CRD, which is what an API server would do.

use serde_json::Value as Schema;
use serde_yaml::{Mapping, Value};

/// At most so many sentences about one document.
const SENTENCES_MAX: usize = 10;

/// The fields of metadata, those that only an API server fills in included.
const METADATA: &[&str] = &[
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What is wrong with a document: a sentence each.
pub fn check(document: &Value, schema: &Schema) -> Vec<String> {
    let mut sentences = Vec::new();
    let Some(fields) = document.as_mapping() else {
        return vec!["must be a mapping of fields.".to_owned()];
    };
    for (key, value) in fields {
        match key.as_str() {
            Some("apiVersion" | "kind") => {}
            Some("metadata") => check_metadata(value, &mut sentences),
            Some("spec") => {
                check_value("spec", value, &schema["properties"]["spec"], &mut sentences)
            }
            _ => unknown(
                "",
                key,
                &["apiVersion", "kind", "metadata", "spec"],
                &mut sentences,
            ),
        }
    }
    for required in ["metadata", "spec"] {
        if !fields.contains_key(required) {
            sentences.push(format!("{required} is missing."));
        }
    }
    sentences.truncate(SENTENCES_MAX);
    sentences
}

fn check_metadata(metadata: &Value, sentences: &mut Vec<String>) {
    let Some(fields) = metadata.as_mapping() else {
        sentences.push("metadata must be a mapping with a name.".to_owned());
        return;
    };
    for (key, value) in fields {
        match key.as_str() {
            Some("labels" | "annotations") => check_texts(key, value, sentences),
            Some(known) if METADATA.contains(&known) => {}
            _ => unknown("metadata", key, METADATA, sentences),
        }
    }
    match fields.get("name").and_then(Value::as_str) {
        None => sentences.push("metadata.name is missing.".to_owned()),
        Some(name) if !is_name(name, 253) => {
            sentences.push(format!(
                "metadata.name is \"{name}\"; names of objects are lower-case letters, digits, \
                 dashes and dots, with a letter or digit at both ends (a topic may have another \
                 name in Kafka: spec.topicName)."
            ));
        }
        Some(_) => {}
    }
    match fields.get("namespace").map(Value::as_str) {
        Some(None) => sentences.push("metadata.namespace must be a string.".to_owned()),
        Some(Some(name)) if !is_name(name, 63) || name.contains('.') => {
            sentences.push(format!(
                "metadata.namespace is \"{name}\"; names of namespaces are lower-case letters, \
                 digits and dashes, with a letter or digit at both ends."
            ));
        }
        _ => {}
    }
}

/// Whether Kubernetes takes this for a name.
fn is_name(text: &str, length_max: usize) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let legal = |c: char| edge(c) || c == '-' || c == '.';
    let ends = text.starts_with(edge) && text.ends_with(edge);
    ends && text.len() <= length_max && text.chars().all(legal)
}

fn check_texts(key: &Value, value: &Value, sentences: &mut Vec<String>) {
    let key = key.as_str().unwrap_or_default();
    let texts = value
        .as_mapping()
        .is_some_and(|entries| entries.iter().all(|(k, v)| k.is_string() && v.is_string()));
    if !texts {
        sentences.push(format!(
            "metadata.{key} must map names to strings; write numbers and true or false in quotes."
        ));
    }
}

fn check_value(path: &str, value: &Value, schema: &Schema, sentences: &mut Vec<String>) {
    if value.is_null() {
        if schema["nullable"] != true {
            sentences.push(format!(
                "{path} has no value; give it one or remove the line."
            ));
        }
        return;
    }
    if schema["x-kubernetes-int-or-string"] == true && (value.is_string() || value.is_i64()) {
        return;
    }
    let expected = schema["type"].as_str().unwrap_or_default();
    match (expected, value) {
        ("object", Value::Mapping(fields)) => check_object(path, fields, schema, sentences),
        ("array", Value::Sequence(items)) => {
            check_bounds(path, items.len(), "entries", schema, "Items", sentences);
            for (place, item) in items.iter().enumerate() {
                check_value(
                    &format!("{path}[{place}]"),
                    item,
                    &schema["items"],
                    sentences,
                );
            }
        }
        ("string" | "", Value::String(text)) => check_text(path, text, schema, sentences),
        ("", Value::Number(_) | Value::Bool(_)) => {}
        ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
            let number = number.as_f64().unwrap_or_default();
            let below = schema["minimum"]
                .as_f64()
                .filter(|minimum| number < *minimum);
            let above = schema["maximum"]
                .as_f64()
                .filter(|maximum| number > *maximum);
            if let Some(minimum) = below {
                sentences.push(format!(
                    "{path} is {number}; it must be at least {minimum}."
                ));
            } else if let Some(maximum) = above {
                sentences.push(format!("{path} is {number}; it may be at most {maximum}."));
            }
        }
        ("boolean", Value::Bool(_)) => {}
        _ => sentences.push(wrong_type(path, value, expected)),
    }
}

fn check_object(path: &str, fields: &Mapping, schema: &Schema, sentences: &mut Vec<String>) {
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if is_open && schema["properties"].is_null() {
        return;
    }
    if let Some(properties) = schema["properties"].as_object() {
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        for (key, value) in fields {
            match key.as_str().and_then(|key| properties.get(key)) {
                Some(property) => {
                    let path = format!("{path}.{}", key.as_str().unwrap_or_default());
                    check_value(&path, value, property, sentences);
                }
                None if is_open => {}
                None => unknown(path, key, &known, sentences),
            }
        }
    } else {
        check_bounds(
            path,
            fields.len(),
            "entries",
            schema,
            "Properties",
            sentences,
        );
        for (key, value) in fields {
            match key.as_str() {
                Some(key) => check_value(
                    &format!("{path}.{key}"),
                    value,
                    &schema["additionalProperties"],
                    sentences,
                ),
                None => sentences.push(format!("{path} has a key that is not a string.")),
            }
        }
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        let required = required.as_str().unwrap_or_default();
        if !fields.contains_key(required) {
            sentences.push(format!("{path}.{required} is missing."));
        }
    }
}

fn check_text(path: &str, text: &str, schema: &Schema, sentences: &mut Vec<String>) {
    if let Some(allowed) = schema["enum"].as_array() {
        if !allowed.iter().any(|one| one == text) {
            let allowed: Vec<&str> = allowed.iter().filter_map(Schema::as_str).collect();
            let allowed = allowed.join(" or ");
            sentences.push(format!("{path} is \"{text}\"; it must be {allowed}."));
        }
        return;
    }
    check_bounds(
        path,
        text.chars().count(),
        "characters",
        schema,
        "Length",
        sentences,
    );
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern_ = regex_lite::Regex::new(pattern).expect("patterns of our CRDs are valid");
        if !pattern_.is_match(text) {
            sentences.push(format!("{path} is \"{text}\"; it must match {pattern}."));
        }
    }
}

fn check_bounds(
    path: &str,
    count: usize,
    what: &str,
    schema: &Schema,
    suffix: &str,
    sentences: &mut Vec<String>,
) {
    let count = count as u64;
    if let Some(least) = schema[format!("min{suffix}")]
        .as_u64()
        .filter(|least| count < *least)
    {
        sentences.push(format!(
            "{path} has {count} {what}; it must have at least {least}."
        ));
    }
    if let Some(most) = schema[format!("max{suffix}")]
        .as_u64()
        .filter(|most| count > *most)
    {
        sentences.push(format!(
            "{path} has {count} {what}; it may have at most {most}."
        ));
    }
}

fn wrong_type(path: &str, value: &Value, expected: &str) -> String {
    let shown = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(value) => format!("the string \"{}\"", value.escape_debug()),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(_) => "a tagged value".to_owned(),
    };
    let wanted = match expected {
        "integer" => "a whole number",
        "string" => "a string",
        "boolean" => "true or false",
        "array" => "a list",
        "" => "a string, a number, true or false",
        _ => "a mapping of fields",
    };
    let mend = match (expected, value) {
        ("string", Value::Bool(value)) => format!("; write it in quotes: \"{value}\""),
        ("string", Value::Number(value)) => format!("; write it in quotes: \"{value}\""),
        ("integer", Value::String(text)) if text.parse::<i64>().is_ok() => {
            format!("; write it without quotes: {text}")
        }
        _ => String::new(),
    };
    format!("{path} must be {wanted}, not {shown}{mend}.")
}

fn unknown(path: &str, key: &Value, known: &[&str], sentences: &mut Vec<String>) {
    let key = match key {
        Value::String(key) => key.clone(),
        other => format!("{other:?}"),
    };
    let full = if path.is_empty() {
        key.clone()
    } else {
        format!("{path}.{key}")
    };
    let edits = |name: &str| strsim::levenshtein(&key.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().map(|name| (edits(name), name)).min();
    sentences.push(match nearest {
        Some((edits, name)) if edits <= 1 + key.len() / 4 => {
            format!("{full} is not a field; did you mean {name}?")
        }
        _ => format!(
            "{full} is not a field; the fields here are {}.",
            known.join(", ")
        ),
    });
}
