//! A broker whose volume is lost gets an empty one by an annotation.

mod controllers;
mod told;

use std::time::Duration;

use serde_json::{Value, json};

use super::super::api::faults::{Course, Fault, Verb};
use super::super::faults::{is_thorough, rules, until, until_ready};
use super::super::settings::{Folder, Kubernetes, Setting, run};
use super::super::{A_WHILE, cluster, reason, topic, until_cluster, until_reason};

/// What is asked for a broker.
const STORED: &str = "storage: { size: 1Gi }";

/// The cluster with the annotation.
fn annotated(asked: &str, spec: &str) -> String {
    let annotations =
        format!("namespace: shop, annotations: {{ ottla.io/replace-broker: '{asked}' }} }}");
    cluster(spec).replace("namespace: shop }", &annotations)
}

/// The cluster without it.
fn plain() -> String {
    cluster(STORED).replace("namespace: shop }", "namespace: shop, annotations: {} }")
}

fn orders<S: Setting>(world: &S) -> Value {
    world
        .get("KafkaCluster", "shop", "orders")
        .unwrap_or_default()
}

fn phase<S: Setting>(world: &S) -> Value {
    orders(world)["status"]["replacement"]["phase"].clone()
}

/// The cluster and a topic that all brokers hold, whose manifest it returns.
async fn with_payments<S: Setting>(world: &S) -> String {
    let payments = topic("shop", "payments", "");
    world.apply(&cluster(STORED));
    world.apply(&payments);
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    until_cluster(world, "BrokersReady").await;
    payments
}

/// A broker with an empty volume gets all that it lacks.
async fn catch_up<S: Setting>(world: &S, broker: i32) {
    world.brokers().fall_behind(broker, false);
    until("it has all", || phase(world) == "Replaced").await;
}

fn says<S: Setting>(world: &S) -> String {
    orders(world)["status"]["conditions"][0]["message"].to_string()
}

#[test]
fn a_broker_that_lost_its_volume_gets_an_empty_one_and_catches_up() {
    run(Kubernetes::new(), one_annotation_replaces_a_broker);
    run(Folder::new(), one_annotation_replaces_a_broker);
}

