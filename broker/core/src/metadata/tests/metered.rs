//! Clients that create and delete more partitions than they may.

use std::time::Duration;

use ottla_protocol::messages::topics::*;

use super::*;
use crate::image::record::ClientQuotaRecord;
use crate::metadata::metered::Mutations;
use crate::metadata::request::Metered;
use crate::quota::window::Sampling;
use crate::quota::{Entity, Key, Rate};

const ALICE: [(&str, Option<&str>); 1] = [("user", Some("alice"))];

/// A controller of whose clients `alice` may change a partition a second, and two at once.
struct Controller {
    cluster: Cluster,
    mutations: Mutations,
    now: Duration,
}

impl Controller {
    fn new() -> Self {
        let mut cluster = Cluster::of(1);
        let entity = Entity::of_parts(ALICE).unwrap();
        let rate = Rate::new(1.0);
        let quota = ClientQuotaRecord::of(&entity, Key::ControllerMutationRate, rate);
        cluster.metadata.replay(&Record::ClientQuota(quota));
        Self {
            cluster,
            mutations: Mutations::new(Sampling::new(2, 1)),
            now: Duration::ZERO,
        }
    }

    /// The answer, and how many records it took.
    fn ask(&mut self, user: &str, is_strict: bool, request: &Request) -> (Response, usize) {
        let metered = Request::Metered(Metered {
            user: user.to_owned(),
            client_id: "c".to_owned(),
            is_strict,
            timeout_ms: 1000,
            request: request.encode().unwrap(),
        });
        let image = self.cluster.metadata.image().clone();
        self.cluster.purse = self.mutations.purse(self.now, &image, &metered);
        let before = self.cluster.log.len();
        let Response::Metered(answer) = self.cluster.ask(metered.clone()) else {
            panic!("Metered has another answer");
        };
        let records = &self.cluster.log[before..];
        self.mutations.charge(self.now, &image, &metered, records);
        let response = match answer {
            Ok(answer) => Response::decode(answer.response).unwrap(),
            Err(refusal) => Response::Metered(Err(refusal)),
        };
        (response, records.len())
    }

    /// Errors of topics with so many partitions, by name; and for how long to wait.
    fn create(&mut self, user: &str, is_strict: bool, topics: &[(&str, i32)]) -> String {
        let topic = |(name, partitions): &(&str, i32)| CreatableTopic {
            name: (*name).to_owned(),
            num_partitions: *partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = Request::CreateTopics(CreateTopicsRequest {
            topics: topics.iter().map(topic).collect(),
            ..CreateTopicsRequest::default()
        });
        let (Response::CreateTopics(response), _) = self.ask(user, is_strict, &request) else {
            panic!("CreateTopics has another answer");
        };
        let errors = response
            .topics
            .iter()
            .map(|t| ErrorCode::from(t.error_code).name());
        let errors: Vec<_> = errors.collect();
        format!("{} {}", errors.join(" "), response.throttle_time_ms)
    }

    fn delete(&mut self, names: &[&str]) -> String {
        let name = |name: &&str| DeleteTopicState {
            name: Some((*name).to_owned()),
            ..DeleteTopicState::default()
        };
        let request = Request::DeleteTopics(DeleteTopicsRequest {
            topics: names.iter().map(name).collect(),
            ..DeleteTopicsRequest::default()
        });
        let (Response::DeleteTopics(response), _) = self.ask("alice", true, &request) else {
            panic!("DeleteTopics has another answer");
        };
        let errors = response.responses.iter();
        let errors: Vec<_> = errors
            .map(|t| ErrorCode::from(t.error_code).name())
            .collect();
        format!("{} {}", errors.join(" "), response.throttle_time_ms)
    }

    fn grow(&mut self, name: &str, count: i32) -> String {
        let request = Request::CreatePartitions(CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: name.to_owned(),
                count,
                assignments: None,
            }],
            ..CreatePartitionsRequest::default()
        });
        let (Response::CreatePartitions(response), _) = self.ask("alice", true, &request) else {
            panic!("CreatePartitions has another answer");
        };
        let error = ErrorCode::from(response.results[0].error_code).name();
        format!("{error} {}", response.throttle_time_ms)
    }
}

