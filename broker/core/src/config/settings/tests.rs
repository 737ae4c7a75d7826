use super::security::oauth::{Endpoint, KeysAt};
use super::security::{ClientAuth, Pem, Protocol, Store};
use super::*;
use crate::authentication::Mechanism;
use crate::quota::Rate;

fn refusal(text: &str) -> String {
    Settings::from_properties("server.properties", text)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_file_is_read_into_typed_values() {
    let text = "broker.id=7\nlisteners=A://h:1,CONTROLLER://h:2\nbroker.session.timeout.ms=2000\n\
                log.retention.ms=5\ncontroller.quorum.voters=7@h:2,8@h:3\n";
    let settings = Settings::from_properties("f", text).unwrap();
    assert_eq!(settings.node_id, NodeId(7));
    assert_eq!(settings.session_timeout, Duration::from_secs(2));
    assert_eq!(settings.statics["log.retention.ms"], Value::Number(5));
    assert_eq!(settings.peer_listener().unwrap().port, 2);
    assert_eq!(settings.client_listeners().count(), 1);
    assert!(settings.is_voter());
    assert_eq!(settings.statics["node.id"], Value::Number(7));
    assert!(!settings.statics.contains_key("num.partitions"));
}

#[test]
fn a_refusal_is_one_sentence_that_names_the_place() {
    let unknown = refusal("node.id=1\nnum.partition=3\n");
    assert!(
        unknown.starts_with("server.properties:2: unknown setting 'num.partition'"),
        "{unknown}"
    );
    assert!(
        unknown.contains("did you mean 'num.partitions'?"),
        "{unknown}"
    );
    let wrong = refusal("num.partitions=many");
    assert!(
        wrong.contains("num.partitions=many is refused: give a whole number"),
        "{wrong}"
    );
    assert!(refusal("nonsense").contains("server.properties:1: expected key=value"));
    assert!(refusal("listeners=CONTROLLER://:9091").contains("no listener for clients"));
    let advertised = "listeners=A://:1\nadvertised.listeners=A://0.0.0.0:1";
    assert!(refusal(advertised).contains("nobody can connect to"));
    let class = refusal("authorizer.class.name=my.Authorizer");
    assert!(
        class.contains("is refused: give org.apache.kafka."),
        "{class}"
    );
    assert!(refusal("super.users=User:a;b").contains("write b as User:b"));
    assert!(refusal("log.dirs=/a,/b").contains("more than one directory"));
}

#[test]
fn dev_is_valid() {
    let settings = Settings::dev(Path::new("data"), 9092).unwrap();
    assert_eq!(
        settings.client_listeners().next().unwrap().address(),
        "127.0.0.1:9092"
    );
}

#[test]
fn a_folder_that_no_setting_can_name_is_refused() {
    for folder in ["a,b", "a\nb"] {
        let refused = Settings::dev(Path::new(folder), 9092).unwrap_err();
        assert!(refused.to_string().starts_with("--data-dir"), "{refused}");
    }
}

/// As the examples of Strimzi and other published clusters have it.
const TAKEN: &[&str] = &[
    "offsets.topic.replication.factor=3",
    "transaction.state.log.replication.factor=3",
    "transaction.state.log.min.isr=2",
    "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector",
    "queued.max.requests=500",
    "queued.max.request.bytes=-1",
    "socket.send.buffer.bytes=102400",
    "socket.request.max.bytes=2004857600",
    "replica.socket.timeout.ms=30000",
    "request.timeout.ms=30000",
    "log.cleaner.enable=true",
    "max.connections=2147483647",
    "group.consumer.session.timeout.ms=45000",
    "metric.reporters=",
    "process.roles=broker,controller",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:SSL\n\
     listener.name.other.ssl.client.auth=required",
];

#[test]
fn what_kafka_knows_is_taken_but_no_promise_that_is_not_kept() {
    for line in TAKEN {
        let read = Settings::from_properties("f", line);
        assert!(read.is_ok(), "{}", read.unwrap_err());
    }
    for (line, why) in [
        (
            "listener.security.protocol.map=PLAINTEXT:SSL",
            "the listener PLAINTEXT speaks TLS and has no certificate; name a PEM file",
        ),
        (
            "security.inter.broker.protocol=SSL",
            "no listener is one that brokers can replicate over",
        ),
        (
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT",
            "does not say what PLAINTEXT speaks; add PLAINTEXT:PLAINTEXT",
        ),
        (
            "listener.security.protocol.map=PLAINTEXT:TLS",
            "for `PLAINTEXT:TLS`",
        ),
        (
            "listener.name.other.ssl.client.auth=required",
            "listener.name.other is of a listener that neither",
        ),
        (
            "listener.name.plaintext.ssl.client.auth=maybe",
            "listener.name.plaintext.ssl.client.auth=… is refused: give text, of none,",
        ),
        (
            "listener.name.plaintext.num.partitions=3",
            "unknown setting 'listener.name.plaintext.num.partitions'",
        ),
        (
            "remote.log.storage.system.enable=true",
            "give true or false, of false",
        ),
        (
            "create.topic.policy.class.name=my.Policy",
            "give nothing: no class is loaded",
        ),
        (
            "controller.quorum.bootstrap.servers=a:1",
            "give nothing: the voters of the quorum stand in controller.quorum.voters",
        ),
        (
            "transaction.state.log.min.isr=0",
            "give a whole number, at least 1",
        ),
    ] {
        let refused = refusal(line);
        assert!(refused.contains(why), "{refused}");
    }
}

/// Each line: a file, `;` between its lines, and what it comes to: the listeners, or the refusal.
const ROLES: &str = "
    node.id=1 => PLAINTEXT://:9092 CONTROLLER://:9091
    process.roles=controller => CONTROLLER://:9091
    process.roles=controller;listeners=CONTROLLER://:1 => CONTROLLER://:1
    process.roles=controller;listeners=A://:1,CONTROLLER://:2 => serves no clients of brokers
    process.roles=controller;controller.listener.names=C => listeners does not name C, by which
    process.roles=broker => process.roles=broker has no vote, and controller.quorum.voters is empty
    process.roles=broker;controller.quorum.voters=0@h:1 => names this node, 0, and
    process.roles=broker;controller.quorum.voters=1@h:1 => PLAINTEXT://:9092 CONTROLLER://:9091
    process.roles=broker;controller.quorum.voters=1@h:1;listeners=A://:1 => gets the metadata; add
    process.roles=broker,controller;listeners=CONTROLLER://:1 => no listener for clients
    process.roles= => give broker, controller or both
    process.roles=voter => of broker, controller
";

#[test]
fn what_a_node_is_says_where_it_listens() {
    for line in ROLES.lines().filter(|line| !line.is_empty()) {
        let (file, wanted) = line.split_once(" => ").unwrap();
        let file = file.trim().replace(';', "\n");
        let told = match Settings::from_properties("f", &file) {
            Ok(settings) => {
                let listeners = settings.listeners.iter().map(ToString::to_string);
                listeners.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert!(told.contains(wanted), "{file}: {told}");
    }
}

/// A file with a plain listener, and one called SECURE that speaks `protocol`.
fn secure(protocol: &str, lines: &[&str]) -> Result<Settings, String> {
    let text = format!(
        "listeners=PLAIN://:1,SECURE://:2,CONTROLLER://:3\n\
         listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:{protocol}\n{}",
        lines.join("\n")
    );
    Settings::from_properties("f", &text).map_err(|error| error.to_string())
}

const KEYSTORE: [&str; 2] = [
    "listener.name.secure.ssl.keystore.type=PEM",
    "listener.name.secure.ssl.keystore.location=/k",
];

#[test]
fn a_listener_has_settings_of_its_own() {
    let of_all = ["ssl.truststore.location=/t", "ssl.truststore.type=PEM"];
    let own = [
        "listener.name.secure.ssl.client.auth=required",
        "listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512",
        "listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.\
         PlainLoginModule required user_a=\"p\";",
        "listener.name.secure.scram-sha-512.connections.max.reauth.ms=5000",
        "ssl.enabled.protocols=TLSv1.3",
        "listener.name.secure.max.connection.creation.rate=7",
        "max.connection.creation.rate=9",
    ];
    let lines = [&KEYSTORE[..], &of_all, &own].concat();
    let settings = secure("SASL_SSL", &lines).unwrap();
    let security = settings.security("secure");
    let tls = security.tls.as_ref().unwrap();
    assert_eq!(tls.keystore, Store::Pem(Pem::File("/k".into())));
    assert_eq!(tls.truststore, Some(Store::Pem(Pem::File("/t".into()))));
    assert_eq!(tls.client_auth, ClientAuth::Required);
    assert!(tls.tls13 && !tls.tls12);
    let sasl = security.sasl.as_ref().unwrap();
    let mechanisms = [Mechanism::Plain, Mechanism::ScramSha512];
    assert_eq!(sasl.limits.mechanisms, mechanisms);
    let session_max = &sasl.limits.session_max;
    assert_eq!(session_max[&Mechanism::ScramSha512], Duration::from_secs(5));
    assert_eq!(session_max.len(), 1);
    assert_eq!(sasl.passwords["a"].reveal(), "p");
    let rate = |listener| settings.security(listener).creation_rate.map(Rate::value);
    assert_eq!((rate("secure"), rate("plain")), (Some(7.0), None));
    assert_eq!(settings.security("PLAIN").protocol, Protocol::Plaintext);
    assert_eq!(
        settings.inter_broker_listener_name.as_deref(),
        Some("PLAIN")
    );
    assert!(!format!("{security:?}").contains("\"p\""));
}

const TOKENS: [&str; 4] = [
    "listener.name.secure.sasl.enabled.mechanisms=OAUTHBEARER",
    "listener.name.secure.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=https://idp/keys?a=b",
    "listener.name.secure.sasl.oauthbearer.expected.audience=kafka,orders",
    "sasl.oauthbearer.expected.issuer=https://idp",
];

#[test]
fn a_listener_says_how_tokens_are_judged() {
    let own = [
        "listener.name.secure.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.\
         oauthbearer.OAuthBearerLoginModule required ssl.truststore.type=\"PEM\" \
         ssl.truststore.location=\"/ca\";",
        "listener.name.secure.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.\
         common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
        "sasl.oauthbearer.clock.skew.seconds=5",
    ];
    let settings = secure("SASL_SSL", &[&KEYSTORE[..], &TOKENS, &own].concat()).unwrap();
    let security = settings.security("secure");
    let oauth = security.sasl.as_ref().unwrap().oauth.as_ref().unwrap();
    assert_eq!(
        oauth.keys,
        KeysAt::Http(Endpoint {
            url: "https://idp/keys?a=b".to_owned(),
            has_tls: true,
            address: "idp:443".to_owned(),
            target: "/keys?a=b".to_owned(),
            truststore: Some(Pem::File("/ca".into())),
        })
    );
    let expected = &oauth.expected;
    assert_eq!(expected.audiences, ["kafka", "orders"]);
    assert_eq!(expected.issuer, "https://idp");
    assert_eq!(
        (expected.scope_claim.as_str(), expected.sub_claim.as_str()),
        ("scope", "sub")
    );
    assert_eq!(expected.skew_ms, 5000);
    assert_eq!(oauth.refresh_interval, Duration::from_secs(3600));
    for (url, place) in [
        ("http://[::1]:8080", Some(("[::1]:8080", "/"))),
        ("http://[::1]/k", Some(("[::1]:80", "/k"))),
        ("https://idp?k", Some(("idp:443", "/?k"))),
        ("file:///keys", None),
        ("file:/keys", None),
    ] {
        let url = format!("listener.name.secure.sasl.oauthbearer.jwks.endpoint.url={url}");
        let lines = [&KEYSTORE[..], &[TOKENS[0], &url], &TOKENS[2..]].concat();
        let settings = secure("SASL_SSL", &lines).unwrap();
        let security = settings.security("secure");
        let read = match &security.sasl.as_ref().unwrap().oauth.as_ref().unwrap().keys {
            KeysAt::Http(at) => Some((at.address.as_str(), at.target.as_str())),
            KeysAt::File(path) => {
                assert_eq!(path.to_str(), Some("/keys"));
                None
            }
        };
        assert_eq!(read, place);
    }
}

/// Which of the lines about tokens is left out, what stands there instead, why that is refused.
fn tokens_that_could_not_be_judged() -> Vec<(usize, String, &'static str)> {
    let own = "listener.name.secure.oauthbearer.sasl.";
    vec![
        (
            1,
            String::new(),
            "knows no keys that tokens must be signed by; set listener.name.sec",
        ),
        (2, String::new(), "expects no audience"),
        (
            2,
            "sasl.oauthbearer.expected.audience=,".to_owned(),
            "expects no audience",
        ),
        (
            3,
            String::new(),
            "expects no issuer; set listener.name.secure.oauthbearer.sasl.oauth",
        ),
        (
            1,
            format!("{own}oauthbearer.jwks.endpoint.url=idp/keys"),
            "give https://host/path",
        ),
        (
            1,
            format!("{own}oauthbearer.jwks.endpoint.url=https://u@idp/"),
            "give https://",
        ),
        (
            1,
            format!("{own}oauthbearer.jwks.endpoint.url=https://idp:x/"),
            "give https://",
        ),
        (
            1,
            format!("{own}oauthbearer.jwks.endpoint.url=https:///x"),
            "give https://",
        ),
        (
            1,
            format!("{own}oauthbearer.jwks.endpoint.url=file:keys"),
            "give https://",
        ),
        (
            4,
            format!("{own}jaas.config=a.Module required;"),
            "give the options of org.apache",
        ),
        (
            4,
            format!(
                "{own}jaas.config=org.apache.kafka.common.security.oauthbearer.\
                 OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"x\";"
            ),
            "the option unsecuredLoginStringClaim_sub is not there",
        ),
        (
            4,
            format!("{own}server.callback.handler.class=a.B"),
            "give text, nothing or of",
        ),
        (
            4,
            "listener.name.secure.plain.sasl.oauthbearer.scope=x".to_owned(),
            "is of a listener that neither",
        ),
    ]
}

/// A broker that cannot judge tokens does not start.
#[test]
fn a_listener_whose_tokens_could_not_be_judged_is_refused() {
    for (left_out, line, why) in tokens_that_could_not_be_judged() {
        let mut lines = [&KEYSTORE[..], &TOKENS].concat();
        if let Some(place) = (left_out < 4).then_some(KEYSTORE.len() + left_out) {
            lines.remove(place);
        }
        lines.push(&line);
        let refused = secure("SASL_SSL", &lines).map(|_| ()).expect_err(&line);
        assert!(refused.contains(why), "{why} in {refused}");
    }
}

#[test]
fn pem_in_one_line_becomes_lines() {
    let chain = "ssl.keystore.certificate.chain=-----BEGIN CERTIFICATE----- AA BB \\\n\
                 -----END CERTIFICATE-----";
    let key = "ssl.keystore.key=-----BEGIN PRIVATE KEY-----CC-----END PRIVATE KEY-----";
    let settings = secure("SSL", &[chain, key]).unwrap();
    let security = settings.security("SECURE");
    let Store::Pem(Pem::Inline(pem)) = &security.tls.as_ref().unwrap().keystore else {
        panic!("it stands in the settings");
    };
    assert_eq!(
        pem.reveal(),
        "-----BEGIN CERTIFICATE-----\nAA\nBB\n-----END CERTIFICATE-----\n\
         -----BEGIN PRIVATE KEY-----\nCC\n-----END PRIVATE KEY-----\n"
    );
}

#[test]
fn what_cannot_protect_a_listener_is_refused_in_a_sentence() {
    let of = |line: &'static str| [&KEYSTORE[..], &[line]].concat();
    for (protocol, lines, why) in [
        (
            "SSL",
            vec!["ssl.keystore.location=/k"],
            "/k is a store of the type JKS",
        ),
        (
            "SSL",
            vec!["ssl.keystore.location=/k", "ssl.keystore.type=PKCS12"],
            "/k is a store of PKCS12 and has no password; give listener.name.secure.ssl.keystore",
        ),
        ("SSL", vec!["ssl.keystore.key=x"], "go together; give both"),
        (
            "SSL",
            of("ssl.client.auth=required"),
            "asks clients for certificates and trusts none",
        ),
        (
            "SSL",
            of("ssl.key.password=x"),
            "an encrypted key in PEM is not read",
        ),
        ("SSL", of("ssl.enabled.protocols="), "give TLSv1.3"),
        (
            "SSL",
            of("ssl.enabled.protocols=TLSv1.1"),
            "of TLSv1.2, TLSv1.3",
        ),
        (
            "SSL",
            of("ssl.cipher.suites=X"),
            "give nothing: TLS is rustls's",
        ),
        (
            "SSL",
            of("ssl.principal.mapping.rules=RULE:(/x/"),
            "mend the pattern",
        ),
        (
            "SASL_PLAINTEXT",
            vec![],
            "would log in clients by GSSAPI, which is not there",
        ),
        (
            "SASL_SSL",
            of("sasl.enabled.mechanisms=PLAIN"),
            "has no users; give listener.name.sec",
        ),
        (
            "SASL_SSL",
            of("inter.broker.listener.name=SECURE"),
            "would log in clients by GSSAPI",
        ),
        (
            "SASL_SSL",
            of("inter.broker.listener.name=SECURE\nsasl.enabled.mechanisms=SCRAM-SHA-256"),
            "brokers know one another by certificates; name one of SSL or PLAINTEXT",
        ),
        (
            "SSL,CONTROLLER:SASL_SSL",
            of("sasl.enabled.mechanisms=SCRAM-SHA-256"),
            "CONTROLLER",
        ),
    ] {
        let refused = secure(protocol, &lines).map(|_| ()).unwrap_err();
        assert!(refused.contains(why), "{why} in {refused}");
    }
}
