//! What brokers go on with while a plan waits.

use serde_json::Value;

use super::super::settings::{Kubernetes, Setting, run};
use super::super::{A_WHILE, cluster, until, until_cluster};
use super::make_pods;

/// Applies the cluster with plans, consented to by this hash.
fn apply(world: &Kubernetes, hash: &str, spec: &str) {
    let annotations =
        format!("namespace: shop, annotations: {{ ottla.io/approve-plan: '{hash}' }} }}");
    let yaml = cluster(&format!("changePolicy: Plan, {spec}"));
    world.apply(&yaml.replace("namespace: shop }", &annotations));
}

async fn come_up(world: &Kubernetes, spec: &str) {
    apply(world, "", spec);
    let set = || world.api.get("statefulsets", "shop", "orders");
    until("there is a StatefulSet", || set().is_some()).await;
    make_pods(&world.api);
    until_cluster(world, "BrokersReady").await;
}

async fn plan(world: &Kubernetes) -> Value {
    let wanted = "WaitingForApproval";
    until_cluster(world, wanted).await;
    status(world)["plan"].clone()
}

fn status(world: &Kubernetes) -> Value {
    world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone()
}

/// What the API server did not take is not what pods start with.
#[test]
fn a_template_that_was_refused_is_not_in_force_and_restarts_nobody() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        come_up(world, "config: { num.partitions: 2 }").await;
        let changed = "config: { num.partitions: 3 }";
        apply(world, "", changed);
        let hash = plan(world).await["hash"].as_str().unwrap().to_owned();
        world.api.find_invalid("statefulsets");
        apply(world, &hash, changed);
        until_cluster(world, "ApplyFailed").await;
        world.api.find_invalid("");
        apply(world, "", &format!("{changed}, image: 'broker:2'"));
        let steps = plan(world).await["steps"].to_string();
        assert!(steps.contains("num.partitions"), "{steps}");
        tokio::time::sleep(A_WHILE).await;
        for broker in status(world)["brokers"].as_array().unwrap() {
            let reason = broker["restartReason"].as_str().unwrap_or_default();
            assert_eq!(reason, "", "{broker}");
        }
        apply(world, "", "config: { num.partitions: 2 }");
        until_cluster(world, "BrokersReady").await;
    });
}

#[test]
fn settings_that_somebody_edits_are_put_back_and_need_no_plan() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        come_up(world, "config: { num.partitions: 2 }").await;
        let set = world.api.get("statefulsets", "shop", "orders").unwrap();
        let name = set.pointer("/spec/template/metadata/annotations/ottla.io~1config-map");
        let name = name.and_then(Value::as_str).unwrap();
        let before = world.api.get("configmaps", "shop", name).unwrap();
        let mut edited = before.clone();
        for file in edited["data"].as_object_mut().unwrap().values_mut() {
            let text = file.as_str().unwrap();
            *file = text.replace("num.partitions=2", "num.partitions=9").into();
        }
        assert_ne!(edited["data"], before["data"]);
        world.api.apply("configmaps", &edited);
        let data = || world.api.get("configmaps", "shop", name).unwrap()["data"].clone();
        until("it is as it was", || data() == before["data"]).await;
        until_cluster(world, "BrokersReady").await;
        assert_eq!(status(world).get("plan"), None);
    });
}
