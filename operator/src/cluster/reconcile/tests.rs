//! Steps on a platform that only writes down what it is asked to do.

mod reasons;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use super::{Reconciler, Step};
use crate::approval::TopicChanges;
use crate::cluster::settings::properties;
use crate::cluster::turns::Turns;
use crate::cluster::validate::Observed;
use crate::condition::spoken;
use crate::crd::KafkaCluster;
use crate::platform::paper::lay_out;
use crate::platform::{AllowedFrom, BrokerState, Endpoints, Listener};
use crate::platform::{NotYet, Platform, Properties, Remake};
use crate::secrets::Secrets;

/// Secrets of nobody: these clusters have no certificates.
fn nowhere() -> Secrets {
    Secrets::Folder("/nowhere".into())
}

struct Paper {
    states: BTreeMap<i32, BrokerState>,
    prepared: Result<Vec<NotYet>, Vec<NotYet>>,
    /// How many brokers were to be when it was last asked to prepare for them.
    prepared_for: usize,
    pending: Vec<String>,
    restarted: Result<(), NotYet>,
    remake: Option<Remake>,
    is_held: bool,
    allowed_from: AllowedFrom,
    asked: Vec<String>,
}

impl Platform for Paper {
    fn lay_out(&self, nodes: &BTreeSet<i32>, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        // nobody listens there
        lay_out(nodes, listeners, "127.0.0.1:1")
    }

    fn bootstrap(&self, everywhere: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        let first = everywhere.values().next().unwrap();
        let clients = first.clients.iter();
        clients
            .map(|client| (client.name.clone(), format!("{}.svc:9092", client.name)))
            .collect()
    }

