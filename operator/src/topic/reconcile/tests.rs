//! Objects in, what is done for them out: everything of a pass but the brokers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};

use ottla_protocol::error::ErrorCode;

use super::perform::Ended;
use super::{Desired, Outcome, Topic, Topics, Work};
use crate::admin::{Error, Refusal};
use crate::condition::{Verdict, spoken};
use crate::crd::KafkaTopic;
use crate::object::ObjectKey;
use crate::observed::{ObservedPartition, ObservedTopic};
use crate::testing::fold;
use crate::topic::moves::driver::Changing;
use crate::topic::status::{refused_by_broker, refused_last, said};

/// An object that claims the topic `payments`, deleted where its name begins with a `-`.
fn object(name: &str, created: u32, more: &str) -> (ObjectKey, Desired) {
    let deleting = name.starts_with('-');
    let name = name.trim_start_matches('-');
    let object: KafkaTopic = serde_yaml::from_str(&format!(
        "metadata:\n  name: {name}\n  namespace: shop\n  creationTimestamp: \
         2026-01-{created:02}T00:00:00Z\n{more}\nspec: {{ clusterRef: {{ name: orders }}, \
         topicName: payments }}"
    ))
    .unwrap();
    (
        ObjectKey::of(&object.metadata),
        Desired {
            object: object.into(),
            deleting,
        },
    )
}

fn payments() -> BTreeMap<String, ObservedTopic> {
    let partition = ObservedPartition {
        has_leader: true,
        replicas: vec![0],
        isr: vec![0],
        ..ObservedPartition::default()
    };
    let topic = ObservedTopic {
        topic_id: "id".to_owned(),
        partitions: vec![partition],
        config: BTreeMap::new(),
    };
    BTreeMap::from([("payments".to_owned(), topic)])
}

fn check(topics: Topics, expected: Expect) {
    let given: Vec<&Topic> = topics.iter().collect();
    let mut work = Work::of(&given, "now");
    work.sort_out();
    let mut shown = String::new();
    let changing = Changing::nobody();
    for (place, change) in work.plan(&payments(), 3, changing) {
        let _ = writeln!(shown, "{}: {change:?}", topics[place].0.name);
    }
    work.conclude(&payments());
    for (key, outcome) in &work.pass.outcomes {
        let says = match outcome {
            Outcome::Gone => "gone".to_owned(),
            Outcome::Stands(status) => {
                let (reason, message) = spoken(&status.conditions).unwrap();
                format!("{reason}: {message}")
            }
        };
        let _ = writeln!(shown, "{}: {says}", key.name);
    }
    for (key, done) in &work.pass.done {
        let _ = writeln!(shown, "event of {}: {done}", key.name);
    }
    expected.assert_eq(&fold(&shown));
}

#[test]
fn of_two_objects_for_a_topic_the_older_has_it() {
    check(
        vec![object("old", 1, ""), object("new", 2, "")],
        expect![[r#"
            new: Conflict: The topic payments belongs to the older KafkaTopic shop/old;
                delete one of the two: when the older one goes, this one takes over the
                topic with its records.
            old: TopicReady: The topic has 1 partitions of 1 replicas.
        "#]],
    );
    check(
        vec![object("old", 1, ""), object("-new", 2, "")],
        expect![[r#"
            new: gone
            old: TopicReady: The topic has 1 partitions of 1 replicas.
        "#]],
    );
}

#[test]
fn the_last_object_takes_its_topic_with_it() {
    check(
        vec![object("-old", 1, "")],
        expect![[r#"
            old: Delete
            old: Deleting: The topic is being deleted.
        "#]],
    );
    check(
        vec![object("-old", 1, ""), object("-new", 2, "")],
        expect![[r#"
            old: Delete
            new: gone
            old: Deleting: The topic is being deleted.
        "#]],
    );
}

#[test]
fn the_older_one_deleted_leaves_its_topic_to_the_younger() {
    check(
        vec![object("-old", 1, ""), object("new", 2, "")],
        expect![[r#"
            new: TopicReady: The topic has 1 partitions of 1 replicas.
            old: gone
            event of old: leaves the topic payments to shop/new, which claims it too
            event of new: takes over the topic payments from shop/old, which was deleted
        "#]],
    );
}

/// Why nobody could be asked is told, and what was refused stays known.
#[test]
fn what_was_refused_hides_no_pass_that_broke() {
    let refusal = |message: &str| Refusal {
        code: ErrorCode::PolicyViolation,
        message: message.to_owned(),
    };
    let (key, mut desired) = object("old", 1, "");
    let mut refused = KafkaTopic::clone(&desired.object);
    refused.spec.partitions = Some(2);
    let verdict = refused_by_broker(&refusal("No."));
    let mut says = verdict.message.clone();
    for pass in ["first", "second"] {
        refused.status = Some(said(&refused, &Verdict::new(verdict.reason, says), pass));
        desired.object = refused.clone().into();
        assert_eq!(refused_last(&refused), Some(verdict.clone()), "{pass}");
        let topics = [(key.clone(), desired.clone())];
        let given: Vec<&Topic> = topics.iter().collect();
        let mut work = Work::of(&given, "now");
        work.sort_out();
        let changes = work.plan(&payments(), 3, Changing::nobody());
        assert_eq!(changes.len(), 1);
        let ended = Ended::Broken(Error::Refused(refusal("broker 1 does not answer")));
        work.tell_waiting(&changes, &payments(), 3, &ended);
        let told = work.refused[&0].clone();
        assert_eq!(told.len(), 1);
        says = told[0].message.clone();
        assert!(says.starts_with("The cluster says: No."), "{says}");
        assert_eq!(
            says.matches("broker 1 does not answer").count(),
            1,
            "{says}"
        );
    }
}
