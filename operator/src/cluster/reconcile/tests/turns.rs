//! Clusters that take turns.

use super::*;
use crate::condition::{ClusterReason, Verdict, conditions};

/// The operator that restarted it is gone, and its successor looks first at a cluster that waits.
#[tokio::test]
async fn one_whose_last_broker_is_on_its_way_back_is_waited_for_by_the_next_operator() {
    let turns = Turns::default();
    let key = |name: &str| {
        let metadata = serde_yaml::from_str(&format!("{{ namespace: shop, name: {name} }}"));
        crate::object::ObjectKey::of(&metadata.unwrap())
    };
    let (mut cluster, states) = serving().await;
    let rolling = Verdict::new(
        ClusterReason::RollingRestart,
        "Broker 0 is being restarted.",
    );
    let before = cluster.status.as_mut().unwrap();
    before.conditions = conditions(&[], &rolling, 2, "now");
    let starts = BrokerState {
        ready: false,
        ..states[&0].clone()
    };
    let mut returning = Reconciler::new(on(BTreeMap::from([(0, starts)])), nowhere());
    returning.turn = turns.of(&key("returning"));
    let waiting = turns.of(&key("waiting"));
    waiting.look();
    assert_eq!(
        waiting.take().unwrap().name,
        "returning",
        "not looked at yet"
    );
    returning.step(&cluster, || true, "now").await;
    assert_eq!(waiting.take().unwrap().name, "returning", "not back yet");
    returning.platform.states = states;
    returning.step(&cluster, || true, "now").await;
    assert_eq!(waiting.take(), None);
}
