//! Brokers that are not ready for what their node does.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

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

/// Connections are led to a pod some time after it is ready.
#[test]
fn a_broker_that_is_ready_again_counts_a_moment_later() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        world.apply(&cluster(""));
        until("there is a StatefulSet", || {
            api.get("statefulsets", "shop", "orders").is_some()
        })
        .await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;

        let is_ready = |is: &str| {
            api.edit("pods", "shop", "orders-1", |pod| {
                pod["status"]["conditions"][0]["status"] = json!(is);
            });
        };
        let said = || {
            let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
            let message = &orders["status"]["brokers"][1]["message"];
            message.as_str().unwrap_or_default().to_owned()
        };
        is_ready("False");
        until("it is away", || said() != "serves").await;
        is_ready("True");
        until("it settles", || said().starts_with("serves again")).await;
        let back = Instant::now();
        until_cluster(world, "BrokersReady").await;
        let took = back.elapsed();
        assert!(took > Duration::from_secs(2), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}
