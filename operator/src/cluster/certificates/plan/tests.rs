use super::*;
use crate::certificates::{DAY, sign_itself};
use crate::cluster::validate::{Observed, validate};
use crate::crd::KafkaCluster;

const NOW: i64 = 1_900_000_000;

fn valid(listeners: &str) -> ValidatedCluster {
    let cluster: KafkaCluster = serde_yaml::from_str(&format!(
        "metadata: {{ name: orders, namespace: shop }}\nspec: {{ listeners: [{listeners}] }}"
    ))
    .unwrap();
    validate(&cluster, Observed::default()).unwrap()
}

const OWN: &str = "{ name: secure, port: 9093, tls: {}, authentication: { type: MutualTls } }";
const GIVEN: &str = "{ name: secure, port: 9093, tls: { secretName: web } }";

/// What there is once a plan was carried out.
fn found(planned: &Planned) -> Found {
    Found {
        authority: planned.authority.as_ref().map(Authority::data),
        users: planned.users.as_ref().map(Authority::data),
        files: planned.files.clone(),
        ..Found::default()
    }
}

/// Authorities are made anew beside those there are, which stay trusted.
#[test]
fn certificates_hold_for_as_long_as_the_spec_says() {
    let (mut valid, hosts) = (valid(OWN), hosts(&["localhost"]));
    let first = plan(&valid, &hosts, &Found::default(), NOW).unwrap();
    valid.lifetimes.brokers = Lifetime::days(10, 3);
    let second = plan(&valid, &hosts, &found(&first), NOW).unwrap();
    let until = |planned: &Planned, name: &str| {
        let told = planned.told.iter().find(|one| one.name == name);
        told.unwrap().expires_at.clone()
    };
    assert_eq!(until(&second, "secure"), written(NOW + 10 * DAY));
    assert_eq!(until(&second, "ca"), until(&first, "ca"));
    let again = plan(&valid, &hosts, &found(&second), NOW + 6 * DAY).unwrap();
    assert_eq!(again.files, second.files);
    let later = plan(&valid, &hosts, &found(&second), NOW + 8 * DAY).unwrap();
    assert_eq!(until(&later, "brokers"), written(NOW + 18 * DAY));

    valid.lifetimes.authorities = Lifetime::days(100, 50);
    let begun = plan(&valid, &hosts, &found(&second), NOW).unwrap();
    let [old, new] = [&second, &begun].map(|one| one.authority.as_ref().unwrap().trusted());
    assert!(
        new.starts_with(&old) && new.len() > old.len(),
        "both are trusted"
    );
    assert_eq!(begun.files["secure.pem"], second.files["secure.pem"]);
    let next = plan(&valid, &hosts, &found(&begun), NOW + 2 * DAY).unwrap();
    assert_eq!(until(&next, "ca"), written(NOW + 100 * DAY));
    assert_ne!(next.files["secure.pem"], second.files["secure.pem"]);
}

