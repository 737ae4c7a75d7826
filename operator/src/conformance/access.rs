//! Certificates, users and what they may do.

use serde_json::{Value, json};

use super::settings::Setting;
use super::{cluster, topic, until, until_cluster, until_reason};
use crate::certificates::{DAY, Data, Pair, sign_itself};
use crate::object::ObjectKey;
use crate::secrets::{CLUSTER, Owner};

/// The cluster with a listener that encrypts and one that does not.
fn secured(tls: &str) -> String {
    cluster(&format!(
        "listeners: [{{ name: plain, port: 9092 }}, {{ name: secure, port: 9093, tls: {tls}, \
         authentication: {{ type: Scram }} }}]"
    ))
}

fn shop(name: &str) -> ObjectKey {
    ObjectKey {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub async fn brokers_with_certificates_are_known_by_them<S: Setting>(world: &S) {
    world.apply(&secured("{}"));
    world.apply(&topic("shop", "payments", ""));
    until_cluster(world, "BrokersReady").await;
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
    let status = world.get("KafkaCluster", "shop", "orders").unwrap()["status"].clone();
    assert_eq!(status["plainListeners"], json!(["plain"]));
    assert_eq!(status["mutualTls"], json!(true));
    let told = status["certificates"].as_array().unwrap().iter();
    let told: Vec<&Value> = told.map(|one| &one["name"]).collect();
    assert_eq!(told, ["ca", "users-ca", "brokers", "secure"]);
    let settings = world.brokers().settings();
    assert_eq!(
        settings["listener.security.protocol.map"],
        "PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:SSL,INTER_BROKER:SSL"
    );
    assert_eq!(settings["inter.broker.listener.name"], "INTER_BROKER");
    assert_eq!(
        settings["super.users"],
        "User:ottla:operator;User:ottla:brokers"
    );
    assert!(world.brokers().was_asked_over_tls());
}

/// A Secret of somebody else's, as cert-manager makes it.
async fn give<S: Setting>(world: &S, pair: &Pair) {
    let owner = Owner {
        kind: CLUSTER,
        name: "another".to_owned(),
        uid: "another".to_owned(),
        cluster: "another".to_owned(),
    };
    let parts = [("tls.crt", &pair.certificate), ("tls.key", &pair.key)];
    let data = parts.map(|(key, text)| (key.to_owned(), text.clone().into_bytes()));
    let key = shop("web");
    let written = world.secrets().write(&owner, &key, &Data::from(data)).await;
    written.unwrap();
}

pub async fn a_certificate_that_cannot_be_used_is_told_and_the_old_one_stays<S: Setting>(
    world: &S,
) {
    let good = sign_itself("web", now(), DAY).unwrap();
    let next = sign_itself("web", now(), DAY).unwrap();
    let used = async || {
        let files = world
            .secrets()
            .read(CLUSTER, &shop("orders-certificates"))
            .await;
        files.unwrap().unwrap().get("secure.pem").cloned()
    };
    world.apply(&secured("{ secretName: web }"));
    until_cluster(world, "SecretNotFound").await;
    give(world, &good).await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(used().await, Some(good.keystore()));

    let wrong = Pair {
        key: good.key.clone(),
        ..next.clone()
    };
    give(world, &wrong).await;
    until_cluster(world, "CertificateRefused").await;
    assert_eq!(used().await, Some(good.keystore()));
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    let message = orders["status"]["conditions"][0]["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("tls.key is not the key"), "{message}");

    give(world, &next).await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(used().await, Some(next.keystore()));
}

pub async fn a_cluster_that_was_created_plain_goes_on_so_between_brokers<S: Setting>(world: &S) {
    world.apply(&cluster("listeners: [{ name: plain, port: 9092 }]"));
    until_cluster(world, "BrokersReady").await;
    world.apply(&secured("{}"));
    let is_on = || {
        world
            .brokers()
            .settings()
            .contains_key("authorizer.class.name")
    };
    until("the listener is there", is_on).await;
    until_cluster(world, "BrokersReady").await;
    let settings = world.brokers().settings();
    assert_eq!(
        settings["listener.security.protocol.map"],
        "PLAIN:PLAINTEXT,SECURE:SASL_SSL"
    );
    assert_eq!(settings["inter.broker.listener.name"], "PLAIN");
    assert_eq!(settings["super.users"], "User:ANONYMOUS");
    world.apply(&topic("shop", "payments", ""));
    until_reason(world, "KafkaTopic", "shop", "payments", "TopicReady").await;
}