    async fn prepare(
        &mut self,
        desired: &BTreeMap<i32, Properties>,
        _: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>> {
        self.asked.push("prepare".to_owned());
        self.prepared_for = desired.len();
        self.prepared.clone()
    }

    fn remake(&self) -> Vec<Remake> {
        self.remake.iter().cloned().collect()
    }

    fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    fn allowed_from(&self) -> AllowedFrom {
        self.allowed_from
    }

    fn pending(&self) -> Vec<String> {
        self.pending.clone()
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        self.states.clone()
    }

    async fn start(&mut self, broker: i32, _: &Properties) {
        self.asked.push(format!("start {broker}"));
    }

    async fn restart(&mut self, broker: i32, _: &Properties) -> Result<(), NotYet> {
        self.asked.push(format!("restart {broker}"));
        self.restarted.clone()
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
    step_on(cluster, on(states)).await
}

fn on(states: BTreeMap<i32, BrokerState>) -> Paper {
    Paper {
        states,
        prepared: Ok(Vec::new()),
        prepared_for: 0,
        pending: Vec::new(),
        restarted: Ok(()),
        remake: None,
        is_held: false,
        allowed_from: AllowedFrom::Held,
        asked: Vec::new(),
    }
}

async fn step_on(cluster: &KafkaCluster, paper: Paper) -> (Step, Vec<String>) {
    let mut reconciler = Reconciler::new(paper, nowhere());
    let step = reconciler.step(cluster, || true, "now").await;
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

#[tokio::test]
async fn what_is_not_wanted_any_more_when_its_turn_comes_is_not_done() {
    let mut reconciler = Reconciler::new(on(three_to_restart()), nowhere());
    let step = reconciler.step(&cluster("", ""), || false, "now").await;
    assert_eq!(reconciler.platform.asked, ["prepare"]);
    assert!(step.done.is_empty(), "{:?}", step.done);
}

/// A cluster of one broker that serves and runs with what it should.
async fn serving() -> (KafkaCluster, BTreeMap<i32, BrokerState>) {
    serving_with("").await
}

async fn serving_with(spec: &str) -> (KafkaCluster, BTreeMap<i32, BrokerState>) {
    let mut cluster = cluster("", &format!("replicas: 1, {spec}"));
    let before =
        "{ bootstrapServers: internal.svc:9092, listeners: { internal: internal.svc:9092 } }";
    cluster.status = serde_yaml::from_str(before).unwrap();
    let valid = super::validate(&cluster, Observed::default()).unwrap();
    let everywhere =
        on(BTreeMap::new()).lay_out(&[0].into(), &super::listeners(&valid.listeners, false));
    let state = BrokerState {
        ready: true,
        runs: true,
        message: "serves".to_owned(),
        running_with: properties(&valid, 0, &everywhere),
        ..BrokerState::default()
    };
    (cluster, BTreeMap::from([(0, state)]))
}

fn refused(is_stuck: bool, message: &str) -> NotYet {
    NotYet {
        is_stuck,
        message: message.to_owned(),
    }
}

#[tokio::test]
async fn a_refused_object_clears_no_address_and_hides_no_broker() {
    let (cluster, states) = serving().await;
    for (is_stuck, reason) in [(true, "ApplyFailed"), (false, "Applying")] {
        let paper = Paper {
            prepared: Err(vec![refused(is_stuck, "Kubernetes does not take it.")]),
            ..on(states.clone())
        };
        let (step, _) = step_on(&cluster, paper).await;
        assert_eq!(
            says(&step),
            format!("{reason}: Kubernetes does not take it.")
        );
        assert_eq!(step.status.bootstrap_servers, "internal.svc:9092");
        assert_eq!(step.status.listeners["internal"], "internal.svc:9092");
    }
    // What brokers can do without holds up nothing.
    let mut to_restart = states;
    let state = to_restart.get_mut(&0).unwrap();
    state.runs = false;
    state.restart = Some("image changed".to_owned());
    let paper = Paper {
        prepared: Ok(vec![refused(true, "A quota is full.")]),
        ..on(to_restart)
    };
    let (step, asked) = step_on(&cluster, paper).await;
    assert_eq!(says(&step), "ApplyFailed: A quota is full.");
    assert_eq!(asked, ["prepare", "restart 0"]);
}

#[tokio::test]
async fn a_change_that_is_not_taken_up_yet_is_not_ready() {
    let (cluster, states) = serving().await;
    let (step, _) = step(&cluster, states.clone()).await;
    assert_eq!(says(&step), "BrokersReady: All 1 brokers serve.");
    let paper = Paper {
        pending: vec!["The StatefulSet orders is being changed.".to_owned()],
        ..on(states)
    };
    let (step, _) = step_on(&cluster, paper).await;
    assert_eq!(
        says(&step),
        "Applying: The StatefulSet orders is being changed."
    );
}

#[tokio::test]
async fn a_restart_that_is_refused_is_not_told_as_done() {
    let paper = Paper {
        restarted: Err(refused(true, "A webhook refuses it.")),
        ..on(three_to_restart())
    };
    let (step, asked) = step_on(&cluster("", ""), paper).await;
    assert_eq!(asked, ["prepare", "restart 0"]);
    assert!(step.done.is_empty(), "{:?}", step.done);
    assert_eq!(says(&step), "ApplyFailed: A webhook refuses it.");
}

#[tokio::test]
async fn a_null_in_the_config_leaves_a_setting_as_it_runs() {
    let (mut cluster, mut states) = serving().await;
    let state = states.get_mut(&0).unwrap();
    for key in ["num.io.threads", "num.partitions"] {
        state.running_with.insert(key.to_owned(), "7".to_owned());
    }
    let (step, asked) = step(&cluster, states.clone()).await;
    assert_ne!(
        says(&step),
        "BrokersReady: All 1 brokers serve.",
        "{asked:?}"
    );
    let unmanaged = [("num.io.threads", None), ("num.partitions", None)];
    cluster.spec.config = unmanaged.map(|(key, value)| (key.to_owned(), value)).into();
    let (step, _) = self::step(&cluster, states).await;
    assert_eq!(says(&step), "BrokersReady: All 1 brokers serve.");
}

#[tokio::test]
async fn a_step_that_ends_early_forgets_no_newcomer() {
    let (mut cluster, mut states) = serving().await;
    cluster.spec.replicas = 3;
    let before = "{ clusterId: the-cluster, brokers: [{ id: 0, ready: true }], controllers: 1 }";
    cluster.status = serde_yaml::from_str(before).unwrap();
    states.extend([(1, states[&0].clone()), (2, states[&0].clone())]);
    let paper = || Paper {
        prepared: Err(vec![refused(true, "Kubernetes does not take it.")]),
        ..on(states.clone())
    };
    let (step, _) = step_on(&cluster, paper()).await;
    assert_eq!(step.status.newcomers, [1, 2]);
    cluster.status = Some(step.status);
    let (step, _) = step_on(&cluster, paper()).await;
    assert_eq!(step.status.newcomers, [1, 2]);

    let mut paused = cluster.clone();
    paused.status = serde_yaml::from_str(before).unwrap();
    let annotations = [("ottla.io/paused".to_owned(), "true".to_owned())];
    paused.metadata.annotations = Some(annotations.into());
    let (step, _) = step_on(&paused, on(states.clone())).await;
    assert_eq!(step.status.newcomers, [1, 2]);

    // One that is not there for a moment is new still; one that is to go is not.
    let mut away = states.clone();
    away.remove(&1);
    cluster.spec.replicas = 2;
    let paper = Paper {
        prepared: Err(Vec::new()),
        ..on(away)
    };
    let (step, _) = step_on(&cluster, paper).await;
    assert_eq!(step.status.newcomers, [1]);
}

/// Nobody can be asked whether it holds anything: it stops, and a pod in its place would start.
#[tokio::test]
async fn a_broker_that_was_told_to_go_is_not_brought_back_by_another_operator() {
    let (mut cluster, mut states) = serving().await;
    let before = "{ clusterId: the-cluster, controllers: 1, leaving: [1] }";
    cluster.status = serde_yaml::from_str(before).unwrap();
    for (is_removed, brokers) in [(false, 2), (true, 1)] {
        let stopping = BrokerState {
            is_removed,
            message: "stops".to_owned(),
            ..states[&0].clone()
        };
        states.insert(1, stopping);
        let mut reconciler = Reconciler::new(on(states.clone()), nowhere());
        let step = reconciler.step(&cluster, || true, "now").await;
        assert_eq!(reconciler.platform.prepared_for, brokers);
        assert_eq!(step.status.leaving, [1], "until it is forgotten");
    }
}

/// A cluster whose brokers another version of the operator would make otherwise.
async fn upgraded() -> (KafkaCluster, Paper) {
    let (mut cluster, states) = serving().await;
    let before = cluster.status.as_mut().unwrap();
    before.observed_generation = 2;
    before.cluster_id = Some("the-cluster".to_owned());
    let paper = Paper {
        remake: Some(Remake {
            nodes: 0..100,
            fingerprint: "new".to_owned(),
            what: "the image changes from b:1 to b:2".to_owned(),
        }),
        ..on(states)
    };
    (cluster, paper)
}

#[tokio::test]
async fn another_version_of_the_operator_changes_one_cluster_after_the_other() {
    let turns = Turns::default();
    let key = |name: &str| {
        let metadata = serde_yaml::from_str(&format!("{{ namespace: shop, name: {name} }}"));
        crate::object::ObjectKey::of(&metadata.unwrap())
    };
    let (mut cluster, paper) = upgraded().await;
    let mut first = Reconciler::new(paper, nowhere());
    first.turn = turns.of(&key("first"));
    let mut second = Reconciler::new(upgraded().await.1, nowhere());
    second.turn = turns.of(&key("second"));
    first.step(&cluster, || true, "now").await;
    assert!(
        first.platform.is_held,
        "the second may be in the midst of it"
    );
    second.turn.look();
    first.step(&cluster, || true, "now").await;
    assert!(!first.platform.is_held);
    let step = second.step(&cluster, || true, "now").await;
    assert!(second.platform.is_held);
    assert_eq!(
        says(&step),
        "RollingRestart: Another version of the operator changes brokers, one cluster after the \
         other; this one waits for shop/first. Restart broker 0, one at a time: the image changes \
         from b:1 to b:2."
    );
    // What its own spec changes waits for nobody.
    cluster.metadata.generation = Some(3);
    second.step(&cluster, || true, "now").await;
    assert!(!second.platform.is_held);
    cluster.metadata.generation = Some(2);
    second.turn.note(false);
    // The first one is done.
    first.platform.remake = None;
    first.step(&cluster, || true, "now").await;
    second.step(&cluster, || true, "now").await;
    assert!(!second.platform.is_held);
}

#[tokio::test]
async fn with_plans_another_version_of_the_operator_changes_nothing_without_consent() {
    let (mut cluster, paper) = upgraded().await;
    cluster.spec.change_policy = crate::crd::cluster::ChangePolicy::Plan;
    let mut reconciler = Reconciler::new(paper, nowhere());
    reconciler.topics = Some(TopicChanges::default());
    let step = reconciler.step(&cluster, || true, "now").await;
    assert!(reconciler.platform.is_held);
    let plan = step.status.plan.clone().unwrap();
    assert_eq!(
        says(&step),
        format!(
            "WaitingForApproval: A plan waits for consent: restart 1 broker. Read status.plan; to \
             consent, annotate the object with ottla.io/approve-plan: \"{}\".",
            plan.hash
        )
    );
    cluster.status = Some(step.status);
    let annotations = [("ottla.io/approve-plan".to_owned(), plan.hash.clone())];
    cluster.metadata.annotations = Some(annotations.into());
    let step = reconciler.step(&cluster, || true, "now").await;
    assert!(!reconciler.platform.is_held);
    assert_eq!(
        step.done,
        [format!("plan {} is approved: restart 1 broker", plan.hash)]
    );
    assert_eq!(step.status.approved.len(), 1);
    cluster.status = Some(step.status);
    // Half done, the operator changes once more.
    let remake = reconciler.platform.remake.as_mut().unwrap();
    "newer".clone_into(&mut remake.fingerprint);
    reconciler.step(&cluster, || true, "now").await;
    assert!(reconciler.platform.is_held);
}

#[tokio::test]
async fn a_change_that_waits_is_in_no_setting_and_adds_no_broker() {
    let (mut cluster, states) = serving().await;
    cluster.spec.change_policy = crate::crd::cluster::ChangePolicy::Plan;
    cluster.spec.replicas = 2;
    let config = [("num.partitions", "7"), ("num.io.threads", "7")];
    let config = config.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    cluster.spec.config = config.into();
    let (step, asked) = step(&cluster, states).await;
    // Nobody answers, so what needs no restart waits as well, but for the brokers alone.
    assert_eq!(asked, ["prepare"]);
    assert_eq!(step.status.replicas, 1);
}

#[tokio::test]
async fn while_a_plan_waits_nobody_restarts_whose_settings_are_not_known() {
    let (mut cluster, mut states) = serving().await;
    cluster.spec.change_policy = crate::crd::cluster::ChangePolicy::Plan;
    let state = states.get_mut(&0).unwrap();
    state.running_with.clear();
    state.runs = false;
    state.ready = false;
    let mut reconciler = Reconciler::new(on(states), nowhere());
    reconciler.topics = Some(TopicChanges::default());
    let step = reconciler.step(&cluster, || true, "now").await;
    assert!(reconciler.platform.is_held);
    assert_eq!(reconciler.platform.asked, ["prepare"]);
    assert_eq!(step.status.plan.unwrap().summary, "restart 1 broker");
}

#[tokio::test]
async fn a_change_of_ones_own_that_takes_two_steps_waits_for_no_other_cluster() {
    let turns = Turns::default();
    let key = |name: &str| {
        let metadata = serde_yaml::from_str(&format!("{{ namespace: shop, name: {name} }}"));
        crate::object::ObjectKey::of(&metadata.unwrap())
    };
    let other = turns.of(&key("other"));
    assert_eq!(other.take(), None);
    let (mut cluster, paper) = upgraded().await;
    let mut reconciler = Reconciler::new(paper, nowhere());
    reconciler.turn = turns.of(&key("orders"));
    cluster.metadata.generation = Some(3);
    reconciler.platform.prepared = Err(vec![refused(false, "Ports are being assigned.")]);
    let step = reconciler.step(&cluster, || true, "now").await;
    assert_eq!(step.status.observed_generation, 3);
    cluster.status = Some(step.status);
    reconciler.platform.prepared = Ok(Vec::new());
    reconciler.step(&cluster, || true, "now").await;
    assert!(!reconciler.platform.is_held);
}

#[tokio::test]
async fn a_broker_that_was_told_to_go_is_not_restarted() {
    let (mut cluster, mut states) = serving().await;
    cluster.status.as_mut().unwrap().leaving = vec![1];
    let gone = BrokerState {
        is_removed: true,
        restart: Some("image changed".to_owned()),
        ..BrokerState::default()
    };
    states.insert(1, gone);
    let (_, asked) = step(&cluster, states).await;
    assert!(!asked.contains(&"restart 1".to_owned()), "{asked:?}");
}
