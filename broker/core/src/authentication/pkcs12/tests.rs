//! Stores as keytool of Java 17 and OpenSSL 3.0 write them, with the password `changeit`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::authentication::certificate::Certificate;

mod stores;

use stores::{KEYTOOL, KEYTOOL_TRUST, OPENSSL, OPENSSL_LEGACY};

fn bytes(base64: &str) -> Vec<u8> {
    BASE64.decode(base64).unwrap()
}

fn passwords(store: &str) -> Passwords {
    Passwords {
        store: Secret::new(store),
        key: None,
    }
}

#[test]
fn what_keytool_and_openssl_write_is_opened() {
    for (store, has_key) in [(KEYTOOL, true), (OPENSSL, true), (KEYTOOL_TRUST, false)] {
        let store = open(&bytes(store), &passwords("changeit")).unwrap();
        assert_eq!(store.certificates.len(), 1, "{store:?}");
        let certificate = Certificate::read(&store.certificates[0]).unwrap();
        assert_eq!(certificate.subject, "CN=broker");
        assert_eq!(store.key.is_some(), has_key);
        if let Some(key) = store.key {
            // PKCS#8: a version, and the algorithm of the key
            let mut fields = Der(Der(&key).element(SEQUENCE).unwrap());
            assert_eq!(fields.element(INTEGER), Some(&[0][..]));
            assert!(fields.element(SEQUENCE).is_some());
        }
    }
}

#[test]
fn what_is_not_opened_says_why() {
    for store in [KEYTOOL, KEYTOOL_TRUST, OPENSSL, OPENSSL_LEGACY] {
        let refused = open(&bytes(store), &passwords("wrong")).unwrap_err();
        assert_eq!(refused, Refused::Password);
    }
    let with_another_key = Passwords {
        key: Some(Secret::new("another")),
        ..passwords("changeit")
    };
    let refused = open(&bytes(OPENSSL), &with_another_key).unwrap_err();
    assert_eq!(refused, Refused::Password);
    let refused = open(&bytes(OPENSSL_LEGACY), &passwords("changeit")).unwrap_err();
    assert_eq!(refused, Refused::Old);
    for none in [
        &b""[..],
        b"-----BEGIN CERTIFICATE-----",
        b"\xfe\xed\xfe\xed\0\0\0\x02",
    ] {
        let refused = open(none, &passwords("changeit")).unwrap_err();
        assert_eq!(refused, Refused::Malformed);
    }
}

/// The first certificate is the key's, whatever the order in the store, and others are left out.
#[test]
fn a_chain_is_put_in_order() {
    let name = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        [&[SEQUENCE, length][..], text.as_bytes()].concat()
    };
    let certificate = |issuer: &str, subject: &str| {
        let fields = [
            b"\x02\x01\x01\x30\0".to_vec(), // a serial number, an algorithm
            name(issuer),
            b"\x30\0".to_vec(), // no validity
            name(subject),
        ];
        let fields = fields.concat();
        let length = u8::try_from(fields.len()).unwrap();
        let inner = [&[SEQUENCE, length][..], &fields].concat();
        [&[SEQUENCE, length + 2][..], &inner].concat()
    };
    let bag = |is_key, id: Option<&str>, der: Vec<u8>| Bag {
        is_key,
        id: id.map(|id| id.as_bytes().to_vec()),
        der,
    };
    let root = certificate("root", "root");
    let (middle, own) = (certificate("root", "middle"), certificate("middle", "own"));
    let store = sorted(vec![
        bag(false, None, root.clone()),
        bag(false, Some("other"), certificate("x", "other")),
        bag(false, None, middle.clone()),
        bag(true, Some("id"), b"key".to_vec()),
        bag(false, Some("id"), own.clone()),
    ]);
    assert_eq!(store.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(store.certificates, [own, middle, root]);
}

#[test]
fn whatever_a_file_has_is_no_panic_and_takes_no_time() {
    let store = bytes(OPENSSL);
    for end in 0..store.len() {
        open(&store[..end], &passwords("changeit")).unwrap_err();
    }
    for place in (0..store.len()).step_by(29) {
        for bit in [0x01, 0x80] {
            let mut wrong = store.clone();
            wrong[place] ^= bit;
            let _ = open(&wrong, &passwords("changeit"));
        }
    }
    let rounds = |count: &[u8]| number(count).map(bounded);
    assert_eq!(rounds(&[0]), Some(Err(Refused::Malformed)));
    assert_eq!(rounds(&[0x0f, 0x42, 0x41]), Some(Err(Refused::Rounds)));
    assert_eq!(rounds(&[1; 9]), Some(Err(Refused::Rounds)));
    assert_eq!(rounds(&[0x80]), None);
}
