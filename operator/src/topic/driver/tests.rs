use super::{Outcome, Topics, View, reconcile};
use crate::admin::Admin;
use crate::condition::spoken;
use crate::object::ObjectKey;
use crate::topic::reconcile::Desired;

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
    let pass = reconcile(&mut Admin::new(Vec::new()), &view, &topics, "now").await;
    assert_eq!(pass.outcomes.len(), 2);
    for (key, outcome) in pass.outcomes {
        let Outcome::Stands(status) = outcome else {
            panic!("{key} is let go");
        };
        assert_eq!(spoken(&status.conditions).unwrap().0, "Paused", "{key}");
    }
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
    let pass = reconcile(&mut Admin::new(Vec::new()), &view, &topics, "now").await;
    assert_eq!(pass.outcomes.into_values().next(), Some(Outcome::Gone));
    view.usable = true;
    let mut admin = Admin::new(view.addresses.clone());
    let pass = reconcile(&mut admin, &view, &topics, "now").await;
    assert_ne!(pass.outcomes.into_values().next(), Some(Outcome::Gone));
}
