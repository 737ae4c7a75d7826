use std::sync::Arc;

use super::{Outcome, Pass, Topics, View, reconcile};
use crate::admin::Admin;
use crate::condition::spoken;
use crate::object::ObjectKey;
use crate::object::Wanted;
use crate::topic::reconcile::Desired;

async fn found(admin: &mut Admin, view: &View, topics: &Topics, now: &str) -> Pass {
    let found = reconcile(admin, view, topics, now).await;
    found.unwrap_or_else(|silent| silent)
}

#[tokio::test]
async fn topics_of_a_paused_cluster_are_left_alone_also_deleted_ones() {
    let topic = |name: &str, deleting: bool| {
        let object = format!("metadata: {{ name: {name} }}\nspec: {{ clusterRef: {{ name: c }} }}");
        let object: crate::crd::KafkaTopic = serde_yaml::from_str(&object).unwrap();
        (
            ObjectKey::of(&object.metadata),
            Desired {
                object: object.into(),
                deleting,
            },
        )
    };
    let topics: Topics = vec![topic("stays", false), topic("goes", true)];
    let view = View {
        // Nobody listens there: to ask would be another reason.
        addresses: vec!["127.0.0.1:1".to_owned()],
        usable: true,
        paused: true,
        admits: vec!["*".to_owned()],
        ..View::default()
    };
    let pass = found(&mut Admin::new(Vec::new()), &view, &topics, "now").await;
    assert_eq!(pass.outcomes.len(), 2);
    for (key, outcome) in pass.outcomes {
        let Outcome::Stands(status) = outcome else {
            panic!("{key} is let go");
        };
        assert_eq!(spoken(&status.conditions).unwrap().0, "Paused", "{key}");
    }
}

#[tokio::test]
async fn a_deletion_waits_for_the_newest_view_of_the_cluster_and_a_pause_does_not() {
    let object = "metadata: { name: t }\nspec: { clusterRef: { name: c } }";
    let object: crate::crd::KafkaTopic = serde_yaml::from_str(object).unwrap();
    let key = ObjectKey::of(&object.metadata);
    let object = Arc::new(object);
    let topics = |deleting: bool| {
        let object = object.clone();
        vec![(key.clone(), Desired { object, deleting })]
    };
    let mut view = View {
        admits: vec!["*".to_owned()],
        generation: 1,
        ..View::default()
    };
    let wanted = |metadata: &str| {
        let cluster = format!("metadata: {{ name: c, {metadata} }}\nspec: {{ replicas: 3 }}");
        let cluster: crate::crd::KafkaCluster = serde_yaml::from_str(&cluster).unwrap();
        Wanted::Run(cluster.into())
    };
    let mut admin = Admin::new(Vec::new());
    view.catch_up(&wanted("generation: 2"));
    let pass = found(&mut admin, &view, &topics(true), "now").await;
    assert!(pass.outcomes.is_empty());
    let pass = found(&mut admin, &view, &topics(false), "now").await;
    assert_eq!(pass.outcomes.len(), 1);
    view.catch_up(&wanted("generation: 1"));
    let pass = found(&mut admin, &view, &topics(true), "now").await;
    assert_eq!(pass.outcomes.into_values().next(), Some(Outcome::Gone));

    view.catch_up(&wanted(
        "generation: 2, annotations: { ottla.io/paused: 'true' }",
    ));
    let pass = found(&mut admin, &view, &topics(false), "now").await;
    let Some(Outcome::Stands(status)) = pass.outcomes.into_values().next() else {
        panic!("nothing is said");
    };
    assert_eq!(spoken(&status.conditions).unwrap().0, "Paused");
}

#[tokio::test]
async fn a_deleted_topic_does_not_wait_for_a_cluster_that_never_came_up() {
    let object = "metadata: { name: t }\nspec: { clusterRef: { name: c } }";
    let object: crate::crd::KafkaTopic = serde_yaml::from_str(object).unwrap();
    let key = ObjectKey::of(&object.metadata);
    let topics: Topics = vec![(
        key,
        Desired {
            object: object.into(),
            deleting: true,
        },
    )];
    let mut view = View {
        addresses: vec!["127.0.0.1:1".to_owned()],
        admits: vec!["*".to_owned()],
        ..View::default()
    };
    let pass = found(&mut Admin::new(Vec::new()), &view, &topics, "now").await;
    assert_eq!(pass.outcomes.into_values().next(), Some(Outcome::Gone));
    // One that came up under an earlier operator may hold the topic.
    view.was_up = true;
    let pass = found(&mut Admin::new(Vec::new()), &view, &topics, "now").await;
    assert_ne!(pass.outcomes.into_values().next(), Some(Outcome::Gone));
    view.usable = true;
    let mut admin = Admin::new(view.addresses.clone());
    let pass = found(&mut admin, &view, &topics, "now").await;
    assert_ne!(pass.outcomes.into_values().next(), Some(Outcome::Gone));
}

/// Deletions that wait for the newest view are left out of a pass, and stand all the same.
#[tokio::test]
async fn what_a_pass_leaves_out_is_not_told_as_gone() {
    let mut view = View {
        usable: true,
        ..View::default()
    };
    for (is_outdated, told) in [(false, Some(Vec::new())), (true, None)] {
        view.is_outdated = is_outdated;
        let pass = found(&mut Admin::new(Vec::new()), &view, &Topics::new(), "now").await;
        assert_eq!(pass.changes, told);
    }
}

/// One commit may ask for plans and for what needs consent then.
#[test]
fn what_asks_for_plans_needs_consent_before_the_next_step_of_the_cluster() {
    let cluster = |spec: &str| {
        let cluster = format!(
            "metadata: {{ name: c, generation: 2 }}\nspec: {{ {spec} }}\nstatus: {{ approved: \
             ['remove:3'] }}"
        );
        let cluster: crate::crd::KafkaCluster = serde_yaml::from_str(&cluster).unwrap();
        Wanted::Run(cluster.into())
    };
    let mut view = View::default();
    view.catch_up(&cluster("changePolicy: Apply"));
    assert_eq!(view.approved, None);
    view.catch_up(&cluster("changePolicy: Plan"));
    assert_eq!(view.approved, Some(["remove:3".to_owned()].into()));
}
