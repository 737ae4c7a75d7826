use expect_test::{Expect, expect};

use super::layers::default_min_insync_replicas;
use super::*;

fn statics(pairs: &[(&str, &str)]) -> ConfigMap {
    let value = |(name, text): &(&str, &str)| {
        let known = find(Scope::Broker, name).unwrap();
        ((*name).to_owned(), known.parse(text).unwrap())
    };
    pairs.iter().map(value).collect()
}

#[test]
fn a_name_stands_once_in_a_scope_and_every_default_is_valid() {
    for scope in [
        Scope::Broker,
        Scope::Topic,
        Scope::Group,
        Scope::ClientMetrics,
    ] {
        let mut seen = std::collections::BTreeSet::new();
        for name in names(scope) {
            assert!(seen.insert(name.name), "{scope:?} has {} twice", name.name);
        }
    }
    for key in table::keys().filter(|key| !key.default.is_empty()) {
        let own = key.names(key.scope).next().unwrap();
        let default = own.parse(key.default);
        assert_eq!(default.as_ref(), Ok(&key.default_value()), "{}", key.name);
        assert_eq!(default.unwrap().to_string(), key.default, "{}", key.name);
    }
    for scope in [Scope::Topic, Scope::Group, Scope::ClientMetrics] {
        assert!(table::keys_of(scope).is_sorted_by_key(|key| key.name));
    }
}

fn check(name: &str, values: &[&str], expect: Expect) {
    let name = find(Scope::Topic, name).unwrap();
    let lines = values.iter().map(|text| match name.parse(text) {
        Ok(value) => format!("{text:?} {value}\n"),
        Err(invalid) => format!("{text:?}: {}\n", invalid.reason),
    });
    expect.assert_eq(&lines.collect::<String>());
}

