//! Which reason a topic has.

use super::*;
use crate::observed::ObservedPartition;

#[test]
fn what_a_broker_refuses_is_told_by_its_kind() {
    for (code, reason) in [
        (ErrorCode::InvalidConfig, "ConfigRefused"),
        (ErrorCode::InvalidTopicException, "InvalidName"),
        (ErrorCode::InvalidReplicationFactor, "Applying"),
        (ErrorCode::NotController, "Applying"),
        (ErrorCode::TopicAuthorizationFailed, "Refused"),
    ] {
        let message = "No.".to_owned();
        let verdict = refused_by_broker(&Refusal { code, message });
        assert_eq!(verdict.reason.word, reason, "{code:?}");
        assert_eq!(verdict.message, "The cluster says: No.");
    }
}

#[test]
fn a_topic_is_ready_once_all_its_partitions_have_leaders() {
    let word = |observed: Option<&ObservedTopic>| verdict(observed, None, None).reason.word;
    assert_eq!(word(None), "Applying");
    let mut topic = ObservedTopic {
        partitions: vec![ObservedPartition::default(); 2],
        ..ObservedTopic::default()
    };
    topic.partitions[0].has_leader = true;
    assert_eq!(word(Some(&topic)), "WaitingForLeaders");
    topic.partitions[1].has_leader = true;
    assert_eq!(word(Some(&topic)), "TopicReady");
}

#[test]
fn what_was_refused_of_another_spec_was_not_refused_of_this_one() {
    let mut object: KafkaTopic = serde_yaml::from_str(
        "metadata: { name: payments, generation: 7 }\nspec: { clusterRef: { name: orders } }",
    )
    .unwrap();
    let refusal = Refusal {
        code: ErrorCode::PolicyViolation,
        message: "No.".to_owned(),
    };
    let verdict = refused_by_broker(&refusal);
    assert_eq!(refused_last(&object), None);
    object.status = Some(said(&object, &verdict, "now"));
    assert_eq!(refused_last(&object), Some(verdict));
    object.metadata.generation = Some(8);
    assert_eq!(refused_last(&object), None);
    let waits = Verdict::new(TopicReason::Applying, "The change waits.");
    object.status = Some(said(&object, &waits, "now"));
    assert_eq!(refused_last(&object), None);
}
