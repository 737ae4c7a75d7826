use expect_test::expect;
use ottla_protocol::messages::topics::*;

use super::*;

fn create(cluster: &mut Cluster, topics: Vec<CreatableTopic>) -> String {
    let response = cluster.ask(Request::CreateTopics(CreateTopicsRequest {
        topics,
        ..CreateTopicsRequest::default()
    }));
    let Response::CreateTopics(response) = response else {
        panic!("{response:?}")
    };
    let mut text = String::new();
    for t in response.topics {
        let outcome = outcome(t.error_code, t.error_message.as_deref());
        let name: String = t.name.chars().take(20).collect();
        let _ = writeln!(text, "'{name}' {outcome}");
    }
    text
}

/// Topics of every kind, most of them refused.
fn mixed() -> Vec<CreatableTopic> {
    let assigned = |ids: &[&[i32]]| CreatableTopic {
        assignments: ids
            .iter()
            .enumerate()
            .map(|(i, ids)| CreatableReplicaAssignment {
                partition_index: i as i32,
                broker_ids: ids.to_vec(),
            })
            .collect(),
        ..topic("assigned", -1, -1, &[])
    };
    let named = |name: &str, t: CreatableTopic| CreatableTopic {
        name: name.to_owned(),
        ..t
    };
    vec![
        topic("good", 3, 3, &[("retention.ms", "1000")]),
        topic("defaults", -1, -1, &[]),
        topic("taken.name", 1, 1, &[]),
        topic("taken_name", 1, 1, &[]),
        topic("twice", 1, 1, &[]),
        topic("twice", 1, 1, &[]),
        topic("a.b", 1, 1, &[]),
        topic("a_b", 1, 1, &[]),
        topic("", 1, 1, &[]),
        topic("..", 1, 1, &[]),
        topic("sl/ash", 1, 1, &[]),
        topic(&"n".repeat(250), 1, 1, &[]),
        topic("__cluster_metadata", 1, 1, &[]),
        topic("none", 0, 1, &[]),
        topic("zero", 1, 0, &[]),
        topic("four", 1, 4, &[]),
        topic("huge", 1_000_000, 1, &[]),
        topic("unknown", 1, 1, &[("retention.msec", "1")]),
        topic("wrong", 1, 1, &[("retention.ms", "soon")]),
        topic("tiered", 1, 1, &[("remote.storage.enable", "true")]),
        named(
            "both",
            CreatableTopic {
                num_partitions: 1,
                ..assigned(&[&[0]])
            },
        ),
        named("uneven", assigned(&[&[0, 1], &[2]])),
        named("stranger", assigned(&[&[0, 9]])),
        named("repeated", assigned(&[&[0, 0]])),
        named("empty", assigned(&[&[]])),
        assigned(&[&[2, 1], &[0, 2]]),
    ]
}

