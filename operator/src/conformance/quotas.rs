//! How much users may take.

use ottla_core::quota::Key;

use super::access::{SCRAM, secured, until_user, user};
use super::settings::Setting;
use super::{A_WHILE, until};

pub async fn a_user_has_the_quotas_of_its_spec_and_no_other<S: Setting>(world: &S) {
    let others = [
        "[(\"user\", None)] consumer_byte_rate=9",
        "[(\"user\", Some(\"another\"))] consumer_byte_rate=9",
    ];
    let brokers = world.brokers();
    brokers.set_quota("user", None, Key::ConsumerByteRate, 9.0);
    brokers.set_quota("user", Some("another"), Key::ConsumerByteRate, 9.0);
    world.apply(&secured("{}"));
    let quotas = "quotas: { producerByteRate: 1048576, requestPercentage: 50 }";
    world.apply(&user("shop", "", &format!("{SCRAM}, {quotas}")));
    until_user(world, "UserReady").await;
    let told = |kind: &str, rates: &[&str]| {
        let own = rates
            .iter()
            .map(|rate| format!("[(\"user\", Some({kind:?}))] {rate}"));
        let mut all: Vec<String> = others.iter().map(ToString::to_string).chain(own).collect();
        all.sort();
        all
    };
    let is = |wanted: Vec<String>| {
        let mut quotas = world.brokers().quotas();
        quotas.sort();
        quotas == wanted
    };
    let both = ["producer_byte_rate=1048576", "request_percentage=50"];
    assert!(is(told("billing", &both)), "{:?}", world.brokers().quotas());

    brokers.set_quota("user", Some("billing"), Key::ProducerByteRate, 7.0);
    brokers.set_quota("user", Some("billing"), Key::ControllerMutationRate, 7.0);
    until("what somebody set is put back", || {
        is(told("billing", &both))
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    let before = world.writes();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.writes(), before, "at rest nothing is written");

    let less = "quotas: { producerByteRate: 1048576 }";
    world.apply(&user("shop", "", &format!("{SCRAM}, {less}")));
    until("what is not in the spec is taken", || {
        is(told("billing", &both[..1]))
    })
    .await;
    world.delete("KafkaUser", "shop", "billing");
    let is_gone = || world.get("KafkaUser", "shop", "billing").is_none();
    until("the object is gone", is_gone).await;
    assert!(is(told("billing", &[])), "{:?}", world.brokers().quotas());
}
