use std::fmt::Write;

use expect_test::{Expect, expect};
use ottla_core::config::recorded;
use ottla_core::image::record::Record;
use ottla_core::image::record::{BrokerRecord, ConfigRecord, TopicRecord};
use ottla_core::metadata::Metadata;
use ottla_protocol::ids::Uuid;

use super::*;

/// Topic `t` and broker 1, with a config on each kind of resource.
fn image() -> MetadataImage {
    let mut metadata = Metadata::new(ConfigMap::new());
    metadata.replay(&Record::Topic(TopicRecord {
        topic_id: Uuid([1; 16]),
        name: "t".to_owned(),
    }));
    metadata.replay(&Record::Broker(BrokerRecord {
        node_id: 1,
        ..BrokerRecord::default()
    }));
    for (kind, name, config, value) in [
        (TOPIC, "t", "retention.ms", "9"),
        (BROKER, "1", "log.retention.ms", "8"),
        (BROKER, "", "log.retention.ms", "7"),
        (BROKER, "", "num.io.threads", "4"),
        (BROKER, "", "leader.replication.throttled.rate", "9"),
        (BROKER, "", "plug.in", "secret"),
        (BROKER, "", "group.consumer.assignment.interval.ms", "4000"),
        (GROUP, "g", "consumer.session.timeout.ms", "50000"),
        (CLIENT_METRICS, "m", "interval.ms", "1000"),
    ] {
        let resource = ConfigResource::from_wire(kind, name).unwrap();
        let value = recorded(resource.scope(), config, value);
        let record = ConfigRecord::new(&resource, config, Some(&value));
        metadata.replay(&Record::Config(record));
    }
    metadata.image().clone()
}

/// The wanted configs of a resource, a line each: value, source, type, read only, synonyms.
fn check(kind: i8, name: &str, wanted: &[&str], expect: Expect) {
    let statics = [("log.retention.hours", "3"), ("node.id", "1")];
    let statics = statics.map(|(k, v)| (k.to_owned(), recorded(Scope::Broker, k, v)));
    let statics = statics.into();
    let view = View {
        access: &Access::unlimited(),
        image: &image(),
        here: NodeId(1),
        statics: &statics,
        synonyms: true,
        documentation: true,
    };
    let result = view.describe(&DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: Some(wanted.iter().map(|w| (*w).to_owned()).collect()),
    });
    let mut text = String::new();
    if let Some(message) = result.error_message {
        let code = ErrorCode::from(result.error_code).name();
        let cut: String = message.chars().take(60).collect();
        let _ = writeln!(text, "{code}: {}", cut.trim_end());
    }
    for c in result.configs {
        let value = c.value.as_deref().unwrap_or("null");
        let _ = write!(
            text,
            "{}={value} {} {}",
            c.name, c.config_source, c.config_type
        );
        if c.read_only {
            text.push_str(" read only");
        }
        for s in c.synonyms {
            let value = s.value.unwrap_or_default();
            let _ = write!(text, "\n  {}:{}={value}", s.source, s.name);
        }
        text.push('\n');
        assert!(c.documentation.is_some_and(|d| !d.is_empty()), "{}", c.name);
    }
    expect.assert_eq(&text);
}

