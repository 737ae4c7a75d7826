//! Listeners whose ways lead through what somebody else assigns or passes on.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::settings::{Kubernetes, Setting, run};
use super::super::{A_WHILE, cluster, until, until_cluster};
use super::make_pods;

const INTERNAL: &str = "{ name: internal, port: 9092 }";
const BALANCED: &str = "{ name: outside, port: 9094, type: LoadBalancer }";
const ROUTED: &str = "{ name: named, port: 9095, type: TLSRoute, tls: {}, advertised: { host: \
                      'r-{broker}.example.org', bootstrapHost: r.example.org }, gateways: [{ \
                      name: edge }] }";
const WAYS: [&str; 4] = [
    "orders-outside-bootstrap",
    "orders-outside-0",
    "orders-outside-1",
    "orders-outside-2",
];

fn listeners(all: &[&str]) -> String {
    cluster(&format!("listeners: [{}]", all.join(", ")))
}

fn set(world: &Kubernetes) -> Option<Value> {
    world.api.get("statefulsets", "shop", "orders")
}

async fn come_up(world: &Kubernetes, yaml: &str) {
    world.apply(yaml);
    until("there is a StatefulSet", || set(world).is_some()).await;
    make_pods(&world.api);
    until_cluster(world, "BrokersReady").await;
}

/// What a cloud's controller does.
fn assign(world: &Kubernetes) {
    for (place, name) in WAYS.iter().enumerate() {
        let ip = format!("203.0.113.{}", place + 1);
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": ip }] } });
        world.api.set_status("services", "shop", name, &status);
    }
}

fn message(world: &Kubernetes) -> String {
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    orders["status"]["conditions"].to_string()
}

/// What the file says that new pods take.
fn advertised(world: &Kubernetes, broker: i32) -> String {
    let set = set(world).unwrap();
    let named = &set["spec"]["template"]["metadata"]["annotations"]["ottla.io/config-map"];
    let named = named.as_str().unwrap();
    let config_map = world.api.get("configmaps", "shop", named).unwrap();
    let file = &config_map["data"][format!("orders-{broker}.properties")];
    let mut lines = file.as_str().unwrap().lines();
    let line = lines.find(|line| line.starts_with("advertised.listeners"));
    line.unwrap().to_owned()
}

#[test]
fn brokers_start_once_their_load_balancers_have_addresses() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        world.apply(&listeners(&[INTERNAL, BALANCED]));
        until("the Services are there", || {
            WAYS.iter()
                .all(|name| api.get("services", "shop", name).is_some())
        })
        .await;
        let waits = "The Service orders-outside-0 has no address yet";
        until("the status says what is missing", || {
            message(world).contains(waits)
        })
        .await;
        assert_eq!(set(world), None);
        assign(world);
        until("there is a StatefulSet", || set(world).is_some()).await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let second = advertised(world, 1);
        assert!(second.contains("OUTSIDE://203.0.113.3:9094"), "{second}");
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let outside = &orders["status"]["listeners"]["outside"];
        assert_eq!(*outside, json!("203.0.113.1:9094"));
        // An address that is away for a moment restarts nobody.
        let none = json!({ "loadBalancer": {} });
        api.set_status("services", "shop", "orders-outside-1", &none);
        let spec = || set(world).map(|set| set["spec"].clone());
        let before = spec();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(spec(), before);
        let moved = json!({ "loadBalancer": { "ingress": [{ "hostname": "lb.example.org" }] } });
        api.set_status("services", "shop", "orders-outside-1", &moved);
        until("the broker is to tell of the other address", || {
            advertised(world, 1).contains("OUTSIDE://lb.example.org:9094")
        })
        .await;
    });
}

/// Nothing else waits for a load balancer that nobody makes.
#[test]
fn a_listener_that_is_added_waits_alone_for_its_addresses() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        come_up(world, &listeners(&[INTERNAL])).await;
        let spec = || set(world).map(|set| set["spec"].clone());
        let before = spec();
        let inside = "{ name: inside, port: 9095, type: ClusterIP }";
        world.apply(&listeners(&[INTERNAL, BALANCED]));
        let waits = "The Service orders-outside-0 has no address yet";
        until("the status says what is missing", || {
            message(world).contains(waits)
        })
        .await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(spec(), before, "nobody restarts for it");

        world.apply(&listeners(&[INTERNAL, BALANCED, inside]));
        let another = || advertised(world, 2).contains("INSIDE://orders-inside-2.shop.svc:9095");
        until("the other listener goes on", another).await;
        assert!(!advertised(world, 2).contains("OUTSIDE"));
        make_pods(&world.api);
        assign(world);
        until("brokers are to have it", || {
            advertised(world, 2).contains("OUTSIDE")
        })
        .await;
        make_pods(&world.api);
        until_cluster(world, "BrokersReady").await;
    });
}

