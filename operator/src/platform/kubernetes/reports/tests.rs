use super::{newest, refusal, sentence};

#[test]
fn whoever_refused_a_pod_is_quoted() {
    let of = |message: &str, pod: &str| refusal(&[message.to_owned()], pod);
    let quota = "create Pod orders-1 in StatefulSet orders failed error: pods \"orders-1\" is \
                 forbidden: exceeded quota: small, requested: limits.memory=1Gi";
    assert_eq!(
        of(quota, "orders-1").unwrap(),
        "pods \"orders-1\" is forbidden: exceeded quota: small, requested: limits.memory=1Gi"
    );
    // Another broker's.
    assert_eq!(of(quota, "orders-10"), None);
    let claim = "create Claim data-orders-1 for Pod orders-1 in StatefulSet orders failed error: \
                 claims are full.";
    assert_eq!(of(claim, "orders-1").unwrap(), "claims are full");
}

#[test]
fn the_newest_comes_first_and_is_one_line() {
    let messages = [
        "MountVolume.SetUp failed.\nmore".to_owned(),
        "older".to_owned(),
    ];
    assert_eq!(newest(&messages).unwrap(), "MountVolume.SetUp failed");
    assert_eq!(sentence(&"x".repeat(1000)).len(), 300);
}
