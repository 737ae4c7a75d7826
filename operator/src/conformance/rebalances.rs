//! Replicas that are spread anew by a plan that somebody consents to.

use serde_json::{Value, json};

use super::api::faults::{Course, Fault, Verb};
use super::settings::{Kubernetes, Setting, run};
use super::{A_WHILE, cluster, until, until_cluster, until_reason};

const TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A KafkaRebalance `even` of the cluster.
pub(super) fn rebalance(annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaRebalance\n\
         metadata: {{ name: even, namespace: shop, annotations: {{ {annotations} }} }}\n\
         spec: {{ clusterRef: {{ name: orders }}, {spec} }}\n"
    )
}

fn status<S: Setting>(world: &S) -> Value {
    let object = world.get("KafkaRebalance", "shop", "even");
    object.map_or(Value::Null, |object| object["status"].clone())
}

/// What consents to its plan.
pub(super) fn hash<S: Setting>(world: &S) -> String {
    let hash = status(world)["plan"]["hash"].as_str().map(str::to_owned);
    hash.unwrap_or_default()
}

async fn until_reason_is<S: Setting>(world: &S, want: &str) {
    until_reason(world, "KafkaRebalance", "shop", "even", want).await;
}

/// How many of the topics each broker has.
fn held<S: Setting>(world: &S) -> [usize; 3] {
    [0, 1, 2].map(|broker| {
        let has = |topic: &&&str| world.brokers().replicas(topic).contains(&broker);
        TOPICS.iter().filter(has).count()
    })
}

/// A cluster of which one broker holds everything.
async fn uneven<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    until_cluster(world, "BrokersReady").await;
    for topic in TOPICS {
        world.brokers().create(topic);
        world.brokers().set_replicas(topic, &[0]);
    }
}

pub async fn a_plan_moves_nothing_before_somebody_consents_to_it<S: Setting>(world: &S) {
    uneven(world).await;
    world.apply(&rebalance("", ""));
    until_reason_is(world, "WaitingForApproval").await;
    assert_eq!(status(world)["state"], json!("ProposalReady"));
    assert_eq!(status(world)["plan"]["partitions"], json!(4));
    assert_eq!(status(world)["plan"]["bytes"], json!(40 << 20));
    let replicas = json!({ "goal": "Replicas", "before": "0–6", "after": "2–2" });
    assert_eq!(status(world)["plan"]["skew"][0], replicas);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(held(world), [6, 0, 0]);
    let first = hash(world);

    world.apply(&rebalance("ottla.io/approve-plan: pffffffffffffffff", ""));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(held(world), [6, 0, 0], "that is another plan");

    world.brokers().stop_copies_at(1 << 20);
    world.apply(&rebalance(&format!("ottla.io/approve-plan: {first}"), ""));
    until_reason_is(world, "Rebalancing").await;
    let is_told = || status(world)["progress"]["bytesLeft"] == json!(36 << 20);
    until("it is told how far it is", is_told).await;
    world.brokers().finish_copies();
    until_reason_is(world, "Rebalanced").await;
    assert_eq!(held(world), [2, 2, 2]);
    assert_eq!(status(world)["state"], json!("Ready"));

    for topic in TOPICS {
        world.brokers().set_replicas(topic, &[0]);
    }
    let approved = format!("ottla.io/approve-plan: {first}, ottla.io/rebalance: refresh");
    world.apply(&rebalance(&approved, ""));
    until_reason_is(world, "WaitingForApproval").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(held(world), [6, 0, 0], "the same moves are another plan");
}

pub async fn a_plan_waits_while_brokers_come_or_go<S: Setting>(world: &S) {
    uneven(world).await;
    world.brokers().set_replicas("f", &[2]);
    world.brokers().stop_copies_at(0);
    world.apply(&cluster("").replace("replicas: 3", "replicas: 2"));
    until_cluster(world, "ScalingDown").await;
    world.apply(&rebalance("", ""));
    until_reason_is(world, "Proposing").await;
    let message = status(world)["conditions"][0]["message"].to_string();
    assert!(message.contains("broker 2"), "{message}");
    world.brokers().finish_copies();
    until_reason_is(world, "WaitingForApproval").await;
}

pub async fn a_rebalance_can_be_stopped_and_planned_anew<S: Setting>(world: &S) {
    uneven(world).await;
    world.brokers().stop_copies_at(0);
    world.apply(&rebalance("", "throttle: 1000000"));
    until_reason_is(world, "WaitingForApproval").await;
    assert!(world.brokers().throttled().is_empty());
    let approved = format!("ottla.io/approve-plan: {}", hash(world));
    world.apply(&rebalance(&approved, "throttle: 1000000"));
    let is_begun = || {
        TOPICS
            .iter()
            .any(|topic| world.brokers().replicas(topic).len() == 2)
    };
    until("copies have begun", is_begun).await;
    assert_eq!(world.brokers().throttled(), [0, 1, 2]);

    let stop = format!("{approved}, ottla.io/rebalance: stop");
    world.apply(&rebalance(&stop, "throttle: 1000000"));
    until_reason_is(world, "Stopped").await;
    assert_eq!(held(world), [6, 0, 0], "what was under way is cancelled");
    assert!(world.brokers().throttled().is_empty());
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(held(world), [6, 0, 0], "it stays stopped");

    let refresh = format!("{approved}, ottla.io/rebalance: refresh");
    world.apply(&rebalance(&refresh, "throttle: 1000000"));
    until_reason_is(world, "WaitingForApproval").await;
}

