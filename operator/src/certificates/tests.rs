use super::authority::{Authority, SPREAD};
use super::*;

const LIFETIME: Lifetime = Lifetime::days(5 * 365, 365);
const NOW: i64 = 1_900_000_000;

fn wanted<'a>(hosts: &'a [String], usage: Use) -> Wanted<'a> {
    Wanted {
        subject: "broker",
        hosts,
        usage,
        lifetime: 90 * DAY,
    }
}

/// Whether somebody who trusts `trusted` talks to a broker that shows `shown`.
fn is_trusted(trusted: &str, shown: &Pair, now: i64) -> bool {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};
    let provider = std::sync::Arc::new(ring::default_provider());
    let roots = std::sync::Arc::new(roots(trusted).unwrap());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
    let verifier = verifier.build().unwrap();
    let (chain, _) = parse(&shown.certificate, &shown.key).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap()));
    let name = ServerName::try_from("b-0.brokers.shop.svc").unwrap();
    let verified = verifier.verify_server_cert(&chain[0], &[], &name, &[], now);
    verified.is_ok()
}

#[test]
fn what_an_authority_signs_is_trusted_by_who_trusts_it() {
    let authority = Authority::new("orders", NOW, LIFETIME).unwrap();
    let hosts = ["*.brokers.shop.svc".to_owned(), "127.0.0.1".to_owned()];
    let broker = sign(&authority.signer, &wanted(&hosts, Use::Broker), NOW).unwrap();
    assert_eq!(check(&broker, NOW), Ok(NOW + 90 * DAY));
    assert!(is_trusted(&authority.trusted(), &broker, NOW));
    assert!(!is_trusted(&authority.trusted(), &broker, NOW + 91 * DAY));
    let other = Authority::new("orders", NOW, LIFETIME).unwrap();
    assert!(!is_trusted(&other.trusted(), &broker, NOW));
    let client = sign(&authority.signer, &wanted(&hosts, Use::Client), NOW).unwrap();
    assert!(!is_trusted(&authority.trusted(), &client, NOW));
}

#[test]
fn what_brokers_would_refuse_is_refused_in_a_sentence() {
    let authority = Authority::new("orders", NOW, LIFETIME).unwrap();
    let good = sign(&authority.signer, &wanted(&[], Use::Broker), NOW).unwrap();
    let other = sign(&authority.signer, &wanted(&[], Use::Broker), NOW).unwrap();
    let pair = |certificate: &str, key: &str| Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (pair, now, says) in [
        (pair("", &good.key), NOW, "tls.crt has no certificate"),
        (
            pair(&good.certificate, "x"),
            NOW,
            "tls.key has no private key",
        ),
        (
            pair(&good.certificate, &other.key),
            NOW,
            "tls.key is not the key of the certificate of CN=broker",
        ),
        (good.clone(), NOW + 93 * DAY, "expired 3 days ago"),
        (good.clone(), NOW - DAY, "has not begun yet"),
    ] {
        let why = check(&pair, now).unwrap_err();
        assert!(why.contains(says), "{why}");
    }
}

/// From one authority to the next somebody who has an old certificate, or trusts what he was told a
/// while ago, goes on.
#[test]
fn an_authority_is_renewed_while_both_are_trusted() {
    let mut authority = Authority::new("orders", NOW, LIFETIME).unwrap();
    let hosts = ["*.brokers.shop.svc".to_owned()];
    let (mut now, mut signers) = (NOW, vec![authority.signer.clone()]);
    let mut told = std::collections::VecDeque::from([authority.trusted()]);
    let mut shown = Vec::new();
    while now < NOW + 12 * 365 * DAY {
        let step = SPREAD / 4;
        now += step;
        authority = authority.renewed("orders", now, LIFETIME).unwrap();
        assert_eq!(
            Authority::read(&authority.data()).as_ref(),
            Some(&authority)
        );
        if signers.last() != Some(&authority.signer) {
            signers.push(authority.signer.clone());
            let broker = sign(&authority.signer, &wanted(&hosts, Use::Broker), now).unwrap();
            for trusted in told.iter().chain([&authority.trusted()]) {
                assert!(
                    is_trusted(trusted, &broker, now),
                    "who was told a while ago"
                );
            }
            shown.push((broker, now));
        }
        let has_changed = told.back() != Some(&authority.trusted());
        for (broker, since) in shown.iter().filter(|_| has_changed) {
            let is_in_time = now < since + 90 * DAY;
            assert!(!is_in_time || is_trusted(&authority.trusted(), broker, now));
        }
        told.push_back(authority.trusted());
        if told.len() > 3 {
            told.pop_front();
        }
        // nothing is signed by what nobody trusts any more
        assert!(expires(&authority.signer.certificate).unwrap() > now);
    }
    assert_eq!(signers.len(), 3, "renewed each four years");
    assert!(authority.trusted().matches("BEGIN").count() <= 3);
}
