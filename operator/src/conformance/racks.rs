//! Racks that are known late.

use serde_json::{Value, json};

use super::settings::{Kubernetes, Setting, run};
use super::{cluster, until, until_cluster};

fn node(ordinal: i32, labels: &Value) -> Value {
    let name = format!("node-{ordinal}");
    json!({ "metadata": { "name": name, "namespace": "", "labels": labels } })
}

#[test]
fn a_broker_that_started_before_its_rack_was_known_is_told_of_and_restarted_with_it() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        let api = &world.api;
        for ordinal in 0..3 {
            let labels = match ordinal {
                1 => json!({}),
                other => json!({ "zone": format!("zone-{other}") }),
            };
            api.apply("nodes", &node(ordinal, &labels));
        }
        world.apply(&cluster("rack: { topologyKey: zone }"));
        let said = || {
            let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
            orders["status"]["conditions"][0]["message"].to_string()
        };
        let want = "The node node-1 has no label zone, so orders-1 has no rack; label the node, or \
                    correct spec.rack.topologyKey.";
        until("it is told", || said().contains(want)).await;
        let pod = |name: &str| api.get("pods", "shop", name).unwrap();
        let rack = |name: &str| pod(name)["metadata"]["annotations"]["ottla.io/rack"].clone();
        until("the others are told", || {
            rack("orders-2") == json!("zone-2")
        })
        .await;
        let serves = || {
            let ready = &pod("orders-1")["status"]["conditions"][0]["status"];
            *ready == json!("True")
        };
        until("it serves without", serves).await;
        let before = pod("orders-1")["metadata"]["uid"].clone();
        let other = pod("orders-2")["metadata"]["uid"].clone();

        api.apply("nodes", &node(1, &json!({ "zone": "zone-1" })));
        until("it is made anew", || {
            let pod = api.get("pods", "shop", "orders-1").unwrap_or_default();
            !pod.is_null() && pod["metadata"]["uid"] != before
        })
        .await;
        until("it is told", || rack("orders-1") == json!("zone-1")).await;
        until_cluster(world, "BrokersReady").await;
        assert_eq!(pod("orders-2")["metadata"]["uid"], other);
        let late = pod("orders-1")["metadata"]["annotations"]["ottla.io/rack-told-late"].clone();
        assert_eq!(late, Value::Null);
    });
}