pub async fn a_rebalance_that_is_deleted_leaves_no_throttle<S: Setting>(world: &S) {
    uneven(world).await;
    world.brokers().stop_copies_at(0);
    world.apply(&rebalance("", "throttle: 1000000"));
    until_reason_is(world, "WaitingForApproval").await;
    let approved = format!("ottla.io/approve-plan: {}", hash(world));
    world.apply(&rebalance(&approved, "throttle: 1000000"));
    until("it is held to a rate", || {
        !world.brokers().throttled().is_empty()
    })
    .await;
    world.delete("KafkaRebalance", "shop", "even");
    until("it is gone", || {
        world.get("KafkaRebalance", "shop", "even").is_none()
    })
    .await;
    assert!(world.brokers().throttled().is_empty());
}

pub async fn a_spec_that_speaks_of_no_broker_is_told<S: Setting>(world: &S) {
    uneven(world).await;
    world.apply(&rebalance("", "mode: RemoveBrokers, brokers: [7]"));
    until_reason_is(world, "InvalidSpec").await;
    world.apply(&rebalance("", "mode: RemoveBrokers, brokers: [0]"));
    until_reason_is(world, "WaitingForApproval").await;
    assert_eq!(status(world)["plan"]["partitions"], json!(6));
}

pub async fn of_two_rebalances_one_goes_after_the_other<S: Setting>(world: &S) {
    let named = |name: &str, annotations: &str| {
        rebalance(annotations, "").replace("name: even", &format!("name: {name}"))
    };
    let status = |name: &str| {
        let object = world.get("KafkaRebalance", "shop", name);
        object.map_or(Value::Null, |object| object["status"].clone())
    };
    uneven(world).await;
    for name in ["even", "later"] {
        world.apply(&named(name, ""));
    }
    for name in ["even", "later"] {
        until_reason(world, "KafkaRebalance", "shop", name, "WaitingForApproval").await;
    }
    world.brokers().stop_copies_at(0);
    for name in ["even", "later"] {
        let hash = status(name)["plan"]["hash"].clone();
        world.apply(&named(name, &format!("ottla.io/approve-plan: {hash}")));
    }
    for _ in 0..40 {
        let states = ["even", "later"].map(|name| status(name)["state"].clone());
        assert_ne!(states, [json!("Rebalancing"), json!("Rebalancing")]);
        tokio::time::sleep(A_WHILE / 20).await;
    }
    world.brokers().finish_copies();
    for name in ["even", "later"] {
        // Of the second one nothing is left to do.
        until_reason(world, "KafkaRebalance", "shop", name, "Rebalanced").await;
    }
}

#[test]
fn a_throttle_goes_with_the_broker_that_it_was_set_on() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        throttle_and_remove(world).await;
    });
}

async fn throttle_and_remove<S: Setting>(world: &S) {
    uneven(world).await;
    world.brokers().stop_copies_at(0);
    world.apply(&rebalance("", "throttle: 1000000"));
    until_reason_is(world, "WaitingForApproval").await;
    let approved = format!("ottla.io/approve-plan: {}", hash(world));
    world.apply(&rebalance(&approved, "throttle: 1000000"));
    until("it is held to a rate", || {
        world.brokers().throttled() == [0, 1, 2]
    })
    .await;
    world.apply(&cluster("").replace("replicas: 3", "replicas: 2"));
    world.brokers().finish_copies();
    let is_forgotten = || world.brokers().registered().0 == [0, 1];
    until("broker 2 is forgotten", is_forgotten).await;
    until_reason_is(world, "Rebalanced").await;
    assert_eq!(world.brokers().throttled(), Vec::<i32>::new());
}

/// On Kubernetes only: a folder takes what is said.
#[test]
fn nothing_moves_before_the_api_server_has_taken_that_it_will() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        uneven(world).await;
        world.apply(&rebalance("", "throttle: 1000000"));
        until_reason_is(world, "WaitingForApproval").await;
        world.brokers().stop_copies_at(0);
        let (kind, refused) = ("kafkarebalances", Course::Code(500));
        let refusal = Fault::next(kind, Verb::Status, usize::MAX, refused);
        world.api.fail(refusal);
        let approved = format!("ottla.io/approve-plan: {}", hash(world));
        world.apply(&rebalance(&approved, "throttle: 1000000"));
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(world.brokers().throttled(), Vec::<i32>::new());
        world.api.mend();
        until("it is held to a rate", || {
            world.brokers().throttled() == [0, 1, 2]
        })
        .await;
    });
}
