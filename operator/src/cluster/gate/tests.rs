//! What is in force and what is desired in, what restarts out. Settings are written as pairs.

use std::collections::{BTreeMap, BTreeSet};

use super::{held, listeners, restart};
use crate::approval::Change;
use crate::platform::{Properties, Remake};

/// Settings of the brokers 0, 1 …, one text each.
fn brokers(texts: &[&str]) -> BTreeMap<i32, Properties> {
    let settings = |text: &&str| -> Properties {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    (0..).zip(texts.iter().map(settings)).collect()
}

fn remake(what: &str) -> Option<Remake> {
    Some(Remake {
        nodes: 0..100,
        fingerprint: what.to_owned(),
        what: what.to_owned(),
    })
}

fn step(change: Option<&Change>) -> &str {
    change.map_or("nothing", |change| &change.step)
}

const RUN: [&str; 2] = [
    "node.id=0 num.partitions=2 num.io.threads=1",
    "node.id=1 num.partitions=2 num.io.threads=1",
];
const WANTED: [&str; 2] = [
    "node.id=0 num.partitions=3 num.io.threads=2",
    "node.id=1 num.partitions=3 num.io.threads=2",
];

#[test]
fn only_what_needs_a_restart_is_one() {
    let (run, wanted) = (brokers(&RUN), brokers(&WANTED));
    let of = |in_force: &BTreeMap<i32, Properties>, remake: Option<Remake>| {
        restart(in_force, &wanted, remake.as_slice(), (&[], 1))
    };
    assert_eq!(
        step(of(&run, None).as_ref()),
        "Restart brokers 0, 1, one at a time: num.partitions change."
    );
    assert_eq!(
        step(of(&run, remake("the image changes from a to b")).as_ref()),
        "Restart brokers 0, 1, one at a time: the image changes from a to b; num.partitions change."
    );
    assert_eq!(of(&wanted, None), None);
    let dynamic = brokers(&["node.id=0 num.partitions=3 num.io.threads=9"]);
    assert_eq!(of(&dynamic, None), None);
    // A broker that is yet to be restarts nothing; one of which nothing is known may restart.
    assert_eq!(of(&BTreeMap::new(), remake("x")), None);
    assert_eq!(
        step(of(&brokers(&[""]), None).as_ref()),
        "Restart broker 0, one at a time: the settings in force are not known."
    );
}

#[test]
fn it_is_the_same_change_until_it_is_done_and_another_one_for_another_target() {
    let wanted = brokers(&WANTED);
    let of = |in_force: &[&str], remake: Option<Remake>| {
        restart(&brokers(in_force), &wanted, remake.as_slice(), (&[], 1)).unwrap()
    };
    let begun = of(&RUN, None);
    let half_done = of(&[WANTED[0], RUN[1]], None);
    assert_eq!(half_done.id, begun.id);
    assert_eq!(half_done.brokers, BTreeSet::from([1]));
    assert_ne!(of(&RUN, remake("a")).id, begun.id);
    assert_ne!(of(&RUN, remake("a")).id, of(&RUN, remake("b")).id);
    let more = restart(
        &brokers(&RUN),
        &brokers(&[WANTED[0], WANTED[1], "node.id=2"]),
        &[],
        (&[], 1),
    );
    assert_eq!(more.unwrap().id, begun.id);
}

#[test]
fn an_address_that_is_assigned_once_the_change_is_carried_out_makes_no_other_change() {
    let of = |address: &str, listener: &str| {
        let wanted = format!("{} advertised.listeners=IN-A://{address}", WANTED[0]);
        let listener = format!("{{ name: in-a, port: 9094, {listener} }}");
        let listener = serde_yaml::from_str(&listener).unwrap();
        restart(
            &brokers(&RUN[..1]),
            &brokers(&[&wanted]),
            &[],
            (&[listener], 1),
        )
        .unwrap()
        .id
    };
    let same = |listener: &str, one: &str, other: &str| of(one, listener) == of(other, listener);
    assert!(same(
        "type: NodePort",
        "${env:HOST_IP}:0",
        "${env:HOST_IP}:30123"
    ));
    assert!(same(
        "type: LoadBalancer",
        "unassigned:0",
        "203.0.113.1:9094"
    ));
    // what a spec says is consented to as it says it
    for (listener, one, other) in [
        (
            "type: NodePort, advertised: { host: '{broker}.x', port: 1 }",
            "0.x:1",
            "0.x:2",
        ),
        (
            "type: NodePort, service: { nodePorts: { firstBroker: 1 } }",
            "x:1",
            "x:2",
        ),
        (
            "type: LoadBalancer, advertised: { host: '{broker}.x' }",
            "0.x:9094",
            "0.y:9094",
        ),
        ("type: Internal", "x:1", "x:2"),
    ] {
        assert!(!same(listener, one, other), "{listener}");
    }
    let port = |port: i32| {
        of(
            "1.1.1.1:9",
            &format!("type: LoadBalancer, advertised: {{ port: {port} }}"),
        )
    };
    assert_ne!(port(1), port(2));
    let in_force = format!("{} advertised.listeners=A://h:1", WANTED[0]);
    let moved = restart(
        &brokers(&[&in_force]),
        &brokers(&[&in_force.replace("h:1", "h:2")]),
        &[],
        (&[], 1),
    );
    assert!(moved.is_some(), "another address alone restarts the broker");
}

#[test]
fn each_listener_that_is_reached_from_outside_is_another_change() {
    let of = |a: &str, b: &str| {
        let wanted = format!("{} advertised.listeners=A://{a},B://{b}", WANTED[0]);
        restart(&brokers(&RUN[..1]), &brokers(&[&wanted]), &[], (&[], 1)).unwrap()
    };
    let (inside, outside) = ("orders-0.svc:9092", "${env:HOST_IP}:0");
    assert_ne!(of(inside, outside).id, of(outside, inside).id);
}

#[test]
fn what_is_held_stays_and_what_needs_no_restart_changes() {
    let held = held(
        &brokers(&RUN),
        &brokers(&[WANTED[0], WANTED[1], "node.id=2"]),
    );
    let expected = [
        "node.id=0 num.partitions=2 num.io.threads=2",
        "node.id=1 num.partitions=2 num.io.threads=2",
        "node.id=2",
    ];
    assert_eq!(held, brokers(&expected));
}

#[test]
fn the_listeners_of_a_spec_are_found_in_the_settings_that_came_of_it() {
    let cluster: crate::crd::KafkaCluster = serde_yaml::from_str(
        "metadata: { name: orders }\nspec: { listeners: [{ name: internal, port: 9092 }, { name: \
         out-side, port: 9094, type: NodePort }] }",
    )
    .unwrap();
    let settings = "listeners=INTERNAL://0.0.0.0:9092,OUT-SIDE://0.0.0.0:9094,CONTROLLER://\
                    0.0.0.0:9091 advertised.listeners=INTERNAL://orders-0.svc:9092,OUT-SIDE://\
                    ${env:HOST_IP}:30123";
    assert_eq!(
        listeners(&brokers(&[settings]), &[], &BTreeMap::new()),
        Some(cluster.spec.listeners)
    );
    assert_eq!(listeners(&brokers(&[""]), &[], &BTreeMap::new()), None);
}
