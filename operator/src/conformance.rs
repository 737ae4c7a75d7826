//! One suite for both worlds: what a user sees of clusters and topics is the same, whether an API
//! server or a folder tells the operator of them.
//!
//! Each test is written once, against [`Setting`], and runs in every world. The brokers are fakes:
//! what differs between platforms is not what is tested here.

mod access;
mod api;
mod brokers;
mod controllers;
mod faults;
mod moves;
mod nodes;
mod plans;
mod pods;
mod quiet;
mod quotas;
mod racks;
mod reached;
mod rebalances;
mod secrets;
mod settings;
mod voters;

use std::time::Duration;

use serde_json::{Value, json};

use self::access::{
    a_certificate_that_cannot_be_used_is_told_and_the_old_one_stays,
    a_certificate_that_changes_is_told_whatever_else_is_wrong,
    a_cluster_that_was_created_plain_goes_on_so_between_brokers,
    a_user_comes_and_goes_with_its_object, a_user_is_rotated_by_its_annotation,
    a_user_of_a_cluster_that_waits_for_its_secret_waits_with_it,
    a_user_of_a_plain_cluster_says_what_is_missing_and_goes,
    a_user_of_another_namespace_must_be_admitted, a_user_stays_while_brokers_keep_its_password,
    a_user_that_changes_how_it_is_known_is_known_by_nothing_else,
    a_user_that_is_admitted_no_more_is_known_no_more,
    a_user_that_is_left_alone_stays_though_it_was_deleted,
    a_user_waits_for_the_certificate_of_its_listener,
    an_invalid_spec_takes_nothing_from_a_user_of_another_namespace,
    brokers_with_certificates_are_known_by_them, certificates_hold_as_long_as_the_spec_says,
    users_of_a_cluster_that_never_was_valid_wait_for_it_and_can_go,
    what_somebody_takes_from_a_user_is_put_back,
};
use self::moves::{
    a_broker_that_comes_back_before_it_is_forgotten_is_not_cordoned,
    a_broker_that_never_registered_can_go, a_broker_that_was_to_go_and_stays_gets_its_share_again,
    a_broker_with_a_topic_that_the_operator_may_not_see_stays,
    a_replication_factor_changes_while_its_status_tells_how_far,
    a_replication_factor_that_is_set_back_cancels_what_is_not_done,
    a_scale_down_that_is_taken_back_cancels_what_is_not_done,
    brokers_that_are_to_go_are_emptied_first_and_then_forgotten,
    replicas_are_made_even_by_themselves_at_a_skew, replicas_are_made_even_when_somebody_asks,
    restarts_have_their_turn_between_moves,
    the_brokers_own_topics_have_as_many_replicas_as_brokers_allow,
};
use self::plans::{
    a_restart_waits_for_consent_to_its_own_plan,
    consent_to_a_removal_is_consent_to_fewer_replicas_of_the_brokers_own_topics,
    no_broker_is_emptied_without_consent, topics_are_not_copied_or_deleted_without_consent,
};
use self::quotas::a_user_has_the_quotas_of_its_spec_and_no_other;
use self::rebalances::{
    a_plan_moves_nothing_before_somebody_consents_to_it, a_plan_waits_while_brokers_come_or_go,
    a_rebalance_can_be_stopped_and_planned_anew, a_rebalance_that_is_deleted_leaves_no_throttle,
    a_spec_that_speaks_of_no_broker_is_told, of_two_rebalances_one_goes_after_the_other,
};
use self::settings::{Kubernetes, Setting};
use self::voters::{
    a_scale_down_that_is_taken_back_gives_the_votes_back,
    a_vote_that_somebody_gave_is_taken_before_its_broker_goes, brokers_that_vote_can_go,
    no_vote_is_taken_while_another_voter_is_behind,
};

/// How long anything may take to show.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than it takes until topics are compared with their specs again.
const A_WHILE: Duration = Duration::from_millis(2500);

/// A cluster with more in its spec.
fn cluster(spec: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\n\
         metadata: {{ name: orders, namespace: shop }}\n\
         spec: {{ replicas: 3, topicNamespaces: {{ matchNames: [guest] }}, {spec} }}\n"
    )
}

