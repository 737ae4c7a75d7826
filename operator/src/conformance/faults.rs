//! The operator under an API server that refuses, hangs, forgets and cuts off, and killed at any of
//! its calls. One story is told again and again, each time with another fault; what must always
//! hold is judged at each call, and in the end all must be as it is without the fault.

pub mod rules;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{SCRAM, known, user};
use super::api::faults::{Course, Fault, Verb};
use super::rebalances::{hash, rebalance};
use super::settings::{Kubernetes, Setting, run};
use super::{cluster, reason, topic};
use crate::condition::State;
use crate::crd::Condition;

/// How long anything may take to show: longer than the longest pause between two tries.
const PATIENCE: Duration = Duration::from_secs(200);
/// How often one thing may be tried in three minutes: in pauses that double up to 10 s.
const TRIES_MAX: usize = 24;

/// What the operator writes, and removes.
const WRITES: [(&str, Verb); 19] = [
    ("kafkaclusters", Verb::Status),
    ("kafkatopics", Verb::Status),
    ("kafkatopics", Verb::Patch),
    ("kafkausers", Verb::Status),
    ("kafkausers", Verb::Patch),
    ("kafkarebalances", Verb::Status),
    ("kafkarebalances", Verb::Patch),
    ("secrets", Verb::Patch),
    ("secrets", Verb::Delete),
    ("services", Verb::Patch),
    ("services", Verb::Delete),
    ("configmaps", Verb::Patch),
    ("configmaps", Verb::Delete),
    ("poddisruptionbudgets", Verb::Patch),
    ("networkpolicies", Verb::Patch),
    ("statefulsets", Verb::Patch),
    ("persistentvolumeclaims", Verb::Patch),
    ("pods", Verb::Evict),
    ("events", Verb::Create),
];

const REBALANCE: &str = "KafkaRebalance";

/// What it asks for.
const READS: [(&str, Verb); 19] = [
    ("kafkaclusters", Verb::List),
    ("kafkaclusters", Verb::Watch),
    ("kafkatopics", Verb::List),
    ("kafkatopics", Verb::Watch),
    ("kafkausers", Verb::List),
    ("kafkausers", Verb::Watch),
    ("kafkarebalances", Verb::List),
    ("kafkarebalances", Verb::Watch),
    ("secrets", Verb::Get),
    ("pods", Verb::List),
    ("pods", Verb::Watch),
    ("statefulsets", Verb::List),
    ("statefulsets", Verb::Watch),
    ("statefulsets", Verb::Get),
    ("configmaps", Verb::Get),
    ("services", Verb::Get),
    ("services", Verb::Watch),
    ("persistentvolumeclaims", Verb::Get),
    ("events", Verb::List),
];

/// What becomes of them.
const COURSES: [Course; 8] = [
    Course::Code(403),
    Course::Code(409),
    Course::Code(410),
    Course::Code(422),
    Course::Code(429),
    Course::Code(500),
    Course::Silence { is_done: false },
    Course::Silence { is_done: true },
];

pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn object(world: &Kubernetes, kind: &str, name: &str) -> Value {
    world.get(kind, "shop", name).unwrap_or_default()
}

/// Whether an object is Ready as it is now.
fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].clone();
    let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && crate::condition::state(&conditions) == Some(State::Ready)
}

