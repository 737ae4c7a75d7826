use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use super::{BTreeMap, Pool, Seen, observe, outdated, pod_state};

/// A pod with this status, and what is said of its broker.
fn check(status: &str, said: &str) {
    let pod: Pod = serde_yaml::from_str(&format!("status: {{ {status} }}")).unwrap();
    let state = pod_state(&pod);
    let failure = state
        .failure
        .map_or(String::new(), |failure| format!("{failure:?}: "));
    assert_eq!(format!("{failure}{}", state.message), said);
}

fn container(status: &str) -> String {
    format!(
        "containerStatuses: [{{ name: broker, image: b:1, imageID: \"\", ready: false, \
         restartCount: 0, {status} }}]"
    )
}

#[test]
fn what_keeps_a_broker_from_starting_is_named_when_it_is_first_told() {
    check("", "its container is being created");
    check(&container("state: { running: {} }"), "starts");
    check(
        &container("state: { waiting: { reason: ErrImagePull, message: \"no such host.\" } }"),
        "ImagePull: its image b:1 cannot be pulled: no such host; correct \
         spec.image, or give the nodes access to it",
    );
    let exit =
        |code: i32| format!("terminated: {{ exitCode: {code}, message: \"a\\nwrong.\\n\" }}");
    let refused = "CrashLooping: refuses its settings (wrong)";
    check(&container(&format!("state: {{ {} }}", exit(78))), refused);
    let again = format!("state: {{ running: {{}} }}, lastState: {{ {} }}", exit(78));
    check(&container(&again), refused);
    check(
        &container(&format!("state: {{ {} }}", exit(1))),
        "starts again after an exit (wrong)",
    );
    let looping = format!(
        "state: {{ waiting: {{ reason: CrashLoopBackOff }} }}, lastState: {{ {} }}",
        exit(1)
    );
    check(
        &container(&looping),
        "CrashLooping: exits again and again (wrong)",
    );
}

#[test]
fn a_container_beside_the_broker_that_fails_is_named() {
    let one = |name: &str, ready: bool, state: &str| {
        format!(
            "{{ name: {name}, image: x:1, imageID: \"\", ready: {ready}, restartCount: 0, \
             state: {{ {state} }} }}"
        )
    };
    let looping = "waiting: { reason: CrashLoopBackOff }";
    let before = one("certificates", false, looping);
    let waits = one("broker", false, "waiting: { reason: PodInitializing }");
    check(
        &format!("initContainerStatuses: [{before}], containerStatuses: [{waits}]"),
        "CrashLooping: its container certificates exits again and again",
    );
    let broker = one("broker", true, "running: {}");
    let beside = one("exporter", false, looping);
    check(
        &format!("containerStatuses: [{broker}, {beside}]"),
        "CrashLooping: its container exporter exits again and again",
    );
    // What the broker waits for comes first.
    let broker = one("broker", false, "running: {}");
    check(
        &format!("containerStatuses: [{beside}, {broker}]"),
        "starts",
    );
}

#[test]
fn a_pod_without_a_node_says_whether_it_is_for_its_volume() {
    let unplaced = |why: &str| {
        format!("conditions: [{{ type: PodScheduled, status: \"False\", message: \"{why}\" }}]")
    };
    check(
        &unplaced("0/4 nodes are available: 4 Insufficient cpu."),
        "Unschedulable: no node takes its pod: 0/4 nodes are available: 4 Insufficient \
         cpu; make room on the nodes or lower spec.resources",
    );
    check(
        &unplaced("storageclass \\\"fast\\\" not found"),
        "Storage: its volume cannot be had: storageclass \"fast\" not found; see that the \
         storage class of spec.storage exists and has room, or make the \
         cluster anew with another one",
    );
}