/// Whoever consents to a restart consents to the addresses, which are known before; what leads to
/// brokers meanwhile stays.
#[test]
fn while_a_restart_waits_ways_stay_as_they_are() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        let apply = |hash: &str, all: &[&str]| {
            let annotations =
                format!("namespace: shop, annotations: {{ ottla.io/approve-plan: '{hash}' }} }}");
            let yaml = cluster(&format!(
                "changePolicy: Plan, listeners: [{}]",
                all.join(", ")
            ));
            world.apply(&yaml.replace("namespace: shop }", &annotations));
        };
        let named = "{ name: named, port: 9095, type: Ingress, tls: {}, advertised: { host: \
                     'b-{broker}.example.org', bootstrapHost: b.example.org } }";
        let secure = "{ name: internal, port: 9092, tls: {} }";
        apply("", &[secure, named]);
        until("there is a StatefulSet", || set(world).is_some()).await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let ingress = |name: &str| api.get("ingresses", "shop", name);
        let spec = ingress("orders-named-1").unwrap()["spec"].clone();
        assert_eq!(spec["rules"][0]["host"], json!("b-1.example.org"));
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let told = &orders["status"]["listeners"]["named"];
        assert_eq!(*told, json!("b.example.org:443"));

        apply("", &[secure, ROUTED, BALANCED]);
        assign_when_made(world).await;
        until_cluster(world, "WaitingForApproval").await;
        tokio::time::sleep(A_WHILE).await;
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let hash = orders["status"]["plan"]["hash"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(ingress("orders-named-1").unwrap()["spec"], spec);
        assert_eq!(api.get("tlsroutes", "shop", "orders-named-1"), None);
        assert!(advertised(world, 1).contains("NAMED://b-1.example.org:443"));
        let balanced = api.get("services", "shop", "orders-outside-1");
        assert!(
            balanced.is_some(),
            "without it the plan would be another one"
        );

        apply(&hash, &[secure, ROUTED, BALANCED]);
        until("brokers are to tell of the routes", || {
            advertised(world, 1).contains("NAMED://r-1.example.org:443")
        })
        .await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let route = api.get("tlsroutes", "shop", "orders-named-1").unwrap();
        assert_eq!(route["apiVersion"], json!("gateway.networking.k8s.io/v1"));
        assert_eq!(route["spec"]["hostnames"], json!(["r-1.example.org"]));
        assert_eq!(route["spec"]["parentRefs"], json!([{ "name": "edge" }]));
        until("the Ingresses are gone", || {
            ingress("orders-named-1").is_none()
        })
        .await;
    });
}

#[test]
fn routes_of_a_listener_that_is_gone_go_with_its_services() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let secure = "{ name: internal, port: 9092, tls: {} }";
        come_up(world, &listeners(&[secure, ROUTED])).await;
        let is_there = |resource: &str| world.api.get(resource, "shop", "orders-named-1").is_some();
        assert!(is_there("tlsroutes") && is_there("services"));
        world.api.delete("tlsroutes", "shop", "orders-named-1");
        // nobody watches them: they are looked at twice a minute
        tokio::time::sleep(Duration::from_secs(60)).await;
        until("what somebody deleted is made again", || {
            is_there("tlsroutes")
        })
        .await;
        world.apply(&listeners(&[secure]));
        tokio::time::sleep(A_WHILE).await;
        assert!(is_there("tlsroutes"), "brokers still tell of it");
        make_pods(&world.api);
        until("the routes are gone", || {
            !is_there("tlsroutes") && !is_there("services")
        })
        .await;
    });
}

async fn assign_when_made(world: &Kubernetes) {
    let is_there = |name: &&str| world.api.get("services", "shop", name).is_some();
    until("the Services are there", || WAYS.iter().all(&is_there)).await;
    assign(world);
}
