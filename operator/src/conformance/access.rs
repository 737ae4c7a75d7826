//! Certificates, users and what they may do.

use serde_json::{Value, json};

use super::settings::Setting;
use super::{A_WHILE, cluster, topic, until, until_cluster, until_reason};
use crate::certificates::{DAY, Data, Pair, sign_itself};
use crate::object::ObjectKey;
use crate::secrets::{CLUSTER, Owner, USER};

/// The cluster with a listener that encrypts and one that does not.
pub fn secured(tls: &str) -> String {
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
        is_own: |_, _| true,
    };
    let parts = [("tls.crt", &pair.certificate), ("tls.key", &pair.key)];
    let data = parts.map(|(key, text)| (key.to_owned(), text.clone().into_bytes()));
    let key = shop("web");
    let (secrets, data) = (world.secrets(), Data::from(data));
    secrets.keep(&owner, &key, None, &data).await.unwrap();
}

pub async fn a_certificate_that_cannot_be_used_is_told_and_the_old_one_stays<S: Setting>(
    world: &S,
) {
    let good = sign_itself("web", now(), DAY).unwrap();
    let next = sign_itself("web", now(), DAY).unwrap();
    let used = async || {
        let files = world
            .secrets()
            .read(CLUSTER, &shop("orders.certificates"))
            .await;
        files.unwrap().unwrap().get("secure.pem").cloned()
    };
    world.apply(&secured("{ secretName: web }"));
    until_cluster(world, "SecretNotFound").await;
    give(world, &good).await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(used().await, Some(good.keystore()));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;

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
    tokio::time::sleep(A_WHILE).await;
    let properties = part(world, "client.properties").await;
    assert!(properties.contains("=SASL_SSL\n"), "{properties}");
    assert_eq!(part(world, "ca.crt").await, good.certificate);

    give(world, &next).await;
    until_cluster(world, "BrokersReady").await;
    assert_eq!(used().await, Some(next.keystore()));
}

pub async fn a_certificate_that_changes_is_told_whatever_else_is_wrong<S: Setting>(world: &S) {
    let good = secured("{ secretName: web }");
    let given =
        async |days: i64| give(world, &sign_itself("web", now(), days * DAY).unwrap()).await;
    let expiry = || {
        let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
        let told = orders["status"]["certificates"].as_array().cloned();
        let mut told = told.into_iter().flatten();
        let own = told.find(|one| one["name"] == "secure");
        own.map(|one| one["expiresAt"].clone())
    };
    world.apply(&good);
    given(9).await;
    until_cluster(world, "BrokersReady").await;
    let named = |paused: bool| {
        let name = format!("name: orders, annotations: {{ ottla.io/paused: '{paused}' }}");
        good.replace("name: orders", &name)
    };
    let invalid = named(false).replace("spec: {", "spec: { config: { log.dirs: /elsewhere },");
    for (spec, reason, days) in [(named(true), "Paused", 8), (invalid, "InvalidSpec", 7)] {
        world.apply(&spec);
        until_cluster(world, reason).await;
        let before = expiry();
        given(days).await;
        until("its expiry is told", || expiry() != before).await;
        until_cluster(world, reason).await;
    }
}

pub async fn certificates_hold_as_long_as_the_spec_says<S: Setting>(world: &S) {
    let days = |is: i64| format!("{{ validityDays: {is}, renewalDays: 1 }}");
    let lifetimes = format!(
        "certificates: {{ authorities: {{ validityDays: 100, renewalDays: 30 }}, brokers: {}, \
         users: {} }},",
        days(20),
        days(10)
    );
    let mutual = "listeners: [{ name: mutual, port: 9094, tls: {}, authentication: { type: \
                  MutualTls } }, ";
    let listeners = secured("{}").replace("listeners: [", mutual);
    world.apply(&listeners.replace("spec: {", &format!("spec: {{ {lifetimes}")));
    until_cluster(world, "BrokersReady").await;
    world.apply(&user("shop", "", "authentication: { type: MutualTls }"));
    until_user(world, "UserReady").await;
    let left = |expires: &Value| {
        let at: jiff::Timestamp = expires.as_str().unwrap().parse().unwrap();
        (at.as_second() - now() + DAY / 2) / DAY
    };
    let orders = world.get("KafkaCluster", "shop", "orders").unwrap();
    let told = orders["status"]["certificates"].as_array().unwrap().iter();
    let told: Vec<i64> = told.map(|one| left(&one["expiresAt"])).collect();
    assert_eq!(told, [100, 100, 20, 20, 20]);
    let user = world.get("KafkaUser", "shop", "billing").unwrap();
    assert_eq!(left(&user["status"]["expiresAt"]), 10);
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

/// A user of the cluster.
pub fn user(namespace: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaUser\n\
         metadata: {{ name: billing, namespace: {namespace}, annotations: {{ {annotations} }} }}\n\
         spec: {{ clusterRef: {{ name: orders, namespace: shop }}, {spec} }}\n"
    )
}

