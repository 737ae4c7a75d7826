//! Brokers as pods, on the API server in memory. The test itself stands in for the controller that
//! makes pods of a StatefulSet.

mod at_once;
mod held;
mod listeners;
mod replaced;
mod unready;

use serde_json::{Value, json};

use super::api::ApiServer;
use super::settings::{Kubernetes, Setting, run};
use super::{A_WHILE, cluster, until, until_cluster};
use crate::object::ObjectKey;
use crate::platform::kubernetes::{PodOptions, Pods};
use crate::platform::{Platform, Properties};
use crate::world::kubernetes;

/// Makes the pods that a StatefulSet asks for.
fn make_pods(api: &ApiServer) {
    let set = api.get("statefulsets", "shop", "orders").unwrap();
    let template = &set["spec"]["template"];
    for ordinal in 0..set["spec"]["replicas"].as_i64().unwrap() {
        let mut metadata = template["metadata"].clone();
        metadata["namespace"] = json!("shop");
        metadata["name"] = json!(format!("orders-{ordinal}"));
        metadata["labels"]["controller-revision-hash"] = json!("first");
        metadata["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "orders", "uid": "u",
            "controller": true,
        }]);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"],
            "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{
                    "name": "broker", "ready": true, "restartCount": 0, "image": "", "imageID": "",
                    "state": { "running": {} },
                }],
            },
        });
        api.apply("pods", &pod);
    }
    let status = json!({
        "replicas": 3, "observedGeneration": set["metadata"]["generation"],
        "updateRevision": "first",
    });
    api.set_status("statefulsets", "shop", "orders", &status);
}

#[test]
fn a_cluster_comes_up_as_pods_and_rests() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        world.apply(&cluster(""));
        let set = || api.get("statefulsets", "shop", "orders");
        until("there is a StatefulSet", || set().is_some()).await;
        for (resource, name) in [
            ("services", "orders-brokers"),
            ("services", "orders-bootstrap"),
            ("poddisruptionbudgets", "orders"),
            ("networkpolicies", "orders"),
        ] {
            let object = api.get(resource, "shop", name);
            let owner = object
                .and_then(|object| object.pointer("/metadata/ownerReferences/0/name").cloned());
            assert_eq!(owner, Some(json!("orders")), "{resource} {name}");
        }
        let config_map =
            set().unwrap()["spec"]["template"]["metadata"]["annotations"]["ottla.io/config-map"]
                .as_str()
                .map(str::to_owned);
        let config_map = api.get("configmaps", "shop", &config_map.unwrap()).unwrap();
        let files = config_map["data"].as_object().map(|files| files.len());
        assert_eq!(files, Some(3), "{config_map}");

        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let orders = world
            .get("KafkaCluster", "shop", "orders")
            .unwrap_or(Value::Null);
        let status = &orders["status"];
        assert_eq!(
            status["bootstrapServers"],
            json!("orders-bootstrap.shop.svc:9092")
        );
        assert_eq!(status["brokersReady"], json!("3/3"));

        tokio::time::sleep(A_WHILE).await;
        let before = api.patches();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(api.patches(), before, "at rest nothing is written");
    });
}

/// Nothing but an Event says why there is no pod.
#[test]
fn a_pod_that_is_refused_is_told_with_the_words_of_whoever_refused_it() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        world.apply(&cluster(""));
        let set = || api.get("statefulsets", "shop", "orders");
        until("there is a StatefulSet", || set().is_some()).await;
        let message = "create Pod orders-0 in StatefulSet orders failed error: pods \"orders-0\" \
                       is forbidden: exceeded quota: small";
        api.apply(
            "events",
            &json!({
                "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedCreate",
                "metadata": { "namespace": "shop", "name": "orders.1" }, "message": message,
                "lastTimestamp": crate::condition::now(),
                "involvedObject": { "kind": "StatefulSet", "name": "orders" },
            }),
        );
        until_cluster(world, "PodRefused").await;
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let said = orders["status"]["conditions"][0]["message"].to_string();
        assert!(said.contains("exceeded quota: small"), "{said}");

        make_pods(api);
        until_cluster(world, "BrokersReady").await;
    });
}

/// Names are not chosen by one alone: a PodDisruptionBudget of an application may have ours.
#[test]
fn what_belongs_to_somebody_else_is_left_as_it_is() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        let theirs = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "namespace": "shop", "name": "orders" },
            "spec": { "minAvailable": 2 },
        });
        api.apply("poddisruptionbudgets", &theirs);
        world.apply(&cluster(""));
        until_cluster(world, "ApplyFailed").await;
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let said = orders["status"]["conditions"][0]["message"].to_string();
        assert!(
            said.contains("PodDisruptionBudget orders is there already"),
            "{said}"
        );
        let budget = api.get("poddisruptionbudgets", "shop", "orders").unwrap();
        assert_eq!(budget["spec"], json!({ "minAvailable": 2 }));
        // Brokers come up without it.
        until("there is a StatefulSet", || {
            api.get("statefulsets", "shop", "orders").is_some()
        })
        .await;
        tokio::time::sleep(A_WHILE).await;
        let before = api.patches();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(api.patches(), before, "nothing is written while it is so");

        api.delete("poddisruptionbudgets", "shop", "orders");
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
    });
}

