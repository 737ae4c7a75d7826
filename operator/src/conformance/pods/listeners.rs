//! Listeners whose ways lead through what somebody else assigns or passes on.

mod routes;

use serde_json::{Value, json};

use super::super::settings::{Kubernetes, Setting, run};
use super::super::{A_WHILE, cluster, until, until_cluster};
use super::make_pods;

const INTERNAL: &str = "{ name: internal, port: 9092 }";
const BALANCED: &str = "{ name: outside, port: 9094, type: LoadBalancer }";
const ROUTED: &str = "{ name: routed, port: 9096, type: TLSRoute, tls: {}, advertised: { host: \
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
        let apply = |hash: &str, all: &[&str]| planned(world, hash, all);
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
        let hash = plan(world);
        assert_eq!(ingress("orders-named-1").unwrap()["spec"], spec);
        assert_eq!(api.get("tlsroutes", "shop", "orders-routed-1"), None);
        assert!(advertised(world, 1).contains("NAMED://b-1.example.org:443"));
        let balanced = api.get("services", "shop", "orders-outside-1");
        assert!(
            balanced.is_some(),
            "without it the plan would be another one"
        );

        apply(&hash, &[secure, ROUTED, BALANCED]);
        until("brokers are to tell of the routes", || {
            advertised(world, 1).contains("ROUTED://r-1.example.org:443")
        })
        .await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let route = api.get("tlsroutes", "shop", "orders-routed-1").unwrap();
        assert_eq!(route["apiVersion"], json!("gateway.networking.k8s.io/v1"));
        assert_eq!(route["spec"]["hostnames"], json!(["r-1.example.org"]));
        assert_eq!(route["spec"]["parentRefs"], json!([{ "name": "edge" }]));
        until("the Ingresses are gone", || {
            ingress("orders-named-1").is_none()
        })
        .await;
    });
}

/// Ports of the nodes are assigned after consent, and are the same plan.
#[test]
fn a_node_port_listener_comes_by_one_consent() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let nodes = |ports: &str| format!("{{ name: nodes, port: 9094, type: NodePort{ports} }}");
        planned(world, "", &[INTERNAL]);
        until("there is a StatefulSet", || set(world).is_some()).await;
        make_pods(&world.api);
        until_cluster(world, "BrokersReady").await;
        let consented = async |all: &[&str]| {
            planned(world, "", all);
            until_cluster(world, "WaitingForApproval").await;
            tokio::time::sleep(A_WHILE).await;
            let before = advertised(world, 1);
            planned(world, &plan(world), all);
            until("brokers are to have it", || advertised(world, 1) != before).await;
            make_pods(&world.api);
            until_cluster(world, "BrokersReady").await;
        };
        consented(&[INTERNAL, &nodes("")]).await;
        let port = || {
            let service = world.api.get("services", "shop", "orders-nodes-1").unwrap();
            service["spec"]["ports"][0]["nodePort"].as_i64().unwrap()
        };
        assert!(advertised(world, 1).contains(&format!("NODES://${{env:HOST_IP}}:{}", port())));

        // Other ports are another plan, before which nobody loses the ones there are.
        let pinned = nodes(", service: { nodePorts: { firstBroker: 31000 } }");
        let before = port();
        planned(world, "", &[INTERNAL, &pinned]);
        until_cluster(world, "WaitingForApproval").await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(port(), before);
        consented(&[INTERNAL, &pinned]).await;
        assert_eq!(port(), 31001);
    });
}

/// What leads to brokers would be taken away while they still tell of it.
#[test]
fn a_listener_keeps_its_type() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let of = |type_: &str| format!("{{ name: nodes, port: 9094, type: {type_} }}");
        come_up(world, &listeners(&[INTERNAL, &of("NodePort")])).await;
        let spec = || world.api.get("services", "shop", "orders-nodes-0").unwrap()["spec"].clone();
        let before = spec();
        world.apply(&listeners(&[INTERNAL, &of("LoadBalancer")]));
        let says = "spec.listeners (nodes) was NodePort and is to be LoadBalancer";
        until("the status says so", || message(world).contains(says)).await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(spec(), before);
    });
}

/// Kubernetes would refuse the whole Service, and with it what else has changed in it.
#[test]
fn a_load_balancer_keeps_its_class() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let of = |class: &str, range: &str| {
            format!(
                "{{ name: outside, port: 9094, type: LoadBalancer, service: {{ loadBalancerClass: \
                 {class}, sourceRanges: [{range}] }} }}"
            )
        };
        world.apply(&listeners(&[INTERNAL, &of("example.org/a", "10.0.0.0/8")]));
        assign_when_made(world).await;
        until("there is a StatefulSet", || set(world).is_some()).await;
        make_pods(&world.api);
        until_cluster(world, "BrokersReady").await;
        world.apply(&listeners(&[INTERNAL, &of("example.org/b", "11.0.0.0/8")]));
        let says = "spec.listeners (outside) has service.loadBalancerClass \\\"example.org/b\\\" \
                    and was made with \\\"example.org/a\\\"";
        until("the status says so", || message(world).contains(says)).await;
        let spec = || {
            world
                .api
                .get("services", "shop", "orders-outside-0")
                .unwrap()["spec"]
                .clone()
        };
        until("the rest is as it is wanted", || {
            spec()["loadBalancerSourceRanges"] == json!(["11.0.0.0/8"])
        })
        .await;
        assert_eq!(spec()["loadBalancerClass"], json!("example.org/a"));
        world.apply(&listeners(&[INTERNAL, &of("example.org/a", "11.0.0.0/8")]));
        until_cluster(world, "BrokersReady").await;
    });
}

