use super::{growing, is_smaller};

#[test]
fn a_volume_is_asked_to_grow_by_its_size_not_by_its_letters() {
    assert!(is_smaller("10Gi", "20Gi"));
    assert!(is_smaller("1Gi", "1.5Gi"));
    assert!(is_smaller("1G", "1Gi"));
    assert!(is_smaller("1073741824", "2Gi"));
    // grown by somebody else
    assert!(!is_smaller("20Gi", "10Gi"));
    // the same in other words
    assert!(!is_smaller("1024Mi", "1Gi"));
    assert!(!is_smaller("what", "1Gi"));
}

#[test]
fn a_volume_that_is_not_yet_as_large_says_so() {
    let claim = |more: &str| {
        let status = format!("{{ capacity: {{ storage: 10Gi }}, {more} }}");
        growing(&serde_yaml::from_str(&status).unwrap(), "20Gi")
    };
    let grows = "its volume has 10Gi and grows to 20Gi".to_owned();
    assert_eq!(claim(""), Some(grows.clone()));
    assert_eq!(
        claim(
            "conditions: [{ type: FileSystemResizePending, status: 'True', \
             message: Waiting for user to (re-)start a pod. }]"
        ),
        Some(grows + ": Waiting for user to (re-)start a pod")
    );
    let done = serde_yaml::from_str("{ capacity: { storage: 20Gi } }").unwrap();
    assert_eq!(growing(&done, "20Gi"), None);
}
