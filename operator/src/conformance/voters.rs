//! Brokers that vote in the metadata quorum, and are to go.

use serde_json::{Value, json};

use super::settings::Setting;
use super::{A_WHILE, cluster, until, until_cluster};

fn cluster_of(replicas: i32) -> String {
    cluster("").replace("replicas: 3", &format!("replicas: {replicas}"))
}

fn status<S: Setting>(world: &S) -> Value {
    world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone()
}

/// How many voters the brokers' files name.
fn named<S: Setting>(world: &S) -> usize {
    let settings = world.brokers().settings();
    settings["controller.quorum.voters"].split(',').count()
}

pub async fn brokers_that_vote_can_go<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    until_cluster(world, "BrokersReady").await;
    assert_eq!(
        (status(world)["controllers"].clone(), named(world)),
        (json!(3), 3)
    );

    world.brokers().create("unmanaged");
    world.brokers().set_replicas("unmanaged", &[2]);
    world.brokers().stop_copies_at(0);
    world.apply(&cluster_of(1));
    until("the other votes are taken", || {
        world.brokers().voters() == [0]
    })
    .await;
    until("it is told", || status(world)["controllers"] == json!(1)).await;
    until("brokers look for no others", || named(world) == 1).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(
        status(world)["replicas"],
        json!(3),
        "not while it holds something"
    );

    world.brokers().finish_copies();
    let is_forgotten = || world.brokers().registered() == (vec![0], vec![]);
    until("they are forgotten", is_forgotten).await;
    until_cluster(world, "BrokersReady").await;

    for broker in [1, 2] {
        world.brokers().register(broker, true);
    }
    world.brokers().bring_up();
    world.apply(&cluster_of(3));
    until("three vote again", || world.brokers().voters() == [0, 1, 2]).await;
    until("it is told", || status(world)["controllers"] == json!(3)).await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(named(world), 3);
}

pub async fn no_vote_is_taken_while_another_voter_is_behind<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    until_cluster(world, "BrokersReady").await;
    world.brokers().take_down(1);
    world.apply(&cluster_of(2));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.brokers().voters(), [0, 1, 2]);
    assert_eq!(status(world)["replicas"], json!(3));

    world.brokers().bring_up();
    until("one is left", || world.brokers().voters() == [0]).await;
    until("the last one is gone", || {
        status(world)["replicas"] == json!(2)
    })
    .await;
    until_cluster(world, "BrokersReady").await;
}

pub async fn a_scale_down_that_is_taken_back_gives_the_votes_back<S: Setting>(world: &S) {
    world.apply(&cluster_of(3));
    until_cluster(world, "BrokersReady").await;
    world.brokers().create("unmanaged");
    world.brokers().set_replicas("unmanaged", &[2]);
    world.brokers().stop_copies_at(0);
    world.apply(&cluster_of(2));
    until("one is left", || world.brokers().voters() == [0]).await;

    world.apply(&cluster_of(3));
    until("three vote again", || world.brokers().voters() == [0, 1, 2]).await;
    let is_back = || world.brokers().registered() == (vec![0, 1, 2], vec![]);
    until("new replicas may come again", is_back).await;
    world.brokers().finish_copies();
    until_cluster(world, "BrokersReady").await;
}

pub async fn a_vote_that_somebody_gave_is_taken_before_its_broker_goes<S: Setting>(world: &S) {
    let of = |replicas: i32| {
        let wanted = format!("replicas: {replicas}, controllers: 1");
        world.apply(&cluster("").replace("replicas: 3", &wanted));
    };
    world.brokers().set_voters(&[0]);
    of(3);
    until_cluster(world, "BrokersReady").await;
    until("it is told", || status(world)["controllers"] == json!(1)).await;
    world.brokers().set_voters(&[0, 2]);
    world.brokers().hide_quorum(true);
    of(2);
    let is_cordoned = || world.brokers().registered().1 == [2];
    until("it is to go", is_cordoned).await;
    tokio::time::sleep(2 * A_WHILE).await;
    let replicas = status(world)["replicas"].clone();
    assert_eq!(replicas, json!(3), "nobody knows who votes");

    world.brokers().hide_quorum(false);
    let is_forgotten = || world.brokers().registered() == (vec![0, 1], vec![]);
    until("it is forgotten", is_forgotten).await;
    assert_eq!(world.brokers().voters(), [0]);
    until_cluster(world, "BrokersReady").await;
}
