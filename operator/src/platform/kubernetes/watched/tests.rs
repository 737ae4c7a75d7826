use k8s_openapi::api::core::v1::Pod;

use super::node_of;

fn pod(name: &str, kind: &str, owner: &str) -> Option<i32> {
    let pod: Pod = serde_yaml::from_str(&format!(
        "metadata: {{ name: {name}, ownerReferences: [{{ apiVersion: apps/v1, kind: {kind}, \
         name: {owner}, uid: u, controller: true }}] }}"
    ))
    .unwrap();
    node_of(&pod, "orders")
}

#[test]
fn only_pods_of_the_stateful_sets_are_nodes() {
    assert_eq!(pod("orders-2", "StatefulSet", "orders"), Some(2));
    assert_eq!(pod("orders-99", "StatefulSet", "orders"), Some(99));
    assert_eq!(pod("orders-100", "StatefulSet", "orders"), None);
    assert_eq!(pod("orders-2147483647", "StatefulSet", "orders"), None);
    assert_eq!(pod("orders--1", "StatefulSet", "orders"), None);
    let controller = "orders-controllers-2";
    assert_eq!(
        pod(controller, "StatefulSet", "orders-controllers"),
        Some(1002)
    );
    assert_eq!(pod(controller, "StatefulSet", "orders"), None);
    assert_eq!(pod("orders-2", "ReplicaSet", "orders"), None);
    assert_eq!(pod("orders-2", "StatefulSet", "bills"), None);
    assert_eq!(pod("bills-2", "StatefulSet", "orders"), None);
    let bare: Pod = serde_yaml::from_str("metadata: { name: orders-2 }").unwrap();
    assert_eq!(node_of(&bare, "orders"), None);
}