#[test]
fn a_topic_tells_its_own_configs_and_the_brokers_defaults() {
    check(
        TOPIC,
        "t",
        &["retention.ms", "min.insync.replicas", "cleanup.policy"],
        expect![[r#"
            cleanup.policy=delete 5 7
              5:log.cleanup.policy=delete
            min.insync.replicas=1 5 3
              5:min.insync.replicas=1
            retention.ms=9 1 5
              1:retention.ms=9
              2:log.retention.ms=8
              3:log.retention.ms=7
              4:log.retention.hours=3
              5:log.retention.hours=168
        "#]],
    );
    check(
        TOPIC,
        "nowhere",
        &[],
        expect![[r#"
        UNKNOWN_TOPIC_OR_PARTITION: Topic nowhere does not exist.
    "#]],
    );
    check(
        TOPIC,
        "no/where",
        &[],
        expect![[r#"
        INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'no/where' contains one or more chara
    "#]],
    );
}

#[test]
fn a_broker_tells_settings_that_change_and_those_that_do_not() {
    let wanted = [
        "node.id",
        "log.retention.ms",
        "log.retention.hours",
        "num.io.threads",
        "group.consumer.assignment.interval.ms",
        "group.consumer.session.timeout.ms",
        "leader.replication.throttled.rate",
        "follower.replication.throttled.rate",
        "plug.in",
    ];
    check(
        BROKER,
        "1",
        &wanted,
        expect![[r#"
            group.consumer.assignment.interval.ms=4000 3 3
              3:group.consumer.assignment.interval.ms=4000
              5:group.consumer.assignment.interval.ms=1000
            group.consumer.session.timeout.ms=45000 5 3 read only
              5:group.consumer.session.timeout.ms=45000
            leader.replication.throttled.rate=9 3 5
              3:leader.replication.throttled.rate=9
              5:leader.replication.throttled.rate=9223372036854775807
            log.retention.hours=3 4 5 read only
              4:log.retention.hours=3
              5:log.retention.hours=168
            log.retention.ms=8 2 5
              2:log.retention.ms=8
              3:log.retention.ms=7
            node.id=1 4 3 read only
              4:node.id=1
              5:node.id=0
            num.io.threads=4 3 3
              3:num.io.threads=4
              5:num.io.threads=8
            plug.in=null 3 0
              3:plug.in=
        "#]],
    );
}

#[test]
fn all_brokers_tell_what_is_set_for_all_and_another_broker_nothing() {
    check(
        BROKER,
        "",
        &[],
        expect![[r#"
            group.consumer.assignment.interval.ms=4000 3 3
              3:group.consumer.assignment.interval.ms=4000
            leader.replication.throttled.rate=9 3 5
              3:leader.replication.throttled.rate=9
            log.retention.ms=7 3 5
              3:log.retention.ms=7
            num.io.threads=4 3 3
              3:num.io.threads=4
            plug.in=null 3 0
              3:plug.in=
        "#]],
    );
    check(
        BROKER,
        "2",
        &[],
        expect![[r#"
        INVALID_REQUEST: Unexpected broker id, expected 1 or empty string, but receiv
    "#]],
    );
    check(
        BROKER_LOGGER,
        "1",
        &[],
        expect![[r#"
        INVALID_REQUEST: Log levels are set when the broker starts; there are no logg
    "#]],
    );
}

#[test]
fn groups_and_subscriptions_tell_what_is_set_and_what_is_not() {
    let wanted = [
        "consumer.assignment.interval.ms",
        "consumer.session.timeout.ms",
        "share.auto.offset.reset",
    ];
    check(
        GROUP,
        "g",
        &wanted,
        expect![[r#"
            consumer.assignment.interval.ms=4000 3 3
              3:group.consumer.assignment.interval.ms=4000
              5:group.consumer.assignment.interval.ms=1000
            consumer.session.timeout.ms=50000 8 3
              8:consumer.session.timeout.ms=50000
              5:group.consumer.session.timeout.ms=45000
            share.auto.offset.reset=latest 5 2
              5:share.auto.offset.reset=latest
        "#]],
    );
    check(
        CLIENT_METRICS,
        "m",
        &[],
        expect![[r#"
            interval.ms=1000 7 3
              7:interval.ms=1000
            match= 5 7
            metrics= 5 7
        "#]],
    );
    check(
        GROUP,
        "",
        &[],
        expect![[r#"
        INVALID_REQUEST: A resource of this type must have a name.
    "#]],
    );
    check(
        77,
        "x",
        &[],
        expect![[r#"
        INVALID_REQUEST: Unsupported resource type: 77
    "#]],
    );
}

/// Of each setting: its type, its default and what it takes to change it, here and on the page.
#[test]
fn docs_configuration_says_of_every_setting_what_describe_configs_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let view = View {
        access: &Access::unlimited(),
        image: &image(),
        here: NodeId(1),
        statics: &ConfigMap::new(),
        synonyms: true,
        documentation: true,
    };
    let described = view.describe(&DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: "1".to_owned(),
        configuration_keys: None,
    });
    assert!(described.configs.len() > 350);
    let of_the_table = described.configs.into_iter();
    for config in of_the_table.filter(|config| config.config_type != UNKNOWN_TYPE) {
        let name = &config.name;
        let update = match config.read_only {
            true => "needs a restart",
            false => "changes while running",
        };
        let row = format!("\n| `{name}` |");
        if let Some((_, row)) = page.split_once(&row) {
            let row = row.lines().next().unwrap();
            assert!(row.contains(&format!("| {update} |")), "{name}: {row}");
            continue;
        }
        let Some((_, section)) = page.split_once(&format!("\n## {name}\n\n")) else {
            assert!(
                page.contains(&format!("; also `{name}`")),
                "{name} is not on the page"
            );
            continue;
        };
        let facts = section.split("\n\n").next().unwrap().replace('\n', " ");
        let kind = match config.config_type {
            1 => "boolean",
            2 => "string",
            3 => "int",
            4 => "short",
            5 => "long",
            6 => "double",
            7 => "list",
            8 => "class",
            _ => "password",
        };
        let default = config.synonyms.last().and_then(|s| s.value.clone());
        // that of a password is told as little as a password
        let default = match default.unwrap_or_default().as_str() {
            "" => "empty".to_owned(),
            text => format!("`{text}`"),
        };
        let wanted = format!("{kind}, default {default}");
        assert!(facts.starts_with(&wanted), "{name}: {facts}, not {wanted}");
        assert!(
            facts.contains(&format!(", {update}")),
            "{name}: {facts}, not {update}"
        );
        let text = config.documentation.unwrap();
        let sentence: Vec<&str> = text.split_whitespace().take(4).collect();
        let words: Vec<&str> = section.split_whitespace().collect();
        assert!(
            words.join(" ").contains(&sentence.join(" ")),
            "{name}: {text}"
        );
    }
}

#[test]
fn a_password_is_told_to_nobody() {
    let secret = recorded(Scope::Broker, "ssl.keystore.password", "hush");
    let view = View {
        access: &Access::unlimited(),
        image: &image(),
        here: NodeId(1),
        statics: &[("ssl.keystore.password".to_owned(), secret)].into(),
        synonyms: true,
        documentation: true,
    };
    let told = view.describe(&DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: "1".to_owned(),
        configuration_keys: Some(vec!["ssl.keystore.password".to_owned()]),
    });
    assert!(told.configs[0].is_sensitive);
    assert!(!format!("{told:?}").contains("hush"));
}
