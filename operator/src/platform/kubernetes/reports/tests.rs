use super::{Timestamp, newest, recent, refusal, sentence};

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

#[test]
fn what_was_told_of_an_earlier_pod_says_nothing_of_this_one() {
    let event = |time: &str| {
        let event = format!(
            "{{ metadata: {{}}, involvedObject: {{}}, message: \"{time}\", lastTimestamp: \
             \"2026-01-01T{time}Z\" }}"
        );
        serde_yaml::from_str(&event).unwrap()
    };
    let at = |time: &str| -> Timestamp { format!("2026-01-01T{time}Z").parse().unwrap() };
    let told = |began: Option<&str>| {
        let events = ["10:00:00", "10:25:00", "10:29:58"].map(event).to_vec();
        recent(events, began.map(at), at("10:30:20"))
    };
    assert_eq!(told(None), ["10:29:58", "10:25:00"]);
    assert_eq!(told(Some("10:30:00")), ["10:29:58"]);
    assert_eq!(told(Some("10:30:10")), [""; 0]);
}
