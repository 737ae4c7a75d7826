//! What a KafkaRebalance waits for, and why it is refused.

use ottla_protocol::error::ErrorCode;

use super::*;
use crate::admin::Refusal;

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn object() -> KafkaRebalance {
    let text = "metadata: { name: even }\nspec: { clusterRef: { name: c } }";
    serde_yaml::from_str(text).unwrap()
}

fn word(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("", |verdict| verdict.reason.word)
}

#[test]
fn it_waits_for_its_cluster_and_for_whoever_left_it_alone() {
    let (cluster, mut one) = (key("shop", "c"), object());
    let usable = View {
        usable: true,
        ..View::default()
    };
    let why = |view: &View, namespace: &str, one: &KafkaRebalance| {
        word(waits(view, &cluster, &key(namespace, "even"), one))
    };
    assert_eq!(why(&usable, "shop", &one), "");
    assert_eq!(why(&usable, "guest", &one), "NamespaceNotAdmitted");
    assert_eq!(why(&View::default(), "shop", &one), "ClusterNotReady");
    let goes = View {
        deleting: true,
        ..usable.clone()
    };
    assert_eq!(why(&goes, "shop", &one), "ClusterNotReady");
    let left_alone = View {
        paused: true,
        ..usable.clone()
    };
    assert_eq!(why(&left_alone, "shop", &one), "Paused");
    let annotations = one.metadata.annotations.get_or_insert_default();
    annotations.insert(PAUSED.to_owned(), "true".to_owned());
    assert_eq!(why(&usable, "shop", &one), "Paused");
}

#[test]
fn without_its_cluster_it_says_so_and_can_be_deleted() {
    let desired = |deleting: bool| Desired {
        object: object().into(),
        deleting,
    };
    let Outcome::Stands(status) = without_cluster(&key("shop", "c"), &desired(false), "now") else {
        panic!("it was not deleted");
    };
    assert_eq!(status.conditions[0].reason, "ClusterNotFound");
    let gone = without_cluster(&key("shop", "c"), &desired(true), "now");
    assert_eq!(gone, Outcome::Gone);
}

#[test]
fn a_refusal_is_told_and_silence_is_waited_for() {
    let refusal = Refusal {
        code: ErrorCode::InvalidReplicaAssignment,
        message: "No such broker.".to_owned(),
    };
    let told = failed(&Error::Refused(refusal));
    assert_eq!(told.reason.word, "Refused");
    assert_eq!(told.message, "The cluster says: No such broker.");
    let silent = failed(&Error::Client(ottla_client::Error::TimedOut(
        PENDING_INTERVAL,
    )));
    assert_eq!(silent.reason.word, "ClusterNotReady");
}