pub async fn until_ready(world: &Kubernetes, kind: &str, name: &str) {
    let begun = Instant::now();
    while !is_ready(&object(world, kind, name)) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{kind} {name} is not ready: {}",
            object(world, kind, name)["status"]
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_gone(world: &Kubernetes, name: &str) -> bool {
    world.get("KafkaTopic", "shop", name).is_none()
}

const HELD_TO_A_RATE: &str = "throttle: 1000000";

/// Consents to the plan of the KafkaRebalance, once there is one.
async fn consent(world: &Kubernetes) {
    let waits = || reason(Some(&object(world, REBALANCE, "even"))) == "WaitingForApproval";
    until("a plan waits for consent", waits).await;
    let approved = format!("ottla.io/approve-plan: {}", hash(world));
    world.apply(&rebalance(&approved, HELD_TO_A_RATE));
}

/// Waits until the KafkaRebalance is done, also where its plan was made anew, and deletes it.
async fn until_even(world: &Kubernetes) {
    while !is_ready(&object(world, REBALANCE, "even")) {
        let is_told = || {
            let object = object(world, REBALANCE, "even");
            is_ready(&object) || reason(Some(&object)) == "WaitingForApproval"
        };
        until("replicas are spread anew", is_told).await;
        if !is_ready(&object(world, REBALANCE, "even")) {
            consent(world).await;
            // The status that is there may be one of before.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert_eq!(world.brokers().throttled(), Vec::<i32>::new());
    world.delete(REBALANCE, "shop", "even");
    until("the KafkaRebalance is gone", || {
        object(world, REBALANCE, "even").is_null()
    })
    .await;
}

/// The cluster that is asked for first, with another image and a larger volume then, and with a
/// setting that needs a restart and a listener less in the end.
const BEFORE: &str = "config: { num.partitions: 2 }, storage: { size: 1Gi }, listeners: \
                      [{ name: internal, port: 9092, tls: {}, authentication: { type: Scram } }, \
                      { name: outside, port: 9094, type: NodePort }]";
const BETWEEN: &str = "config: { num.partitions: 2 }, storage: { size: 2Gi }, image: 'broker:2', \
                       listeners: [{ name: internal, port: 9092, tls: {}, authentication: { type: \
                       Scram } }, { name: outside, port: 9094, type: NodePort }]";
const AFTER: &str = "config: { num.partitions: 3 }, storage: { size: 2Gi }, image: 'broker:2', \
                     listeners: [{ name: internal, port: 9092, tls: {}, authentication: { type: \
                     Scram } }]";

/// A cluster comes up with its topics and its user, has its replicas spread anew and is changed;
/// one topic goes, another is handed over, and the user goes.
async fn story(world: &Kubernetes) {
    world.api.judge(rules::broken);
    world.brokers().watch_over(world.api.clone());
    world.apply(&cluster(BEFORE));
    world.apply(&topic("shop", "payments", ""));
    world.apply(&topic("shop", "older", "topicName: refunds"));
    until_ready(world, "KafkaCluster", "orders").await;
    world.apply(&user("shop", "", SCRAM));
    until_ready(world, "KafkaTopic", "payments").await;
    until_ready(world, "KafkaTopic", "older").await;
    until_ready(world, "KafkaUser", "billing").await;
    let held = &object(world, "KafkaUser", "billing")["metadata"]["finalizers"];
    assert_eq!(*held, json!(["ottla.io/user"]));
    world.apply(&rebalance("", HELD_TO_A_RATE));
    consent(world).await;

    world.apply(&cluster(BETWEEN));
    until_ready(world, "KafkaCluster", "orders").await;
    until_even(world).await;
    world.apply(&cluster(AFTER));
    world.apply(&topic("shop", "younger", "topicName: refunds"));
    let conflict = || reason(Some(&object(world, "KafkaTopic", "younger"))) == "Conflict";
    until("the younger one waits", conflict).await;
    world.delete("KafkaTopic", "shop", "older");
    until("the older one is gone", || is_gone(world, "older")).await;
    until_ready(world, "KafkaTopic", "younger").await;
    until_ready(world, "KafkaCluster", "orders").await;
    world.delete("KafkaTopic", "shop", "payments");
    world.delete("KafkaUser", "shop", "billing");
    until("the other one is gone", || is_gone(world, "payments")).await;
    until("its topic is gone", || {
        world.brokers().topics() == ["refunds"]
    })
    .await;
    until("the user is gone", || {
        object(world, "KafkaUser", "billing").is_null()
    })
    .await;
    assert_eq!(known(world), (Vec::new(), Vec::new()));
    assert_eq!(world.api.violations(), Vec::<String>::new());
}

/// How it is in the end, and how it stays.
async fn rest(world: &Kubernetes) {
    let api = &world.api;
    let left = || {
        let services = api.all("services").len();
        (services, api.all("configmaps").len())
    };
    until("what is not needed is gone", || left() == (2, 1)).await;
    assert_eq!(api.all("secrets").len(), 3, "those of the cluster");
    tokio::time::sleep(Duration::from_secs(70)).await;
    let before = (api.patches(), api.status_writes());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        (api.patches(), api.status_writes()),
        before,
        "at rest nothing is written"
    );
    assert_eq!(api.violations(), Vec::<String>::new());
}

/// The story with faults, on a Kubernetes of its own; how many calls it took.
fn tell(what: &str, prepare: impl FnOnce(&Kubernetes)) -> usize {
    let world = Kubernetes::with_nodes();
    prepare(&world);
    let calls = std::cell::Cell::new(0);
    println!("with {what}");
    run(world, async |world: &Kubernetes| {
        story(world).await;
        calls.set(world.api.calls());
        rest(world).await;
    });
    calls.get()
}

/// By default faults of all kinds come together and every nineteenth call is the last one; with
/// OTTLA_FAULTS=all each comes alone, and each call is the last one once.
pub fn is_thorough() -> bool {
    std::env::var("OTTLA_FAULTS").is_ok_and(|which| which == "all")
}

/// The story with each course at the n-th call of these kinds, for several n.
fn tell_of_each(kinds: &[(&str, Verb)]) {
    for course in COURSES {
        for first in 1..=if is_thorough() { 3 } else { 2 } {
            let fault =
                |(resource, verb): &(&str, Verb)| Fault::at(resource, *verb, first, first, course);
            if !is_thorough() {
                tell(&format!("{course:?} at each {first}"), |world| {
                    kinds.iter().for_each(|kind| world.api.fail(fault(kind)));
                });
                continue;
            }
            for kind in kinds {
                tell(&format!("{course:?} at {kind:?} {first}"), |world| {
                    world.api.fail(fault(kind));
                });
            }
        }
    }
}

#[test]
fn whatever_is_refused_or_not_answered_comes_to_be() {
    tell_of_each(&WRITES);
}

#[test]
fn whatever_cannot_be_read_is_read_again() {
    tell_of_each(&READS);
}

#[test]
fn an_operator_that_is_killed_at_any_call_leaves_the_next_one_nothing_to_mend() {
    let calls = tell("nothing wrong", |_| {});
    assert!(calls > 100, "{calls} calls: the story is too short");
    let step = if is_thorough() { 1 } else { 19 };
    for call in (1..=calls.min(300)).step_by(step) {
        for is_done in [false, true] {
            if !is_thorough() && is_done != (call % 2 == 0) {
                continue;
            }
            let what = format!("a death at call {call} of {calls}, which is done: {is_done}");
            tell(&what, |world| world.api.kill_at(call, is_done));
        }
    }
}

/// What is refused for long is asked for ever less often, and comes to be once it is not.
#[test]
fn what_is_refused_for_long_is_asked_for_less_and_less_often() {
    for (number, code) in [403, 409, 422, 429, 500].into_iter().enumerate() {
        for (place, (resource, verb)) in WRITES.into_iter().enumerate() {
            if is_thorough() || place % 5 == number {
                println!("{code} at each {verb:?} of {resource}");
                run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
                    refuse_for_long(world, resource, verb, code).await;
                });
            }
        }
    }
}

