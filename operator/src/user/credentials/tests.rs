use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::certificates::{DAY, Lifetimes, sign_itself};

const NOW: i64 = 1_900_000_000;

fn user(authentication: AuthenticationType, rotate: &str) -> ValidatedUser {
    ValidatedUser {
        name: "billing".to_owned(),
        authentication,
        acls: BTreeSet::new(),
        quotas: BTreeMap::new(),
        rotate: rotate.to_owned(),
    }
}

fn way(authentication: AuthenticationType) -> Way {
    Way {
        listener: "secure".to_owned(),
        authentication,
        bootstrap: "orders:9093".to_owned(),
        is_encrypted: true,
        trusted: Some("-----A-----\nB\n".to_owned()),
    }
}

#[test]
fn a_password_stays_until_it_is_rotated_or_somebody_puts_another_there() {
    let of = |rotate: &str, kept: &Data| {
        let user = user(AuthenticationType::Scram, rotate);
        credentials(&user, &way(user.authentication), None, kept, None, NOW)
    };
    let first = of("", &Data::new()).unwrap();
    assert_eq!(of("", &first).unwrap(), first);
    let password = text(&first, "password").unwrap();
    assert!(password.len() >= 32, "{password}");
    let rotated = of("again", &first).unwrap();
    assert_ne!(rotated["password"], first["password"]);
    assert_eq!(of("again", &rotated).unwrap(), rotated);

    let mut own = first.clone();
    own.insert("password".to_owned(), b"a \"quoted\\one".to_vec());
    let taken = of("", &own).unwrap();
    let says = text(&taken, "client.properties").unwrap();
    let wanted = "bootstrap.servers=orders:9093\nsecurity.protocol=SASL_SSL\n\
        ssl.truststore.type=PEM\nssl.truststore.certificates=-----A-----\\nB\n\
        sasl.mechanism=SCRAM-SHA-512\n\
        sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
        username=\"billing\" password=\"a \\\\\"quoted\\\\\\\\one\";\n";
    assert_eq!(says, wanted);
    own.insert("password".to_owned(), b"two\nlines".to_vec());
    assert_eq!(of("", &own).unwrap_err().reason.word, "CredentialsRefused");
}

#[test]
fn a_certificate_stays_until_it_must_be_renewed() {
    let signer = sign_itself("users", NOW, DAY).unwrap();
    let other = sign_itself("users", NOW, DAY).unwrap();
    let user = |rotate: &str| user(AuthenticationType::MutualTls, rotate);
    let of_days = |lifetime: Lifetime, rotate: &str, signer: &Pair, kept: &Data, now: i64| {
        let way = way(AuthenticationType::MutualTls);
        let folder = Some(Path::new("/u"));
        let signer = Some((signer, lifetime));
        credentials(&user(rotate), &way, signer, kept, folder, now).unwrap()
    };
    let usual = Lifetimes::default().users;
    let of = |rotate: &str, signer: &Pair, kept: &Data, now: i64| {
        of_days(usual, rotate, signer, kept, now)
    };
    let first = of("", &signer, &Data::new(), NOW);
    let is_new = |data: Data| data["user.crt"] != first["user.crt"];
    assert!(!is_new(of("", &signer, &first, NOW + 14 * DAY)));
    assert!(is_new(of("", &signer, &first, NOW + 16 * DAY)));
    assert!(is_new(of("x", &signer, &first, NOW)));
    let longer = Lifetime::days(60, 10);
    assert!(!is_new(of_days(
        longer,
        "",
        &signer,
        &first,
        NOW + 16 * DAY
    )));
    assert!(is_new(of_days(longer, "", &signer, &first, NOW + 21 * DAY)));
    let shorter = of_days(Lifetime::days(7, 2), "", &signer, &first, NOW);
    assert!(
        is_new(shorter.clone()),
        "one that holds for longer is made anew"
    );
    let until = text(&shorter, "user.crt").and_then(|pem| expires(&pem));
    assert_eq!(until, Some(NOW + 7 * DAY));
    assert!(is_new(of("", &other, &first, NOW)));
    let says = text(&first, "client.properties").unwrap();
    assert!(
        says.contains("ssl.keystore.location=/u/user.pem\n"),
        "{says}"
    );
    assert!(
        says.contains("ssl.truststore.location=/u/ca.crt\n"),
        "{says}"
    );
}