/// Names that clients give themselves cost nobody else what it owes, and nothing where they change
/// nothing.
#[test]
fn what_is_owed_stays_owed_however_many_others_ask() {
    let mut controller = Controller::new();
    let parts = [("user", None), ("client-id", None)];
    let entity = Entity::of_parts(parts).unwrap();
    let quota = ClientQuotaRecord::of(&entity, Key::ControllerMutationRate, Rate::new(1.0));
    let metadata = &mut controller.cluster.metadata;
    metadata.replay(&Record::ClientQuota(quota));
    let image = controller.cluster.metadata.image().clone();
    assert_eq!(controller.create("alice", true, &[("a", 50)]), "NONE 0");
    let is_partition = |record: &&Record| matches!(record, Record::Partition(_));
    let partition = controller.cluster.log.iter().find(is_partition).cloned();
    let (mutations, partition) = (&mut controller.mutations, [partition.unwrap()]);
    let asked = |number: usize| {
        Request::Metered(Metered {
            user: "bob".to_owned(),
            client_id: format!("client-{number}"),
            is_strict: true,
            timeout_ms: 1000,
            request: bytes::Bytes::new(),
        })
    };
    controller.now += Duration::from_secs(12);
    for number in 0..5000 {
        let asked = asked(number);
        assert!(mutations.purse(controller.now, &image, &asked).is_some());
        mutations.charge(controller.now, &image, &asked, &[]);
    }
    assert_eq!(mutations.kept(), 1);
    for number in 0..5000 {
        mutations.charge(controller.now, &image, &asked(number), &partition);
        assert!(mutations.kept() <= 4096);
    }
    // 50 were taken where 2 were there, and 12 have come back
    let refused = controller.create("alice", true, &[("b", 1)]);
    assert_eq!(refused, "THROTTLING_QUOTA_EXCEEDED 36000");
}

#[test]
fn who_owes_nothing_may_overdraw_and_then_waits() {
    let mut controller = Controller::new();
    // what is refused for another reason costs nothing
    let refused = controller.create("alice", true, &[("no way", 5)]);
    assert_eq!(refused, "INVALID_TOPIC_EXCEPTION 0");
    let first = controller.create("alice", true, &[("a", 3), ("b", 1)]);
    assert_eq!(first, "NONE THROTTLING_QUOTA_EXCEEDED 1000");
    assert_eq!(
        controller.create("alice", true, &[("b", 1)]),
        "THROTTLING_QUOTA_EXCEEDED 1000"
    );
    assert_eq!(controller.create("bob", true, &[("c", 50)]), "NONE 0");
    assert_eq!(controller.delete(&["a"]), "THROTTLING_QUOTA_EXCEEDED 1000");
    assert_eq!(controller.grow("c", 51), "THROTTLING_QUOTA_EXCEEDED 1000");
    controller.now += Duration::from_millis(1000);
    assert_eq!(controller.grow("c", 53), "NONE 0");
    assert_eq!(
        controller.delete(&["a", "c"]),
        "THROTTLING_QUOTA_EXCEEDED THROTTLING_QUOTA_EXCEEDED 3000"
    );
    controller.now += Duration::from_millis(3500);
    assert_eq!(
        controller.delete(&["a", "c"]),
        "NONE THROTTLING_QUOTA_EXCEEDED 2500"
    );
}

#[test]
fn an_old_client_gets_all_that_it_asks_for_and_waits() {
    let mut controller = Controller::new();
    let topics = [("a", 3), ("b", 4)];
    assert_eq!(controller.create("alice", false, &topics), "NONE NONE 5000");
    assert_eq!(
        controller.create("alice", true, &[("c", 1)]),
        "THROTTLING_QUOTA_EXCEEDED 5000"
    );
}

#[test]
fn nothing_else_is_asked_so() {
    let mut controller = Controller::new();
    let inner = Request::Metered(Metered::default());
    let (answer, records) = controller.ask("alice", true, &inner);
    assert!(matches!(answer, Response::Metered(Err(_))), "{answer:?}");
    assert_eq!(records, 0);
}
