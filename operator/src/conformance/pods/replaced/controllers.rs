//! A dedicated controller that gets an empty volume.

use super::*;

#[test]
fn a_dedicated_controller_gets_an_empty_volume_as_a_broker_does() {
    run(Kubernetes::with_nodes(), async |world: &Kubernetes| {
        let spec = format!(
            "config: {{ num.partitions: 3 }}, {STORED}, listeners: [{{ name: internal, port: 9092 \
             }}], dedicatedControllers: {{}}"
        );
        world.api.judge(rules::broken);
        world.apply(&cluster(&spec));
        let votes = || world.brokers().voters() == [1000, 1001, 1002];
        until("they vote", votes).await;
        until_ready(world, "KafkaCluster", "orders").await;
        let claims = || {
            let claim = |pod| format!("data-orders-{pod}");
            let of = |pod| uid(world, "persistentvolumeclaims", &claim(pod));
            ["controllers-0", "controllers-1", "controllers-2", "1"].map(of)
        };
        let before = claims();
        world.apply(&annotated("1001", &spec));
        until("it is replaced", || phase(world) == "Replaced").await;
        until_ready(world, "KafkaCluster", "orders").await;
        let changed = std::iter::zip(claims(), before);
        let changed: Vec<bool> = changed.map(|(now, then)| now != then).collect();
        assert_eq!(changed, [false, true, false, false]);
        assert!(votes());
        assert_eq!(world.api.violations(), Vec::<String>::new());
    });
}