/// A spec that an API server takes, as no rule of the CRD knows the setting, and we refuse.
fn invalid_cluster() -> String {
    cluster("config: { log.dirs: /elsewhere }")
}

/// A topic of that cluster.
fn topic(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaTopic\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\n\
         spec: {{ clusterRef: {{ name: orders, namespace: shop }}, partitions: 1, \
         replicationFactor: 3, {spec} }}\n"
    )
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is_so() {
        let is_late = begun.elapsed() >= PATIENCE;
        assert!(!is_late, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until an object's conditions have this reason.
async fn until_reason<S: Setting>(world: &S, kind: &str, namespace: &str, name: &str, want: &str) {
    let begun = tokio::time::Instant::now();
    loop {
        let object = world.get(kind, namespace, name);
        if reason(object.as_ref()) == want {
            return;
        }
        let shown = object.map_or("gone".to_owned(), |object| object["status"].to_string());
        assert!(
            begun.elapsed() < PATIENCE,
            "{kind} {name} is not {want}: {shown}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The same of the cluster that nearly all tests have, shop/orders.
async fn until_cluster<S: Setting>(world: &S, want: &str) {
    until_reason(world, "KafkaCluster", "shop", "orders", want).await;
}

fn reason(object: Option<&Value>) -> &str {
    let ready = object.and_then(|object| object.pointer("/status/conditions/0/reason"));
    ready.and_then(Value::as_str).unwrap_or_default()
}

/// Each test in every world.
macro_rules! in_every_world {
    ($($test:ident,)*) => {
        mod kubernetes {
            $(#[test] fn $test() {
                super::settings::run(super::settings::Kubernetes::new(), super::$test);
            })*
        }
        mod folder {
            $(#[test] fn $test() {
                super::settings::run(super::settings::Folder::new(), super::$test);
            })*
        }
    };
}

in_every_world! {
    a_topic_comes_and_goes_with_its_object,
    an_invalid_spec_sends_no_guest_away_and_takes_no_broker_away,
    guests_of_a_cluster_that_never_was_valid_are_waited_for,
    a_known_address_is_not_forgotten_while_the_platform_refuses,
    the_older_of_two_objects_has_the_topic,
    topics_go_without_their_cluster,
    configs_may_be_numbers_and_booleans,
    at_rest_nothing_is_written,
    a_replication_factor_changes_while_its_status_tells_how_far,
    a_replication_factor_that_is_set_back_cancels_what_is_not_done,
    brokers_that_are_to_go_are_emptied_first_and_then_forgotten,
    a_broker_that_comes_back_before_it_is_forgotten_is_not_cordoned,
    a_broker_that_never_registered_can_go,
    a_broker_with_a_topic_that_the_operator_may_not_see_stays,
    a_scale_down_that_is_taken_back_cancels_what_is_not_done,
    a_broker_that_was_to_go_and_stays_gets_its_share_again,
    the_brokers_own_topics_have_as_many_replicas_as_brokers_allow,
    brokers_that_vote_can_go,
    no_vote_is_taken_while_another_voter_is_behind,
    a_scale_down_that_is_taken_back_gives_the_votes_back,
    a_vote_that_somebody_gave_is_taken_before_its_broker_goes,
    a_plan_moves_nothing_before_somebody_consents_to_it,
    a_plan_waits_while_brokers_come_or_go,
    a_rebalance_can_be_stopped_and_planned_anew,
    a_rebalance_that_is_deleted_leaves_no_throttle,
    of_two_rebalances_one_goes_after_the_other,
    a_spec_that_speaks_of_no_broker_is_told,
    a_restart_waits_for_consent_to_its_own_plan,
    topics_are_not_copied_or_deleted_without_consent,
    no_broker_is_emptied_without_consent,
    consent_to_a_removal_is_consent_to_fewer_replicas_of_the_brokers_own_topics,
    restarts_have_their_turn_between_moves,
    replicas_are_made_even_by_themselves_at_a_skew,
    replicas_are_made_even_when_somebody_asks,
    brokers_with_certificates_are_known_by_them,
    a_certificate_that_cannot_be_used_is_told_and_the_old_one_stays,
    a_certificate_that_changes_is_told_whatever_else_is_wrong,
    a_cluster_that_was_created_plain_goes_on_so_between_brokers,
    a_user_comes_and_goes_with_its_object,
    what_somebody_takes_from_a_user_is_put_back,
    a_user_has_the_quotas_of_its_spec_and_no_other,
    a_user_is_rotated_by_its_annotation,
    a_user_that_changes_how_it_is_known_is_known_by_nothing_else,
    a_user_of_another_namespace_must_be_admitted,
    a_user_stays_while_brokers_keep_its_password,
    a_user_that_is_admitted_no_more_is_known_no_more,
    a_user_that_is_left_alone_stays_though_it_was_deleted,
    a_user_of_a_plain_cluster_says_what_is_missing_and_goes,
    an_invalid_spec_takes_nothing_from_a_user_of_another_namespace,
    users_of_a_cluster_that_never_was_valid_wait_for_it_and_can_go,
    a_user_of_a_cluster_that_waits_for_its_secret_waits_with_it,
    a_user_waits_for_the_certificate_of_its_listener,
    certificates_hold_as_long_as_the_spec_says,
}

/// On Kubernetes only: a folder is read before anything begins.
#[test]
fn the_operator_is_not_ready_before_everything_was_listed_and_counts_what_it_does() {
    use ottla_telemetry::Pages;
    let silent = Kubernetes::new();
    silent.api.withhold_list("networkpolicies");
    settings::run(silent, async |world: &Kubernetes| {
        world.apply(&cluster(""));
        let waits = "waiting for the first list of NetworkPolicy; the log says what is in the way";
        let reason = || world.telemetry.ready().err().unwrap_or_default();
        until("only one list is missing", || reason() == waits).await;
        world.api.withhold_list("");
        until("the operator is ready", || world.telemetry.ready().is_ok()).await;
        until_cluster(world, "BrokersReady").await;
        let labels = "{namespace=\"shop\",name=\"orders\"}";
        let is_told = |line: &str| world.telemetry.metrics().contains(&format!("\n{line}\n"));
        let ready = format!("ottla_operator_cluster_ready{labels} 1");
        until("the cluster is ready", || is_told(&ready)).await;
        until("the status is written", || {
            is_told("ottla_operator_queued_writes 0")
        })
        .await;
        assert!(
            is_told("ottla_operator_clusters 1"),
            "{}",
            world.telemetry.metrics()
        );
        world.delete("KafkaCluster", "shop", "orders");
        until("its numbers are gone", || {
            !world.telemetry.metrics().contains("orders")
        })
        .await;
    });
}

async fn a_topic_comes_and_goes_with_its_object<S: Setting>(world: &S) {
    world.apply(&topic("shop", "payments", ""));
    until_reason(world, "KafkaTopic", "shop", "payments", "ClusterNotFound").await;
    world.apply(&cluster(""));
    until_cluster(world, "BrokersReady").await;
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    assert_eq!(world.brokers().topics(), ["payments"]);

    world.delete("KafkaTopic", "shop", "payments");
    let is_gone = || world.get("KafkaTopic", "shop", "payments").is_none();
    until("the object is gone", is_gone).await;
    assert!(world.brokers().topics().is_empty());
}

async fn an_invalid_spec_sends_no_guest_away_and_takes_no_broker_away<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic("guest", "visits", ""));
    until_reason(world, "KafkaTopic", "guest", "visits", "TopicReady").await;

    world.apply(&invalid_cluster());
    until_cluster(world, "InvalidSpec").await;
    world.apply(&topic("shop", "payments", ""));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    tokio::time::sleep(A_WHILE).await;
    until_reason(world, "KafkaTopic", "guest", "visits", "TopicReady").await;

    world.delete("KafkaTopic", "guest", "visits");
    let is_gone = || world.get("KafkaTopic", "guest", "visits").is_none();
    until("the object is gone", is_gone).await;
    assert_eq!(
        world.brokers().topics(),
        ["payments"],
        "a topic without an object"
    );
}

async fn guests_of_a_cluster_that_never_was_valid_are_waited_for<S: Setting>(world: &S) {
    world.apply(&invalid_cluster());
    world.apply(&topic("guest", "visits", ""));
    world.apply(&topic("stranger", "looks", ""));
    until_cluster(world, "InvalidSpec").await;
    until_reason(world, "KafkaTopic", "guest", "visits", "ClusterNotReady").await;
    until_reason(
        world,
        "KafkaTopic",
        "stranger",
        "looks",
        "NamespaceNotAdmitted",
    )
    .await;
    world.apply(&cluster(""));
    until_reason(world, "KafkaTopic", "guest", "visits", "TopicReady").await;
}

async fn a_known_address_is_not_forgotten_while_the_platform_refuses<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic("shop", "payments", ""));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;

    world.brokers().refuse(true);
    until_cluster(world, "ApplyFailed").await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(
        orders["status"]["bootstrapServers"],
        json!(world.brokers().address())
    );
    assert_eq!(
        orders["status"]["listeners"]["internal"],
        json!(world.brokers().address())
    );
    world.apply(&topic("shop", "refunds", ""));
    until_reason(world, "KafkaTopic", "shop", "refunds", "TopicReady").await;
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
}