pub const SCRAM: &str = "authentication: { type: Scram }, acls: [{ resource: { type: Topic, name: \
    payments }, operations: [Read, Write] }]";

/// Waits for what the user says.
pub async fn until_user<S: Setting>(world: &S, want: &str) {
    until_reason(world, "KafkaUser", "shop", "billing", want).await;
}

pub async fn secret_of<S: Setting>(world: &S) -> Option<Data> {
    let read = world.secrets().read(USER, &shop("billing")).await;
    read.unwrap()
}

/// A part of the Secret of the user, which is there.
async fn part<S: Setting>(world: &S, key: &str) -> String {
    let secret = secret_of(world).await.unwrap();
    let bytes = secret
        .get(key)
        .unwrap_or_else(|| panic!("no {key} in the Secret"));
    String::from_utf8(bytes.clone()).unwrap()
}

pub async fn a_user_comes_and_goes_with_its_object<S: Setting>(world: &S) {
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "ClusterNotFound").await;
    world.apply(&secured("{}"));
    until_user(world, "UserReady").await;
    assert_eq!(
        world.brokers().acls(),
        [
            "Allow User:billing Read Topic Literal payments from *",
            "Allow User:billing Write Topic Literal payments from *",
        ]
    );
    let password = part(world, "password").await;
    assert!(world.brokers().knows("billing", &password));
    let properties = part(world, "client.properties").await;
    assert!(
        properties.contains("security.protocol=SASL_SSL\n"),
        "{properties}"
    );
    let status = world.get("KafkaUser", "shop", "billing").unwrap()["status"].clone();
    assert_eq!(status["principal"], json!("User:billing"));
    assert_eq!(status["acls"], json!(2));

    world.delete("KafkaUser", "shop", "billing");
    let is_gone = || world.get("KafkaUser", "shop", "billing").is_none();
    until("the object is gone", is_gone).await;
    assert_eq!(world.brokers().acls(), Vec::<String>::new());
    assert_eq!(world.brokers().scram_users(), Vec::<String>::new());
    assert_eq!(secret_of(world).await, None);
}

pub async fn a_user_of_a_plain_cluster_says_what_is_missing_and_goes<S: Setting>(world: &S) {
    world.apply(&cluster("listeners: [{ name: plain, port: 9092 }]"));
    until_cluster(world, "BrokersReady").await;
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "NoListener").await;
    tokio::time::sleep(A_WHILE).await;
    until_user(world, "NoListener").await;
    world.delete("KafkaUser", "shop", "billing");
    let is_gone = || world.get("KafkaUser", "shop", "billing").is_none();
    until("the object is gone", is_gone).await;
}

