//! Replicas that move: replication factors, and brokers that are to go.

use serde_json::{Value, json};

use super::settings::Setting;
use super::{A_WHILE, cluster, topic, until, until_cluster, until_reason};

/// A topic of so many replicas.
fn topic_of(replication_factor: i32) -> String {
    let wanted = format!("replicationFactor: {replication_factor}");
    topic("shop", "payments", "").replace("replicationFactor: 3", &wanted)
}

pub async fn a_replication_factor_changes_while_its_status_tells_how_far<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic_of(1));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;

    world.brokers().stop_copies_at(1 << 20);
    world.apply(&topic_of(3));
    until_reason(world, "KafkaTopic", "shop", "payments", "Reassigning").await;
    let reassignment = || {
        let payments = world.get("KafkaTopic", "shop", "payments").unwrap();
        payments["status"]["reassignment"].clone()
    };
    until("both copies are told of", || {
        reassignment()["bytesLeft"] == json!(18 << 20)
    })
    .await;
    assert_eq!(reassignment()["partitionsLeft"], json!(1));
    assert_eq!(reassignment()["bytesTotal"], json!(20 << 20));
    let moving = json!([{
        "partition": 0, "adding": [1, 2], "bytesTotal": 20 << 20, "bytesLeft": 18 << 20,
    }]);
    let mut told = reassignment()["moving"].clone();
    if let Some(adding) = told[0]["adding"].as_array_mut() {
        adding.sort_by_key(Value::as_i64);
    }
    assert_eq!(told, moving);
    let summary = reassignment()["summary"].to_string();
    assert!(
        summary.contains("1 partition, 18.0 MiB of 20.0 MiB left"),
        "{summary}"
    );

    world.brokers().finish_copies();
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    assert_eq!(reassignment(), Value::Null);
    let payments = world.get("KafkaTopic", "shop", "payments").unwrap();
    assert_eq!(payments["status"]["replicationFactor"], json!(3));

    world.apply(&topic_of(2));
    let has_two = || world.brokers().replicas("payments").len() == 2;
    until("one replica is gone", has_two).await;
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    assert_eq!(
        world.brokers().replicas("payments")[0],
        0,
        "the leader is kept"
    );

    world.apply(&topic_of(4));
    let reason = "ReplicationFactorAboveBrokers";
    until_reason(world, "KafkaTopic", "shop", "payments", reason).await;
    assert!(has_two());
}

pub async fn a_replication_factor_that_is_set_back_cancels_what_is_not_done<S: Setting>(world: &S) {
    world.apply(&cluster(""));
    world.apply(&topic_of(1));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    world.brokers().stop_copies_at(0);
    world.apply(&topic_of(2));
    until_reason(world, "KafkaTopic", "shop", "payments", "Reassigning").await;
    until("it is begun", || {
        world.brokers().replicas("payments").len() == 2
    })
    .await;

    world.apply(&topic_of(1));
    until("it is cancelled", || {
        world.brokers().replicas("payments") == [0]
    })
    .await;
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
}

/// The cluster with one voter and so many brokers.
fn cluster_of(replicas: i32) -> String {
    let wanted = format!("replicas: {replicas}, controllers: 1");
    cluster("").replace("replicas: 3", &wanted)
}

pub async fn brokers_that_are_to_go_are_emptied_first_and_then_forgotten<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    world.apply(&topic_of(3));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;

    world.apply(&cluster_of(1));
    until_cluster(world, "ScaleDownRefused").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(
        world.brokers().registered(),
        (vec![0, 1, 2], vec![]),
        "replicas are there, and may be made"
    );

    world.brokers().create("unmanaged");
    world.brokers().set_replicas("unmanaged", &[2]);
    world.brokers().stop_copies_at(0);
    world.apply(&topic_of(1));
    until_cluster(world, "ScalingDown").await;
    let is_cordoned = || world.brokers().registered().1 == [1, 2];
    until("no new replicas come", is_cordoned).await;
    let is_begun = || world.brokers().replicas("unmanaged") == [0, 2];
    until("a topic without an object is moved too", is_begun).await;
    tokio::time::sleep(A_WHILE).await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(
        orders["status"]["replicas"],
        json!(3),
        "not while it is copied"
    );

    world.brokers().finish_copies();
    let is_forgotten = || world.brokers().registered() == (vec![0], vec![]);
    until("they are forgotten, and so is the cordon", is_forgotten).await;
    until_cluster(world, "BrokersReady").await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(orders["status"]["replicas"], json!(1));
    assert_eq!(world.brokers().replicas("unmanaged"), [0]);
    assert_eq!(world.brokers().voters(), [0], "nobody has gone with a vote");
}

