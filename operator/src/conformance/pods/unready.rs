//! Brokers that are not ready for what their node does.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::super::api::faults::Verb;
use super::super::settings::{Kubernetes, Setting, run};
use super::super::{cluster, until, until_cluster};
use super::make_pods;

#[test]
fn a_node_that_is_not_heard_of_is_named() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        world.apply(&cluster(""));
        until("there is a StatefulSet", || {
            api.get("statefulsets", "shop", "orders").is_some()
        })
        .await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;

        let why = "Kubelet stopped posting node status.";
        let unknown = json!({ "type": "Ready", "status": "Unknown", "message": why });
        api.apply(
            "nodes",
            &json!({
                "metadata": { "name": "node-1", "namespace": "" },
                "status": { "conditions": [unknown] },
            }),
        );
        api.edit("pods", "shop", "orders-1", |pod| {
            pod["spec"]["nodeName"] = json!("node-1");
            pod["metadata"]["finalizers"] = json!(["nodes"]);
            // Nobody listens there.
            pod["status"]["podIP"] = json!("127.0.0.1");
            pod["status"]["conditions"][0]["status"] = json!("False");
        });
        let said = || {
            let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
            orders["status"]["brokers"][1]["message"].clone()
        };
        let want = "its node node-1 is not ready: Kubelet stopped posting node status";
        until("the node is named", || said() == want).await;

        // After a while Kubernetes deletes its pod, and nobody is there to say that it stopped.
        api.delete("pods", "shop", "orders-1");
        let want = format!("was to stop, but {want}");
        until("it is still named", || said() == want.as_str()).await;
    });
}

/// Connections are led to a pod some time after it is ready, and whoever goes next sends clients to
/// it.
#[test]
fn the_next_broker_goes_some_seconds_after_one_is_back() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        let threads = |number: usize| {
            world.apply(&cluster(&format!(
                "config: {{ num.network.threads: {number} }}"
            )));
        };
        threads(2);
        until_cluster(world, "BrokersReady").await;
        threads(3);
        let evicted = || world.api.times("pods", Verb::Evict);
        let is_ready = |ordinal: i32| {
            let pod = world.api.get("pods", "shop", &format!("orders-{ordinal}"));
            pod.is_some_and(|pod| pod["status"]["conditions"][0]["status"] == "True")
        };
        until("one goes", || !evicted().is_empty()).await;
        until("it is away", || !(0..3).all(is_ready)).await;
        until("it is back", || (0..3).all(is_ready)).await;
        let back = Instant::now();
        until("the next one goes", || evicted().len() > 1).await;
        let apart = evicted()[1].1 - back;
        assert!(apart >= Duration::from_millis(2500), "{apart:?}");
        until_cluster(world, "BrokersReady").await;
        assert_eq!(evicted().len(), 3);
    });
}