async fn the_older_of_two_objects_has_the_topic<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic("shop", "a-first", "topicName: payments"));
    until_reason(world, "KafkaTopic", "shop", "a-first", "TopicReady").await;
    world.apply(&topic("shop", "b-second", "topicName: payments"));
    until_reason(world, "KafkaTopic", "shop", "b-second", "Conflict").await;
    world.delete("KafkaTopic", "shop", "b-second");
    let is_gone = || world.get("KafkaTopic", "shop", "b-second").is_none();
    until("the object is gone", is_gone).await;
    assert_eq!(world.brokers().topics(), ["payments"]);
}

async fn topics_go_without_their_cluster<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic("shop", "payments", ""));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    world.delete("KafkaCluster", "shop", "orders");
    until_reason(world, "KafkaTopic", "shop", "payments", "ClusterNotFound").await;
    world.delete("KafkaTopic", "shop", "payments");
    let is_gone = || world.get("KafkaTopic", "shop", "payments").is_none();
    until("the object is gone", is_gone).await;
}

async fn configs_may_be_numbers_and_booleans<S: Setting>(world: &S) {
    world.apply(&cluster(
        "config: { min.insync.replicas: 2, auto.create.topics.enable: false, \
         log.retention.ms: \"60000\" }",
    ));
    let config = "config: { retention.ms: 60000, preallocate: false, segment.bytes: \"1048576\", \
                  min.cleanable.dirty.ratio: 0.25, retention.bytes: -1 }";
    world.apply(&topic("shop", "payments", config));
    until_cluster(world, "BrokersReady").await;
    let settings = world.brokers().settings();
    for (name, value) in [
        ("min.insync.replicas", "2"),
        ("auto.create.topics.enable", "false"),
        ("log.retention.ms", "60000"),
    ] {
        assert_eq!(
            settings.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    let configs = world.brokers().configs("payments");
    let configs: Vec<(&str, &str)> = configs.iter().map(|(k, v)| (&**k, &**v)).collect();
    let wanted = [
        ("min.cleanable.dirty.ratio", "0.25"),
        ("preallocate", "false"),
        ("retention.bytes", "-1"),
        ("retention.ms", "60000"),
        ("segment.bytes", "1048576"),
    ];
    assert_eq!(configs, wanted);
}

async fn at_rest_nothing_is_written<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic("shop", "payments", ""));
    world.apply(&topic("guest", "visits", ""));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    until_reason(world, "KafkaTopic", "guest", "visits", "TopicReady").await;
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    let before = world.writes();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.writes(), before);
}

