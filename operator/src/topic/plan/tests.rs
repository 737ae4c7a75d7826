//! YAML in, plan out; conflicts too.

use expect_test::{Expect, expect};

use super::super::conflicts::{Claim, Standing, standings};
use super::super::validate::{cluster_key, topic_name, validate};
use super::{plan, plan_deletion};
use crate::crd::KafkaTopic;
use crate::crd::topic::KafkaTopicStatus;
use crate::object::ObjectKey;
use crate::observed::{ObservedPartition, ObservedTopic};
use crate::testing::fold;

fn topic(spec: &str) -> KafkaTopic {
    serde_yaml::from_str(&format!(
        "metadata: {{ name: payments }}\nspec:\n  clusterRef: {{ name: orders }}\n{spec}"
    ))
    .unwrap()
}

fn observed(partitions: usize, replicas: i32, config: &[(&str, &str)]) -> ObservedTopic {
    let partition = ObservedPartition {
        has_leader: true,
        replicas: (0..replicas).collect(),
        isr: (0..replicas).collect(),
        ..ObservedPartition::default()
    };
    ObservedTopic {
        topic_id: "id".to_owned(),
        partitions: vec![partition; partitions],
        config: config
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    }
}

fn show(topic: &KafkaTopic, observed: Option<&ObservedTopic>) -> String {
    let validated = match validate(topic) {
        Ok(validated) => validated,
        Err(verdict) => return format!("{}: {}\n", verdict.reason.word, verdict.message),
    };
    let plan = plan(&validated, observed, 3);
    let changes = plan.changes.iter().map(|change| format!("{change:?}\n"));
    let refused = plan
        .refused
        .iter()
        .map(|verdict| format!("{}: {}\n", verdict.reason.word, verdict.message));
    changes.chain(refused).collect()
}

fn check(spec: &str, exists: Option<ObservedTopic>, expected: Expect) {
    expected.assert_eq(&fold(&show(&topic(spec), exists.as_ref())));
}