#[test]
fn who_may_connect_is_not_left_unsaid_where_nothing_holds_it() {
    let mut open = Kubernetes::with_pods();
    open.has_network_policy = false;
    run(open, async |world: &Kubernetes| {
        let narrow = "{ name: apps, port: 9093, allowedFrom: [{ podSelector: {} }] }";
        world.apply(&listeners(&[INTERNAL, narrow]));
        until("there is a StatefulSet", || set(world).is_some()).await;
        make_pods(&world.api);
        let says =
            "spec.listeners (apps) has allowedFrom, and this operator makes no NetworkPolicy";
        until("the status says so", || message(world).contains(says)).await;
        until_cluster(world, "ApplyFailed").await;
        world.apply(&listeners(&[INTERNAL, "{ name: apps, port: 9093 }"]));
        until_cluster(world, "BrokersReady").await;
    });
}

/// How a listener is reached stands on that Service alone.
#[test]
fn a_service_that_somebody_deletes_comes_back_and_its_listener_is_what_it_was() {
    for type_ in ["LoadBalancer", "ClusterIP"] {
        run(Kubernetes::with_pods(), async |world: &Kubernetes| {
            let api = &world.api;
            let outside = BALANCED.replace("LoadBalancer", type_);
            world.apply(&listeners(&[INTERNAL, &outside]));
            assign_when_made(world).await;
            until("there is a StatefulSet", || set(world).is_some()).await;
            make_pods(api);
            until_cluster(world, "BrokersReady").await;
            let before = set(world).map(|set| set["spec"].clone());
            let one = || api.get("services", "shop", WAYS[0]);
            let uid = one().unwrap()["metadata"]["uid"].clone();
            api.delete("services", "shop", WAYS[0]);
            let is_back = || one().is_some_and(|one| one["metadata"]["uid"] != uid);
            until("it is made again", is_back).await;
            assign(world);
            tokio::time::sleep(A_WHILE).await;
            until_cluster(world, "BrokersReady").await;
            assert_eq!(set(world).map(|set| set["spec"].clone()), before, "{type_}");
            assert!(api.get("services", "shop", WAYS[1]).is_some());
        });
    }
}

/// Clients would be told of a port that leads to somebody else, or nowhere.
#[test]
fn no_broker_tells_of_a_service_that_was_refused() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        come_up(world, &listeners(&[INTERNAL])).await;
        let before = set(world).map(|set| set["spec"].clone());
        world.api.find_invalid("services");
        let pinned = "{ name: nodes, port: 9094, type: NodePort, service: { nodePorts: { \
                      firstBroker: 31000 } } }";
        world.apply(&listeners(&[INTERNAL, pinned]));
        until_cluster(world, "ApplyFailed").await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(set(world).map(|set| set["spec"].clone()), before);
        world.api.find_invalid("");
        until("it is taken", || advertised(world, 2).contains(":31002")).await;
    });
}

/// Of several addresses the one that is told stays, and a broker more waits alone for its own.
#[test]
fn load_balancers_of_others_change_nothing_for_brokers_that_run() {
    balancers_of_others("");
    balancers_of_others(", advertised: { port: 443 }");
}

fn balancers_of_others(more: &str) {
    let port = if more.is_empty() { 9094 } else { 443 };
    let balanced = BALANCED.replace("LoadBalancer", &format!("LoadBalancer{more}"));
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        let both_listeners = listeners(&[INTERNAL, &balanced]);
        let both = |order: [u8; 2]| {
            let ingress = order.map(|last| json!({ "ip": format!("203.0.113.{last}") }));
            json!({ "loadBalancer": { "ingress": ingress } })
        };
        world.apply(&both_listeners);
        assign_when_made(world).await;
        api.set_status("services", "shop", "orders-outside-1", &both([8, 9]));
        until("there is a StatefulSet", || set(world).is_some()).await;
        make_pods(api);
        until_cluster(world, "BrokersReady").await;
        let told = advertised(world, 1);
        api.set_status("services", "shop", "orders-outside-1", &both([9, 8]));
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(advertised(world, 1), told);

        let four = both_listeners.replace("replicas: 3", "replicas: 4");
        world.apply(&four.replace("listeners:", "config: { num.partitions: 7 }, listeners:"));
        let waits = "The Service orders-outside-3 has no address yet";
        until("the status says what is missing", || {
            message(world).contains(waits)
        })
        .await;
        tokio::time::sleep(A_WHILE).await;
        let set = set(world).unwrap();
        assert_eq!(set["spec"]["replicas"], json!(3));
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.7" }] } });
        api.set_status("services", "shop", "orders-outside-3", &status);
        until("the fourth comes", || {
            api.get("statefulsets", "shop", "orders").unwrap()["spec"]["replicas"] == json!(4)
        })
        .await;
        assert!(advertised(world, 3).contains(&format!("OUTSIDE://203.0.113.7:{port}")));
    });
}

/// Applies the cluster with plans, consented to by this hash.
fn planned(world: &Kubernetes, hash: &str, all: &[&str]) {
    let annotations =
        format!("namespace: shop, annotations: {{ ottla.io/approve-plan: '{hash}' }} }}");
    let yaml = cluster(&format!(
        "changePolicy: Plan, listeners: [{}]",
        all.join(", ")
    ));
    world.apply(&yaml.replace("namespace: shop }", &annotations));
}

fn plan(world: &Kubernetes) -> String {
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    orders["status"]["plan"]["hash"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn assign_when_made(world: &Kubernetes) {
    let is_there = |name: &&str| world.api.get("services", "shop", name).is_some();
    until("the Services are there", || WAYS.iter().all(&is_there)).await;
    assign(world);
}