/// What only an API server can do: refuse a status, or let somebody else write it.
#[test]
fn a_status_that_was_refused_or_overwritten_is_written_again() {
    settings::run(Kubernetes::new(), async |world: &Kubernetes| {
        for code in [403, 409, 503] {
            let name = format!("payments-{code}");
            world.api.refuse_statuses(1, code);
            world.apply(&topic("shop", &name, ""));
            until_reason(world, "KafkaTopic", "shop", &name, "ClusterNotFound").await;
        }
        let lie = json!({ "conditions": [{ "type": "Ready", "reason": "Lie" }] });
        world
            .api
            .set_status("kafkatopics", "shop", "payments-403", &lie);
        let name = "payments-403";
        until_reason(world, "KafkaTopic", "shop", name, "ClusterNotFound").await;
    });
}

/// A version that changed meanwhile is no reason to leave the object without our finalizer.
#[test]
fn a_finalizer_that_was_refused_is_asked_for_again() {
    settings::run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(""));
        until_cluster(world, "BrokersReady").await;
        world.api.collide();
        let held = topic("shop", "payments", "").replace(
            "name: payments,",
            "name: payments, finalizers: [another/one],",
        );
        world.apply(&held);
        until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
        let payments = world.get("KafkaTopic", "shop", "payments").unwrap();
        let finalizers = &payments["metadata"]["finalizers"];
        assert_eq!(*finalizers, json!(["another/one", "ottla.io/topic"]));
    });
}

