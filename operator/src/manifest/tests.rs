use expect_test::{Expect, expect};

use super::{Object, parse};
use crate::testing::fold;

fn check(text: &str, expected: Expect) {
    let parsed = parse("f.yaml", text);
    let mut shown = String::new();
    for object in parsed.objects {
        shown += &match object {
            Object::Cluster(c) => format!("cluster {}\n", c.metadata.name.unwrap()),
            Object::Topic(t) => format!("topic {}\n", t.metadata.name.unwrap()),
            Object::User(u) => format!("user {}\n", u.metadata.name.unwrap()),
            Object::Rebalance(r) => format!("rebalance {}\n", r.metadata.name.unwrap()),
        };
    }
    for problem in parsed.problems.into_iter().chain(parsed.notes) {
        shown += &format!("{problem}\n");
    }
    expected.assert_eq(&fold(&shown));
}

const HEAD: &str = "apiVersion: ottla.io/v1alpha1\nkind: KafkaTopic\n";

#[test]
fn documents_stand_for_themselves() {
    check(
        &format!(
            "# a comment\n---\n{HEAD}metadata: {{ name: a }}\n\
             spec: {{ clusterRef: {{ name: c }} }}\n\
             ---\n{HEAD}metadata: {{ name: [\n---\n\
             {HEAD}metadata: {{ name: b }}\nspec: {{ clusterRef: {{ name: c }} }}\n\
             ---\napiVersion: v1\nkind: Namespace\n---\nfoo: bar\n"
        ),
        expect![[r#"
            topic a
            topic b
            f.yaml, document 2: is not YAML at line 11: did not find expected node content.
            f.yaml, document 5: has no apiVersion or no kind; begin it with "apiVersion:
                ottla.io/v1alpha1" and "kind: KafkaTopic".
            f.yaml: has 1 Namespace of v1, left to others.
        "#]],
    );
}

#[test]
fn what_kubectl_decodes_is_decoded_here_too() {
    check(
        &format!(
            "{HEAD}metadata:\n  name: merged\n  labels: &l {{ team: a }}\n  annotations:\n    \
             <<: *l\nspec: {{ clusterRef: {{ name: c }} }}\n"
        ),
        expect![[r#"
            topic merged
        "#]],
    );
    let item = |name: &str, spec: &str| {
        format!(
            "- apiVersion: ottla.io/v1alpha1\n  kind: KafkaTopic\n  metadata: {{ name: {name} \
             }}\n  spec: {{ clusterRef: {{ name: c }}{spec} }}\n"
        )
    };
    let items = item("a", "") + &item("b", ", partitons: 3") + "- apiVersion: v1\n  kind: List\n";
    for head in ["v1\nkind: List", "ottla.io/v1alpha1\nkind: KafkaTopicList"] {
        check(
            &format!("apiVersion: {head}\nitems:\n{items}"),
            expect![[r#"
                topic a
                f.yaml, document 1 (item 2 KafkaTopic b): spec.partitons is not a field; did you
                    mean partitions?
                f.yaml: has 1 List of v1, left to others.
            "#]],
        );
    }
    check(
        "apiVersion: v1\nkind: List\n---\napiVersion: v1\nkind: List\nitems: []\n",
        expect![[r#"
            f.yaml, document 1 (List): has no items.
        "#]],
    );
    check(
        "a: &a { x: 1 }\n<<: 3\n",
        expect![[r#"
            f.yaml, document 1: is not YAML: expected a mapping or list of mappings for
                merging, but found scalar.
        "#]],
    );
}

#[test]
fn what_is_not_ours_is_told_once_for_each_kind() {
    let foreign = "apiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\nmetadata: { name: a }\n---\n";
    check(
        &format!("{foreign}{foreign}apiVersion: apps/v1\nkind: Deployment\n"),
        expect![[r#"
            f.yaml: has 1 Deployment of apps/v1, left to others.
            f.yaml: has 2 KafkaTopics of kafka.strimzi.io/v1, left to others; those of this
                operator begin with "apiVersion: ottla.io/v1alpha1".
        "#]],
    );
}

/// Files are named after namespaces.
#[test]
fn a_namespace_is_what_kubernetes_takes_for_one() {
    check(
        &format!(
            "{HEAD}metadata: {{ name: orders, namespace: ../up }}\nspec:\n  clusterRef: {{ name: c \
             }}\n"
        ),
        expect![[r#"
            f.yaml, document 1 (KafkaTopic orders): metadata.namespace is "../up"; names of
                namespaces are lower-case letters, digits and dashes, with a letter or digit
                at both ends.
        "#]],
    );
}

#[test]
fn unknown_fields_and_wrong_types_are_named() {
    check(
        &format!(
            "{HEAD}metadata: {{ name: Orders_1, label: x }}\nspec:\n  clusterRef: {{ nam: c }}\n  \
             partitons: 3\n  partitions: \"6\"\n  replicationFactor: 0\n  config:\n    \
             retention.ms: [1000]\n    \
             preallocate: {{ is: true }}\n  deletionPolicy: Remove\nextra: 1\n"
        ),
        expect![[r#"
            f.yaml, document 1 (KafkaTopic Orders_1): metadata.label is not a field; did you
                mean labels?
            f.yaml, document 1 (KafkaTopic Orders_1): metadata.name is "Orders_1"; names of
                objects are lower-case letters, digits, dashes and dots, with a letter or
                digit at both ends (a topic may have another name in Kafka: spec.topicName).
            f.yaml, document 1 (KafkaTopic Orders_1): spec.clusterRef.nam is not a field;
                did you mean name?
            f.yaml, document 1 (KafkaTopic Orders_1): spec.clusterRef.name is missing.
            f.yaml, document 1 (KafkaTopic Orders_1): spec.partitons is not a field; did you
                mean partitions?
            f.yaml, document 1 (KafkaTopic Orders_1): spec.partitions must be a whole
                number, not the string "6"; write it without quotes: 6.
            f.yaml, document 1 (KafkaTopic Orders_1): spec.replicationFactor is 0; it must
                be at least 1.
            f.yaml, document 1 (KafkaTopic Orders_1): spec.config.retention.ms must be a
                string, a number, true or false, not a list.
            f.yaml, document 1 (KafkaTopic Orders_1): spec.config.preallocate must be a
                string, a number, true or false, not a mapping.
            f.yaml, document 1 (KafkaTopic Orders_1): spec.deletionPolicy is "Remove"; it
                must be Delete or Retain.
        "#]],
    );
}

#[test]
fn kinds_and_versions_are_checked() {
    check(
        "apiVersion: ottla.io/v1\nkind: KafkaTopic\n---\napiVersion: ottla.io/v1alpha1\n\
         kind: KafkaGroup\nmetadata: {name: u}\n---\n- 1\n- 2\n",
        expect![[r#"
            f.yaml, document 1 (KafkaTopic): has apiVersion ottla.io/v1; the version known
                here is ottla.io/v1alpha1.
            f.yaml, document 2 (KafkaGroup u): ottla.io has no kind KafkaGroup; the kinds
                are KafkaCluster, KafkaTopic, KafkaUser and KafkaRebalance.
            f.yaml, document 3: has no apiVersion or no kind; begin it with "apiVersion:
                ottla.io/v1alpha1" and "kind: KafkaTopic".
        "#]],
    );
}

#[test]
fn a_cluster_needs_nothing_but_a_name() {
    check(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\nmetadata: {name: q}\nspec: {}\n",
        expect![[r#"
            cluster q
        "#]],
    );
}

#[test]
fn a_template_is_checked_as_far_as_the_schema_goes() {
    check(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\nmetadata: { name: q }\nspec:\n  \
         template: { pod: { tolerationz: [], affinity: { anything: 1 }, \
         containers: [{ image: x }], \
         env: [{ name: A, valueFrom: { resourceFieldRef: { resource: x, divisor: 1 } } }] } }",
        expect![[r#"
            f.yaml, document 1 (KafkaCluster q): spec.template.pod.tolerationz is not a
                field; did you mean tolerations?
            f.yaml, document 1 (KafkaCluster q): spec.template.pod.containers[0].name is
                missing.
        "#]],
    );
}