async fn refuse_for_long(world: &Kubernetes, resource: &str, verb: Verb, code: u16) {
    const LONG: Duration = Duration::from_secs(180);
    let api = &world.api;
    world.apply(&cluster(BEFORE));
    world.apply(&topic("shop", "payments", ""));
    // Two partitions with one leader: there is something to make even.
    world.apply(&topic("shop", "bills", ""));
    world.apply(&user("shop", "", SCRAM));
    until_ready(world, "KafkaCluster", "orders").await;
    until_ready(world, "KafkaTopic", "payments").await;
    until_ready(world, "KafkaTopic", "bills").await;
    until_ready(world, "KafkaUser", "billing").await;
    world.apply(&rebalance("", HELD_TO_A_RATE));
    let waits = || reason(Some(&object(world, REBALANCE, "even"))) == "WaitingForApproval";
    until("a plan waits for consent", waits).await;
    api.judge(rules::broken);
    let before = api.times(resource, verb).len();
    api.fail(Fault::next(resource, verb, usize::MAX, Course::Code(code)));
    world.apply(&cluster(AFTER));
    world.apply(&topic("shop", "refunds", ""));
    world.apply(&user("shop", "", SCRAM).replace("billing", "refunding"));
    let approved = format!("ottla.io/approve-plan: {}", hash(world));
    world.apply(&rebalance(&approved, HELD_TO_A_RATE));
    world.delete("KafkaTopic", "shop", "payments");
    world.delete("KafkaUser", "shop", "billing");
    tokio::time::sleep(LONG).await;
    let times = &api.times(resource, verb)[before..];
    for (place, _) in times {
        let tries = times.iter().filter(|(other, _)| other == place).count();
        // An event is told once, and each is of the same place.
        let is_pressing = tries > TRIES_MAX && resource != "events";
        assert!(
            !is_pressing,
            "{verb:?} of {place:?} after {code}: {tries} times"
        );
    }
    api.mend();
    until_ready(world, "KafkaCluster", "orders").await;
    until_ready(world, "KafkaTopic", "refunds").await;
    until_ready(world, "KafkaUser", "refunding").await;
    until_even(world).await;
    until("the other one is gone", || is_gone(world, "payments")).await;
    until("the user is gone", || {
        object(world, "KafkaUser", "billing").is_null()
    })
    .await;
    assert_eq!(api.violations(), Vec::<String>::new());
}

