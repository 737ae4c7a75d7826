use tokio::time::Instant;

use super::{Duration, GONE_AFTER, NAMESPACE_DEFAULT, ObjectKey, Objects};
use crate::crd::{KafkaCluster, KafkaClusterStatus};

/// A consent holds for one object alone, not for the next one of its name.
#[test]
fn an_object_has_a_uid_of_its_own_that_outlives_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let found: KafkaCluster = serde_yaml::from_str("metadata: { name: c }\nspec: {}").unwrap();
    let key = ObjectKey {
        namespace: NAMESPACE_DEFAULT.to_owned(),
        name: "c".to_owned(),
    };
    let now = Instant::now();
    let merge = |objects: &mut Objects<KafkaCluster>, there: bool, now: Instant| {
        let found = [("c.yaml", &found)].into_iter().filter(|_| there);
        objects.merge(found, |_| true, now);
    };
    let uid = |objects: &Objects<KafkaCluster>| {
        let entry = objects.get(&key).unwrap();
        entry.object.metadata.uid.clone().unwrap_or_default()
    };
    let mut objects = Objects::load(folder.path());
    merge(&mut objects, true, now);
    let first = uid(&objects);
    assert_ne!(first, "");
    objects.set_status(&key, KafkaClusterStatus::default());
    let mut objects = Objects::load(folder.path());
    merge(&mut objects, true, now);
    assert_eq!(uid(&objects), first);

    merge(&mut objects, false, now);
    merge(
        &mut objects,
        false,
        now + GONE_AFTER + Duration::from_millis(1),
    );
    objects.remove(&key);
    merge(&mut objects, true, now);
    assert_ne!(uid(&objects), first);
}

#[test]
fn objects_of_two_namespaces_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = |metadata: &str| -> KafkaCluster {
        serde_yaml::from_str(&format!("metadata: {{ {metadata} }}\nspec: {{}}")).unwrap()
    };
    let found = [cluster("name: shop.c"), cluster("namespace: shop, name: c")];
    let mut objects = Objects::load(folder.path());
    let found = found.iter().map(|one| ("c.yaml", one));
    objects.merge(found, |_| true, Instant::now());
    let keys: Vec<ObjectKey> = objects.entries.keys().cloned().collect();
    for key in &keys {
        objects.set_status(key, KafkaClusterStatus::default());
    }
    let loaded = Objects::<KafkaCluster>::load(folder.path());
    assert_eq!(loaded.entries.keys().cloned().collect::<Vec<_>>(), keys);
    objects.remove(&keys[0]);
    let loaded = Objects::<KafkaCluster>::load(folder.path());
    assert_eq!(loaded.entries.keys().collect::<Vec<_>>(), [&keys[1]]);

    // A file of a name that no object has now is not left behind to say that there is one.
    let file = loaded.file(&keys[1]);
    std::fs::rename(file, folder.path().join("status/kafkacluster-c.old.yaml")).unwrap();
    Objects::<KafkaCluster>::load(folder.path()).remove(&keys[1]);
    let left = std::fs::read_dir(folder.path().join("status")).unwrap();
    assert_eq!(left.count(), 0);
}
