//! How little is written: what flaps, what comes in thousands, and brokers that are not the ones.

mod portions;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::access::{SCRAM, known, user};
use super::api::faults::Verb;
use super::settings::{Kubernetes, Setting, run};
use super::{A_WHILE, cluster, reason, topic, until, until_cluster, until_reason};

const KIND: &str = "KafkaTopic";

fn writes(world: &Kubernetes) -> usize {
    world.api.times("kafkatopics", Verb::Status).len()
}

#[test]
fn replicas_that_fall_out_and_come_back_are_told_now_and_then() {
    const TOPICS: usize = 20;
    run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(""));
        for number in 0..TOPICS {
            world.apply(&topic("shop", &format!("t-{number}"), ""));
        }
        for number in 0..TOPICS {
            until_reason(world, KIND, "shop", &format!("t-{number}"), "TopicReady").await;
        }
        let before = writes(world);
        for _ in 0..5 {
            world.brokers().take_down(2);
            tokio::time::sleep(Duration::from_secs(3)).await;
            world.brokers().bring_up();
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let told = writes(world) - before;
        assert!(
            told <= TOPICS * 4,
            "{told} writes of {TOPICS} topics in 30 s"
        );
        let in_sync = |number: usize| {
            let object = world.get(KIND, "shop", &format!("t-{number}")).unwrap();
            object["status"]["inSync"].clone()
        };
        until("all are told as they are", || {
            (0..TOPICS).all(|number| in_sync(number) == json!("3/3"))
        })
        .await;
    });
}

#[test]
fn a_cluster_that_does_not_answer_for_a_moment_is_no_news_of_its_topics() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(""));
        world.apply(&topic("shop", "payments", ""));
        until_reason(world, KIND, "shop", "payments", "TopicReady").await;
        let before = writes(world);
        world.brokers().be_silent(true);
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.brokers().be_silent(false);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(writes(world), before);

        world.brokers().be_silent(true);
        until_reason(world, KIND, "shop", "payments", "ClusterNotReady").await;
        world.brokers().be_silent(false);
        until_reason(world, KIND, "shop", "payments", "TopicReady").await;
    });
}

#[test]
fn in_a_cluster_that_lost_its_data_no_topic_and_no_user_is_made_or_deleted() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(
            "storage: { size: 1Gi }, listeners: [{ name: bare, port: 9094, authentication: { \
             type: Scram } }]",
        ));
        world.apply(&user("shop", "", SCRAM));
        until_reason(world, "KafkaUser", "shop", "billing", "UserReady").await;
        world.apply(&topic("shop", "payments", ""));
        world.apply(&topic("shop", "refunds", ""));
        until_reason(world, KIND, "shop", "payments", "TopicReady").await;
        until_reason(world, KIND, "shop", "refunds", "TopicReady").await;
        until_cluster(world, "BrokersReady").await;

        for broker in 0..3 {
            world.brokers().take_down(broker);
        }
        tokio::time::sleep(A_WHILE).await;
        world.brokers().forget_all();
        world.brokers().bring_up();
        until_cluster(world, "InconsistentClusterId").await;
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let said = orders["status"]["conditions"][0]["message"].to_string();
        let ids = "the brokers are of cluster another-cluster, and this was the-cluster";
        assert!(said.contains(ids), "{said}");
        assert_eq!(orders["status"]["clusterId"], json!("the-cluster"));
        world.delete(KIND, "shop", "refunds");
        tokio::time::sleep(4 * A_WHILE).await;
        assert!(world.brokers().topics().is_empty());
        assert!(world.get(KIND, "shop", "refunds").is_some());
        until_reason(world, KIND, "shop", "payments", "ClusterNotReady").await;
        until_reason(world, "KafkaUser", "shop", "billing", "ClusterNotReady").await;
        world.delete("KafkaUser", "shop", "billing");
        tokio::time::sleep(4 * A_WHILE).await;
        assert!(world.get("KafkaUser", "shop", "billing").is_some());
        assert_eq!(known(world), (Vec::new(), Vec::new()));
    });
}

/// Without volumes a cluster's data live as long as its pods.
#[test]
fn a_cluster_without_volumes_may_begin_anew() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(""));
        world.apply(&topic("shop", "payments", ""));
        until_reason(world, KIND, "shop", "payments", "TopicReady").await;
        world.brokers().take_down(0);
        until_cluster(world, "BrokerNotReady").await;
        world.brokers().forget_all();
        world.brokers().bring_up();
        let id =
            || world.get("KafkaCluster", "shop", "orders").unwrap()["status"]["clusterId"].clone();
        until("it has its new id", || id() == json!("another-cluster")).await;
        until("its topic is back", || {
            world.brokers().topics() == ["payments"]
        })
        .await;
    });
}

/// Each is held, created and told as ready: two writes, and none afterwards.
#[test]
fn two_thousand_topics_at_once_cost_two_writes_each() {
    const TOPICS: usize = 2_000;
    run(Kubernetes::new(), async |world: &Kubernetes| {
        world.apply(&cluster(""));
        until_cluster(world, "BrokersReady").await;
        let begun = Instant::now();
        for number in 0..TOPICS {
            world.apply(&topic("shop", &format!("t-{number}"), ""));
        }
        let is_ready = |object: &Value| reason(Some(object)) == "TopicReady";
        let virtual_time = tokio::time::Instant::now();
        while !world.api.all("kafkatopics").iter().all(is_ready) {
            assert!(virtual_time.elapsed() < Duration::from_secs(120));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{TOPICS} topics were ready after {seconds:.1} s of work");
        let written = (
            writes(world),
            world.api.times("kafkatopics", Verb::Patch).len(),
        );
        assert_eq!(written, (TOPICS, TOPICS), "statuses and finalizers");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let since = (
            writes(world),
            world.api.times("kafkatopics", Verb::Patch).len(),
        );
        assert_eq!(since, written, "nothing is written for a minute");
    });
}

#[test]
fn several_namespaces_are_looked_after_and_no_other() {
    let mut world = Kubernetes::new();
    world.namespaces = vec!["shop".to_owned(), "guest".to_owned()];
    run(world, async |world: &Kubernetes| {
        world.apply(&cluster(""));
        for namespace in ["shop", "guest", "stranger"] {
            world.apply(&topic(namespace, &format!("of-{namespace}"), ""));
        }
        until_reason(world, KIND, "shop", "of-shop", "TopicReady").await;
        until_reason(world, KIND, "guest", "of-guest", "TopicReady").await;
        // Each namespace is listed anew for itself, which takes nothing of the others away.
        world.api.cut_watches(true);
        tokio::time::sleep(4 * A_WHILE).await;
        assert_eq!(world.brokers().topics(), ["of-guest", "of-shop"]);
        let stranger = world.get(KIND, "stranger", "of-stranger").unwrap();
        assert_eq!(reason(Some(&stranger)), "");
        world.delete(KIND, "guest", "of-guest");
        let is_gone = || world.get(KIND, "guest", "of-guest").is_none();
        until("the object is gone", is_gone).await;
        assert_eq!(world.brokers().topics(), ["of-shop"]);
    });
}
