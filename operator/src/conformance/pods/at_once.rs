//! Brokers that have nothing in common restart together, where the spec says so.

use super::super::api::faults::Verb;
use super::super::cluster;
use super::super::faults::{until, until_ready};
use super::super::settings::{Kubernetes, Setting, run};

/// Each broker holds a topic of its own, and only the first one votes.
async fn rolled(world: &Kubernetes, most: usize) -> (usize, usize, usize) {
    let brokers = world.brokers();
    for (topic, broker) in [("zero", 0), ("one", 1), ("two", 2)] {
        brokers.create(topic);
        brokers.set_replicas(topic, &[broker]);
    }
    let apply = |partitions: usize| {
        world.apply(&cluster(&format!(
            "maxUnavailable: {most}, controllers: 1, config: {{ num.partitions: {partitions} }}"
        )));
    };
    apply(2);
    until_ready(world, "KafkaCluster", "orders").await;
    until("one votes", || brokers.voters() == [0]).await;
    until_ready(world, "KafkaCluster", "orders").await;
    apply(3);
    let is_away = |ordinal: &i32| {
        let pod = world.api.get("pods", "shop", &format!("orders-{ordinal}"));
        pod.is_none_or(|pod| {
            pod.pointer("/metadata/deletionTimestamp").is_some()
                || pod["status"]["conditions"][0]["status"] != "True"
        })
    };
    let mut away_max = 0;
    until("they are back", || {
        let away = (0..3).filter(is_away).count();
        away_max = away_max.max(away);
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let ready = orders["status"]["conditions"][0]["reason"] == "BrokersReady";
        away_max > 0 && away == 0 && ready
    })
    .await;
    let calls = |verb: Verb| world.api.times("pods", verb).len();
    (away_max, calls(Verb::Evict), calls(Verb::Delete))
}

#[test]
fn brokers_that_have_nothing_in_common_restart_together_where_the_spec_says_so() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        // The budget has its say of the first of the two.
        assert_eq!(rolled(world, 2).await, (2, 2, 1));
    });
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        assert_eq!(rolled(world, 1).await, (1, 3, 0));
    });
}

#[test]
fn a_broker_with_what_the_operator_may_not_see_restarts_alone() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.brokers().hide("two", true);
        assert_eq!(rolled(world, 2).await, (1, 3, 0));
    });
}

/// What was looked at is a little older than what goes.
#[test]
fn a_topic_that_all_share_since_they_were_looked_at_has_them_go_one_by_one() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.brokers().create_before_restart("shared", &[0, 1, 2]);
        assert_eq!(rolled(world, 2).await, (1, 3, 0));
    });
}