pub async fn a_scale_down_that_is_taken_back_cancels_what_is_not_done<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    world.apply(&topic_of(1));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    world.brokers().create("unmanaged");
    world.brokers().set_replicas("unmanaged", &[2]);
    world.brokers().stop_copies_at(0);
    world.apply(&cluster_of(2));
    let is_begun = || world.brokers().replicas("unmanaged").len() == 2;
    until("it is being emptied", is_begun).await;

    world.apply(&cluster_of(3));
    let is_back = || world.brokers().registered() == (vec![0, 1, 2], vec![]);
    until("new replicas may come again", is_back).await;
    until_cluster(world, "BrokersReady").await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(orders["status"].get("leaving"), None);
    world.brokers().finish_copies();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.brokers().registered().0, [0, 1, 2]);
}

pub async fn a_broker_with_a_topic_that_the_operator_may_not_see_stays<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    until_cluster(world, "BrokersReady").await;
    world.brokers().create("secret");
    world.brokers().set_replicas("secret", &[2]);
    world.brokers().hide("secret", true);
    world.apply(&cluster_of(2));
    until_cluster(world, "ScalingDown").await;
    tokio::time::sleep(2 * A_WHILE).await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(orders["status"]["replicas"], json!(3));
    assert_eq!(world.brokers().registered(), (vec![0, 1, 2], vec![2]));

    world.brokers().hide("secret", false);
    let is_forgotten = || world.brokers().registered() == (vec![0, 1], vec![]);
    until("it is emptied and forgotten", is_forgotten).await;
    assert_ne!(world.brokers().replicas("secret"), [2]);
}

pub async fn a_broker_that_never_registered_can_go<S: Setting>(world: &S) {
    world.brokers().register(2, false);
    world.brokers().take_down(2);
    world.apply(&cluster_of(3));
    until_cluster(world, "BrokerNotReady").await;
    world.apply(&cluster_of(2));
    until_cluster(world, "BrokersReady").await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(orders["status"]["replicas"], json!(2));
    assert_eq!(orders["status"].get("leaving"), None);
}

pub async fn a_broker_that_comes_back_before_it_is_forgotten_is_not_cordoned<S: Setting>(
    world: &S,
) {
    world.apply(&cluster_of(3));
    until_cluster(world, "BrokersReady").await;
    world.brokers().keep_unfenced(true);
    world.apply(&cluster_of(2));
    let replicas = || {
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        orders["status"]["replicas"].clone()
    };
    until("its pod is gone", || replicas() == json!(2)).await;
    assert_eq!(world.brokers().registered(), (vec![0, 1, 2], vec![2]));

    world.brokers().bring_up();
    world.apply(&cluster_of(3));
    let is_back = || world.brokers().registered() == (vec![0, 1, 2], vec![]);
    until("new replicas may come again", is_back).await;
    // the status is written after the brokers are told
    let is_said = || {
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        orders["status"].get("leaving").is_none()
    };
    until("nobody is said to leave", is_said).await;
    until_cluster(world, "BrokersReady").await;
}

pub async fn a_broker_that_was_to_go_and_stays_gets_its_share_again<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    world.apply(&topic_of(1));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    let topics = ["a", "b", "secret"];
    for topic in topics {
        world.brokers().create(topic);
        world.brokers().set_replicas(topic, &[2]);
    }
    world.brokers().hide("secret", true);
    world.apply(&cluster_of(2));
    let holds = |topic: &str| world.brokers().replicas(topic).contains(&2);
    until("it is emptied", || !holds("a") && !holds("b")).await;

    world.brokers().stop_copies_at(0);
    world.apply(&cluster_of(3));
    until_cluster(world, "ScalingUp").await;
    world.brokers().finish_copies();
    let has_share = || holds("a") || holds("b") || holds("payments");
    until("it has its share again", has_share).await;
    until_cluster(world, "BrokersReady").await;
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    assert_eq!(orders["status"].get("newcomers"), None);
}

pub async fn the_brokers_own_topics_have_as_many_replicas_as_brokers_allow<S: Setting>(world: &S) {
    let offsets = "__consumer_offsets";
    for broker in [1, 2] {
        world.brokers().register(broker, false);
    }
    world.brokers().create(offsets);
    world.brokers().set_replicas(offsets, &[0]);
    world.apply(&cluster_of(1));
    until_cluster(world, "BrokersReady").await;

    for broker in [1, 2] {
        world.brokers().register(broker, true);
    }
    world.apply(&cluster_of(3));
    let count = || world.brokers().replicas(offsets).len();
    until("it has a replica on each broker", || count() == 3).await;
    until_cluster(world, "BrokersReady").await;

    world.apply(&cluster_of(2));
    let is_forgotten = || world.brokers().registered().0 == [0, 1];
    until("it holds up no broker that is to go", is_forgotten).await;
    assert_eq!(count(), 2);
}