async fn one_annotation_replaces_a_broker<S: Setting>(world: &S) {
    let brokers = world.brokers();
    with_payments(world).await;
    brokers.take_down(2);
    until_cluster(world, "BrokerNotReady").await;

    // Another one is away as well: what it holds may be needed.
    brokers.take_down(1);
    world.apply(&annotated("2", STORED));
    until("it is told what that waits for", || {
        says(world).contains("broker 1 does not serve")
    })
    .await;
    assert_eq!(reason(Some(&orders(world))), "ReplacingBroker");
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(brokers.given_up(2), 0);

    brokers.bring(1, true);
    until("it gives up its volume", || brokers.given_up(2) == 1).await;
    until("it catches up", || phase(world) == "CatchingUp").await;
    until("it is told what is missing", || {
        says(world).contains("payments-0 is not in sync on broker 2")
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(phase(world), "CatchingUp");

    catch_up(world, 2).await;
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    let before = world.writes();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.writes(), before, "at rest nothing is written");
    assert_eq!(brokers.given_up(2), 1, "an annotation that stays is done");

    world.apply(&plain());
    until("nothing is remembered", || phase(world) == Value::Null).await;
    world.apply(&annotated("2", STORED));
    until("it is asked for anew", || brokers.given_up(2) == 2).await;
}

#[test]
fn what_only_one_broker_has_is_not_given_up() {
    run(Kubernetes::new(), a_refusal_names_what_would_be_lost);
    run(Folder::new(), a_refusal_names_what_would_be_lost);
}

async fn a_refusal_names_what_would_be_lost<S: Setting>(world: &S) {
    let brokers = world.brokers();
    brokers.create("unmanaged");
    brokers.set_replicas("unmanaged", &[2]);
    world.apply(&cluster(STORED));
    until_cluster(world, "BrokersReady").await;
    world.apply(&annotated("2", STORED));
    until_cluster(world, "ReplacementRefused").await;
    assert!(says(world).contains("the records of unmanaged-0 would be gone"));
    world.apply(&annotated("7", STORED));
    until("no such broker is there", || {
        says(world).contains("\\\"7\\\"")
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((brokers.given_up(2), phase(world)), (0, Value::Null));

    brokers.set_replicas("unmanaged", &[1, 2]);
    world.apply(&annotated("2", STORED));
    until("it gives up its volume", || brokers.given_up(2) == 1).await;
}

#[test]
fn replicas_move_while_a_broker_catches_up() {
    run(Kubernetes::new(), one_that_catches_up_holds_nothing);
    run(Folder::new(), one_that_catches_up_holds_nothing);
}

/// A volume that never comes, or a broker that cannot start on it, has replicas moved away.
async fn one_that_catches_up_holds_nothing<S: Setting>(world: &S) {
    let brokers = world.brokers();
    let payments = with_payments(world).await;
    world.apply(&topic("shop", "refunds", ""));
    until_reason(world, "KafkaTopic", "shop", "refunds", "TopicReady").await;
    world.apply(&annotated("2", STORED));
    until("it catches up", || phase(world) == "CatchingUp").await;
    world.apply(&payments.replace("replicationFactor: 3", "replicationFactor: 2"));
    until("replicas move", || brokers.replicas("payments") == [0, 1]).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(phase(world), "CatchingUp", "it lacks the other topic still");

    // Nobody waits for it any more.
    world.apply(&plain());
    until("it is a broker like any other", || {
        phase(world) == Value::Null
    })
    .await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(brokers.given_up(2), 1);
}

#[test]
fn a_broker_whose_new_volume_never_comes_can_be_scaled_away() {
    run(Kubernetes::new(), what_cannot_catch_up_can_go);
    run(Folder::new(), what_cannot_catch_up_can_go);
}

async fn what_cannot_catch_up_can_go<S: Setting>(world: &S) {
    let brokers = world.brokers();
    let spec = format!("{STORED}, controllers: 1");
    world.apply(&cluster(&spec));
    until_cluster(world, "BrokersReady").await;
    brokers.create("unmanaged");
    brokers.set_replicas("unmanaged", &[1, 2]);
    let annotated = annotated("2", &spec);
    world.apply(&annotated);
    until("it catches up", || phase(world) == "CatchingUp").await;
    world.apply(&annotated.replace("replicas: 3", "replicas: 2"));
    until("its replica is elsewhere", || {
        brokers.replicas("unmanaged") == [1, 0]
    })
    .await;
    let are_left = || brokers.registered().0 == [0, 1];
    until("it is forgotten", are_left).await;
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(reason(Some(&orders(world))), "BrokersReady");
    // what the annotation asked for is done for the one that comes in its place, too
    world.apply(&annotated);
    let nodes = || orders(world)["status"]["brokers"].as_array().map(Vec::len);
    until("there are three again", || nodes() == Some(3)).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(brokers.given_up(2), 1);
}

#[test]
fn no_replica_moves_to_a_broker_whose_volume_goes() {
    run(Kubernetes::new(), nothing_moves_until_the_broker_is_gone);
    run(Folder::new(), nothing_moves_until_the_broker_is_gone);
}

/// Its process serves still, on what goes with it.
async fn nothing_moves_until_the_broker_is_gone<S: Setting>(world: &S) {
    let brokers = world.brokers();
    let payments = with_payments(world).await;
    brokers.set_replicas("payments", &[2, 0, 1]);
    brokers.linger(true);
    world.apply(&annotated("2", STORED));
    until("its volume goes", || {
        brokers.volume(2).is_some_and(|volume| volume.is_going)
    })
    .await;
    world.apply(&payments.replace("replicationFactor: 3", "replicationFactor: 1"));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(brokers.replicas("payments"), [2, 0, 1]);
    // nor while another one is away, for which it waits
    brokers.take_down(1);
    until("it is told what that waits for", || {
        says(world).contains("broker 1 does not serve")
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(brokers.replicas("payments"), [2, 0, 1]);
    brokers.bring(1, true);

    brokers.linger(false);
    until("the empty one goes", || brokers.replicas("payments") == [0]).await;
    catch_up(world, 2).await;
}

#[test]
fn a_volume_that_was_lost_before_and_never_comes_holds_up_nobody() {
    run(Kubernetes::new(), one_without_a_volume_catches_up_at_once);
    run(Folder::new(), one_without_a_volume_catches_up_at_once);
}

async fn one_without_a_volume_catches_up_at_once<S: Setting>(world: &S) {
    let brokers = world.brokers();
    let payments = with_payments(world).await;
    brokers.set_replicas("payments", &[2, 0, 1]);
    brokers.lose_volume(2);
    world.apply(&annotated("2", STORED));
    until("it is told that none is there", || {
        says(world).contains("it has no volume yet")
    })
    .await;
    assert_eq!(phase(world), "CatchingUp");
    world.apply(&payments.replace("replicationFactor: 3", "replicationFactor: 2"));
    until("replicas move", || brokers.replicas("payments") == [0, 1]).await;
}

#[test]
fn what_was_done_stays_done_whatever_is_asked_in_between() {
    run(Kubernetes::new(), an_annotation_that_comes_back_is_done);
    run(Folder::new(), an_annotation_that_comes_back_is_done);
}

async fn an_annotation_that_comes_back_is_done<S: Setting>(world: &S) {
    let brokers = world.brokers();
    with_payments(world).await;
    world.apply(&annotated("2", STORED));
    until("it gives up its volume", || brokers.given_up(2) == 1).await;
    catch_up(world, 2).await;

    // One that waits until it is asked for no more.
    brokers.take_down(0);
    world.apply(&annotated("1", STORED));
    until("it waits", || {
        says(world).contains("broker 0 does not serve")
    })
    .await;
    world.apply(&annotated("2", STORED));
    until_cluster(world, "BrokerNotReady").await;
    brokers.bring(0, true);
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((brokers.given_up(2), brokers.given_up(1)), (1, 0));

    // One that has begun.
    world.apply(&annotated("1", STORED));
    until("it catches up", || phase(world) == "CatchingUp").await;
    world.apply(&annotated("2", STORED));
    until("nobody waits for it", || phase(world) == "Replaced").await;
    brokers.fall_behind(1, false);
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((brokers.given_up(2), brokers.given_up(1)), (1, 1));

    // One that was done is another matter.
    world.apply(&annotated("0", STORED));
    until("it gives up its volume", || brokers.given_up(0) == 1).await;
    catch_up(world, 0).await;
    world.apply(&annotated("2", STORED));
    until("it is asked for anew", || brokers.given_up(2) == 2).await;
}

#[test]
fn an_object_that_is_made_anew_gives_up_no_volume() {
    run(Kubernetes::new(), what_a_new_object_asks_for_is_done);
    run(Folder::new(), what_a_new_object_asks_for_is_done);
}

/// As out of a repository, or of a backup: its annotation was meant for the one before.
async fn what_a_new_object_asks_for_is_done<S: Setting>(world: &S) {
    let brokers = world.brokers();
    world.apply(&annotated("2", STORED));
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((brokers.given_up(2), phase(world)), (0, json!("Replaced")));
    world.apply(&plain());
    until("nothing is remembered", || phase(world) == Value::Null).await;
    world.apply(&annotated("2", STORED));
    until("it is asked for anew", || brokers.given_up(2) == 1).await;
    catch_up(world, 2).await;

    // What is refused in between takes nothing from what was done.
    world.apply(&annotated("99", STORED));
    until_cluster(world, "ReplacementRefused").await;
    world.apply(&annotated("2", STORED));
    until_cluster(world, "BrokersReady").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(brokers.given_up(2), 1);
}

/// What brokers say is asked for again now and then, not with each step.
#[test]
fn a_refusal_asks_the_brokers_rarely() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers();
        brokers.create("unmanaged");
        brokers.set_replicas("unmanaged", &[2]);
        world.apply(&cluster(STORED));
        until_cluster(world, "BrokersReady").await;
        world.apply(&annotated("2", STORED));
        until_cluster(world, "ReplacementRefused").await;
        let before = brokers.looks();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let looks = brokers.looks() - before;
        assert!(looks <= 40, "asked {looks} times in 20 s what is moved");
    });
}

fn uid(world: &Kubernetes, resource: &str, name: &str) -> Value {
    let object = world.api.get(resource, "shop", name);
    object.map_or(Value::Null, |object| object["metadata"]["uid"].clone())
}

/// A cluster whose volumes have grown since it was made has a broker replaced.
async fn replace(world: &Kubernetes) {
    const GROWN: &str = "config: { num.partitions: 3 }, storage: { size: 2Gi }, \
                         listeners: [{ name: internal, port: 9092 }]";
    world.api.judge(rules::broken);
    world.apply(&cluster(&GROWN.replace("2Gi", "1Gi")));
    until_ready(world, "KafkaCluster", "orders").await;
    world.apply(&cluster(GROWN));
    world.apply(&topic("shop", "payments", ""));
    until_ready(world, "KafkaTopic", "payments").await;
    until_ready(world, "KafkaCluster", "orders").await;
    let of = |name: &str| {
        let claim = format!("data-{name}");
        (
            uid(world, "persistentvolumeclaims", &claim),
            uid(world, "pods", name),
        )
    };
    let before = [of("orders-0"), of("orders-1"), of("orders-2")];
    world.apply(&annotated("2", GROWN));
    until("it is replaced", || phase(world) == "Replaced").await;
    until_ready(world, "KafkaCluster", "orders").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let after = [of("orders-0"), of("orders-1"), of("orders-2")];
    assert_eq!(after[..2], before[..2], "the others stay as they are");
    assert!(after[2].0 != before[2].0 && after[2].1 != before[2].1);
    let claims = "persistentvolumeclaims";
    let claim = world.api.get(claims, "shop", "data-orders-2").unwrap();
    assert_eq!(claim["status"]["capacity"]["storage"], json!("2Gi"));
    assert_eq!(world.api.violations(), Vec::<String>::new());
    let deleted = world.api.times(claims, Verb::Delete);
    assert!(deleted.iter().all(|(place, _)| place.2 == "data-orders-2"));
}

/// Whoever ended its process later, when others may lack what it has, would end that too.
#[test]
fn a_claim_stays_for_as_long_as_its_pod_may_not_go() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.apply(&cluster(STORED));
        until_ready(world, "KafkaCluster", "orders").await;
        world.api.spend_budget(true);
        world.apply(&annotated("2", STORED));
        until("the budget has its say", || {
            says(world).contains("eviction of Pod")
        })
        .await;
        tokio::time::sleep(A_WHILE).await;
        let claim = || {
            world
                .api
                .get("persistentvolumeclaims", "shop", "data-orders-2")
        };
        let going = claim().unwrap()["metadata"]["deletionTimestamp"].clone();
        assert_eq!(going, Value::Null);
        world.api.spend_budget(false);
        until("it is replaced", || phase(world) == "Replaced").await;
    });
}

