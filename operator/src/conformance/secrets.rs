//! Secrets that somebody else writes into as well, which on Kubernetes alone is an everyday thing.

use std::time::Duration;

use serde_json::{Value, json};

use super::access::{SCRAM, secret_of, secured, user};
use super::settings::{Kubernetes, Setting, run};
use super::{A_WHILE, until_cluster, until_reason};

async fn until_user(world: &Kubernetes, want: &str) {
    until_reason(world, "KafkaUser", "shop", "billing", want).await;
}

/// Puts something into a Secret by hand.
fn put(world: &Kubernetes, secret: &str, key: &str, text: &str) {
    let put = |secret: &mut Value| secret["data"][key] = json!(text);
    world.api.edit("secrets", "shop", secret, put);
}

async fn nothing_is_written(world: &Kubernetes) {
    tokio::time::sleep(A_WHILE).await;
    let before = world.api.patches();
    tokio::time::sleep(A_WHILE * 30).await;
    assert_eq!(world.api.patches(), before, "at rest nothing is written");
}

#[test]
fn secrets_of_somebody_elses_are_left_alone_and_so_is_what_somebody_adds() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let planted = json!({
            "apiVersion": "v1", "kind": "Secret", "data": {},
            "metadata": { "name": "orders.users-ca", "namespace": "shop" },
        });
        world.api.apply("secrets", &planted);
        world.apply(&secured("{}"));
        until_cluster(world, "ApplyFailed").await;
        world.api.delete("secrets", "shop", "orders.users-ca");
        until_cluster(world, "BrokersReady").await;
        world.apply(&user("shop", "", SCRAM));
        until_user(world, "UserReady").await;
        let added = [
            ("orders.ca", "my-ca.crt"),
            ("orders.certificates", "notes.pem"),
            ("billing", "mine"),
        ];
        for (secret, key) in added {
            put(world, secret, key, "eA==");
        }
        nothing_is_written(world).await;
        for (secret, key) in added {
            let secret = world.api.get("secrets", "shop", secret).unwrap();
            assert_eq!(secret["data"][key], "eA==");
        }
    });
}

/// What somebody has put there too, server-side apply leaves there.
#[test]
fn what_a_secret_is_to_have_no_more_goes_whoever_has_put_it_there() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let mutual = "listeners: [{ name: mutual, port: 9094, tls: {}, authentication: { type: \
                      MutualTls } }, ";
        world.apply(&secured("{}").replace("listeners: [", mutual));
        world.apply(&user("shop", "", SCRAM));
        until_user(world, "UserReady").await;
        put(world, "billing", "password", "aGFuZC1tYWRl");
        // Secrets of users are looked at twice a minute.
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert!(world.brokers().knows("billing", "hand-made"));
        world.apply(&user("shop", "", &SCRAM.replace("Scram", "MutualTls")));
        tokio::time::sleep(A_WHILE).await;
        until_user(world, "UserReady").await;
        let secret = secret_of(world).await.unwrap();
        assert!(secret.contains_key("user.crt"));
        assert!(!secret.contains_key("password"));
        nothing_is_written(world).await;
    });
}