pub async fn restarts_have_their_turn_between_moves<S: Setting>(world: &S) {
    let topic_of = |name: &str, replicas: u32| {
        let wanted = format!("replicationFactor: {replicas}");
        world.apply(&topic("shop", name, "").replace("replicationFactor: 3", &wanted));
    };
    let count = |name: &str| world.brokers().replicas(name).len();
    let message = |kind: &str, name: &str| {
        let object = world.get(kind, "shop", name).unwrap();
        object["status"]["conditions"][0]["message"].to_string()
    };
    world.apply(&cluster("config: { num.partitions: 2 }"));
    for name in ["payments", "refunds"] {
        topic_of(name, 1);
        until_reason(world, "KafkaTopic", "shop", name, "TopicReady").await;
    }
    world.brokers().stop_copies_at(0);
    topic_of("payments", 3);
    until("it is begun", || count("payments") == 3).await;

    world.apply(&cluster("config: { num.partitions: 3 }"));
    let waits = || message("KafkaCluster", "orders").contains("payments-0 is being copied to");
    until("the restarts say what they wait for", waits).await;
    topic_of("refunds", 3);
    let waits = || message("KafkaTopic", "refunds").contains("brokers are restarted first");
    until("the next one waits for the restarts", waits).await;
    assert_eq!(count("refunds"), 1);
    assert_eq!(world.brokers().settings()["num.partitions"], "2");

    world.brokers().finish_copies();
    let is_restarted = || world.brokers().settings()["num.partitions"] == "3";
    until("brokers are restarted", is_restarted).await;
    until_cluster(world, "BrokersReady").await;
    until("the next one is copied", || count("refunds") == 3).await;
}

pub async fn replicas_are_made_even_when_somebody_asks<S: Setting>(world: &S) {
    let orders = |annotations: &str| {
        let metadata = format!("namespace: shop, annotations: {{ {annotations} }} }}");
        world.apply(&cluster("").replace("namespace: shop }", &metadata));
    };
    orders("");
    until_cluster(world, "BrokersReady").await;
    let topics = ["a", "b", "c", "d"];
    for topic in topics {
        world.brokers().create(topic);
        world.brokers().set_replicas(topic, &[0]);
    }
    let on = |broker: i32| {
        let has = |topic: &&&str| world.brokers().replicas(topic).contains(&broker);
        topics.iter().filter(has).count()
    };
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(on(0), 4, "a cluster that is merely uneven is left as it is");

    orders("ottla.io/rebalance: first");
    until("each has its share", || (on(1), on(2)) == (1, 1)).await;
    let status = || world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone();
    let is_done = || status()["rebalance"] == json!({ "asked": "first" });
    until("it is told that it is done", is_done).await;
    until_cluster(world, "BrokersReady").await;

    for topic in topics {
        world.brokers().set_replicas(topic, &[1]);
    }
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(on(1), 4, "it was asked for once");
    world.brokers().stop_copies_at(0);
    orders("ottla.io/rebalance: second");
    until_cluster(world, "Rebalancing").await;
    orders("");
    until_cluster(world, "BrokersReady").await;
    assert_eq!(status().get("rebalance"), None);
}

pub async fn replicas_are_made_even_by_themselves_at_a_skew<S: Setting>(world: &S) {
    let spec = |percent: i32| {
        cluster(&format!(
            "changePolicy: Plan, rebalanceAtSkewPercent: {percent}"
        ))
    };
    world.apply(&spec(100));
    until_cluster(world, "BrokersReady").await;
    let topics = ["a", "b", "c", "d", "e", "f"];
    for (topic, broker) in topics.iter().zip([0, 0, 0, 0, 1, 2]) {
        world.brokers().create(topic);
        world.brokers().set_replicas(topic, &[broker]);
    }
    let on = |broker: i32| {
        let has = |topic: &&&str| world.brokers().replicas(topic).contains(&broker);
        topics.iter().filter(has).count()
    };
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(on(0), 4, "each has some of its share");

    world.apply(&spec(50));
    until_cluster(world, "WaitingForApproval").await;
    let status = || world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(on(0), 4, "nobody consented to it");
    let hash = status()["plan"]["hash"].as_str().unwrap().to_owned();
    let metadata = format!("namespace: shop, annotations: {{ ottla.io/approve-plan: {hash} }} }}");
    world.apply(&spec(50).replace("namespace: shop }", &metadata));
    until("each has its share", || (on(0), on(1), on(2)) == (2, 2, 2)).await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(status().get("rebalance"), None);
}