#[test]
fn every_topic_is_answered_valid_and_invalid_mixed() {
    let mut cluster = Cluster::of(3);
    cluster.create("taken.name", &[&[0, 1]], &[]);
    let text = create(&mut cluster, mixed());
    expect![[r#"
        'good' ok
        'defaults' ok
        'taken.name' TOPIC_ALREADY_EXISTS: Topic 'taken.name' already exists.
        'taken_name' INVALID_TOPIC_EXCEPTION: Topic 'taken_name' collides with existing to
        'twice' INVALID_REQUEST: Duplicate topic name.
        'a.b' ok
        'a_b' INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.
        '' INVALID_TOPIC_EXCEPTION: Topic name is invalid: the empty string is n
        '..' INVALID_TOPIC_EXCEPTION: Topic name is invalid: '..' is not allowed
        'sl/ash' INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'sl/ash' contains one
        'nnnnnnnnnnnnnnnnnnnn' INVALID_TOPIC_EXCEPTION: Topic name is invalid: the length of 'nnnnnn
        '__cluster_metadata' INVALID_REQUEST: Creation of internal topic __cluster_metadat
        'none' INVALID_PARTITIONS: Number of partitions was set to an invalid n
        'zero' INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or
        'four' INVALID_REPLICATION_FACTOR: Unable to replicate the partition 4 time(s):
        'huge' POLICY_VIOLATION: A topic is created with at most 10000 partit
        'unknown' INVALID_CONFIG: Unknown topic config name: retention.msec
        'wrong' INVALID_CONFIG: Invalid value soon for configuration retenti
        'tiered' INVALID_CONFIG: Tiered storage is not available: remote.stor
        'both' INVALID_REQUEST: A manual partition assignment was specified,
        'uneven' INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a p
        'stranger' INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes bro
        'repeated' INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the
        'empty' INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes an
        'assigned' ok
    "#]]
    .assert_eq(&text);
    let kept: Vec<_> = cluster.metadata.image().topics.keys().cloned().collect();
    assert_eq!(kept.join(" "), "a.b assigned defaults good taken.name");
}

#[test]
fn defaults_come_from_the_server_properties() {
    let statics = [("num.partitions", "4"), ("default.replication.factor", "2")];
    let mut cluster = Cluster::with_statics(3, &statics);
    create(&mut cluster, vec![topic("t", -1, -1, &[])]);
    let t = cluster.metadata.image().topic("t").unwrap();
    assert_eq!((t.partitions.len(), t.replication_factor()), (4, 2));
}

#[test]
fn validate_only_changes_nothing_and_answers_the_same() {
    let mut cluster = Cluster::of(1);
    let before = cluster.metadata.image().clone();
    let response = cluster.ask(Request::CreateTopics(CreateTopicsRequest {
        topics: vec![topic("t", 2, 1, &[("cleanup.policy", "compact")])],
        validate_only: true,
        ..CreateTopicsRequest::default()
    }));
    assert_eq!(*cluster.metadata.image(), before);
    let Response::CreateTopics(response) = response else {
        panic!("{response:?}")
    };
    let t = &response.topics[0];
    assert_eq!((t.error_code, t.num_partitions), (0, 2));
    let configs = t.configs.as_ref().unwrap();
    let policy = configs.iter().find(|c| c.name == "cleanup.policy").unwrap();
    assert_eq!(
        (policy.value.as_deref(), policy.config_source),
        (Some("compact"), 1)
    );
}

#[test]
fn a_fenced_broker_is_no_part_of_a_new_isr() {
    let mut cluster = Cluster::of(3);
    cluster.fence(0);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 0/0 replicas 0,1,2 isr 1,2
    "#]]);
}

/// Fewer replicas than min.insync.replicas are there: nothing is committed before more are in sync,
/// so those that are away hold all that is, and stand in for the first if it does not come back.
#[test]
fn who_is_away_when_a_partition_is_made_is_eligible_where_nothing_can_be_committed() {
    let mut cluster = Cluster::of(3);
    cluster.fence(0);
    cluster.fence(1);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.create("one", &[&[0, 1, 2]], &[("min.insync.replicas", "1")]);
    cluster.create("pair", &[&[1, 2]], &[("min.insync.replicas", "3")]);
    let grown = grow(&mut cluster, "t", 2, Some(&[&[1, 2, 0]]));
    assert_eq!(grown, "ok\n");
    cluster.check(expect![[r#"
        one-0 leader 2 epochs 0/0 replicas 0,1,2 isr 2
        pair-0 leader 2 epochs 0/0 replicas 1,2 isr 2 elr 1
        t-0 leader 2 epochs 0/0 replicas 0,1,2 isr 2 elr 0,1
        t-1 leader 2 epochs 0/0 replicas 1,2,0 isr 2 elr 0,1
    "#]]);
    cluster.fence(2);
    cluster.start(1);
    cluster.check(expect![[r#"
        one-0 leader none epochs 1/1 replicas 0,1,2 isr  elr 2 last 2
        pair-0 leader 1 epochs 2/2 replicas 1,2 isr 1 elr 2
        t-0 leader 1 epochs 2/2 replicas 0,1,2 isr 1 elr 0,2
        t-1 leader 1 epochs 2/2 replicas 1,2,0 isr 1 elr 0,2
    "#]]);
}

fn grow(cluster: &mut Cluster, name: &str, count: i32, assigned: Option<&[&[i32]]>) -> String {
    let assignment = |ids: &&[i32]| CreatePartitionsAssignment {
        broker_ids: ids.to_vec(),
    };
    let response = cluster.ask(Request::CreatePartitions(CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: assigned.map(|a| a.iter().map(assignment).collect()),
        }],
        ..CreatePartitionsRequest::default()
    }));
    let Response::CreatePartitions(response) = response else {
        panic!("{response:?}")
    };
    let result = &response.results[0];
    outcome(result.error_code, result.error_message.as_deref()) + "\n"
}

#[test]
fn partitions_are_added_and_never_taken() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1]], &[]);
    let mut text = String::new();
    for (name, count, assigned) in [
        ("nowhere", 2, None),
        ("t", 1, None),
        ("t", 0, None),
        ("t", 3, Some(&[&[0, 1][..]][..])),
        ("t", 2, Some(&[&[0][..]][..])),
        ("t", 2, Some(&[&[2, 1][..]][..])),
        ("t", 1_000_000, None),
        ("t", 3, None),
    ] {
        text += &grow(&mut cluster, name, count, assigned);
    }
    expect![[r#"
        UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partiti
        INVALID_PARTITIONS: Topic already has 1 partition(s).
        INVALID_PARTITIONS: The topic t currently has 1 partition(s); 0
        INVALID_REPLICA_ASSIGNMENT: Attempted to add 2 additional partition(s),
        INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a p
        ok
        INVALID_PARTITIONS: At most 10000 partitions are added at once.
        ok
    "#]]
    .assert_eq(&text);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/0 replicas 0,1 isr 0,1
        t-1 leader 2 epochs 0/0 replicas 2,1 isr 2,1
        t-2 leader 1 epochs 0/0 replicas 1,0 isr 1,0
    "#]]);
}

#[test]
fn topics_are_deleted_by_name_or_by_id() {
    let mut cluster = Cluster::of(1);
    for name in ["a", "b", "c"] {
        cluster.create(name, &[&[0]], &[("retention.ms", "1")]);
    }
    let id = cluster.metadata.image().topic("b").unwrap().id.0;
    let state = |name: Option<&str>, topic_id| DeleteTopicState {
        name: name.map(str::to_owned),
        topic_id,
    };
    let strange = Uuid([7; 16]);
    let response = cluster.ask(Request::DeleteTopics(DeleteTopicsRequest {
        topics: vec![
            state(Some("a"), Uuid::ZERO),
            state(None, id),
            state(Some("b"), Uuid::ZERO),
            state(Some("nowhere"), Uuid::ZERO),
            state(None, strange),
            state(Some("c"), strange),
            state(None, Uuid::ZERO),
        ],
        ..DeleteTopicsRequest::default()
    }));
    let Response::DeleteTopics(response) = response else {
        panic!("{response:?}")
    };
    let mut text = String::new();
    for r in response.responses {
        let outcome = outcome(r.error_code, r.error_message.as_deref());
        let _ = writeln!(text, "{:?} {outcome}", r.name);
    }
    expect![[r#"
        Some("a") ok
        Some("b") ok
        Some("b") INVALID_REQUEST: The topic is named twice.
        Some("nowhere") UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic.
        None UNKNOWN_TOPIC_ID: This server does not host this topic.
        Some("c") INVALID_REQUEST: You may not specify both topic name and topi
        None INVALID_REQUEST: Neither topic name nor id were specified.
    "#]]
    .assert_eq(&text);
    let image = cluster.metadata.image();
    assert_eq!(image.topics.len(), 1);
    assert_eq!(image.configs.len(), 1);
}

#[test]
fn a_record_of_a_partition_out_of_order_is_passed_over() {
    use crate::image::record::PartitionRecord;
    use ottla_protocol::ids::PartitionIndex;
    let mut cluster = Cluster::of(1);
    cluster.create("t", &[&[0]], &[]);
    let before = cluster.metadata.image().clone();
    let (id, partition) = (
        before.topic("t").unwrap().id,
        &before.topics["t"].partitions[0],
    );
    for index in [-1, 2, i32::MAX] {
        let record = PartitionRecord::of(id, PartitionIndex(index), partition);
        cluster.metadata.replay(&Record::Partition(record));
        assert_eq!(*cluster.metadata.image(), before, "{index}");
    }
}

#[test]
fn topics_of_one_request_share_the_brokers_evenly() {
    let mut cluster = Cluster::of(3);
    let names = (0..300).map(|number| format!("topic-{number}"));
    create(
        &mut cluster,
        names.map(|name| topic(&name, 1, 2, &[])).collect(),
    );
    let (mut leads, mut holds) = ([0; 3], [0; 3]);
    for t in cluster.metadata.image().topics.values() {
        let replicas = &t.partitions[0].replicas;
        leads[replicas[0].0 as usize] += 1;
        replicas.iter().for_each(|node| holds[node.0 as usize] += 1);
    }
    assert_eq!((leads, holds), ([100; 3], [200; 3]));
}
