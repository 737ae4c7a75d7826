//! What a client says before anybody knows who it is: the tokens of a login, and a certificate;
//! and the keys that an issuer of tokens shows.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_core::authentication::certificate::Certificate;
use ottla_core::authentication::jwks::Keys;
use ottla_core::authentication::jwt::{Bearer, Expected, Refused};
use ottla_core::authentication::{
    Credential, Limits, Mechanism, Moment, Secret, Session, StandIn, TokenLogin, Users,
};

/// The keys of the example of RFC 7515, of which nobody has the private ones.
const KEYS: &str = include_str!("../corpus/login/keys");

/// One user, whose password is not in the corpus.
struct One(Secret, Credential);

impl Users for One {
    fn password(&self, user: &str) -> Option<&Secret> {
        (user == "user").then_some(&self.0)
    }

    fn credential(&self, user: &str, _: Mechanism) -> Option<&Credential> {
        (user == "user").then_some(&self.1)
    }

    fn stand_in(&self, _: Mechanism) -> StandIn<'_> {
        StandIn::like(&self.1)
    }

    fn delegation_token(&self, id: &str, _: Mechanism) -> Option<TokenLogin> {
        (id == "user").then(|| TokenLogin {
            credential: self.1.clone(),
            owner: id.to_owned(),
            until_ms: 1,
        })
    }

    fn delegation_token_salt(&self, _: &str, _: Mechanism) -> Option<Bytes> {
        Some(self.1.salt.clone())
    }

    fn bearer(&self, token: &str) -> Result<Bearer, Refused> {
        let keys = Keys::read(KEYS.as_bytes()).expect("they are in the corpus");
        let expected = Expected {
            audiences: vec!["kafka".to_owned()],
            issuer: "issuer".to_owned(),
            scope_claim: "scope".to_owned(),
            sub_claim: "sub".to_owned(),
            skew_ms: 0,
        };
        expected.judge(token, &keys, 0)
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = (Certificate::read(input), Keys::read(input));
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let mechanism = Mechanism::ALL[usize::from(*first) % Mechanism::ALL.len()];
    let (salt, salted) = (Bytes::from_static(b"salt"), b"salted and hashed");
    let users = One(
        Secret::new("a password that nobody guesses"),
        Credential::of(mechanism, salt, 4096, salted),
    );
    let limits = Limits {
        mechanisms: Mechanism::ALL.to_vec(),
        token_bytes_max: 1 << 16,
        ..Limits::default()
    };
    let mut session = Session::new(Arc::new(limits));
    session.handshake(Duration::ZERO, 1, mechanism.name(), "nonce".to_owned());
    for token in rest.split(|byte| *byte == 0xff) {
        if session.is_over() {
            break;
        }
        session.authenticate(Moment::default(), token, &users);
        assert!(session.user().is_none(), "nobody knows the password");
    }
});
