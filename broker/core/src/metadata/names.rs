//! What a topic may be called.

/// The longest topic name: with a partition's number it must make a directory's name.
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// The topic that Kafka's brokers keep metadata in; ours is elsewhere, and nobody may take the
/// name.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Topics that the brokers themselves write.
pub const INTERNAL_TOPICS: &[&str] = &[
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

/// Whether brokers write the topic themselves.
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// What is wrong with a topic's name; `None` where it will do.
pub fn invalid_topic_name(name: &str) -> Option<String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() {
        return Some("Topic name is invalid: the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return Some(format!("Topic name is invalid: '{name}' is not allowed"));
    }
    if name.len() > TOPIC_NAME_LENGTH_MAX {
        return Some(format!(
            "Topic name is invalid: the length of '{name}' is longer than the max allowed length \
             {TOPIC_NAME_LENGTH_MAX}"
        ));
    }
    (!name.chars().all(is_legal)).then(|| {
        format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'"
        )
    })
}

/// The form in which names must differ: metrics cannot tell '.' from '_'.
pub fn collision_form(name: &str) -> String {
    name.replace('.', "_")
}
