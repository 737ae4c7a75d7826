//! Changes that wait for consent.

use serde_json::{Value, json};

use super::settings::Setting;
use super::{A_WHILE, cluster, topic, until, until_cluster, until_reason};

/// The cluster with plans, consented to by this hash.
fn planned(hash: &str, spec: &str) -> String {
    let annotations =
        format!("namespace: shop, annotations: {{ ottla.io/approve-plan: '{hash}' }} }}");
    cluster(&format!("changePolicy: Plan, {spec}")).replace("namespace: shop }", &annotations)
}

fn plan<S: Setting>(world: &S) -> Value {
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    orders["status"]["plan"].clone()
}

async fn hash_of_plan<S: Setting>(world: &S) -> String {
    until("there is a plan", || plan(world) != Value::Null).await;
    plan(world)["hash"].as_str().unwrap().to_owned()
}

pub async fn a_restart_waits_for_consent_to_its_own_plan<S: Setting>(world: &S) {
    let partitions = || world.brokers().settings()["num.partitions"].clone();
    let orders = |hash: &str, count: u32| {
        world.apply(&planned(
            hash,
            &format!("config: {{ num.partitions: {count} }}"),
        ));
    };
    orders("", 2);
    until_cluster(world, "BrokersReady").await;
    orders("", 3);
    until_cluster(world, "WaitingForApproval").await;
    let first = hash_of_plan(world).await;
    assert_eq!(plan(world)["brokers"], json!([0, 1, 2]));
    assert_eq!(plan(world)["summary"], json!("restart 3 brokers"));
    orders("another", 3);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(partitions(), "2");
    let before = world.writes();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.writes(), before, "while it waits nothing is written");

    orders(&first, 3);
    until("brokers are restarted", || partitions() == "3").await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(plan(world), Value::Null);

    orders(&first, 4);
    until_cluster(world, "WaitingForApproval").await;
    assert_ne!(hash_of_plan(world).await, first);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(partitions(), "3", "an old consent is none to this plan");
    orders(&first, 3);
    until_cluster(world, "BrokersReady").await;
    assert_eq!(plan(world), Value::Null, "what is withdrawn waits no more");
}

pub async fn topics_are_not_copied_or_deleted_without_consent<S: Setting>(world: &S) {
    let payments = |replicas: u32| {
        let wanted = format!("replicationFactor: {replicas}");
        world.apply(&topic("shop", "payments", "").replace("replicationFactor: 3", &wanted));
    };
    let count = || world.brokers().replicas("payments").len();
    world.apply(&planned("", ""));
    payments(1);
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    payments(3);
    until_reason(
        world,
        "KafkaTopic",
        "shop",
        "payments",
        "WaitingForApproval",
    )
    .await;
    until_cluster(world, "WaitingForApproval").await;
    let summary = json!("change replicas of 1 topic, copy 20.0 MiB");
    assert_eq!(plan(world)["summary"], summary);
    tokio::time::sleep(A_WHILE).await;
    let before = world.writes();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.writes(), before, "while it waits nothing is written");
    assert_eq!(count(), 1);
    let hash = hash_of_plan(world).await;
    world.apply(&planned(&hash, ""));
    until("it is copied", || count() == 3).await;
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    until_cluster(world, "BrokersReady").await;

    world.delete("KafkaTopic", "shop", "payments");
    let hash = hash_of_plan(world).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.brokers().topics(), ["payments"]);
    assert!(world.get("KafkaTopic", "shop", "payments").is_some());
    world.apply(&planned(&hash, ""));
    let is_gone = || world.get("KafkaTopic", "shop", "payments").is_none();
    until("the object is gone", is_gone).await;
    assert!(world.brokers().topics().is_empty());
    until_cluster(world, "BrokersReady").await;
}

pub async fn no_broker_is_emptied_without_consent<S: Setting>(world: &S) {
    let orders = |hash: &str, replicas: u32| {
        let wanted = format!("replicas: {replicas}, controllers: 1");
        world.apply(&planned(hash, "").replace("replicas: 3", &wanted));
    };
    orders("", 3);
    until_cluster(world, "BrokersReady").await;
    world.brokers().create("unmanaged");
    world.brokers().set_replicas("unmanaged", &[2]);
    orders("", 2);
    let hash = hash_of_plan(world).await;
    assert_eq!(
        plan(world)["summary"],
        json!("remove 1 broker, copy 10.0 MiB")
    );
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.brokers().registered(), (vec![0, 1, 2], vec![]));
    assert_eq!(world.brokers().replicas("unmanaged"), [2]);
    orders(&hash, 2);
    let is_forgotten = || world.brokers().registered() == (vec![0, 1], vec![]);
    until("it is emptied and forgotten", is_forgotten).await;
    until_cluster(world, "BrokersReady").await;
}

pub async fn consent_to_a_removal_is_consent_to_fewer_replicas_of_the_brokers_own_topics<
    S: Setting,
>(
    world: &S,
) {
    let orders = |hash: &str, replicas: u32| {
        let wanted = format!("replicas: {replicas}, controllers: 1");
        world.apply(&planned(hash, "").replace("replicas: 3", &wanted));
    };
    orders("", 3);
    until_cluster(world, "BrokersReady").await;
    let offsets = "__consumer_offsets";
    world.brokers().create(offsets);
    world.brokers().set_replicas(offsets, &[0, 1, 2]);
    orders("", 2);
    let hash = hash_of_plan(world).await;
    orders(&hash, 2);
    let is_forgotten = || world.brokers().registered() == (vec![0, 1], vec![]);
    until("it is emptied and forgotten", is_forgotten).await;
    assert_eq!(world.brokers().replicas(offsets).len(), 2);
}