#[test]
fn watches_may_be_cut_at_any_time() {
    for is_expired in [false, true] {
        run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
            let cuts = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(700)).await;
                    world.api.cut_watches(is_expired);
                }
            };
            tokio::select! {
                () = story(world) => {}
                () = cuts => {}
            }
            rest(world).await;
        });
    }
}

#[test]
fn watches_may_tell_late() {
    for seconds in [1, 5] {
        tell(&format!("watches {seconds} s late"), |world| {
            world.api.lag(Duration::from_secs(seconds));
        });
    }
}

/// The rights of the chart are those that are used.
#[test]
fn nothing_is_asked_for_that_the_chart_gives_no_right_to() {
    let chart = include_str!("../../../charts/ottla/templates/_names.tpl");
    let (_, rules) = chart
        .split_once("{{- define \"ottla.rules\" -}}\n")
        .unwrap();
    let (rules, _) = rules.split_once("{{- end }}").unwrap();
    let rules: Vec<Value> = serde_yaml::from_str(rules).unwrap();
    let has = |resource: &str, verb: &str| {
        let lists = |rule: &Value, field: &str, wanted: &str| {
            let mut all = rule[field].as_array().into_iter().flatten();
            all.any(|one| one == wanted)
        };
        let mut rules = rules.iter();
        rules.any(|rule| lists(rule, "resources", resource) && lists(rule, "verbs", verb))
    };
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        story(world).await;
        for (resource, verb) in world.api.kinds() {
            let (sub, verb) = match verb {
                Verb::List => ("", "list"),
                Verb::Watch => ("", "watch"),
                Verb::Get => ("", "get"),
                Verb::Create => ("", "create"),
                Verb::Patch => ("", "patch"),
                Verb::Status => ("/status", "patch"),
                Verb::Evict => ("/eviction", "create"),
                Verb::Delete => ("", "delete"),
            };
            assert!(
                has(&format!("{resource}{sub}"), verb),
                "{verb} {resource}{sub}"
            );
        }
    });
}

#[test]
fn pods_that_cannot_be_made_for_a_while_are_made_later() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        let quota = async {
            loop {
                tokio::time::sleep(Duration::from_secs(7)).await;
                world.nodes.refuse(true);
                tokio::time::sleep(Duration::from_secs(7)).await;
                world.nodes.refuse(false);
            }
        };
        tokio::select! {
            () = story(world) => {}
            () = quota => {}
        }
        world.nodes.refuse(false);
        rest(world).await;
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        assert_eq!(orders["status"]["brokersReady"], json!("3/3"));
    });
}