/// Ports of the nodes are few.
#[test]
fn services_of_a_listener_that_is_gone_go_once_no_broker_tells_of_them() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        let internal = "{ name: internal, port: 9092 }";
        let outside = "{ name: outside, port: 9094, type: NodePort }";
        world.apply(&cluster(&format!("listeners: [{internal}, {outside}]")));
        let names = [
            "orders-outside-bootstrap",
            "orders-outside-0",
            "orders-outside-2",
        ];
        let made = || {
            names
                .iter()
                .all(|name| api.get("services", "shop", name).is_some())
        };
        until("the Services are there", made).await;
        until("there is a StatefulSet", || {
            api.get("statefulsets", "shop", "orders").is_some()
        })
        .await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;

        world.apply(&cluster(&format!("listeners: [{internal}]")));
        tokio::time::sleep(A_WHILE).await;
        assert!(made(), "brokers still tell of them");
        make_pods(api);
        let gone = || {
            names
                .iter()
                .all(|name| api.get("services", "shop", name).is_none())
        };
        until("the Services are gone", gone).await;
    });
}

/// Whoever deletes a pod gets the one that is in force.
#[test]
fn the_template_of_pods_stays_until_its_plan_is_consented_to() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        let orders = |hash: &str, spec: &str| {
            let annotations =
                format!("namespace: shop, annotations: {{ ottla.io/approve-plan: '{hash}' }} }}");
            let yaml = cluster(&format!("changePolicy: Plan, {spec}"));
            world.apply(&yaml.replace("namespace: shop }", &annotations));
        };
        let internal = "{ name: internal, port: 9092 }";
        let outside = "{ name: outside, port: 9094, type: NodePort }";
        let set = || api.get("statefulsets", "shop", "orders");
        let template = || set().map(|set| set["spec"]["template"].clone());
        let status = || world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone();
        orders("", &format!("listeners: [{internal}, {outside}]"));
        until("there is a StatefulSet", || set().is_some()).await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let before = template();
        assert_eq!(status()["brokerVersion"], json!("test"));

        let changed =
            format!("listeners: [{internal}], config: {{ num.partitions: 7 }}, image: 'broker:2'");
        orders("", &changed);
        until_cluster(world, "WaitingForApproval").await;
        let plan = status()["plan"].clone();
        let step = "Restart brokers 0, 1, 2, one at a time: the image changes from \
                    ottla-broker:test to broker:2; advertised.listeners, listeners, \
                    num.partitions change.";
        assert_eq!(plan["steps"], json!([step]));
        tokio::time::sleep(A_WHILE).await;
        let patches = api.patches();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(api.patches(), patches, "while it waits nothing is written");
        assert_eq!(template(), before);
        let service = api.get("services", "shop", "orders-outside-0");
        assert!(service.is_some(), "brokers still tell of it");
        // Somebody else's hand is put back to what is in force.
        let mut set_by_hand = set().unwrap();
        set_by_hand["spec"]["template"]["spec"]["containers"][0]["image"] = json!("mine");
        api.apply("statefulsets", &set_by_hand);
        until("the template is as it was", || template() == before).await;

        orders(plan["hash"].as_str().unwrap(), &changed);
        let image = || template().map(|one| one["spec"]["containers"][0]["image"].clone());
        until("the template is the new one", || {
            image() == Some(json!("broker:2"))
        })
        .await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        assert_eq!(status()["brokerVersion"], json!("2"));
        assert_eq!(status().get("plan"), None);
    });
}

#[test]
fn a_cluster_that_is_made_again_has_all_brokers_that_have_left_data() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        for broker in [0, 1, 3, 4] {
            let claim = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {},
                "metadata": { "namespace": "shop", "name": format!("data-orders-{broker}") },
            });
            api.apply("persistentvolumeclaims", &claim);
        }
        world.apply(&cluster("storage: { size: 1Gi }"));
        let set = || api.get("statefulsets", "shop", "orders");
        until("there is a StatefulSet", || set().is_some()).await;
        assert_eq!(set().unwrap()["spec"]["replicas"], json!(5), "one is lost");
        let files = api.all("configmaps");
        let voters = |file: &Value| file["data"].to_string().matches("-brokers.shop").count();
        assert!(files.iter().any(|file| voters(file) > 4), "{files:?}");
    });
}

#[test]
fn a_broker_that_serves_is_evicted_and_the_budget_has_its_say() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        world.apply(&cluster(""));
        let set = || api.get("statefulsets", "shop", "orders");
        until("there is a StatefulSet", || set().is_some()).await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;

        let client = api.client();
        let seen = kubernetes::Kubernetes::new(&client, &client, &[], world.telemetry.clone());
        let key = ObjectKey {
            namespace: "shop".to_owned(),
            name: "orders".to_owned(),
        };
        let options = PodOptions {
            image: "ottla-broker:test".to_owned(),
            has_network_policy: true,
            metrics_namespaces: Vec::new(),
        };
        let mut pods = Pods::new(client, seen.watched.clone(), &key, options);
        while !pods.observe().await.get(&1).is_some_and(|one| one.ready) {
            tokio::time::sleep(A_WHILE / 10).await;
        }
        let pod = || api.get("pods", "shop", "orders-1");
        api.spend_budget(true);
        let refused = pods.restart(1, &Properties::new()).await.unwrap_err();
        assert!(!refused.is_stuck && pod().is_some(), "{}", refused.message);
        api.spend_budget(false);
        let again = pods.restart(1, &Properties::new()).await;
        assert_eq!(again, Err(refused), "not at once");
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(pods.restart(1, &Properties::new()).await, Ok(()));
        assert!(pod().is_none());
    });
}