/// Whether a pod is to be restarted that was made with these annotations, of a StatefulSet that has
/// moved on to the ConfigMap `b` and the template `2`.
fn outdated_with(annotations: &str) -> Option<String> {
    let pod: Pod = serde_yaml::from_str(&format!(
        "metadata: {{ labels: {{ controller-revision-hash: old }}, annotations: {{ {annotations} \
         }} }}\nspec: {{ containers: [] }}"
    ))
    .unwrap();
    let set: StatefulSet = serde_yaml::from_str(
        "metadata: { generation: 2 }\nstatus: { observedGeneration: 2, updateRevision: new, \
         replicas: 3 }\nspec: { selector: {}, serviceName: s, template: { metadata: { annotations: \
         { ottla.io/config-map: b, ottla.io/template: '2' } }, spec: { containers: [] } } }",
    )
    .unwrap();
    let planned = outdated(&pod, &set, false);
    assert_eq!(planned, outdated(&pod, &set, true));
    planned
}

/// `kubectl rollout restart` writes an annotation into the template, which no plan tells of.
#[test]
fn with_plans_what_others_write_into_the_template_restarts_nobody() {
    let pod: Pod = serde_yaml::from_str(
        "metadata: { labels: { controller-revision-hash: old }, annotations: { \
         ottla.io/template: '2' } }\nspec: { containers: [] }",
    )
    .unwrap();
    let set: StatefulSet = serde_yaml::from_str(
        "metadata: { generation: 2 }\nstatus: { observedGeneration: 2, updateRevision: new, \
         replicas: 3 }\nspec: { selector: {}, serviceName: s, template: { metadata: { annotations: \
         { ottla.io/template: '2', kubectl.kubernetes.io/restartedAt: now } }, spec: { containers: \
         [] } } }",
    )
    .unwrap();
    assert_eq!(outdated(&pod, &set, false), None);
    assert!(outdated(&pod, &set, true).is_some());
}

/// As `kubectl delete statefulset --cascade=orphan` leaves them.
#[test]
fn pods_whose_set_is_gone_are_brokers_still() {
    let pod: Pod = serde_yaml::from_str(
        "metadata: { name: orders-0, annotations: { ottla.io/config-map: a } }",
    )
    .unwrap();
    let seen = Seen {
        pods: BTreeMap::from([(0, pod)]),
        ..Seen::default()
    };
    let files = BTreeMap::from([(0, BTreeMap::from([("k".to_owned(), "v".to_owned())]))]);
    let settings = BTreeMap::from([("a".to_owned(), files.clone())]);
    let states = observe(&seen, &settings, false);
    assert_eq!(states[&0].running_with, files[&0]);
    assert!(!states[&0].is_removed);
}

#[test]
fn another_config_map_alone_restarts_nobody() {
    assert_eq!(
        outdated_with("ottla.io/config-map: a, ottla.io/template: '2'"),
        None
    );
    let changed = Some("the pod's template changed".to_owned());
    assert_eq!(
        outdated_with("ottla.io/config-map: a, ottla.io/template: '1'"),
        changed
    );
    assert_eq!(outdated_with("ottla.io/config-map: b"), changed);
}

#[test]
fn a_pod_beyond_the_brokers_of_its_set_was_told_to_go() {
    let set: StatefulSet = serde_yaml::from_str(
        "spec: { replicas: 1, selector: {}, serviceName: s, template: { metadata: { annotations: \
         { ottla.io/config-map: a } } } }",
    )
    .unwrap();
    let pod: Pod = serde_yaml::from_str("metadata: { name: orders-1 }").unwrap();
    let seen = Seen {
        sets: [(Pool::Brokers, set)].into(),
        pods: BTreeMap::from([(1, pod)]),
        ..Seen::default()
    };
    let states = observe(&seen, &BTreeMap::new(), true);
    let removed: Vec<(i32, bool)> = states.iter().map(|(id, s)| (*id, s.is_removed)).collect();
    assert_eq!(removed, [(0, false), (1, true)]);
}

/// One that is gone is forgotten, so whoever stops must be seen to.
#[test]
fn a_controller_that_stops_is_there_though_its_stateful_set_is_gone() {
    let pod: Pod = serde_yaml::from_str(
        "metadata: { name: orders-controllers-0, deletionTimestamp: '2026-01-01T00:00:00Z', \
         annotations: { ottla.io/config-map: c } }",
    )
    .unwrap();
    let seen = Seen {
        pods: [(1000, pod)].into(),
        ..Seen::default()
    };
    let states = observe(&seen, &BTreeMap::new(), true);
    assert_eq!(states[&1000].message, "stops");
}
