use expect_test::expect;
use ottla_protocol::messages::configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};

use super::in_sync::{alter, item};
use super::*;
use crate::config::{ConfigMap, Value};
use crate::image::record::{AclRecord, ConfigRecord, FileConfigRecord};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn change(cluster: &mut Cluster, kind: i8, name: &str, changes: &[(&str, i8, &str)]) -> String {
    let config = |(name, operation, value): &(&str, i8, &str)| IncrementalAlterableConfig {
        name: (*name).to_owned(),
        config_operation: *operation,
        value: (*value != "null").then(|| (*value).to_owned()),
    };
    let response = cluster.ask(Request::IncrementalAlterConfigs(
        IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: kind,
                resource_name: name.to_owned(),
                configs: changes.iter().map(config).collect(),
            }],
            validate_only: false,
        },
    ));
    let Response::IncrementalAlterConfigs(response) = response else {
        panic!("{response:?}")
    };
    let r = &response.responses[0];
    outcome(r.error_code, r.error_message.as_deref()) + "\n"
}

#[test]
fn single_configs_are_set_deleted_appended_and_subtracted() {
    let mut cluster = Cluster::of(1);
    cluster.create("t", &[&[0]], &[("retention.ms", "5")]);
    let mut text = String::new();
    for changes in [
        &[("retention.ms", 0, "7"), ("max.message.bytes", 0, "9")][..],
        &[("max.message.bytes", 1, "null")],
        &[("cleanup.policy", 2, "compact")],
        &[("cleanup.policy", 2, "compact")],
        &[("cleanup.policy", 3, "delete")],
        &[("retention.ms", 2, "1")],
        &[("retention.ms", 0, "-2")],
        &[("retention.ms", 0, "null")],
        &[("retention.ms", 0, "1"), ("retention.ms", 1, "null")],
        &[("retention.ms", 8, "1")],
        &[("no.such", 0, "1")],
        &[
            ("min.compaction.lag.ms", 0, "9"),
            ("max.compaction.lag.ms", 0, "8"),
        ],
        &[("leader.replication.throttled.replicas", 0, "0:1,1:0")],
        &[("leader.replication.throttled.replicas", 0, "all")],
    ] {
        text += &change(&mut cluster, TOPIC, "t", changes);
    }
    text += &change(&mut cluster, TOPIC, "nowhere", &[("retention.ms", 0, "1")]);
    text += &change(&mut cluster, 9, "t", &[]);
    expect![[r#"
        ok
        ok
        ok
        ok
        ok
        INVALID_CONFIG: Can't APPEND or SUBTRACT to key retention.ms
        INVALID_CONFIG: Invalid value -2 for configuration retention
        INVALID_REQUEST: Null value not supported for configs: retent
        INVALID_REQUEST: Error due to duplicate config keys: retentio
        INVALID_REQUEST: Unknown config operation 8 for retention.ms.
        INVALID_CONFIG: Unknown topic config name: no.such
        INVALID_CONFIG: conflict topic config setting min.compaction
        ok
        INVALID_CONFIG: Invalid value all for configuration leader.r
        UNKNOWN_TOPIC_OR_PARTITION: The topic 'nowhere' does not exist.
        INVALID_REQUEST: Unexpected resource type 9 or name 't'.
    "#]]
    .assert_eq(&text);
    let resource = ConfigResource::Topic("t".into());
    let kept = cluster.metadata.image().configs_of(&resource).unwrap();
    let kept: String = kept.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
    expect![[r#"
        cleanup.policy=compact
        leader.replication.throttled.replicas=0:1,1:0
        retention.ms=7
    "#]]
    .assert_eq(&kept);
}

#[test]
fn brokers_have_configs_too() {
    let mut cluster = Cluster::of(2);
    let mut text = String::new();
    for (kind, name, config, value) in [
        (BROKER, "1", "log.retention.ms", "5"),
        (BROKER, "", "log.segment.bytes", "1048576"),
        (BROKER, "", "leader.replication.throttled.rate", "1000"),
        (BROKER, "", "log.retention.ms", "soon"),
        (BROKER, "", "log.retention.hours", "1"),
        (BROKER, "", "num.partitions", "4"),
        (BROKER, "", "plug.in", "4"),
        (BROKER, "1", "max.connections", "5"),
        (BROKER, "", "max.connections.per.ip", "5"),
        (BROKER, "", "max.connections.per.ip.overrides", "10.0.0.1:5"),
        (BROKER, "", "max.connections.per.ip.overrides", "five"),
        (BROKER, "", "producer.id.expiration.ms", "5"),
        (BROKER, "7", "log.retention.ms", "5"),
        (BROKER, "one", "log.retention.ms", "5"),
        (BROKER, "", "min.insync.replicas", "2"),
        (BROKER, "1", "min.insync.replicas", "1"),
        (BROKER, "1", "ssl.truststore.password", "secret"),
        (
            BROKER,
            "1",
            "listener.name.internal.ssl.keystore.location",
            "/k",
        ),
        (BROKER, "", "listener.name.internal.plug.in", "4"),
        (BROKER, "", "group.consumer.assignment.interval.ms", "4000"),
        (BROKER, "", "group.consumer.session.timeout.ms", "50000"),
    ] {
        text += &change(&mut cluster, kind, name, &[(config, 0, value)]);
    }
    expect![[r#"
        ok
        ok
        ok
        INVALID_CONFIG: Invalid value soon for configuration log.ret
        INVALID_REQUEST: Cannot update these configs dynamically: [lo
        INVALID_REQUEST: Cannot update these configs dynamically: [nu
        ok
        ok
        ok
        ok
        INVALID_CONFIG: Invalid value five for configuration max.con
        ok
        BROKER_ID_NOT_REGISTERED: No broker with id 7 found.
        INVALID_REQUEST: Unexpected resource type 4 or name 'one'.
        ok
        INVALID_CONFIG: min.insync.replicas is set for a topic or fo
        INVALID_REQUEST: These security configs can be dynamically up
        INVALID_REQUEST: Cannot update these configs dynamically: [li
        ok
        ok
        INVALID_REQUEST: Cannot update these configs dynamically: [gr
    "#]]
    .assert_eq(&text);
}

#[test]
fn groups_and_client_metrics_have_configs_too() {
    let mut cluster = Cluster::of(2);
    let mut text = String::new();
    for (kind, name, config, value) in [
        (32, "g", "consumer.session.timeout.ms", "45000"),
        (32, "g", "consumer.session.timeout.ms", "44999"),
        (32, "g", "streams.session.timeout.ms", "60001"),
        (32, "g", "streams.num.standby.replicas", "3"),
        (32, "g", "streams.num.standby.replicas", "2"),
        (32, "g", "share.heartbeat.interval.ms", "15000"),
        (32, "g", "share.heartbeat.interval.ms", "15001"),
        (32, "g", "share.auto.offset.reset", "by_duration:P1DT2H"),
        (32, "g", "share.auto.offset.reset", "by_duration:soon"),
        (32, "g", "nothing", "1"),
        (32, "", "consumer.session.timeout.ms", "45000"),
        (16, "m", "interval.ms", "1000"),
        (16, "m", "interval.ms", "5"),
        (16, "m", "match", "client_id=.*"),
        (16, "m", "match", "colour=red"),
    ] {
        text += &change(&mut cluster, kind, name, &[(config, 0, value)]);
    }
    expect![[r#"
        ok
        INVALID_CONFIG: consumer.session.timeout.ms must be greater
        INVALID_CONFIG: streams.session.timeout.ms must be less than
        INVALID_CONFIG: streams.num.standby.replicas must be less th
        ok
        ok
        INVALID_CONFIG: share.heartbeat.interval.ms must be less tha
        ok
        INVALID_CONFIG: Invalid value by_duration:soon for configura
        INVALID_CONFIG: Unknown group config name: nothing
        INVALID_REQUEST: Default resource is not allowed.
        ok
        INVALID_CONFIG: Invalid value 5 for configuration interval.m
        ok
        INVALID_CONFIG: Illegal client matching pattern: colour=red;
    "#]]
    .assert_eq(&text);
}

#[test]
fn replacing_all_removes_what_is_not_named() {
    let mut cluster = Cluster::of(1);
    cluster.create("t", &[&[0]], &[("retention.ms", "5"), ("segment.ms", "6")]);
    let response = cluster.ask(Request::AlterConfigs(AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: "t".to_owned(),
            configs: vec![AlterableConfig {
                name: "segment.ms".to_owned(),
                value: Some("7".to_owned()),
            }],
        }],
        validate_only: false,
    }));
    assert!(matches!(response, Response::AlterConfigs(r) if r.responses[0].error_code == 0));
    let resource = ConfigResource::Topic("t".into());
    let kept = cluster.metadata.image().configs_of(&resource).unwrap();
    assert_eq!(**kept, [("segment.ms".to_owned(), Value::Number(7))].into());
}

#[test]
fn nobody_stays_eligible_by_another_min_isr() {
    let mut cluster = Cluster::of(2);
    cluster.create("t", &[&[0, 1]], &[("min.insync.replicas", "2")]);
    let shrunk = item(&cluster, "t", &[0]);
    alter(&mut cluster, 0, shrunk);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1 isr 0 elr 1
    "#]]);
    change(&mut cluster, TOPIC, "t", &[("min.insync.replicas", 0, "1")]);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1 isr 0
    "#]]);
}

/// A newer broker may have recorded what this one does not know, or a form that it does not take.
#[test]
fn what_another_version_recorded_is_kept_and_nothing_goes_by_it() {
    let mut cluster = Cluster::of(1);
    cluster.create("t", &[&[0]], &[]);
    let topic = ConfigResource::Topic("t".into());
    for (name, text) in [
        ("segment.bytes", "1 GiB"),
        ("retention.ms", "P7D"),
        ("next.version.config", "on"),
    ] {
        let value = Value::Foreign(text.to_owned());
        let record = ConfigRecord::new(&topic, name, Some(&value));
        cluster.metadata.replay(&Record::Config(record));
    }
    let image = cluster.metadata.image();
    let config = image.topic_config(NodeId(0), &ConfigMap::new(), image.topic("t").unwrap());
    assert_eq!(config.segment_bytes, 1 << 30);
    assert_eq!(config.retention_ms, Some(604_800_000));

    let mut copy = Metadata::new(ConfigMap::new());
    copy.install(&image.to_records());
    assert_eq!(copy.image(), image);
    // and they do not stand in the way of what is set now
    let mut text = change(&mut cluster, TOPIC, "t", &[("segment.ms", 0, "9")]);
    text += &change(&mut cluster, TOPIC, "t", &[("retention.ms", 0, "1")]);
    assert_eq!(text, "ok\nok\n");
}

/// Broker `node` starts anew with a file that sets this min.insync.replicas.
fn start_with(cluster: &mut Cluster, node: i32, min_insync_replicas: Option<i64>) {
    let mut registration = cluster.registration(node);
    registration.configs = Some(FileConfigRecord::of(&file(min_insync_replicas)));
    cluster.ask(Request::RegisterBroker(registration));
    cluster.heartbeat(node, false);
}

fn file(min_insync_replicas: Option<i64>) -> ConfigMap {
    let set = min_insync_replicas.map(|number| {
        let name = "min.insync.replicas".to_owned();
        (name, Value::Number(number))
    });
    set.into_iter().collect()
}

#[test]
fn leaders_and_the_controller_agree_on_min_isr_whatever_their_files_say() {
    for (files, replicas, wanted) in [
        ([Some(1), Some(2), Some(1)], &[0, 1][..], 2),
        ([Some(2), Some(1), Some(1)], &[0, 1], 2),
        ([Some(1), Some(1), Some(1)], &[0, 1, 2], 1),
        ([None, Some(1), Some(1)], &[0, 1, 2], 2),
        ([Some(1), None, None], &[0, 1], 1),
        ([None, Some(3), None], &[0, 1, 2], 3),
        ([None, None, None], &[0, 1, 2], 2),
    ] {
        let statics = files[1].map(|number| number.to_string());
        let statics = statics.as_deref().map(|text| ("min.insync.replicas", text));
        let mut cluster = Cluster::with_statics(0, statics.as_slice());
        for (node, file) in files.into_iter().enumerate() {
            start_with(&mut cluster, node as i32, file);
        }
        cluster.create("t", &[replicas], &[]);
        let image = cluster.metadata.image();
        let topic = image.topic("t").unwrap();
        let controller = cluster.metadata.rules(topic).min_insync_replicas;
        assert_eq!(controller, wanted, "the controller, by {files:?}");
        for (node, said) in files.into_iter().enumerate() {
            let leader = image.topic_config(NodeId(node as i32), &file(said), topic);
            assert_eq!(
                leader.min_insync_replicas, wanted,
                "leader {node}, by {files:?}"
            );
        }
    }
}

#[test]
fn nobody_stays_eligible_when_a_file_changes_what_all_agree_on() {
    let mut cluster = Cluster::of(0);
    for node in 0..3 {
        start_with(&mut cluster, node, Some(2));
    }
    cluster.create("t", &[&[0, 1]], &[]);
    let shrunk = item(&cluster, "t", &[0]);
    alter(&mut cluster, 0, shrunk);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1 isr 0 elr 1
    "#]]);
    cluster.metadata.take_delta();
    start_with(&mut cluster, 2, Some(1));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1 isr 0 elr 1
    "#]]);
    start_with(&mut cluster, 2, Some(3));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1 isr 0
    "#]]);
    let delta = cluster.metadata.take_delta();
    assert!(delta.configs.contains(&ConfigResource::Cluster));
}

/// Whether brokers 0, 1 and 2 told what their files set; by whose file each then goes.
#[test]
fn while_a_broker_has_not_told_everybody_goes_by_the_own_file() {
    for (told, file_of, wanted) in [
        // of a version that tells nothing: the file may say anything
        ([true, true, false], 1, 1),
        ([false, false, false], 3, 3),
        ([true, false, true], 3, 3),
        ([true, true, true], 1, 1),
        ([true, true, true], 3, 1),
    ] {
        let text = file_of.to_string();
        let mut cluster = Cluster::with_statics(0, &[("min.insync.replicas", &text)]);
        for (node, told) in (0..).zip(told) {
            let mut registration = cluster.registration(node);
            registration.configs = told.then(|| FileConfigRecord::of(&file(Some(1))));
            cluster.ask(Request::RegisterBroker(registration));
            cluster.heartbeat(node, false);
        }
        cluster.create("t", &[&[0, 1, 2]], &[]);
        let mut copy = Metadata::new(file(Some(file_of)));
        copy.install(&cluster.metadata.image().to_records());
        for metadata in [&cluster.metadata, &copy] {
            let image = metadata.image();
            let topic = image.topic("t").unwrap();
            let controller = metadata.rules(topic).min_insync_replicas;
            let leader = image.topic_config(NodeId(0), &file(Some(file_of)), topic);
            let found = (controller, leader.min_insync_replicas);
            assert_eq!(found, (wanted, wanted), "{told:?} {file_of}");
        }
    }
}

/// The last broker that had not told does, or one that had is recorded by a version that leaves
/// it out: what holds changes, so nobody stays eligible by what held.
#[test]
fn nobody_stays_eligible_when_all_have_told_or_one_has_not() {
    for (before, after) in [(false, true), (true, false)] {
        let mut cluster = Cluster::with_statics(0, &[("min.insync.replicas", "2")]);
        for (node, told) in [(0, true), (1, true), (2, before)] {
            let mut registration = cluster.registration(node);
            registration.configs = told.then(|| FileConfigRecord::of(&file(Some(2))));
            cluster.ask(Request::RegisterBroker(registration));
            cluster.heartbeat(node, false);
        }
        cluster.create("t", &[&[0, 1]], &[]);
        let shrunk = item(&cluster, "t", &[0]);
        alter(&mut cluster, 0, shrunk);
        cluster.metadata.take_delta();
        let mut registration = cluster.registration(2);
        registration.configs = after.then(|| FileConfigRecord::of(&file(Some(1))));
        cluster.ask(Request::RegisterBroker(registration));
        cluster.check(expect![[r#"
            t-0 leader 0 epochs 0/2 replicas 0,1 isr 0
        "#]]);
        let delta = cluster.metadata.take_delta();
        assert!(delta.configs.contains(&ConfigResource::Cluster));
    }
}

/// Versions before this one limited neither values nor principals.
#[test]
fn records_that_hold_longer_strings_than_requests_may_are_read_and_kept() {
    let long = "1:0,".repeat(10_000);
    let record = |name: &str| {
        // type 7, version 0; Kafka's resource type of a topic
        let mut bytes = vec![0, 7, 0, 0, TOPIC as u8, 2, b't'];
        bytes.push(name.len() as u8 + 1);
        bytes.extend(name.bytes());
        let mut length = long.len() + 1;
        while length > 0x7f {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(long.bytes());
        bytes.push(0);
        bytes::Bytes::from(bytes)
    };
    let mut cluster = Cluster::of(1);
    cluster.create("t", &[&[0]], &[]);
    for name in ["leader.replication.throttled.replicas", "retention.ms"] {
        let bytes = record(name);
        let read = Record::decode(bytes.clone()).expect("a record of an older version");
        assert_eq!(read.encode(), Ok(bytes), "{name}");
        cluster.metadata.replay(&read);
        let values = cluster
            .metadata
            .image()
            .configs_of(&ConfigResource::Topic("t".into()));
        assert_eq!(
            values.unwrap()[name],
            Value::Foreign(long.clone()),
            "{name}"
        );
    }
    let acl = AclRecord {
        resource_type: 2,
        resource_name: "t".to_owned(),
        pattern_type: 3,
        principal: format!("User:{long}"),
        host: "*".to_owned(),
        operation: 3,
        permission: 3,
    };
    let acl = Record::Acl(acl).encode().expect("of any length");
    cluster
        .metadata
        .replay(&Record::decode(acl).expect("of any length"));
    let image = cluster.metadata.image();
    assert!(image.acls.iter().next().is_none(), "nobody has such a name");
    let mut copy = Metadata::new(ConfigMap::new());
    let snapshot = image.to_records().into_iter().map(|record| {
        let bytes = record.encode().expect("a snapshot holds it");
        Record::decode(bytes).expect("and is read back")
    });
    copy.install(&snapshot.collect::<Vec<_>>());
    assert_eq!(copy.image(), image);
}

#[test]
fn who_allows_an_unclean_election_need_not_wait_for_a_broker() {
    let key = "unclean.leader.election.enable";
    for (kind, name, own) in [
        (TOPIC, "t", None),
        (BROKER, "", None),
        (BROKER, "", Some("false")),
    ] {
        let mut cluster = Cluster::of(2);
        let configs: Vec<_> = own.iter().map(|value| (key, *value)).collect();
        cluster.create("t", &[&[0, 1]], &configs);
        let shrunk = item(&cluster, "t", &[0]);
        alter(&mut cluster, 0, shrunk);
        cluster.fence(0);
        let leader = |cluster: &Cluster| {
            let topic = cluster.metadata.image().topic("t").unwrap();
            topic.partitions[0].leader.map(|leader| leader.0)
        };
        assert_eq!(leader(&cluster), None);
        assert_eq!(
            change(&mut cluster, kind, name, &[(key, 0, "true")]),
            "ok\n"
        );
        let expected = own.is_none().then_some(1);
        assert_eq!(leader(&cluster), expected, "{kind} {name} {own:?}");
    }
}
