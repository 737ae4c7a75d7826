mod controllers;

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::{Observed, validate};
use crate::crd::KafkaCluster;
use crate::manifest;
use crate::testing::fold;

fn check(name: &str, spec: &str, observed: Observed, expected: Expect) {
    let cluster: KafkaCluster =
        serde_yaml::from_str(&format!("metadata: {{ name: {name} }}\nspec: {{ {spec} }}")).unwrap();
    let shown = match validate(&cluster, observed) {
        Err(verdict) => format!("{}: {}", verdict.reason.word, verdict.message),
        Ok(valid) => {
            let mut shown = format!(
                "{} brokers, voters {:?}, config {:?}, unmanaged {:?}",
                valid.replicas, valid.voters, valid.config, valid.unmanaged
            );
            for verdict in valid.refused {
                shown += &format!("\n{}: {}", verdict.reason.word, verdict.message);
            }
            shown
        }
    };
    expected.assert_eq(&fold(&shown));
}

const NEW: Observed = Observed {
    brokers: 0,
    controllers: BTreeSet::new(),
    voters: BTreeSet::new(),
    mutual_tls: None,
};

fn three() -> Observed {
    Observed {
        brokers: 3,
        voters: [0, 1, 2].into(),
        ..NEW
    }
}

#[test]
fn sizes() {
    check(
        "q",
        "",
        NEW,
        expect![[r#"
        3 brokers, voters {0, 1, 2}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "replicas: 2",
        NEW,
        expect![[r#"
        2 brokers, voters {0}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "replicas: 5, controllers: 5",
        NEW,
        expect![[r#"
        5 brokers, voters {0, 1, 2, 3, 4}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "replicas: 5",
        three(),
        expect![[r#"
        5 brokers, voters {0, 1, 2}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "replicas: 5",
        Observed {
            brokers: 1,
            voters: [0].into(),
            ..NEW
        },
        expect![[r#"
            5 brokers, voters {0, 1, 2}, config {}, unmanaged {}
        "#]],
    );
    check(
        "q",
        "replicas: 0",
        NEW,
        expect![[r#"
        InvalidSpec: spec.replicas is 0; it must be from 1 to 100.
    "#]],
    );
    check(
        "q",
        "replicas: 1, controllers: 3",
        NEW,
        expect![[r#"
        InvalidSpec: spec.controllers is 3 but there are only 1 brokers; controllers are
            brokers, so raise spec.replicas or lower spec.controllers.
    "#]],
    );
    check(
        "q",
        "controllers: 2",
        NEW,
        expect![[r#"
        InvalidSpec: spec.controllers is 2; it must be 1, 3 or 5.
    "#]],
    );
}

#[test]
fn files_name_those_that_vote_and_those_that_are_to() {
    check(
        "q",
        "replicas: 1",
        three(),
        expect![[r#"
        3 brokers, voters {0, 1, 2}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "replicas: 5, controllers: 5",
        three(),
        expect![[r#"
        5 brokers, voters {0, 1, 2, 3, 4}, config {}, unmanaged {}
    "#]],
    );
}

#[test]
fn names() {
    check(
        "Orders",
        "",
        NEW,
        expect![[r#"
        InvalidSpec: metadata.name is "Orders"; a cluster's name is at most 40
            lower-case letters, digits and dashes and starts with a letter.
    "#]],
    );
    check(
        "o-",
        "",
        NEW,
        expect![[r#"
        InvalidSpec: metadata.name is "o-"; a cluster's name is at most 40 lower-case
            letters, digits and dashes and starts with a letter.
    "#]],
    );
}

#[test]
fn config_is_kafkas_and_not_ours() {
    check(
        "q",
        "config: { num.partitions: \"4\", log.retention.ms: }",
        NEW,
        expect![[r#"
            3 brokers, voters {0, 1, 2}, config {"num.partitions": "4"}, unmanaged
                {"log.retention.ms"}
        "#]],
    );
    check(
        "q",
        "config: { node.id: \"4\" }",
        NEW,
        expect![[r#"
        InvalidSpec: spec.config may not set node.id: it is the ordinal of the pod.
    "#]],
    );
    check(
        "q",
        "config: { \"a b\": \"4\" }",
        NEW,
        expect![[r#"
        InvalidSpec: spec.config has the key "a b", which is not a setting of Kafka's.
    "#]],
    );
    check(
        "q",
        "config: { a: \"4\\nnode.id=7\" }",
        NEW,
        expect![[r#"
        InvalidSpec: spec.config.a has a line break or another control character; values
            are one line.
    "#]],
    );
}

#[test]
fn listeners_do_not_clash() {
    check(
        "q",
        "listeners: []",
        NEW,
        expect![[r#"
        InvalidSpec: spec.listeners is empty; remove the field or name a listener of
            type Internal.
    "#]],
    );
    check(
        "q",
        "listeners: [{name: a, port: 9092, type: NodePort}]",
        NEW,
        expect![[r#"
            InvalidSpec: spec.listeners[0] (a) must be of type Internal, because brokers
                replicate over it.
        "#]],
    );
    check(
        "q",
        "listeners: [{name: a, port: 9404}]",
        NEW,
        expect![[r#"
            InvalidSpec: spec.listeners[0].port is 9404, which brokers use themselves;
                choose another.
        "#]],
    );
    check(
        "q",
        "listeners: [{name: a, port: 9092}, {name: b, port: 9092}]",
        NEW,
        expect![[r#"
            InvalidSpec: spec.listeners[1] has the name or the port of another listener;
                each needs its own.
        "#]],
    );
}

#[test]
fn a_listener_is_named_so_that_a_port_and_a_service_can_be() {
    let named = |name: &str, type_: &str, expected: Expect| {
        let first = "{name: internal, port: 9092}";
        let other = format!("{{name: {name}, port: 9093, type: {type_}}}");
        check(
            "q",
            &format!("listeners: [{first}, {other}]"),
            NEW,
            expected,
        );
    };
    named(
        "peer",
        "Internal",
        expect![[r#"
            InvalidSpec: spec.listeners[1].name is "peer": brokers have a port of that name
                themselves; choose another.
        "#]],
    );
    named(
        "a--b",
        "Internal",
        expect![[r#"
            InvalidSpec: spec.listeners[1].name is "a--b": the name of a port has no two
                dashes in a row.
        "#]],
    );
    let cluster = "q".repeat(40);
    let listeners = "listeners: [{name: internal, port: 9092}, \
                     {name: outside-world, port: 9093, type: NodePort}]";
    check(
        &cluster,
        listeners,
        NEW,
        expect![[r#"
            InvalidSpec: spec.listeners[1].name is "outside-world": Services are named after
                it and the cluster, which have 53 letters together, and 52 at most are
                allowed; choose a shorter one.
        "#]],
    );
}

/// What is wrong with a template, of which this is the pod.
fn pod(fields: &str, expected: Expect) {
    check(
        "q",
        &format!("template: {{ pod: {{ {fields} }} }}"),
        NEW,
        expected,
    );
}

#[test]
fn a_template_takes_nothing_of_the_operators() {
    pod(
        "labels: { app.kubernetes.io/name: x }",
        expect![[r#"
        InvalidSpec: spec.template.pod.labels may not set app.kubernetes.io/name: the
            cluster's objects are found by it.
    "#]],
    );
    pod(
        "annotations: { ottla.io/rack: a }",
        expect![[r#"
        InvalidSpec: spec.template.pod.annotations may not set ottla.io/rack: what
            begins with ottla.io/ is the operator's.
    "#]],
    );
    pod(
        "env: [{ name: POD_NAME, value: x }]",
        expect![[r#"
        InvalidSpec: spec.template.pod.env has the name POD_NAME, which is the
            operator's own; choose another.
    "#]],
    );
    pod(
        "volumes: [{ name: data, emptyDir: {} }]",
        expect![[r#"
        InvalidSpec: spec.template.pod.volumes has the name data, which is the
            operator's own; choose another.
    "#]],
    );
    pod(
        "containers: [{ name: broker, image: x }]",
        expect![[r#"
        InvalidSpec: spec.template.pod.containers has the name broker, which is the
            operator's own; choose another.
    "#]],
    );
    pod(
        "containers: [{ name: a, image: x }], initContainers: [{ name: a }]",
        expect![[r#"
            InvalidSpec: spec.template.pod.containers has the name a, twice; choose another.
        "#]],
    );
}

#[test]
fn a_template_mounts_nothing_over_the_brokers_own() {
    pod(
        "volumeMounts: [{ name: tls, mountPath: /tls }]",
        expect![[r#"
            InvalidSpec: spec.template.pod.volumeMounts[0].name is tls, which is none of
                spec.template.pod.volumes.
        "#]],
    );
    let under = |path: &str| {
        format!(
            "volumes: [{{ name: x, emptyDir: {{}} }}], \
             volumeMounts: [{{ name: x, mountPath: {path} }}]"
        )
    };
    pod(
        &under("/etc/ottla/config/"),
        expect![[r#"
        InvalidSpec: spec.template.pod.volumeMounts[0].mountPath is /etc/ottla/config/,
            but /etc/ottla is the broker's own; choose another.
    "#]],
    );
    pod(
        &under("/etc"),
        expect![[r#"
        InvalidSpec: spec.template.pod.volumeMounts[0].mountPath is /etc, but /etc/ottla
            is the broker's own; choose another.
    "#]],
    );
    pod(
        &under("/etc/ottla2"),
        expect![[r#"
        3 brokers, voters {0, 1, 2}, config {}, unmanaged {}
    "#]],
    );
}

#[test]
fn a_field_that_pods_have_not_is_named() {
    pod(
        "containers: [{ name: a, imagee: x }]",
        expect![[r#"
        InvalidSpec: spec.template.pod.containers[0].imagee is not a field of a pod.
    "#]],
    );
    pod(
        "containers: [{ name: a, ports: [{ containerPort: x }] }]",
        expect![[r#"
            InvalidSpec: spec.template.pod.containers[0]: invalid type: string "x", expected
                i32.
        "#]],
    );
    pod(
        "affinity: { nodeAffinty: {} }",
        expect![[r#"
        InvalidSpec: spec.template.pod.affinity.nodeAffinty is not a field of a pod.
    "#]],
    );
    pod(
        "affinity: { nodeAffinty: { a: b } }",
        expect![[r#"
        InvalidSpec: spec.template.pod.affinity.nodeAffinty is not a field of a pod.
    "#]],
    );
    pod(
        "volumes: [{ name: a, configMap: { name: x, items: [{ key: a, paht: b }] } }]",
        expect![[r#"
            InvalidSpec: spec.template.pod.volumes[0].configMap.items[0].paht is not a field
                of a pod.
        "#]],
    );
}

#[test]
fn a_broker_has_time_to_leave_in_order() {
    pod(
        "terminationGracePeriodSeconds: 20",
        expect![[r#"
        InvalidSpec: a broker is killed after 20 s, but leaving in order may take it
            20000 ms; set spec.template.pod.terminationGracePeriodSeconds to at least
            25, or lower ottla.controlled.shutdown.timeout.ms in spec.config.
    "#]],
    );
    check(
        "q",
        "config: { ottla.controlled.shutdown.timeout.ms: '60000' }",
        NEW,
        expect![[r#"
            3 brokers, voters {0, 1, 2}, config {"ottla.controlled.shutdown.timeout.ms":
                "60000"}, unmanaged {}
        "#]],
    );
    check(
        "q",
        "config: { ottla.controlled.shutdown.timeout.ms: '60000' }, \
         template: { pod: { terminationGracePeriodSeconds: 65 } }",
        NEW,
        expect![[r#"
            3 brokers, voters {0, 1, 2}, config {"ottla.controlled.shutdown.timeout.ms":
                "60000"}, unmanaged {}
        "#]],
    );
}

#[test]
fn where_nobody_says_how_long_a_broker_may_take_it_has_what_it_needs() {
    let grace = |shutdown_ms: &str| {
        let name = "ottla.controlled.shutdown.timeout.ms".to_owned();
        let config = std::collections::BTreeMap::from([(name, shutdown_ms.to_owned())]);
        let valid = super::template::check(None, &config).unwrap();
        valid.pod.termination_grace_seconds
    };
    assert_eq!(grace("20000"), 60);
    assert_eq!(grace("60000"), 65);
    assert_eq!(grace("60001"), 66);
}

#[test]
fn the_examples_are_taken() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let folders = std::fs::read_dir(examples).unwrap();
    let mut clusters = 0;
    for folder in folders {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let parsed = manifest::parse("example", &std::fs::read_to_string(&path).unwrap());
            assert_eq!(parsed.problems, [], "{}", path.display());
            for object in parsed.objects {
                if let manifest::Object::Cluster(cluster) = object {
                    clusters += 1;
                    let taken = validate(&cluster, Observed::default());
                    assert!(taken.is_ok_and(|valid| valid.refused.is_empty()));
                }
            }
        }
    }
    assert!(clusters >= 2);
}

#[test]
fn certificates_are_renewed_whatever_is_said_of_them() {
    check(
        "q",
        "certificates: { brokers: { renewalDays: 90 } }",
        NEW,
        expect![[r#"
            3 brokers, voters {0, 1, 2}, config {}, unmanaged {}
            InvalidSpec: spec.certificates.brokers hold for 90 days and are renewed 90 days
                before; validityDays is from 2 to 36500, renewalDays from 1, renewalDays
                must be less than validityDays, and authorities.renewalDays must be at most
                half of their validityDays. They hold as by default meanwhile.
        "#]],
    );
}
