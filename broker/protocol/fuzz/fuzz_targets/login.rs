//! What a client says before anybody knows who it is: the tokens of a login, and a certificate.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_core::authentication::certificate::Certificate;
use ottla_core::authentication::{Credential, Limits, Mechanism, Secret, Session, Users};

/// One user, whose password is not in the corpus.
struct One(Secret, Credential);

impl Users for One {
    fn password(&self, user: &str) -> Option<&Secret> {
        (user == "user").then_some(&self.0)
    }

    fn credential(&self, user: &str, _: Mechanism) -> Option<&Credential> {
        (user == "user").then_some(&self.1)
    }

    fn stand_in(&self, _: Mechanism) -> Option<&Credential> {
        Some(&self.1)
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = Certificate::read(input);
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
        session.authenticate(Duration::ZERO, token, &users);
        assert!(session.user().is_none(), "nobody knows the password");
    }
});
