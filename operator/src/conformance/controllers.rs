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

fn claim(world: &Kubernetes, node: &str, labels: &Value) {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "namespace": "shop", "name": format!("data-{node}"), "labels": labels },
        "spec": { "storageClassName": "fast", "resources": { "requests": { "storage": "2Gi" } } },
    });
    world.api.apply("persistentvolumeclaims", &claim);
}

/// Those that vote by what their disks say are there, though the spec has none of them any more.
#[test]
fn a_cluster_that_is_made_again_without_the_field_gives_the_votes_back() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        for ordinal in 0..3 {
            claim(world, &format!("orders-{ordinal}"), &json!({}));
            claim(world, &format!("orders-controllers-{ordinal}"), &json!({}));
        }
        world.brokers().set_voters(&[1000, 1001, 1002]);
        world.apply(&cluster(STORAGE));
        let set = || world.api.get("statefulsets", "shop", "orders-controllers");
        until("there is a StatefulSet", || set().is_some()).await;
        let spec = set().unwrap()["spec"].clone();
        assert_eq!(spec["replicas"], json!(3));
        let disk = &spec["volumeClaimTemplates"][0]["spec"];
        let size = &disk["resources"]["requests"]["storage"];
        assert_eq!(
            (&disk["storageClassName"], size),
            (&json!("fast"), &json!("2Gi"))
        );
        until_all_is_so(world, &[0, 1, 2], 0).await;
    });
}

#[test]
fn claims_of_another_cluster_are_no_controllers_of_this_one() {
    run(Kubernetes::with_pods(), async |world: &Kubernetes| {
        for ordinal in 0..3 {
            let labels = json!({
                "app.kubernetes.io/instance": "orders-controllers",
                "app.kubernetes.io/component": "broker",
            });
            claim(world, &format!("orders-controllers-{ordinal}"), &labels);
        }
        world.apply(&cluster(STORAGE));
        let set = |name: &str| world.api.get("statefulsets", "shop", name);
        until("there is a StatefulSet", || set("orders").is_some()).await;
        let files = world.api.all("configmaps")[0]["data"].to_string();
        assert!(
            files.contains("2@orders-2.") && !files.contains("1000@"),
            "{files}"
        );
        assert!(set("orders-controllers").is_none());
    });
}

/// A controller is admitted only where all brokers know what that is.
#[test]
fn brokers_get_their_image_before_controllers_come() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.apply(&cluster(STORAGE));
        until_ready(world, "KafkaCluster", "orders").await;
        world.nodes.admit_controllers_at("broker:2");
        world.apply(&cluster(&format!(
            "{STORAGE}, image: 'broker:2', dedicatedControllers: {{}}"
        )));
        let is_new = |pod: &Value| pod["spec"]["containers"][0]["image"] == json!("broker:2");
        until("controllers are there", || {
            let (controllers, brokers): (Vec<Value>, Vec<Value>) = world
                .api
                .all("pods")
                .into_iter()
                .partition(|pod| pod["metadata"]["name"].to_string().contains("controllers"));
            assert!(controllers.is_empty() || brokers.iter().all(is_new));
            controllers.len() == 3
        })
        .await;
        until_all_is_so(world, &[1000, 1001, 1002], 3).await;
    });
}

/// Somebody scales everything to nothing for the night.
#[test]
fn controllers_that_vote_stay_though_somebody_stops_them_after_the_field_is_gone() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        world.brokers().set_voters(&[1000, 1001, 1002]);
        world.apply(&dedicated(3));
        until_all_is_so(world, &[1000, 1001, 1002], 3).await;
        world.brokers().hide_quorum(true);
        let changed = format!("{STORAGE}, changePolicy: Plan, config: {{ num.partitions: 4 }}");
        world.apply(&cluster(&changed));
        until("it waits for consent", || {
            status(world).get("plan").is_some()
        })
        .await;
        let name = "orders-controllers";
        let set = || world.api.get("statefulsets", "shop", name);
        let uid = set().unwrap()["metadata"]["uid"].clone();
        let mut stopped = set().unwrap();
        stopped["spec"]["replicas"] = json!(0);
        world.api.apply("statefulsets", &stopped);
        until("they are to run again", || {
            let set = set().expect("it is not deleted");
            assert_eq!(set["metadata"]["uid"], uid);
            set["spec"]["replicas"] == json!(3)
        })
        .await;
    });
}
