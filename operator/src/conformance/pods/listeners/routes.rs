//! TLSRoutes, which nobody watches.

use std::time::Duration;

use serde_json::json;

use super::super::super::api::faults::{Course, Fault, Verb};
use super::super::super::settings::{Kubernetes, Setting, run};
use super::super::super::{A_WHILE, until};
use super::super::make_pods;
use super::{ROUTED, come_up, listeners};

#[test]
fn routes_of_a_listener_that_is_gone_go_with_its_services() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let secure = "{ name: internal, port: 9092, tls: {} }";
        come_up(world, &listeners(&[secure, ROUTED])).await;
        let is_there =
            |resource: &str| world.api.get(resource, "shop", "orders-routed-1").is_some();
        assert!(is_there("tlsroutes") && is_there("services"));
        world.api.delete("tlsroutes", "shop", "orders-routed-1");
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

/// A listener with routes has gone, and these are refused when they are to go.
async fn come_to_delete(world: &Kubernetes) {
    let secure = "{ name: internal, port: 9092, tls: {} }";
    come_up(world, &listeners(&[secure, ROUTED])).await;
    let api = &world.api;
    api.fail(refused(Verb::Delete, 500));
    world.apply(&listeners(&[secure]));
    tokio::time::sleep(A_WHILE).await;
    make_pods(api);
    until("they are to go", || {
        !api.times("tlsroutes", Verb::Delete).is_empty()
    })
    .await;
}

fn refused(verb: Verb, code: u16) -> Fault {
    Fault::next("tlsroutes", verb, 1000, Course::Code(code))
}

fn is_there(world: &Kubernetes, resource: &str, which: &str) -> bool {
    let name = format!("orders-routed-{which}");
    world.api.get(resource, "shop", &name).is_some()
}

async fn nothing_stays(world: &Kubernetes) {
    tokio::time::sleep(Duration::from_secs(120)).await;
    for which in ["0", "1", "2", "bootstrap"] {
        for resource in ["tlsroutes", "services"] {
            assert!(!is_there(world, resource, which), "{resource} of {which}");
        }
    }
}

/// Nobody watches them: what leads to them is all that tells an operator that they are there.
#[test]
fn routes_that_cannot_be_deleted_are_deleted_by_the_next_operator() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        come_to_delete(world).await;
        tokio::time::sleep(A_WHILE).await;
        let api = &world.api;
        api.kill_at(api.calls() + 1, false);
        tokio::time::sleep(Duration::from_secs(40)).await;
        api.mend();
        nothing_stays(world).await;
    });
}

/// The Services lead an operator to them that could not look at first.
#[test]
fn routes_that_cannot_be_listed_are_deleted_once_they_can() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        come_to_delete(world).await;
        let api = &world.api;
        api.mend();
        api.fail(refused(Verb::List, 500));
        api.kill_at(api.calls() + 1, false);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(
            is_there(world, "services", "1"),
            "nobody would look for the route"
        );
        api.mend();
        nothing_stays(world).await;
    });
}

/// What no route may lead to goes, however long nobody may look for routes.
#[test]
fn services_of_other_listeners_go_though_routes_cannot_be_listed() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let secure = "{ name: internal, port: 9092, tls: {} }";
        let other = "{ name: nodes, port: 9094, type: NodePort, tls: {} }";
        come_up(world, &listeners(&[secure, ROUTED, other])).await;
        let api = &world.api;
        api.fail(refused(Verb::List, 403));
        api.kill_at(api.calls() + 1, false);
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.apply(&listeners(&[secure]));
        tokio::time::sleep(A_WHILE).await;
        make_pods(api);
        let is_gone = || api.get("services", "shop", "orders-nodes-1").is_none();
        until("the Service of the node port is gone", is_gone).await;
        assert!(is_there(world, "services", "1"));
    });
}

#[test]
fn what_leads_to_others_is_left_alone() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let theirs = json!({
            "spec": {}, "metadata": { "namespace": "shop", "name": "theirs", "labels": {
                "app.kubernetes.io/instance": "orders",
                "app.kubernetes.io/managed-by": "ottla-operator",
            }, "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": "x",
                "uid": "u", "controller": true }] },
        });
        let kinds = ["tlsroutes", "ingresses", "services"];
        for kind in kinds {
            world.api.apply(kind, &theirs);
        }
        let secure = "{ name: internal, port: 9092, tls: {} }";
        come_up(world, &listeners(&[secure, ROUTED])).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        for kind in kinds {
            assert!(world.api.get(kind, "shop", "theirs").is_some(), "{kind}");
        }
    });
}