#[test]
fn a_missing_topic_is_created() {
    check(
        "",
        None,
        expect![[r#"
        Create { partitions: None, replication_factor: None, config: {} }
    "#]],
    );
    check(
        "  partitions: 12\n  replicationFactor: 3\n  config: { retention.ms: '1', segment.ms: }",
        None,
        expect![[r#"
            Create { partitions: Some(12), replication_factor: Some(3), config:
                {"retention.ms": "1"} }
        "#]],
    );
    check(
        "  replicationFactor: 4",
        None,
        expect![[r#"
            ReplicationFactorAboveBrokers: spec.replicationFactor is 4 but the cluster has 3
                brokers; lower it or raise spec.replicas of the KafkaCluster.
        "#]],
    );
}

#[test]
fn partitions_grow_and_never_shrink() {
    check(
        "  partitions: 12",
        Some(observed(6, 3, &[])),
        expect![[r#"
        AddPartitions { total: 12 }
    "#]],
    );
    check(
        "  partitions: 12",
        Some(observed(12, 3, &[])),
        expect![[""]],
    );
    check(
        "  partitions: 4",
        Some(observed(6, 3, &[])),
        expect![[r#"
            PartitionsDecreased: spec.partitions is 4 but the topic has 6, and partitions
                cannot be removed without losing their records; set it to 6 or more.
        "#]],
    );
    check("", Some(observed(6, 3, &[])), expect![[""]]);
}

#[test]
fn a_refused_part_does_not_hold_up_the_rest() {
    check(
        "  partitions: 4\n  replicationFactor: 2\n  config: { retention.ms: \"5\" }",
        Some(observed(
            6,
            3,
            &[("retention.ms", "4"), ("segment.ms", "9")],
        )),
        expect![[r#"
            AlterConfig { set: {"retention.ms": "5"}, delete: {} }
            PartitionsDecreased: spec.partitions is 4 but the topic has 6, and partitions
                cannot be removed without losing their records; set it to 6 or more.
        "#]],
    );
    check(
        "  replicationFactor: 5",
        Some(observed(6, 3, &[])),
        expect![[r#"
            ReplicationFactorAboveBrokers: spec.replicationFactor is 5 but the cluster has 3
                brokers; lower it or raise spec.replicas of the KafkaCluster.
        "#]],
    );
}

#[test]
fn only_owned_keys_are_touched() {
    let mut managed = topic("  config: { segment.ms: }");
    managed.status = Some(KafkaTopicStatus {
        managed_config: vec!["retention.ms".to_owned(), "segment.ms".to_owned()],
        ..KafkaTopicStatus::default()
    });
    let exists = observed(
        1,
        1,
        &[
            ("retention.ms", "4"),
            ("segment.ms", "9"),
            ("cleanup.policy", "compact"),
        ],
    );
    expect![[r#"
        AlterConfig { set: {}, delete: {"retention.ms"} }
    "#]]
    .assert_eq(&fold(&show(&managed, Some(&exists))));
}

#[test]
fn names_are_kafkas() {
    check(
        "  topicName: A_b.c-1",
        Some(observed(1, 1, &[])),
        expect![[""]],
    );
    check(
        "  topicName: a/b",
        None,
        expect![[r#"
            InvalidName: "a/b" is not a topic's name: those have at most 249 letters,
                digits, dots, underscores and dashes; set spec.topicName.
        "#]],
    );
    check(
        "  topicName: ..",
        None,
        expect![[r#"
        InvalidName: A topic cannot be named ".."; set spec.topicName.
    "#]],
    );
    check(
        "  topicName: __consumer_offsets",
        None,
        expect![[r#"
            InvalidName: __consumer_offsets belongs to Kafka itself, as all names that begin
                with two underscores; choose another.
        "#]],
    );
    let mut renamed = topic("  topicName: new");
    renamed.status = Some(KafkaTopicStatus {
        topic_name: "old".to_owned(),
        ..KafkaTopicStatus::default()
    });
    expect![[r#"
        ImmutableField: spec.topicName is new but the object stands for the topic old,
            and Kafka has no rename; set it back and create a second KafkaTopic.
    "#]]
    .assert_eq(&fold(&show(&renamed, None)));
}

#[test]
fn deletion_follows_the_policy() {
    let exists = observed(1, 1, &[]);
    let delete = validate(&topic("")).unwrap();
    let retain = validate(&topic("  deletionPolicy: Retain")).unwrap();
    assert_eq!(plan_deletion(&delete, Some(&exists)).changes.len(), 1);
    assert_eq!(plan_deletion(&delete, None).changes.len(), 0);
    assert_eq!(plan_deletion(&retain, Some(&exists)).changes.len(), 0);
}

#[test]
fn the_oldest_claim_that_lives_wins() {
    let claim = |name: &str, created: &str| {
        let object = topic("");
        Claim {
            key: ObjectKey {
                namespace: "default".to_owned(),
                name: name.trim_start_matches('-').to_owned(),
            },
            cluster: cluster_key(&object),
            topic: topic_name(&object).to_owned(),
            created: created.to_owned(),
            deleting: name.starts_with('-'),
        }
    };
    let show = |claims: &[Claim]| -> Vec<String> {
        let standings = standings(claims).into_iter();
        standings
            .map(|(key, standing)| match standing {
                Standing::Holds => format!("{} holds", key.name),
                Standing::Loses(holder) => format!("{} to {}", key.name, holder.name),
                Standing::HandsOver(heir) => format!("{} hands to {}", key.name, heir.name),
            })
            .collect()
    };
    assert_eq!(
        show(&[claim("a", ""), claim("b", ""), claim("c", "")]),
        ["a holds", "b to a", "c to a"]
    );
    assert_eq!(
        show(&[claim("a", "2026-02"), claim("b", "2026-01")]),
        ["a to b", "b holds"]
    );
    assert_eq!(
        show(&[claim("-a", "1"), claim("b", "2"), claim("c", "3")]),
        ["a hands to b", "b holds", "c to b"]
    );
    for claims in [
        [claim("a", "1"), claim("-b", "2")],
        [claim("-a", "1"), claim("-b", "2")],
    ] {
        assert_eq!(show(&claims), ["a holds", "b to a"]);
    }
}

#[test]
fn a_value_that_is_the_same_in_another_form_is_not_set_again() {
    check(
        "  config: { retention.ms: \"+0604800000 \", preallocate: \"TRUE\", cleanup.policy: \
         \"compact, delete\", min.cleanable.dirty.ratio: \".25\", of.next.version: \" x\" }",
        Some(observed(
            1,
            1,
            &[
                ("cleanup.policy", "compact,delete"),
                ("min.cleanable.dirty.ratio", "0.25"),
                ("of.next.version", " x"),
                ("preallocate", "true"),
                ("retention.ms", "604800000"),
            ],
        )),
        expect![[r#""#]],
    );
}