/// An operator that begins while a broker is down has a cluster that was whole once.
#[test]
fn topics_do_not_wait_for_a_broker_that_was_down_when_the_operator_began() {
    settings::run(Kubernetes::new(), async |world: &Kubernetes| {
        world.brokers().take_down(2);
        let mut orders: Value = serde_yaml::from_str(&cluster("")).unwrap();
        world.api.apply("kafkaclusters", &orders);
        world.apply(&topic("shop", "payments", ""));
        until_cluster(world, "BrokerNotReady").await;
        until_reason(world, "KafkaTopic", "shop", "payments", "ClusterNotReady").await;

        orders["metadata"]["name"] = json!("bills");
        orders["status"] = json!({ "observedGeneration": 1, "clusterId": "the-cluster" });
        world.api.apply("kafkaclusters", &orders);
        world.apply(&topic("shop", "bill", "").replace("name: orders", "name: bills"));
        until_reason(world, "KafkaTopic", "shop", "bill", "TopicReady").await;
    });
}

/// An operator that begins while no broker is up: a topic that was deleted is not forgotten.
#[test]
fn a_deleted_topic_waits_for_a_cluster_that_was_up_before_the_operator_began() {
    settings::run(Kubernetes::new(), async |world: &Kubernetes| {
        for broker in 0..3 {
            world.brokers().take_down(broker);
        }
        world.brokers().create("payments");
        let mut orders: Value = serde_yaml::from_str(&cluster("")).unwrap();
        orders["status"] = json!({ "observedGeneration": 1, "clusterId": "the-cluster" });
        world.api.apply("kafkaclusters", &orders);
        world.apply(&topic("shop", "payments", ""));
        until_reason(world, "KafkaTopic", "shop", "payments", "ClusterNotReady").await;
        world.delete("KafkaTopic", "shop", "payments");
        tokio::time::sleep(A_WHILE).await;
        assert!(world.get("KafkaTopic", "shop", "payments").is_some());

        world.brokers().bring_up();
        let is_gone = || world.get("KafkaTopic", "shop", "payments").is_none();
        until("the object is gone", is_gone).await;
        assert!(world.brokers().topics().is_empty());
    });
}

/// The name of the younger one sorts first, and the operator does not hold it yet when the older
/// one is deleted.
#[test]
fn the_older_object_leaves_its_topic_to_one_that_is_not_held_yet() {
    settings::run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(""));
        world.apply(&topic("shop", "z-older", "topicName: payments"));
        until_reason(world, "KafkaTopic", "shop", "z-older", "TopicReady").await;
        world.apply(&topic("shop", "a-younger", "topicName: payments"));
        until_reason(world, "KafkaTopic", "shop", "a-younger", "Conflict").await;
        world.api.delete("kafkatopics", "shop", "z-older");
        until_reason(world, "KafkaTopic", "shop", "a-younger", "TopicReady").await;
        assert_eq!(world.brokers().topics(), ["payments"]);

        world.api.withhold(Some("b-youngest"));
        world.apply(&topic("shop", "b-youngest", "topicName: payments"));
        world.delete("KafkaTopic", "shop", "a-younger");
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(world.brokers().topics(), ["payments"]);
        world.api.withhold(None);
        let is_gone = || world.get("KafkaTopic", "shop", "a-younger").is_none();
        until("the object is gone", is_gone).await;
        until_reason(world, "KafkaTopic", "shop", "b-youngest", "TopicReady").await;
        assert_eq!(world.brokers().topics(), ["payments"]);
    });
}
