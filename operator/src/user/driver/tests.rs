use std::sync::Arc;

use super::{Outcome, Pass, Users, View, reconcile};
use crate::admin::Admin;
use crate::condition::spoken;
use crate::object::{Desired, ObjectKey, Wanted};
use crate::secrets::Secrets;
use crate::user::reconcile::Known;

async fn found(view: &View, users: &Users) -> Pass {
    let (mut admin, mut known) = (Admin::new(Vec::new()), Known::default());
    let secrets = Secrets::Folder("/nowhere".into());
    let found = reconcile((&mut admin, &secrets, &mut known), view, users, "now").await;
    found.unwrap_or_else(|silent| silent)
}

#[tokio::test]
async fn a_deletion_waits_for_the_newest_view_of_the_cluster_and_a_pause_does_not() {
    let object = "metadata: { name: alice }\nspec: { clusterRef: { name: c }, authentication: { \
                  type: Scram } }";
    let object: crate::crd::KafkaUser = serde_yaml::from_str(object).unwrap();
    let key = ObjectKey::of(&object.metadata);
    let object = Arc::new(object);
    let users = |deleting: bool| {
        let object = object.clone();
        vec![(key.clone(), Desired { object, deleting })]
    };
    let wanted = |metadata: &str| {
        let cluster = format!("metadata: {{ name: c, {metadata} }}\nspec: {{ replicas: 3 }}");
        let cluster: crate::crd::KafkaCluster = serde_yaml::from_str(&cluster).unwrap();
        Wanted::Run(cluster.into())
    };
    let mut view = View {
        generation: 1,
        ..View::default()
    };
    view.catch_up(&wanted("generation: 2"));
    assert!(found(&view, &users(true)).await.outcomes.is_empty());
    assert_eq!(found(&view, &users(false)).await.outcomes.len(), 1);
    view.catch_up(&wanted("generation: 1"));
    let pass = found(&view, &users(true)).await;
    assert_eq!(pass.outcomes.into_values().next(), Some(Outcome::Gone));

    view.admits = vec!["*".to_owned()];
    view.catch_up(&wanted(
        "generation: 2, annotations: { ottla.io/paused: 'true' }",
    ));
    let pass = found(&view, &users(false)).await;
    let Some(Outcome::Stands(status)) = pass.outcomes.into_values().next() else {
        panic!("nothing is said");
    };
    assert_eq!(spoken(&status.conditions).unwrap().0, "Paused");
}
