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

/// A pass of an operator that goes on, which tells the objects what became of them.
async fn go_on(admin: &mut Admin, topics: &mut Topics, now: usize) -> Pass {
    let all: Vec<&Topic> = topics.iter().collect();
    let now = format!("2026-01-01T00:{now:02}:00Z");
    let pass = pass(admin, &all, 3, Changing::nobody(), &now)
        .await
        .unwrap();
    for (key, desired) in topics {
        if let Some(Outcome::Stands(status)) = pass.outcomes.get(key) {
            let mut object = (*desired.object).clone();
            object.status = Some((**status).clone());
            desired.object = object.into();
        }
    }
    pass
}

fn created(pass: &Pass) -> usize {
    let created = pass.done.iter().filter(|(_, done)| done == "created");
    created.count()
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
        let mut all = 0;
        for now in 0..4 {
            let mut admin = Admin::new(vec![brokers.address()]);
            let pass = go_on(&mut admin, &mut topics, now).await;
            all += created(&pass);
            let is_set = |(_, done): &(_, String)| done.starts_with("config set");
            assert!(
                now > 0 || pass.done.iter().any(is_set),
                "each kind of change has its turn in each pass"
            );
        }
        assert_eq!(all, 299, "of 1000 that are refused and 299 that are not");
    });
}

/// Those that were not asked for again, because brokers are slow, were refused still; and each of
/// them has its turn at some time.
#[test]
fn many_topics_that_are_refused_keep_none_waiting_for_ever() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers();
        brokers.create_slowly(usize::MAX, Duration::from_secs(4));
        brokers.refuse_topics("t-00");
        let mut topics = topics(131);
        let new = topics.pop().unwrap();
        let mut admin = Admin::new(vec![brokers.address()]);
        let mut all = 0;
        for now in 0..10 {
            all += created(&go_on(&mut admin, &mut topics, now).await);
        }
        assert_eq!(all, 30);
        assert!(admin.portion() < 10, "{}", admin.portion());
        let refused = |(_, desired): &&Topic| {
            let said = desired.object.status.as_ref();
            let said = said.and_then(|status| spoken(&status.conditions));
            said.is_some_and(|(reason, _)| reason == "Refused")
        };
        assert_eq!(topics.iter().filter(refused).count(), 100);
        topics.push(new);
        let pass = go_on(&mut admin, &mut topics, 10).await;
        assert_eq!(created(&pass), 1, "{:?}", pass.done);

        brokers.refuse_topics("t-000");
        let mut all = 0;
        for now in 11..60 {
            all += created(&go_on(&mut admin, &mut topics, now).await);
        }
        assert_eq!(all, 90, "ten are refused still");
        assert_eq!(topics.iter().filter(refused).count(), 10);
    });
}
