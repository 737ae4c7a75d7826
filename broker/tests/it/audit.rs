//! The audit log as a topic.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_broker::config::Settings;
use ottla_broker::node::{Node, Surroundings};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::topics::*;

use crate::dev_node::{DevNode, one_record};

const TOPIC: &str = "audit";
const LONG: Duration = Duration::from_secs(20);

/// What is in the topic; none while there is no topic.
async fn lines(node: &mut DevNode) -> Option<String> {
    let fetch = FetchRequest {
        replica_id: -1,
        max_wait_ms: 100,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        session_epoch: -1,
        ..Default::default()
    };
    let mut answer = node.ask(12, &fetch).await;
    let data = answer.responses.pop()?.partitions.pop()?;
    let records = data.records.filter(|_| data.error_code == 0)?.into_bytes();
    Some(String::from_utf8_lossy(&records).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_denied_and_changed_stands_in_a_topic() {
    let mut node = DevNode::start_with(Surroundings::real(), |settings| {
        settings.authorizer = true;
        settings.super_users = BTreeSet::from(["User:root".to_owned()]);
        settings.audit_topic = Some(TOPIC.to_owned());
    })
    .await;
    node.be("alice");
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "orders".to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 5000,
        ..Default::default()
    };
    let denied = ErrorCode::TopicAuthorizationFailed.code();
    assert_eq!(node.ask(7, &create).await.topics[0].error_code, denied);
    node.be("root");
    assert_eq!(node.ask(7, &create).await.topics[0].error_code, 0);
    // the broker made the topic, and asked nobody whether it may write there
    let written = async {
        loop {
            let lines = lines(&mut node).await.unwrap_or_default();
            if lines.contains("User:root") {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let written = tokio::time::timeout(LONG, written).await.unwrap();
    for words in [
        "\"principal\":\"User:alice\"",
        "\"resource\":\"Topic:orders\",\"decision\":\"denied\"",
        "\"resource\":\"Topic:orders\",\"decision\":\"allowed\"",
    ] {
        assert!(written.contains(words), "{words}: {written}");
    }
    assert!(!written.contains("Topic:audit"), "{written}");
    // clients may write there as ACLs allow it
    node.be("alice");
    let produce = ProduceRequest {
        acks: -1,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(one_record().build()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = node.ask(9, &produce).await;
    let refused = answer.responses[0].partition_responses[0].error_code;
    assert_eq!(refused, denied);
    node.node.stop().await;
}

#[tokio::test]
async fn a_topic_that_nobody_may_have_is_refused() {
    for (name, why) in [
        ("no topic", "no topic"),
        ("__consumer_offsets", "the brokers' own"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::dev(dir.path(), 0).unwrap();
        settings.audit_topic = Some(name.to_owned());
        let refused = Node::start(settings, Surroundings::real()).await;
        let refused = refused.err().expect("it is refused").to_string();
        assert!(
            refused.starts_with("ottla.audit.topic") && refused.contains(why),
            "{refused}"
        );
    }
}
