//! Controllers that are no brokers.

use super::*;
use crate::crd::cluster::ReclaimPolicy;

#[test]
fn dedicated_controllers() {
    check(
        "q",
        "replicas: 1, dedicatedControllers: {}",
        NEW,
        expect![[r#"
        1 brokers, voters {1000, 1001, 1002}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "dedicatedControllers: { replicas: 1 }",
        three(),
        expect![[r#"
        3 brokers, voters {0, 1, 2, 1000}, config {}, unmanaged {}
    "#]],
    );
    check(
        "q",
        "dedicatedControllers: { replicas: 4 }",
        NEW,
        expect![[r#"
        InvalidSpec: spec.dedicatedControllers.replicas is 4; it must be 1, 3 or 5.
    "#]],
    );
    check(
        "q",
        "controllers: 3, dedicatedControllers: {}",
        NEW,
        expect![[r#"
            InvalidSpec: spec.controllers has brokers vote and spec.dedicatedControllers has
                others vote; remove one of the two.
        "#]],
    );
    check(
        "q",
        "dedicatedControllers: { template: { pod: { labels: { app.kubernetes.io/name: x } } } }",
        NEW,
        expect![[r#"
        InvalidSpec: spec.dedicatedControllers.template.pod.labels may not set
            app.kubernetes.io/name: the cluster's objects are found by it.
    "#]],
    );
    let yaml = "metadata: { name: q }\nspec: { storage: { size: 9Gi }, dedicatedControllers: {} }";
    let valid = |observed| validate(&serde_yaml::from_str(yaml).unwrap(), observed).unwrap();
    let observed = Observed {
        controllers: [1000, 1001, 1002, 1003].into(),
        ..three()
    };
    let controllers = valid(observed).controllers;
    assert_eq!((controllers.wanted, controllers.ids.len()), (3, 4));
    assert_eq!(controllers.storage.unwrap().size, "9Gi");
}

/// Records without what says what they are, or the other way round, are of no use.
#[test]
fn volumes_of_controllers_are_kept_where_those_of_brokers_are() {
    check(
        "q",
        "storage: { size: 9Gi }, dedicatedControllers: { storage: { size: 1Gi, reclaimPolicy: \
         Delete } }",
        NEW,
        expect![[r#"
            InvalidSpec: spec.dedicatedControllers.storage.reclaimPolicy is Delete but
                spec.storage keeps the records, which nobody can read without what the
                controllers have; leave it out, or set both to Delete.
        "#]],
    );
    let policy = |yaml: &str| {
        let yaml = format!("metadata: {{ name: q }}\nspec: {{ {yaml} }}");
        let valid = validate(&serde_yaml::from_str(&yaml).unwrap(), NEW).unwrap();
        valid.controllers.storage.unwrap().reclaim_policy
    };
    let own = "dedicatedControllers: { storage: { size: 1Gi } }";
    let deleted = format!("storage: {{ size: 9Gi, reclaimPolicy: Delete }}, {own}");
    assert_eq!(policy(&deleted), ReclaimPolicy::Delete);
    assert_eq!(policy(own), ReclaimPolicy::Retain);
}