/// What was not renewed by then is told as an alert.
#[test]
fn each_certificate_says_when_another_is_due() {
    let (mut valid, hosts) = (valid(OWN), hosts(&["localhost"]));
    let due = |planned: &Planned, name: &str| {
        let mut told = planned.told.iter();
        let one = told.find(|one| one.name == name).unwrap();
        let told = serde_json::to_value(one).unwrap();
        told["renewalDue"].as_str().unwrap_or("never").to_owned()
    };
    valid.lifetimes.brokers = Lifetime::days(10, 3);
    let first = plan(&valid, &hosts, &Found::default(), NOW).unwrap();
    assert_eq!(due(&first, "brokers"), written(NOW + 7 * DAY));
    assert_eq!(due(&first, "secure"), written(NOW + 7 * DAY));
    assert_eq!(due(&first, "ca"), written(NOW + 4 * 365 * DAY));

    // another authority signs once it was trusted for a day
    let later = NOW + 4 * 365 * DAY + 5;
    let begun = plan(&valid, &hosts, &found(&first), later).unwrap();
    assert_eq!(due(&begun, "users-ca"), written(later + DAY));

    let given = |days: i64| {
        let pair = sign_itself("web", NOW, days * DAY).unwrap();
        let parts = [("tls.crt", pair.certificate), ("tls.key", pair.key)];
        let parts = parts.map(|(key, text)| (key.to_owned(), text.into_bytes()));
        BTreeMap::from([("web".to_owned(), Ok(Some(Data::from(parts))))])
    };
    for (days, due_on) in [(365, 351 * DAY), (10, 8 * DAY - 60 * 60 / 5)] {
        let given = given(days);
        let found = Found {
            given,
            ..Found::default()
        };
        let taken = plan(&self::valid(GIVEN), &hosts, &found, NOW).unwrap();
        assert_eq!(due(&taken, "secure"), written(NOW + due_on));
    }
}

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_is_there_stays_until_it_must_be_renewed() {
    let (valid, hosts) = (valid(OWN), hosts(&["localhost"]));
    let first = plan(&valid, &hosts, &Found::default(), NOW).unwrap();
    let files: Vec<&String> = first.files.keys().collect();
    let wanted = [
        "brokers.ca.pem",
        "brokers.made-of",
        "brokers.pem",
        "brokers.signers.pem",
        "secure.ca.pem",
        "secure.made-of",
        "secure.pem",
        "secure.signers.pem",
    ];
    assert_eq!(files, wanted);
    let names: Vec<&str> = first.told.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["ca", "users-ca", "brokers", "secure"]);
    assert_eq!(
        first.files["secure.ca.pem"],
        first.users.as_ref().unwrap().trusted().into_bytes(),
        "clients are those whom the users' authority signed"
    );
    assert_ne!(first.files["secure.ca.pem"], first.files["brokers.ca.pem"]);

    let again = plan(&valid, &hosts, &found(&first), NOW + 59 * DAY).unwrap();
    assert_eq!(again.files, first.files);
    let later = plan(&valid, &hosts, &found(&first), NOW + 61 * DAY).unwrap();
    assert_ne!(later.files["secure.pem"], first.files["secure.pem"]);
    assert_eq!(later.files["brokers.ca.pem"], first.files["brokers.ca.pem"]);
    let moved = plan(&valid, &["elsewhere".to_owned()], &found(&first), NOW).unwrap();
    assert_ne!(moved.files["brokers.pem"], first.files["brokers.pem"]);
    let back = plan(&valid, &hosts, &found(&moved), NOW).unwrap();
    assert_eq!(back.files, moved.files, "a host that was there once stays");
    let later = plan(&valid, &hosts, &found(&moved), NOW + 61 * DAY).unwrap();
    let made_of = String::from_utf8(later.files["brokers.made-of"].clone()).unwrap();
    assert!(
        made_of.ends_with(" localhost"),
        "until it is renewed: {made_of}"
    );
}

#[test]
fn an_authority_that_is_renewed_signs_all_anew_once_it_is_trusted() {
    let (valid, hosts) = (valid(OWN), hosts(&["localhost"]));
    let mut planned = plan(&valid, &hosts, &Found::default(), NOW).unwrap();
    let first = planned.authority.as_ref().unwrap().signer.clone();
    let mut now = NOW;
    while planned.authority.as_ref().unwrap().signer == first {
        now += DAY / 2;
        assert!(now < NOW + 5 * 365 * DAY, "not before it expires");
        planned = plan(&valid, &hosts, &found(&planned), now).unwrap();
    }
    let trusted = String::from_utf8(planned.files["brokers.ca.pem"].clone()).unwrap();
    assert!(
        trusted.contains(&first.certificate),
        "the old one is trusted"
    );
    assert!(trusted.contains(&planned.authority.as_ref().unwrap().signer.certificate));
}

