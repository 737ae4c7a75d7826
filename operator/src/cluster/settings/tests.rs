use std::collections::BTreeMap;

use expect_test::expect;

use super::{check, difference, is_dynamic, properties};
use crate::cluster::validate::{Observed, validate};
use crate::crd::KafkaCluster;
use crate::platform::local::{parse_settings, render_settings};
use crate::platform::{ClientEndpoint, Endpoints};
use crate::validated::ValidatedCluster;

fn cluster(spec: &str) -> ValidatedCluster {
    let cluster: KafkaCluster =
        serde_yaml::from_str(&format!("metadata: {{ name: q }}\nspec: {{ {spec} }}")).unwrap();
    validate(&cluster, Observed::default()).unwrap()
}

fn everywhere(brokers: i32) -> BTreeMap<i32, Endpoints> {
    let endpoints = |id: i32| Endpoints {
        clients: vec![ClientEndpoint {
            name: "internal".to_owned(),
            bind: format!("0.0.0.0:{}", 9092 + id),
            advertised: format!("127.0.0.1:{}", 9092 + id),
        }],
        peer_bind: format!("127.0.0.1:{}", 19092 + id),
        peer_advertised: format!("127.0.0.1:{}", 19092 + id),
        http_bind: format!("127.0.0.1:{}", 29092 + id),
        log_dir: format!("data/q-{id}").into(),
        certificates: "certs".into(),
        rack: None,
    };
    (0..brokers).map(|id| (id, endpoints(id))).collect()
}

#[test]
fn a_broker_has_all_it_needs_in_one_file() {
    let cluster = cluster("replicas: 4, durability: Replicated, config: { num.partitions: \"4\" }");
    let properties = properties(&cluster, 3, &everywhere(4));
    let text = render_settings(&properties);
    expect![[r#"
        # Written by ottla-operator; changes made here are overwritten.
        advertised.listeners=INTERNAL://127.0.0.1:9095
        controller.listener.names=CONTROLLER
        controller.quorum.voters=0@127.0.0.1:19092,1@127.0.0.1:19093,2@127.0.0.1:19094
        inter.broker.listener.name=INTERNAL
        listeners=INTERNAL://0.0.0.0:9095,CONTROLLER://127.0.0.1:19095
        log.dirs=data/q-3
        node.id=3
        num.partitions=4
        ottla.durability=Replicated
        ottla.http.listener=127.0.0.1:29095
    "#]]
    .assert_eq(&text);
    assert_eq!(parse_settings(&text), properties);
}

#[test]
fn a_change_is_dynamic_where_kafkas_is() {
    let before = cluster("config: { num.partitions: \"4\", log.retention.ms: \"5\", a: \"1\" }");
    let after = cluster("config: { num.partitions: \"6\", log.segment.bytes: \"7\", a: \"1\" }");
    let before = properties(&before, 0, &everywhere(3));
    let after = properties(&after, 0, &everywhere(3));
    expect![[r#"
        Difference {
            restart: {
                "num.partitions",
            },
            dynamic: {
                "log.retention.ms": None,
                "log.segment.bytes": Some(
                    "7",
                ),
            },
        }
    "#]]
    .assert_debug_eq(&difference(&before, &after));
}

#[test]
fn what_changes_without_a_restart_is_what_the_broker_says() {
    for key in [
        "log.retention.ms",
        "log.cleaner.backoff.ms",
        "message.max.bytes",
    ] {
        assert!(is_dynamic(key), "{key}");
    }
    for key in [
        "log.retention.hours",
        "log.dirs",
        "num.network.threads",
        "num.partitions",
    ] {
        assert!(!is_dynamic(key), "{key}");
    }
}

#[test]
fn what_brokers_would_refuse_is_refused_before_any_is_started_with_it() {
    let checked = |config: &str, is_our_version| {
        let mut everywhere = everywhere(3);
        let first = everywhere.get_mut(&0).unwrap();
        "${env:HOST_IP}:30001".clone_into(&mut first.clients[0].advertised);
        let cluster = cluster(&format!("config: {{ {config} }}"));
        check(&properties(&cluster, 0, &everywhere), is_our_version)
    };
    assert_eq!(checked("num.partitions: \"4\"", true), Ok(()));
    let refused = checked("num.partitions: many", true).unwrap_err();
    assert!(
        refused.starts_with("num.partitions=many is refused: give"),
        "{refused}"
    );
    let refused = checked("log.retention.ms: soon", false).unwrap_err();
    assert!(
        refused.starts_with("log.retention.ms=soon is refused"),
        "{refused}"
    );
    let unknown = checked("num.partition: \"4\"", true).unwrap_err();
    assert!(
        unknown.contains("did you mean 'num.partitions'?"),
        "{unknown}"
    );
    assert_eq!(
        checked("num.partition: \"4\", new.in.next.version: a", false),
        Ok(())
    );
}

/// What examples of Strimzi and other published clusters have in `spec.kafka.config`, as it stands
/// there: with numbers and booleans that have no quotes.
const PUBLISHED: &str = "
    offsets.topic.replication.factor: 3
    transaction.state.log.replication.factor: 3
    transaction.state.log.min.isr: 2
    default.replication.factor: 3
    min.insync.replicas: 2
    replica.selector.class: org.apache.kafka.common.replica.RackAwareReplicaSelector
    queued.max.requests: 500
    socket.send.buffer.bytes: 102400
    socket.receive.buffer.bytes: 102400
    replica.socket.timeout.ms: 30000
    request.timeout.ms: 30000
    log.cleaner.enable: true
    socket.request.max.bytes: 2004857600
    max.connections: 2147483647
    queued.max.request.bytes: -1
    group.consumer.session.timeout.ms: 45000
    metric.reporters: ''
    auto.create.topics.enable: \"false\"";

#[test]
fn what_published_clusters_have_starts_a_cluster() {
    let config = PUBLISHED.replace("\n", "\n    ");
    let yaml = format!("metadata: {{ name: q }}\nspec:\n  config:{config}\n");
    let cluster: KafkaCluster = serde_yaml::from_str(&yaml).unwrap();
    let cluster = validate(&cluster, Observed::default()).unwrap();
    assert_eq!(cluster.config.len(), PUBLISHED.trim().lines().count());
    let properties = properties(&cluster, 0, &everywhere(3));
    assert_eq!(check(&properties, true), Ok(()));
    assert_eq!(properties["log.cleaner.enable"], "true");
    assert_eq!(properties["queued.max.request.bytes"], "-1");
}
