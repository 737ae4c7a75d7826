//! Steps on a platform that only writes down what it is asked to do.

use std::collections::BTreeMap;

use super::{Reconciler, Step};
use crate::condition::spoken;
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, ClientEndpoint, Endpoints, Listener};
use crate::platform::{NotYet, Platform, Properties};

#[derive(Default)]
struct Paper {
    states: BTreeMap<i32, BrokerState>,
    asked: Vec<String>,
}

impl Platform for Paper {
    fn lay_out(&self, brokers: i32, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        let endpoints = |broker: i32| Endpoints {
            clients: listeners
                .iter()
                .map(|listener| ClientEndpoint {
                    name: listener.name.clone(),
                    bind: format!("127.0.0.1:{}", listener.port),
                    // Nobody listens there.
                    advertised: "127.0.0.1:1".to_owned(),
                })
                .collect(),
            peer_bind: format!("127.0.0.1:{broker}"),
            peer_advertised: format!("127.0.0.1:{broker}"),
            http_bind: "127.0.0.1:9404".to_owned(),
            log_dir: "/data".into(),
            rack: None,
        };
        (0..brokers).map(|id| (id, endpoints(id))).collect()
    }

    fn bootstrap(&self, everywhere: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        let first = everywhere.values().next().unwrap();
        let clients = first.clients.iter();
        clients
            .map(|client| (client.name.clone(), format!("{}.svc:9092", client.name)))
            .collect()
    }

    async fn prepare(&mut self, _: &BTreeMap<i32, Properties>, _: u64) -> Result<(), NotYet> {
        self.asked.push("prepare".to_owned());
        Ok(())
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        self.states.clone()
    }

    async fn start(&mut self, broker: i32, _: &Properties) {
        self.asked.push(format!("start {broker}"));
    }

    async fn restart(&mut self, broker: i32, _: &Properties) {
        self.asked.push(format!("restart {broker}"));
    }

    async fn keep(&mut self, broker: i32, _: &Properties) {
        self.asked.push(format!("keep {broker}"));
    }
}

fn cluster(metadata: &str, spec: &str) -> KafkaCluster {
    serde_yaml::from_str(&format!(
        "metadata: {{ name: orders, generation: 2, {metadata} }}\nspec: {{ {spec} }}"
    ))
    .unwrap()
}

fn says(step: &Step) -> String {
    let (reason, message) = spoken(&step.status.conditions).unwrap();
    format!("{reason}: {message}")
}

/// Brokers whose processes exited and are to be restarted.
fn three_to_restart() -> BTreeMap<i32, BrokerState> {
    let state = BrokerState {
        message: "exits again and again".to_owned(),
        restart: Some("image changed".to_owned()),
        ..BrokerState::default()
    };
    (0..3).map(|id| (id, state.clone())).collect()
}

async fn step(cluster: &KafkaCluster, states: BTreeMap<i32, BrokerState>) -> (Step, Vec<String>) {
    let paper = Paper {
        states,
        ..Paper::default()
    };
    let mut reconciler = Reconciler::new(paper);
    let step = reconciler.step(cluster, "now").await;
    (step, reconciler.platform.asked)
}

#[tokio::test]
async fn what_is_paused_is_left_alone_and_says_so() {
    let (_, asked) = step(&cluster("", ""), three_to_restart()).await;
    assert_eq!(asked, ["prepare", "restart 0"]);

    let paused = "annotations: { ottla.io/paused: \"true\" }";
    let mut paused = cluster(paused, "");
    let before = "bootstrapServers: internal.svc:9092, brokersReady: 3/3";
    paused.status = serde_yaml::from_str(&format!("{{ {before} }}")).unwrap();
    let (step, asked) = step(&paused, three_to_restart()).await;
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(
        says(&step),
        "Paused: The annotation ottla.io/paused is set, so the cluster and its topics are left \
         alone."
    );
    assert_eq!(step.status.bootstrap_servers, "internal.svc:9092");
    assert_eq!(step.status.brokers_ready, "0/3");
}