/// Whoever comes after this operator has to know which volume goes.
#[test]
fn no_pod_and_no_claim_goes_before_the_status_names_the_volume() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.apply(&cluster(STORED));
        until_ready(world, "KafkaCluster", "orders").await;
        let refused = Fault::next("kafkaclusters", Verb::Status, 1000, Course::Code(500));
        world.api.fail(refused);
        world.apply(&annotated("2", STORED));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let calls = |resource, verb| world.api.times(resource, verb).len();
        assert!(calls("kafkaclusters", Verb::Status) > 2, "it is tried");
        assert_eq!(calls("pods", Verb::Evict), 0);
        assert_eq!(calls("persistentvolumeclaims", Verb::Delete), 0);
        world.api.mend();
        until("it is replaced", || phase(world) == "Replaced").await;
        assert_eq!(calls("persistentvolumeclaims", Verb::Delete), 1);
    });
}

/// What becomes of calls.
const COURSES: [Course; 6] = [
    Course::Code(403),
    Course::Code(409),
    Course::Code(429),
    Course::Silence { is_done: true },
    Course::Code(500),
    Course::Silence { is_done: false },
];

/// The story with a fault.
fn tell(what: &str, prepare: impl FnOnce(&Kubernetes)) -> usize {
    println!("with {what}");
    let world = Kubernetes::with_nodes();
    prepare(&world);
    let calls = std::cell::Cell::new(0);
    run(world, async |world: &Kubernetes| {
        replace(world).await;
        calls.set(world.api.calls());
    });
    calls.get()
}

#[test]
fn a_pod_and_its_claim_are_replaced_whatever_goes_wrong() {
    for (resource, verb) in [
        ("persistentvolumeclaims", Verb::Delete),
        ("persistentvolumeclaims", Verb::Get),
        ("pods", Verb::Evict),
        ("kafkaclusters", Verb::Status),
    ] {
        for (number, course) in COURSES.into_iter().enumerate() {
            if !is_thorough() && number % 3 != 0 {
                continue;
            }
            tell(&format!("{course:?} at {verb:?} of {resource}"), |world| {
                world.api.fail(Fault::at(resource, verb, 1, 2, course));
            });
        }
    }
}

#[test]
fn an_operator_that_is_killed_while_it_replaces_a_broker_is_no_matter() {
    let calls = tell("nothing wrong", |_| {});
    // What comes before the annotation is another story's.
    let step = if is_thorough() { 1 } else { 9 };
    for call in (calls / 3..=calls).step_by(step) {
        let is_done = call % 2 == 0;
        let what = format!("a death at call {call} of {calls}, which is done: {is_done}");
        tell(&what, |world| world.api.kill_at(call, is_done));
    }
}
