//! Logins by tokens that somebody else has signed.

use super::*;

/// The session in which somebody has shown such a message of OAUTHBEARER, and its answer.
fn by_token(session: &mut Session, seconds: u64, message: &str) -> Answer {
    let taken = session.handshake(at(seconds), 1, "OAUTHBEARER", String::new());
    assert_eq!(taken, ErrorCode::None);
    session.authenticate(moment(seconds), message.as_bytes(), &Few::new())
}

#[test]
fn a_token_logs_in_as_in_the_rfc() {
    for message in [
        "n,,\x01auth=Bearer alice.60\x01\x01",
        "n,a=alice,\x01auth=bearer  alice.60\x01\x01",
        "n,,\x01host=a\x01auth=Bearer alice.60\x01port=9092\x01\x01",
    ] {
        let mut session = session(None);
        let answer = by_token(&mut session, 10, message);
        assert_eq!((answer.error, answer.token.len()), (ErrorCode::None, 0));
        assert_eq!(answer.session_lifetime_ms, 50_000);
        assert_eq!(session.user().map(|user| &**user), Some("alice"));
    }
    for message in [
        "",
        "n,,",
        "n,,\x01\x01",
        "n,,\x01auth=Bearer alice.60",
        "n,,\x01auth=Basic alice.60\x01\x01",
        "n,,\x01auth=Bearer\x01\x01",
        "n,,\x01auth=Bearer \x01\x01",
        "n,,\x01auth=Bearer a b\x01\x01",
        "n,,\x01auth=Bearer alice.60\x01auth=Bearer root.60\x01\x01",
        "n,a=root,\x01auth=Bearer alice.60\x01\x01",
        "y,,\x01auth=Bearer alice.60\x01\x01",
        "p=x,,\x01auth=Bearer alice.60\x01\x01",
    ] {
        let mut session = session(None);
        let answer = by_token(&mut session, 10, message);
        assert_eq!(answer.error, ErrorCode::SaslAuthenticationFailed);
        assert!(session.is_over() && session.user().is_none(), "{message:?}");
    }
}

#[test]
fn who_shows_no_token_that_is_taken_is_told_before_it_is_over() {
    for last in ["\x01", "", "n,,\x01auth=Bearer alice.60\x01\x01"] {
        let mut session = session(None);
        let answer = by_token(&mut session, 10, "n,,\x01auth=Bearer alice.soon\x01\x01");
        assert_eq!(answer.error, ErrorCode::None);
        assert_eq!(answer.token, b"{\"status\":\"invalid_token\"}");
        let failure = answer.failure.unwrap();
        assert!(
            failure.ends_with(&Refused::Signature.to_string()),
            "{failure}"
        );
        assert!(session.user().is_none() && !session.is_over());
        assert!(session.admit(at(10), ApiKey::Metadata).is_err());
        let answer = session.authenticate(moment(10), last.as_bytes(), &Few::new());
        assert_eq!(answer.error, ErrorCode::SaslAuthenticationFailed);
        assert_eq!(answer.failure, None, "it was said before");
        assert!(!answer.message.unwrap().contains("signature"));
        assert!(session.is_over() && session.user().is_none());
    }
}

/// Also where the settings give a login no end.
#[test]
fn a_login_by_token_holds_as_long_as_the_token() {
    let token = |name: &str, until| format!("n,,\x01auth=Bearer {name}.{until}\x01\x01");
    let mut short = session(Some(at(30)));
    let answer = by_token(&mut short, 10, &token("alice", 60));
    assert_eq!(answer.session_lifetime_ms, 30_000);
    let mut session = session(None);
    by_token(&mut session, 10, &token("alice", 60));
    assert_eq!(session.admit(at(59), ApiKey::Fetch), Ok(()));
    let expired = Err(Unexpected::Expired);
    assert_eq!(session.admit(at(60), ApiKey::Fetch), expired);
    let answer = by_token(&mut session, 60, &token("alice", 100));
    assert_eq!(answer.session_lifetime_ms, 40_000);
    assert_eq!(session.admit(at(99), ApiKey::Fetch), Ok(()));
    // a token that is at its end holds for a moment, never for ever
    let answer = by_token(&mut session, 100, &token("alice", 90));
    assert_eq!(answer.session_lifetime_ms, 1);
    assert_eq!(session.admit(at(101), ApiKey::Fetch), expired);
    let answer = by_token(&mut session, 102, &token("bob", 200));
    assert_eq!(answer.error, ErrorCode::SaslAuthenticationFailed);
}
