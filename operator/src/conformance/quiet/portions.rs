//! Many topics whose portions are late, or fail.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::brokers::Brokers;
use super::super::settings::{Kubernetes, Setting, run};
use crate::admin::Admin;
use crate::condition::spoken;
use crate::crd::KafkaTopic;
use crate::object::ObjectKey;
use crate::topic::moves::driver::Changing;
use crate::topic::reconcile::{Broken, Desired, Outcome, Pass, Topic, Topics, pass};

fn topics(count: usize) -> Topics {
    let topic = |number: usize| {
        let object: KafkaTopic = serde_yaml::from_str(&format!(
            "metadata: {{ name: t-{number:04}, namespace: shop }}\nspec: {{ clusterRef: {{ name: \
             orders }}, partitions: 1, replicationFactor: 3 }}"
        ))
        .unwrap();
        let key = ObjectKey::of(&object.metadata);
        let object = object.into();
        let deleting = false;
        (key, Desired { object, deleting })
    };
    (0..count).map(topic).collect()
}

async fn pass_over(brokers: &Brokers, topics: &Topics) -> Result<Pass, Broken> {
    let mut admin = Admin::new(vec![brokers.address()]);
    let all: Vec<&Topic> = topics.iter().collect();
    pass(&mut admin, &all, 3, Changing::nobody(), "now").await
}

/// How many topics say what.
fn told(pass: &Pass) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for outcome in pass.outcomes.values() {
        let Outcome::Stands(status) = outcome else {
            panic!("none was deleted");
        };
        let (reason, message) = spoken(&status.conditions).unwrap();
        let message = message.split(" 127.0.0.1").next().unwrap();
        *told.entry(format!("{reason}: {message}")).or_default() += 1;
    }
    told
}

#[test]
fn what_a_portion_did_is_told_though_the_next_one_fails() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers();
        brokers.create_slowly(1, Duration::ZERO);
        let pass = pass_over(brokers, &topics(700)).await.unwrap();
        assert_eq!(pass.done.len(), 500, "each is told once");
        assert!(pass.done.iter().all(|(_, done)| done == "created"));
        let told = told(&pass);
        assert_eq!(told.values().sum::<usize>(), 700, "{told:?}");
        let waits = |(said, count): (&String, &usize)| {
            said.starts_with("Applying: The change waits:")
                .then_some(*count)
        };
        assert_eq!(told.iter().find_map(waits), Some(200), "{told:?}");
    });
}

#[test]
fn what_a_portion_did_is_told_though_nobody_answers_any_more() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers().clone();
        brokers.create_slowly(2, Duration::from_millis(500));
        let topics = topics(1200);
        let silence = async {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            brokers.be_silent(true);
            std::future::pending::<()>().await;
        };
        let broken = tokio::select! {
            pass = pass_over(&brokers, &topics) => pass.unwrap_err(),
            () = silence => unreachable!(),
        };
        assert_eq!(broken.done.len(), 1000);
    });
}

#[test]
fn a_pass_ends_though_portions_are_late() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers();
        brokers.create_slowly(usize::MAX, Duration::from_secs(2));
        let begun = Instant::now();
        let pass = pass_over(brokers, &topics(3000)).await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(6), "{took:?}");
        let told = told(&pass);
        let waiting = "Applying: The change waits: those of other topics come first.";
        assert_eq!(
            told.get(waiting),
            Some(&(3000 - pass.done.len())),
            "{told:?}"
        );
        assert!(pass.done.len() >= 500, "{}", pass.done.len());
    });
}

/// What brokers refuse is asked for again and again, and comes after what they were not asked yet.
#[test]
fn topics_that_are_refused_keep_none_waiting() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers();
        brokers.create_slowly(usize::MAX, Duration::from_secs(2));
        brokers.refuse_topics("t-0");
        let mut topics = topics(1300);
        brokers.create("t-1299");
        let mut last = (*topics[1299].1.object).clone();
        let value = Some("60000".to_owned());
        last.spec.config.insert("retention.ms".to_owned(), value);
        topics[1299].1.object = last.into();
        let mut created = 0;
        let mut is_set = false;
        for _ in 0..4 {
            let pass = pass_over(brokers, &topics).await.unwrap();
            created += pass
                .done
                .iter()
                .filter(|(_, done)| done == "created")
                .count();
            is_set |= pass
                .done
                .iter()
                .any(|(_, done)| done.starts_with("config set"));
            assert!(is_set, "each kind of change has its turn in each pass");
            for (key, desired) in &mut topics {
                if let Some(Outcome::Stands(status)) = pass.outcomes.get(key) {
                    let mut object = (*desired.object).clone();
                    object.status = Some((**status).clone());
                    desired.object = object.into();
                }
            }
        }
        assert_eq!(
            created, 299,
            "of 1000 that are refused and 299 that are not"
        );
    });
}