#[test]
fn numbers_are_checked_by_type_and_bounds() {
    check(
        "segment.bytes",
        &["1048576", " 2000000 ", "1048575", "2147483648", "", "1k"],
        expect![[r#"
            "1048576" 1048576
            " 2000000 " 2000000
            "1048575": Value must be at least 1048576
            "2147483648": Not a number of type INT
            "": Not a number of type INT
            "1k": Not a number of type INT
        "#]],
    );
    check(
        "retention.ms",
        &["-1", "-2", "9223372036854775807", "9223372036854775808"],
        expect![[r#"
            "-1" -1
            "-2": Value must be at least -1
            "9223372036854775807" 9223372036854775807
            "9223372036854775808": Not a number of type LONG
        "#]],
    );
    check(
        "compression.gzip.level",
        &["-1", "0", "9", "10"],
        expect![[r#"
            "-1" -1
            "0": Value must be between 1 and 9 or equal to -1
            "9" 9
            "10": Value must be between 1 and 9 or equal to -1
        "#]],
    );
    check(
        "compression.lz4.level",
        &["0", "17", "18"],
        expect![[r#"
            "0": Value must be at least 1
            "17" 17
            "18": Value must be no more than 17
        "#]],
    );
}

#[test]
fn fractions_words_and_lists_are_checked() {
    check(
        "min.cleanable.dirty.ratio",
        &["0.5", "-0.1", "1.1", "NaN"],
        expect![[r#"
            "0.5" 0.5
            "-0.1": Value must be at least 0
            "1.1": Value must be no more than 1
            "NaN": Not a number of type DOUBLE
        "#]],
    );
    check(
        "preallocate",
        &["TRUE", "false", "1"],
        expect![[r#"
        "TRUE" true
        "false" false
        "1": Expected value to be either true or false
    "#]],
    );
    check(
        "message.timestamp.type",
        &["CreateTime", "createtime"],
        expect![[r#"
            "CreateTime" CreateTime
            "createtime": String must be one of: CreateTime, LogAppendTime
        "#]],
    );
    check(
        "cleanup.policy",
        &["delete", "compact, delete", "", "delete,delete", "keep"],
        expect![[r#"
            "delete" delete
            "compact, delete" compact,delete
            "" 
            "delete,delete": delete is there twice
            "keep": String must be one of: compact, delete
        "#]],
    );
    check(
        "follower.replication.throttled.replicas",
        &["*", "0:1", "0:1,2:3", "*,0:1", "0", "a:b"],
        expect![[r#"
            "*" *
            "0:1" 0:1
            "0:1,2:3" 0:1,2:3
            "*,0:1": Expected * or [partition]:[broker],[partition]:[broker],...
            "0": Expected * or [partition]:[broker],[partition]:[broker],...
            "a:b": Expected * or [partition]:[broker],[partition]:[broker],...
        "#]],
    );
}

#[test]
fn the_strongest_layer_holds_and_all_are_told() {
    let statics = statics(&[
        ("log.retention.hours", "2"),
        ("log.segment.bytes", "2000000"),
    ]);
    let set = |scope, name: &str, text: &str| -> ConfigMap {
        [(name.to_owned(), recorded(scope, name, text))].into()
    };
    let cluster = set(Scope::Broker, "log.retention.ms", "7");
    let broker = set(Scope::Broker, "log.retention.ms", "8");
    let topic = set(Scope::Topic, "retention.ms", "9");
    let foreign = set(Scope::Topic, "retention.ms", "a week");
    let retention = table::key("retention.ms");
    let mut text = String::new();
    let mut layers = Layers {
        own: None,
        broker: None,
        cluster: None,
        statics: &statics,
        agreed: None,
    };
    for step in 0..5 {
        match step {
            1 => layers.cluster = Some(&cluster),
            2 => layers.broker = Some(&broker),
            3 => layers.own = Some(&topic),
            4 => layers.own = Some(&foreign),
            _ => {}
        }
        let (value, source) = layers.value(retention, None);
        text += &format!("(\"{value}\", {source:?})");
        for found in layers.all(retention, None) {
            text += &format!("\n  {:?}:{}={}", found.source, found.name, found.value);
        }
        text.push('\n');
    }
    expect![[r#"
        ("7200000", StaticBroker)
          StaticBroker:log.retention.hours=2
          Default:log.retention.hours=168
        ("7", DynamicDefaultBroker)
          DynamicDefaultBroker:log.retention.ms=7
          StaticBroker:log.retention.hours=2
          Default:log.retention.hours=168
        ("8", DynamicBroker)
          DynamicBroker:log.retention.ms=8
          DynamicDefaultBroker:log.retention.ms=7
          StaticBroker:log.retention.hours=2
          Default:log.retention.hours=168
        ("9", Topic)
          Topic:retention.ms=9
          DynamicBroker:log.retention.ms=8
          DynamicDefaultBroker:log.retention.ms=7
          StaticBroker:log.retention.hours=2
          Default:log.retention.hours=168
        ("8", DynamicBroker)
          DynamicBroker:log.retention.ms=8
          DynamicDefaultBroker:log.retention.ms=7
          StaticBroker:log.retention.hours=2
          Default:log.retention.hours=168
    "#]]
    .assert_eq(&text);
}

#[test]
fn min_insync_replicas_is_two_of_three_unless_somebody_says() {
    let said = statics(&[("min.insync.replicas", "1")]);
    let nothing = ConfigMap::new();
    let config = |statics: &ConfigMap, factor| {
        let image = crate::image::MetadataImage::default();
        TopicConfig::new(&image.layers(None, statics), factor)
    };
    assert_eq!(config(&nothing, 3).min_insync_replicas, 2);
    assert_eq!(config(&nothing, 2).min_insync_replicas, 1);
    assert_eq!(config(&said, 3).min_insync_replicas, 1);
    assert_eq!(default_min_insync_replicas(5), 2);
    expect![[r#"
        TopicConfig {
            is_deleted: true,
            is_compacted: false,
            retention_ms: Some(
                604800000,
            ),
            retention_bytes: None,
            compaction: Policy {
                min_cleanable_dirty_ratio: 0.5,
                min_compaction_lag_ms: 0,
                max_compaction_lag_ms: 9223372036854775807,
            },
            delete_retention_ms: 86400000,
            segment_bytes: 1073741824,
            segment_ms: 604800000,
            max_message_bytes: 1048588,
            is_log_append_time: false,
            message_timestamp_before_max_ms: 9223372036854775807,
            message_timestamp_after_max_ms: 3600000,
            min_insync_replicas: 2,
            unclean_leader_election_enable: false,
            durability: Fsync,
        }"#]]
    .assert_eq(&format!("{:#?}", config(&nothing, 3)));
}

#[test]
fn only_the_strongest_property_of_a_topic_default_is_dynamic() {
    let update = |name| find(Scope::Broker, name).map(|name| name.update);
    assert_eq!(update("log.retention.ms"), Some(Update::Dynamic));
    assert_eq!(update("log.retention.hours"), Some(Update::Restart));
    assert_eq!(update("num.network.threads"), Some(Update::Restart));
    assert_eq!(update("retention.ms"), None);
    let hours = find(Scope::Broker, "log.retention.hours").unwrap();
    assert_eq!(hours.parse("-1"), Ok(Value::Number(-1)));
    let wrong = find(Scope::Broker, "log.roll.hours").unwrap().parse("0");
    expect!["Invalid value 0 for configuration log.roll.hours: Value must be at least 1"]
        .assert_eq(&wrong.unwrap_err().to_string());
}

#[test]
fn values_are_written_as_kafka_writes_them() {
    let mut text = String::new();
    for (scope, name, given) in [
        (Scope::Topic, "cleanup.policy", " compact , delete "),
        (Scope::Topic, "preallocate", "TRUE"),
        (Scope::Topic, "min.cleanable.dirty.ratio", ".25"),
        (Scope::Topic, "min.cleanable.dirty.ratio", "1"),
        (Scope::Topic, "min.cleanable.dirty.ratio", "1e-5"),
        (Scope::Topic, "retention.ms", "+007"),
        (
            Scope::Broker,
            "log.cleaner.io.max.bytes.per.second",
            "10000000",
        ),
    ] {
        let value = find(scope, name).unwrap().parse(given).unwrap();
        text += &format!("{given}: {value}\n");
    }
    expect![[r#"
         compact , delete : compact,delete
        TRUE: true
        .25: 0.25
        1: 1.0
        1e-5: 1.0E-5
        +007: 7
        10000000: 1.0E7
    "#]]
    .assert_eq(&text);
}