#[test]
fn a_certificate_of_somebody_elses_is_taken_while_it_can_be_used() {
    let (valid, hosts) = (valid(GIVEN), hosts(&["localhost"]));
    let one = sign_itself("web", NOW, 9 * DAY).unwrap();
    let other = sign_itself("web", NOW, 9 * DAY).unwrap();
    let secret = |pair: &Pair, key: &str| {
        let parts = [("tls.crt", pair.certificate.as_str()), ("tls.key", key)];
        let parts = parts.map(|(key, text)| (key.to_owned(), text.as_bytes().to_vec()));
        BTreeMap::from([("web".to_owned(), Ok(Some(Data::from(parts))))])
    };
    let give = |found: Found, given| plan(&valid, &hosts, &Found { given, ..found }, NOW).unwrap();
    let says = |planned: &Planned| {
        let verdicts = planned.verdicts.iter();
        let said = verdicts.map(|verdict| (verdict.reason.word, verdict.message.clone()));
        said.collect::<Vec<_>>()
    };
    let before = give(Found::default(), BTreeMap::new());
    assert_eq!(before.without, BTreeSet::from(["secure".to_owned()]));
    assert_eq!(says(&before)[0].0, "SecretNotFound");

    let good = give(found(&before), secret(&one, &one.key));
    assert_eq!(says(&good), []);
    assert_eq!(good.files["secure.pem"], one.keystore());
    assert_eq!(good.told.last().unwrap().secret_name, "web");

    for given in [secret(&other, &one.key), BTreeMap::new()] {
        let kept = give(found(&good), given);
        assert_eq!(kept.files["secure.pem"], one.keystore());
        let (_, message) = &says(&kept)[0];
        assert!(
            message.ends_with("the certificate before stays in use."),
            "{message}"
        );
        assert_eq!(kept.without, BTreeSet::new());
        assert_eq!(kept.trusted("secure"), Some(one.certificate.clone()));
    }
    let new = give(found(&good), secret(&other, &other.key));
    assert_eq!(new.files["secure.pem"], other.keystore());
}

#[test]
fn files_that_brokers_run_with_stay() {
    let hosts = hosts(&["localhost"]);
    let first = plan(&valid(OWN), &hosts, &Found::default(), NOW).unwrap();
    let mut found = found(&first);
    found.running.insert("secure".to_owned());
    let other = OWN.replace("secure", "other");
    let next = plan(&valid(&other), &hosts, &found, NOW).unwrap();
    let trusted = next.trusted("secure");
    assert_eq!(
        trusted,
        Some(first.authority.as_ref().unwrap().trusted()),
        "clients as well"
    );
    assert!(next.files.contains_key("secure.pem") && next.files.contains_key("other.pem"));
    found.running.clear();
    let last = plan(&valid(&other), &hosts, &found, NOW).unwrap();
    assert!(!last.files.contains_key("secure.pem"));
}

#[test]
fn an_authority_that_somebody_spoiled_is_told_and_not_made_anew() {
    let hosts = hosts(&["localhost"]);
    let spoiled = Data::from([("ca.crt".to_owned(), b"x".to_vec())]);
    let found_before = Found {
        authority: Some(spoiled.clone()),
        ..Found::default()
    };
    let refused = plan(&valid(OWN), &hosts, &found_before, NOW).unwrap_err();
    assert_eq!(refused.reason.word, "CertificateRefused");
    assert!(refused.message.contains("orders.ca"), "{}", refused.message);

    let first = plan(&valid(OWN), &hosts, &Found::default(), NOW).unwrap();
    let other = sign_itself("other", NOW, DAY).unwrap();
    let mut mixed = first.authority.as_ref().unwrap().data();
    mixed.insert("ca.key".to_owned(), other.key.into_bytes());
    for spoiled in [spoiled, mixed] {
        let mut found = found(&first);
        found.authority = Some(spoiled);
        let kept = plan(&valid(OWN), &hosts, &found, NOW + 61 * DAY).unwrap();
        assert_eq!(kept.files, first.files, "what there is stays");
        assert_eq!(kept.verdicts.len(), 1);
        assert!(kept.users.is_some(), "the other one goes on");
    }
    let mut found = found(&first);
    found.users = Some(Data::new());
    let kept = plan(&valid(OWN), &hosts, &found, NOW + 61 * DAY).unwrap();
    assert_eq!(kept.files["secure.ca.pem"], first.files["secure.ca.pem"]);
    assert_ne!(kept.files["secure.pem"], first.files["secure.pem"]);
}

#[test]
fn an_authority_that_was_deleted_is_trusted_until_it_expires() {
    let hosts = hosts(&["localhost"]);
    let first = plan(&valid(OWN), &hosts, &Found::default(), NOW).unwrap();
    let found = Found {
        files: first.files.clone(),
        ..Found::default()
    };
    let next = plan(&valid(OWN), &hosts, &found, NOW + DAY).unwrap();
    for (before, now) in [
        (first.authority, &next.authority),
        (first.users, &next.users),
    ] {
        let (before, now) = (before.unwrap(), now.as_ref().unwrap());
        assert_ne!(before, *now);
        assert!(now.trusted().contains(&before.signer.certificate));
    }
}
