use expect_test::{Expect, expect};

use super::effective::default_min_insync_replicas;
use super::topic::TOPIC_CONFIGS;
use super::*;
use crate::image::ConfigMap;

fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    let pairs = pairs.iter();
    pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

#[test]
fn tables_are_in_order_and_every_default_is_valid() {
    for table in [
        TOPIC_CONFIGS,
        group::GROUP_CONFIGS,
        client_metrics::CLIENT_METRICS_CONFIGS,
        broker::BROKER_CONFIGS,
    ] {
        assert!(table.is_sorted_by_key(|key| key.name));
        for key in table.iter().filter(|key| !key.default.is_empty()) {
            assert_eq!(key.validate(key.default), Ok(()), "{}", key.name);
        }
    }
}

fn check(name: &str, values: &[&str], expect: Expect) {
    let key = find(TOPIC_CONFIGS, name).unwrap();
    let lines = values.iter().map(|value| match key.validate(value) {
        Ok(()) => format!("{value:?} ok\n"),
        Err(invalid) => format!("{value:?} {}\n", invalid.reason),
    });
    expect.assert_eq(&lines.collect::<String>());
}

#[test]
fn numbers_are_checked_by_type_and_bounds() {
    check(
        "segment.bytes",
        &["1048576", " 2000000 ", "1048575", "2147483648", "", "1k"],
        expect![[r#"
            "1048576" ok
            " 2000000 " ok
            "1048575" Value must be at least 1048576
            "2147483648" Not a number of type INT
            "" Not a number of type INT
            "1k" Not a number of type INT
        "#]],
    );
    check(
        "retention.ms",
        &["-1", "-2", "9223372036854775807", "9223372036854775808"],
        expect![[r#"
            "-1" ok
            "-2" Value must be at least -1
            "9223372036854775807" ok
            "9223372036854775808" Not a number of type LONG
        "#]],
    );
    check(
        "compression.gzip.level",
        &["-1", "0", "9", "10"],
        expect![[r#"
            "-1" ok
            "0" Value must be between 1 and 9 or equal to -1
            "9" ok
            "10" Value must be between 1 and 9 or equal to -1
        "#]],
    );
    check(
        "compression.lz4.level",
        &["0", "17", "18"],
        expect![[r#"
            "0" Value must be at least 1
            "17" ok
            "18" Value must be no more than 17
        "#]],
    );
}

#[test]
fn fractions_words_and_lists_are_checked() {
    check(
        "min.cleanable.dirty.ratio",
        &["0.5", "-0.1", "1.1", "NaN"],
        expect![[r#"
            "0.5" ok
            "-0.1" Value must be at least 0
            "1.1" Value must be no more than 1
            "NaN" Not a number of type DOUBLE
        "#]],
    );
    check(
        "preallocate",
        &["TRUE", "false", "1"],
        expect![[r#"
        "TRUE" ok
        "false" ok
        "1" Expected value to be either true or false
    "#]],
    );
    check(
        "message.timestamp.type",
        &["CreateTime", "createtime"],
        expect![[r#"
            "CreateTime" ok
            "createtime" String must be one of: CreateTime, LogAppendTime
        "#]],
    );
    check(
        "cleanup.policy",
        &["delete", "compact, delete", "", "delete,delete", "keep"],
        expect![[r#"
            "delete" ok
            "compact, delete" ok
            "" ok
            "delete,delete" delete is there twice
            "keep" String must be one of: compact, delete
        "#]],
    );
    check(
        "follower.replication.throttled.replicas",
        &["*", "0:1", "0:1,2:3", "*,0:1", "0", "a:b"],
        expect![[r#"
            "*" ok
            "0:1" ok
            "0:1,2:3" ok
            "*,0:1" Expected * or [partition]:[broker],[partition]:[broker],...
            "0" Expected * or [partition]:[broker],[partition]:[broker],...
            "a:b" Expected * or [partition]:[broker],[partition]:[broker],...
        "#]],
    );
}

#[test]
fn the_strongest_layer_holds_and_all_are_told() {
    use crate::image::record::{ConfigRecord, Record};
    use crate::metadata::Metadata;
    use ottla_protocol::ids::NodeId;
    let resource = crate::image::ConfigResource::from_wire;
    let mut metadata = Metadata::new(ConfigMap::new());
    let statics = map(&[
        ("log.retention.hours", "2"),
        ("log.segment.bytes", "2000000"),
    ]);
    let retention = find(TOPIC_CONFIGS, "retention.ms").unwrap();
    let mut text = String::new();
    for (kind, name, config, value) in [
        (2, "", "", ""),
        (4, "", "log.retention.ms", "7"),
        (4, "1", "log.retention.ms", "8"),
        (2, "t", "retention.ms", "9"),
    ] {
        if kind == 4 || name == "t" {
            let resource = resource(kind, name).unwrap();
            let record = ConfigRecord::new(&resource, config, Some(value.into()));
            metadata.replay(&Record::Config(record));
        }
        let image = metadata.image();
        let layers = Layers::of_broker(image, NodeId(1), &statics).with_topic(image, "t");
        text += &format!("{:?}", layers.value(retention));
        for found in layers.all(retention) {
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
    "#]]
    .assert_eq(&text);
}

#[test]
fn min_insync_replicas_is_two_of_three_unless_somebody_says() {
    let image = crate::image::MetadataImage::default();
    let said = map(&[("min.insync.replicas", "1")]);
    let nothing = ConfigMap::new();
    let config = |statics: &ConfigMap, factor| {
        TopicConfig::from_layers(&Layers::of_cluster(&image, statics), factor)
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
            is_replicated_durability: false,
        }"#]]
    .assert_eq(&format!("{:#?}", config(&nothing, 3)));
}

#[test]
fn only_the_strongest_property_of_a_topic_default_is_dynamic() {
    assert!(broker::find("log.retention.ms").is_some());
    assert!(broker::find("log.retention.hours").is_none());
    assert!(broker::topic_default("log.retention.hours").is_some());
    assert!(broker::topic_default("log.dirs").is_none());
    assert!(broker::validate_topic_default("log.retention.hours", "-1").is_ok());
    let wrong = broker::validate_topic_default("log.roll.hours", "0");
    expect!["Invalid value 0 for configuration log.roll.hours: Value must be at least 1"]
        .assert_eq(&wrong.unwrap_err().to_string());
}

#[test]
fn the_page_names_every_config_and_fits_its_width() {
    let page = markdown::topic_configuration();
    for key in TOPIC_CONFIGS {
        assert!(page.contains(&format!("\n## {}\n", key.name)));
    }
    assert!(page.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_documentation_is_fresh() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/topic-configuration.md"
    );
    let page = markdown::topic_configuration();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let stale = "docs/topic-configuration.md is stale: run the test with UPDATE_DOCS=1";
    assert!(kept == page, "{stale}");
}