pub async fn what_somebody_takes_from_a_user_is_put_back<S: Setting>(world: &S) {
    world.apply(&secured("{}"));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;
    let password = part(world, "password").await;
    world.brokers().forget_users();
    let is_back = || world.brokers().knows("billing", &password);
    until("the credential is there again", is_back).await;
    until("the ACLs are there again", || {
        world.brokers().acls().len() == 2
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    let before = world.writes();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.writes(), before, "at rest nothing is written");

    let less = SCRAM.replace("Read, Write", "Read");
    world.apply(&user("shop", "", &less));
    until("what is not in the spec is taken", || {
        world.brokers().acls() == ["Allow User:billing Read Topic Literal payments from *"]
    })
    .await;
}

pub async fn a_user_is_rotated_by_its_annotation<S: Setting>(world: &S) {
    world.apply(&secured("{}"));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;
    let first = part(world, "password").await;
    world.apply(&user("shop", "ottla.io/rotate: again", SCRAM));
    let is_old = || world.brokers().knows("billing", &first);
    until("the old password is none", || !is_old()).await;
    let second = part(world, "password").await;
    assert_ne!(first, second);
    assert!(world.brokers().knows("billing", &second));
    until("the status tells", || {
        world.get("KafkaUser", "shop", "billing").unwrap()["status"]["rotated"] == json!("again")
    })
    .await;
}

pub async fn a_user_that_changes_how_it_is_known_is_known_by_nothing_else<S: Setting>(world: &S) {
    let mutual = SCRAM.replace("Scram", "MutualTls");
    world.apply(&secured("{}"));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;
    world.apply(&user("shop", "", &mutual));
    until_user(world, "NoListener").await;
    let listener = secured("{}").replace(
        "{ name: plain, port: 9092 }",
        "{ name: plain, port: 9092 }, { name: mutual, port: 9094, tls: {}, authentication: { \
         type: MutualTls } }",
    );
    world.apply(&listener);
    until_user(world, "UserReady").await;
    assert_eq!(
        world.brokers().acls(),
        [
            "Allow User:CN=billing Read Topic Literal payments from *",
            "Allow User:CN=billing Write Topic Literal payments from *",
        ]
    );
    assert_eq!(world.brokers().scram_users(), Vec::<String>::new());
    assert!(part(world, "user.crt").await.contains("BEGIN CERTIFICATE"));
    let secret = secret_of(world).await.unwrap();
    assert!(!secret.contains_key("password"));
}

pub async fn a_user_of_another_namespace_must_be_admitted<S: Setting>(world: &S) {
    world.apply(&secured("{}"));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;
    let password = part(world, "password").await;
    world.apply(&user("visitor", "", SCRAM));
    let visitor = async |want: &str| {
        until_reason(world, "KafkaUser", "visitor", "billing", want).await;
    };
    visitor("NamespaceNotAdmitted").await;
    let admits = "userNamespaces: { matchNames: [visitor] }, listeners:";
    world.apply(&secured("{}").replace("listeners:", admits));
    visitor("Conflict").await;
    assert!(world.brokers().knows("billing", &password));

    let wrong = SCRAM.replace("name: payments", "name: ''");
    world.apply(&user("shop", "", &wrong));
    until_user(world, "InvalidSpec").await;
    world.delete("KafkaUser", "shop", "billing");
    visitor("UserReady").await;
    assert!(!world.brokers().knows("billing", &password));
}

/// All that brokers know of users.
pub fn known<S: Setting>(world: &S) -> (Vec<String>, Vec<String>) {
    (world.brokers().acls(), world.brokers().scram_users())
}

pub async fn a_user_stays_while_brokers_keep_its_password<S: Setting>(world: &S) {
    world.apply(&secured("{}"));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;
    world.brokers().keep_credentials(true);
    world.apply(&user("shop", "", &SCRAM.replace("Scram", "MutualTls")));
    until_user(world, "NoListener").await;
    let status = world.get("KafkaUser", "shop", "billing").unwrap()["status"].clone();
    assert_eq!(status["principal"], json!("User:billing"));
    world.delete("KafkaUser", "shop", "billing");
    until_user(world, "Deleting").await;
    tokio::time::sleep(A_WHILE).await;
    until_user(world, "Deleting").await;
    world.brokers().keep_credentials(false);
    let is_gone = || world.get("KafkaUser", "shop", "billing").is_none();
    until("the object is gone", is_gone).await;
    assert_eq!(known(world), (Vec::new(), Vec::new()));
}

pub async fn a_user_that_is_admitted_no_more_is_known_no_more<S: Setting>(world: &S) {
    let admits = "userNamespaces: { matchNames: [visitor] }, listeners:";
    world.apply(&secured("{}").replace("listeners:", admits));
    world.apply(&user("visitor", "", SCRAM));
    let visitor = async |want: &str| {
        until_reason(world, "KafkaUser", "visitor", "billing", want).await;
    };
    visitor("UserReady").await;
    assert_eq!(known(world).1, ["billing"]);
    world.apply(&secured("{}"));
    visitor("NamespaceNotAdmitted").await;
    until("brokers forgot it", || {
        known(world) == (Vec::new(), Vec::new())
    })
    .await;
    world.delete("KafkaUser", "visitor", "billing");
    let is_gone = || world.get("KafkaUser", "visitor", "billing").is_none();
    until("the object is gone", is_gone).await;
    assert_eq!(known(world), (Vec::new(), Vec::new()));
}

pub async fn an_invalid_spec_takes_nothing_from_a_user_of_another_namespace<S: Setting>(world: &S) {
    let admits = "userNamespaces: { matchNames: [visitor] }, listeners:";
    world.apply(&secured("{}").replace("listeners:", admits));
    world.apply(&user("visitor", "", SCRAM));
    let visitor = async |want: &str| {
        until_reason(world, "KafkaUser", "visitor", "billing", want).await;
    };
    visitor("UserReady").await;
    let before = known(world);
    let invalid = "config: { log.dirs: /elsewhere }, listeners:";
    world.apply(&secured("{}").replace("listeners:", invalid));
    until_cluster(world, "InvalidSpec").await;
    tokio::time::sleep(A_WHILE * 2).await;
    visitor("UserReady").await;
    assert_eq!(known(world), before);
}

pub async fn users_of_a_cluster_that_never_was_valid_wait_for_it_and_can_go<S: Setting>(world: &S) {
    world.apply(&super::invalid_cluster());
    until_cluster(world, "InvalidSpec").await;
    world.apply(&user("shop", "", SCRAM));
    world.apply(&user("visitor", "", SCRAM));
    until_user(world, "ClusterNotReady").await;
    until_reason(
        world,
        "KafkaUser",
        "visitor",
        "billing",
        "NamespaceNotAdmitted",
    )
    .await;
    world.delete("KafkaUser", "shop", "billing");
    let is_gone = || world.get("KafkaUser", "shop", "billing").is_none();
    until("the object is gone", is_gone).await;
}

pub async fn a_user_of_a_cluster_that_waits_for_its_secret_waits_with_it<S: Setting>(world: &S) {
    world.apply(&secured("{ secretName: web }"));
    until_cluster(world, "SecretNotFound").await;
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "ClusterNotReady").await;
    give(world, &sign_itself("web", now(), DAY).unwrap()).await;
    until_user(world, "UserReady").await;
}

