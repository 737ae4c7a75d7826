//! What takes too long for every change: the steps of `make e2e LONG=1`. Each runs under a producer
//! that sends every record once and a consumer group; neither may see an error, a loss or a
//! duplicate.

mod grow;
mod lost;
mod replicas;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::java::JavaLoad;
use ottla_e2e::kubernetes::{Pod, apply, command, node_of, ready, says, wait};
use ottla_e2e::setup::scratch;

pub use self::grow::{six_brokers_roll, three_to_five_and_back};
pub use self::lost::a_volume_given_up_and_one_lost;
pub use self::replicas::one_to_three_to_two;
use crate::brokers::{drain, roll, uids, uncordon};
use crate::figures::{STOPS_S, pause, within};
use crate::shop::{
    BOOTSTRAP, CLUSTER, NAMESPACE, TIMEOUT, broker, is_of_this_machine, manifest,
    nodes_of_operators, once, outside, under_load_and_a_death, under_load_without_retries,
    until_disturbed, up, wait_ready, with_topic,
};

/// What restarts each broker.
const CHANGED: &str = "  config: { num.network.threads: \"3\" }\n";
/// How long a roll has the chance to go wrong while a node is off.
const HELD: Duration = Duration::from_secs(30);
/// Records a second of Java.
const JAVA_RATE: u32 = 200;

/// A roll and back while Kafka's own client produces too.
pub fn java_beside_librdkafka() -> Result<()> {
    up()?;
    with_topic("long-java-own", || {
        let folder = scratch("java");
        let java = JavaLoad::start(&outside()?, "long-java-own", JAVA_RATE, &folder)?;
        under_load_without_retries("long-java", || {
            roll("beside Java", &manifest(CHANGED))?;
            roll("beside Java, back", &manifest(""))
        })?;
        let verdict = java.finish(Duration::from_secs(90))?;
        println!("Java: {verdict:?}");
        pause("long-java: longest pause of Java", STOPS_S, verdict.stall)
    })
}

/// A roll while the load comes from a pod. Names lead to the address of the pod before for some
/// seconds, which may swallow what is sent there: so long a client waits for its connection.
pub fn load_from_a_pod() -> Result<()> {
    up()?;
    let pod = Pod::of_loads(NAMESPACE)?;
    with_topic("long-pod", || {
        let flags = [
            "--no-retries",
            "--follow",
            "--rate",
            "300",
            "--connect-ms",
            "1000",
        ];
        let load = pod.load(BOOTSTRAP, "long-pod", &flags)?;
        let verdict = until_disturbed(("long-pod", STOPS_S), load, || {
            roll("load from a pod", &manifest(CHANGED))?;
            roll("load from a pod, back", &manifest(""))
        })?;
        once(&verdict)
    })
}

/// `kubectl drain` of the node of each broker, one after the other.
pub fn every_node_drained() -> Result<()> {
    up()?;
    let nodes = (0..3).map(|ordinal| node_of(NAMESPACE, &broker(ordinal)));
    let nodes: Vec<String> = nodes.collect::<Result<_>>()?;
    let drained = under_load_without_retries("long-drain", || {
        for node in &nodes {
            drain(node, "120s")?.success()?;
            wait(TIMEOUT, || {
                says("kafkaclusters", NAMESPACE, CLUSTER, "Ready", "False", "")
            })?;
            uncordon(std::slice::from_ref(node))?;
            let took = wait_ready()?;
            within("long-drain: a node back until Ready again", 30.0, took)?;
        }
        Ok(())
    });
    uncordon(&nodes)?;
    drained
}

/// A node that dies with a broker and the operator: the operator works again elsewhere, and a roll
/// that begins now takes no second broker, and goes on once the node is back.
pub fn roll_begun_while_a_node_is_off() -> Result<()> {
    up()?;
    let operators = nodes_of_operators()?;
    let node = operators.first().context("an operator is ready")?.clone();
    if !is_of_this_machine(&node) {
        return Ok(());
    }
    let is_there = |ordinal: &i32| node_of(NAMESPACE, &broker(*ordinal)).is_ok_and(|of| of == node);
    let others: Vec<i32> = (0..3).filter(|ordinal| !is_there(ordinal)).collect();
    ensure!(others.len() == 2, "{node} has the operator and one broker");
    let died = under_load_and_a_death("long-off-killed", || {
        command("docker", &["kill", &node], "")?.success()?;
        let (_, took) = wait(TIMEOUT * 2, || {
            let elsewhere = nodes_of_operators()?.into_iter().find(|of| *of != node);
            elsewhere.context("the operator works nowhere else")
        })?;
        within("a node off until the operator works elsewhere", 120.0, took)?;
        wait(TIMEOUT, || {
            says("kafkaclusters", NAMESPACE, CLUSTER, "Ready", "False", "")
        })
        .map(drop)
    });
    if died.is_err() {
        command("docker", &["start", &node], "")?;
    }
    died?;
    let rolled = under_load_without_retries("long-off", || {
        let before = uids()?;
        apply(NAMESPACE, &manifest(CHANGED))?;
        std::thread::sleep(HELD);
        let now = uids()?;
        for ordinal in &others {
            let name = broker(*ordinal);
            ensure!(
                now[&name] == before[&name],
                "{name} went while {node} is off"
            );
        }
        command("docker", &["start", &node], "")?.success()?;
        let (_, took) = wait(TIMEOUT * 3, || {
            let now = uids()?;
            let is_old = |(name, uid): &(&String, &String)| now.get(*name) == Some(*uid);
            let old: Vec<_> = before.iter().filter(is_old).collect();
            ensure!(old.is_empty(), "not restarted: {old:?}");
            ready_now()
        })?;
        within("a node back on until the roll is through", 120.0, took)
    });
    command("docker", &["start", &node], "")?;
    rolled?;
    under_load_without_retries("long-off-back", || roll("back again", &manifest("")))
}

fn ready_now() -> Result<()> {
    ready("kafkaclusters", NAMESPACE, CLUSTER).map(drop)
}
