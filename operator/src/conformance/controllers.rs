//! Controllers that are no brokers come, become more and less, and go, under an operator that dies
//! at any of its calls.

use serde_json::{Value, json};

use super::faults::{until, until_ready};
use super::settings::{Kubernetes, Setting, run};
use super::{cluster, reason};

const STORAGE: &str = "storage: { size: 1Gi }";

fn dedicated(count: i32) -> String {
    let resources = "resources: { requests: { cpu: 50m } }";
    cluster(&format!(
        "{STORAGE}, dedicatedControllers: {{ replicas: {count}, {resources} }}"
    ))
}

fn status(world: &Kubernetes) -> Value {
    world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone()
}

/// The voters that the files of all nodes name, where they are the same.
fn named(world: &Kubernetes) -> Option<Vec<i32>> {
    let all = world.api.all("pods").into_iter().filter_map(|pod| {
        let name = pod["metadata"]["name"].as_str()?.to_owned();
        let file = &pod["metadata"]["annotations"]["ottla.io/config-map"];
        let file = world.api.get("configmaps", "shop", file.as_str()?)?;
        // One that stops for good has none any more.
        let settings = file["data"][format!("{name}.properties")].clone();
        let settings = settings.as_str()?.to_owned();
        let is_voters = |line: &&str| line.starts_with("controller.quorum.voters=");
        settings.lines().find(is_voters).map(str::to_owned)
    });
    let mut all: Vec<String> = all.collect();
    all.dedup();
    let ids = all.first()?.split(['=', ',']).skip(1);
    let ids = ids.map(|one| one.split('@').next().unwrap().parse().unwrap());
    (all.len() == 1).then(|| ids.collect())
}

/// The pods as they were made.
fn pods(world: &Kubernetes) -> Vec<String> {
    let pods = world.api.all("pods").into_iter();
    let shown = |pod: Value| {
        let metadata = &pod["metadata"];
        format!("{} {}", metadata["name"].as_str().unwrap(), metadata["uid"])
    };
    pods.map(shown).collect()
}

async fn until_all_is_so(world: &Kubernetes, voters: &[i32], controllers: usize) {
    let is_so = || {
        let status = status(world);
        world.brokers().voters() == voters
            && status["voters"] == json!(voters)
            && status["dedicatedControllers"]
                .as_array()
                .map_or(0, Vec::len)
                == controllers
    };
    until(&format!("{voters:?} vote"), is_so).await;
    until_ready(world, "KafkaCluster", "orders").await;
    let are_named = || named(world).is_some_and(|named| named == voters);
    until("files name them alone", are_named).await;
    let is_controller = |pod: &Value| pod["metadata"]["name"].to_string().contains("controllers");
    let there = world
        .api
        .all("pods")
        .iter()
        .filter(|pod| is_controller(pod))
        .count();
    assert_eq!(there, controllers);
}

/// Votes move to controllers of their own, which become less, restart for settings and go again. No
/// broker restarts for any of it.
async fn story(world: &Kubernetes) {
    world.apply(&cluster(STORAGE));
    until_ready(world, "KafkaCluster", "orders").await;
    let brokers = pods(world);
    let are_as_before = || {
        let now = pods(world);
        brokers.iter().all(|pod| now.contains(pod))
    };
    world.apply(&dedicated(3));
    until_all_is_so(world, &[1000, 1001, 1002], 3).await;
    assert_eq!(status(world)["controllersReady"], json!("3/3"));
    world.apply(&dedicated(1));
    until_all_is_so(world, &[1000], 1).await;
    world.apply(&dedicated(3));
    until_all_is_so(world, &[1000, 1001, 1002], 3).await;
    assert!(are_as_before(), "{brokers:?} became {:?}", pods(world));

    world.apply(&cluster(&format!(
        "{STORAGE}, config: {{ num.partitions: 4 }}"
    )));
    until_all_is_so(world, &[0, 1, 2], 0).await;
    let gone = || {
        let set = world.api.get("statefulsets", "shop", "orders-controllers");
        let budget = world
            .api
            .get("poddisruptionbudgets", "shop", "orders-controllers");
        let service = world.api.get("services", "shop", "orders-controllers");
        set.or(budget).or(service).is_none()
    };
    until("what was made for them is gone", gone).await;
    assert_eq!(status(world).get("controllersReady"), None);
}

#[test]
fn votes_move_to_controllers_and_back_and_no_broker_restarts() {
    run(Kubernetes::with_nodes(), story);
}

#[test]
fn an_operator_that_dies_while_votes_move_leaves_the_next_one_nothing_to_mend() {
    for call in (3..400).step_by(31) {
        let world = Kubernetes::with_nodes();
        world.api.kill_at(call, call % 2 == 0);
        run(world, story);
    }
}

/// Restarts go one node at a time, whichever it is.
#[test]
fn controllers_restart_one_at_a_time_and_only_they_for_what_is_theirs() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.brokers().set_voters(&[1000, 1001, 1002]);
        world.apply(&dedicated(3));
        until_all_is_so(world, &[1000, 1001, 1002], 3).await;
        let brokers = pods(world);
        let changed = cluster(&format!(
            "{STORAGE}, dedicatedControllers: {{ resources: {{ requests: {{ cpu: 70m }} }} }}"
        ));
        world.apply(&changed);
        let orders = || world.get("KafkaCluster", "shop", "orders");
        until("it begins", || {
            reason(orders().as_ref()) == "RollingRestart"
        })
        .await;
        let mut away_max = 0;
        until("all are new", || {
            let now = world.api.all("pods");
            let serves = |pod: &&Value| pod["status"]["conditions"][0]["status"] == "True";
            let serving = now.iter().filter(serves).count();
            away_max = away_max.max(6 - serving);
            let kept = pods(world);
            brokers.iter().filter(|pod| kept.contains(pod)).count() == 3 && serving == 6
        })
        .await;
        assert_eq!(away_max, 1);
        let kept = pods(world);
        let mut those_of_brokers = brokers.iter().filter(|pod| !pod.contains("controllers"));
        assert!(those_of_brokers.all(|pod| kept.contains(pod)), "{kept:?}");
    });
}

/// A cluster that is made again after it was deleted in the midst of a move finds its quorum.
#[test]
fn a_cluster_that_is_made_again_has_the_controllers_that_have_left_data() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        let api = &world.api;
        for node in ["orders-0", "orders-controllers-0", "orders-controllers-2"] {
            let claim = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {},
                "metadata": { "namespace": "shop", "name": format!("data-{node}") },
            });
            api.apply("persistentvolumeclaims", &claim);
        }
        world.apply(&dedicated(1));
        let set = || api.get("statefulsets", "shop", "orders-controllers");
        until("there is a StatefulSet", || set().is_some()).await;
        assert_eq!(set().unwrap()["spec"]["replicas"], json!(3), "one is lost");
        let files = api.all("configmaps")[0]["data"].to_string();
        for voter in [
            "0@orders-0.",
            "1001@orders-controllers-1.",
            "1002@orders-controllers-2.",
        ] {
            assert!(files.contains(voter), "{voter} in {files}");
        }
    });
}