pub async fn a_user_waits_for_the_certificate_of_its_listener<S: Setting>(world: &S) {
    world.apply(&cluster("listeners: [{ name: plain, port: 9092 }]"));
    until_cluster(world, "BrokersReady").await;
    world.apply(&cluster(
        "listeners: [{ name: plain, port: 9092 }, { name: secure, port: 9093, tls: { secretName: \
         web }, authentication: { type: Scram } }, { name: bare, port: 9094, authentication: { \
         type: Scram } }]",
    ));
    until_cluster(world, "SecretNotFound").await;
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "Applying").await;
    let object = world.get("KafkaUser", "shop", "billing").unwrap();
    let said = object["status"]["conditions"][0]["message"].to_string();
    assert!(
        said.contains("certificate of the listener secure"),
        "{said}"
    );
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(secret_of(world).await, None);
    give(world, &sign_itself("web", now(), DAY).unwrap()).await;
    until_user(world, "UserReady").await;
    let properties = part(world, "client.properties").await;
    assert!(properties.contains("=SASL_SSL\n"), "{properties}");
}

pub async fn a_user_that_is_left_alone_stays_though_it_was_deleted<S: Setting>(world: &S) {
    world.apply(&secured("{}"));
    world.apply(&user("shop", "", SCRAM));
    until_user(world, "UserReady").await;
    world.apply(&user("shop", "ottla.io/paused: 'true'", SCRAM));
    until_user(world, "Paused").await;
    world.delete("KafkaUser", "shop", "billing");
    tokio::time::sleep(A_WHILE).await;
    until_user(world, "Paused").await;
    assert_eq!(known(world).1, ["billing"]);
}
