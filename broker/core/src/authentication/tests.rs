mod oracles;
mod tokens;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ottla_protocol::api::ApiKey;
use ottla_protocol::error::ErrorCode;
use ring::pbkdf2;

use super::certificate::Certificate;
use super::jwt::{Bearer, Refused};
use super::principals::PrincipalRules;
use super::*;

/// `C=SE, ST=Skåne, O="Acme, Inc.", OU="Orders + Co", CN=alice, emailAddress=a@b.se`
const CERTIFICATE: &str = "\
    MIICNjCCAdugAwIBAgIUGfx566EYuXghKE7SXPs3IoWYEgowCgYIKoZIzj0EAwIwcDELMAkGA1UEBhMCU0UxDzAN\
    BgNVBAgMBlNrw6VuZTETMBEGA1UECgwKQWNtZSwgSW5jLjEUMBIGA1UECwwLT3JkZXJzICsgQ28xDjAMBgNVBAMM\
    BWFsaWNlMRUwEwYJKoZIhvcNAQkBFgZhQGIuc2UwHhcNMjYxMTMwMDAwMzI4WhcNMzYxMTI3MDAwMzI4WjBwMQsw\
    CQYDVQQGEwJTRTEPMA0GA1UECAwGU2vDpW5lMRMwEQYDVQQKDApBY21lLCBJbmMuMRQwEgYDVQQLDAtPcmRlcnMg\
    KyBDbzEOMAwGA1UEAwwFYWxpY2UxFTATBgkqhkiG9w0BCQEWBmFAYi5zZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\
    A0IABIVXmm/F7J0sUVgGVAVjEOfyvaen0ua98gr+Np9rtOrabs46+hONKAkrsVNaDbHPXm/wntQnzIqwmCx6jeCo\
    5bCjUzBRMB0GA1UdDgQWBBSloXTxA9ui/Ii/9aiNzftFOlAEQjAfBgNVHSMEGDAWgBSloXTxA9ui/Ii/9aiNzftF\
    OlAEQjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQC2HYqY5bcLMOpemHDOINEOBrElBwXj21of\
    3b3/kDH02AIhAOI1EOWwY+FdWdsgPLZ0bkL8tp60V35r0W8qB0IMDrZw";

/// As Java's `X500Principal.getName()` writes it.
const SUBJECT: &str = "1.2.840.113549.1.9.1=#16066140622e7365,CN=alice,OU=Orders \\+ Co,\
                       O=Acme\\, Inc.,ST=Skåne,C=SE";

#[test]
fn a_subject_is_written_as_java_does_it() {
    let der = BASE64.decode(CERTIFICATE).unwrap();
    let read = Certificate::read(&der).unwrap();
    assert_eq!(read.subject, SUBJECT);
    assert_eq!(
        (read.not_before, read.not_after),
        (1_795_997_008, 2_111_357_008)
    );
}

#[test]
fn bytes_that_are_no_certificate_are_none() {
    let der = BASE64.decode(CERTIFICATE).unwrap();
    for end in 0..der.len() {
        assert_eq!(Certificate::read(&der[..end]), None);
    }
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            let _ = Certificate::read(&changed); // whatever it is, it is no panic
        }
    }
}

#[test]
fn the_first_rule_that_fits_gives_the_name() {
    let named = |rules: &str, subject: &str| PrincipalRules::parse(rules).unwrap().name(subject);
    for (rules, subject, name) in [
        ("", "CN=a", Some("CN=a")),
        ("DEFAULT", "CN=a,OU=b", Some("CN=a,OU=b")),
        (
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/",
            "CN=kafka,OU=ServiceUsers,O=U",
            Some("kafka"),
        ),
        (
            "RULE:^CN=(.*?),OU=(.*?),O=.*$/$1@$2/",
            "CN=kafka,OU=S,O=U",
            Some("kafka@S"),
        ),
        (
            "RULE:^CN=(.*?),.*$/$1/L, DEFAULT",
            "CN=Kafka,OU=S",
            Some("kafka"),
        ),
        ("RULE:^CN=(.*?),.*$/$1/U,DEFAULT", "OU=x", Some("OU=x")),
        ("RULE:CN=a/b/", "CN=aa", None),
        ("RULE:CN=(.*)/$1$7\\$1/", "CN=a", Some("a$7$1")),
        ("RULE:CN=a\\/b/c/", "CN=a/b", Some("c")),
    ] {
        assert_eq!(
            named(rules, subject).as_deref(),
            name,
            "{rules} of {subject}"
        );
    }
    for wrong in ["RULE:a/b", "RULE:(/a/", "OTHER", "DEFAULT DEFAULT"] {
        assert!(PrincipalRules::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn users_of_plain_stand_in_the_options_of_their_module() {
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let text = format!("{module} required username=\"x\" user_a=\"p;\\\"q\" user_b=r;");
    let users = jaas::plain_users(&text).unwrap();
    assert_eq!(users.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((users["a"].reveal(), users["b"].reveal()), ("p;\"q", "r"));
    assert_eq!(format!("{users:?}"), "{\"a\": Secret, \"b\": Secret}");
    for wrong in [
        "",
        module,
        "m required ;",
        "m required a=\"b;",
        "m required a=b",
    ] {
        assert!(jaas::plain_users(wrong).is_err(), "{wrong}");
    }
}

/// `user` with the password `pencil` by SHA-256, as in RFC 7677; `alice` with `secret` by PLAIN.
struct Few {
    passwords: BTreeMap<String, Secret>,
    credential: Credential,
    /// How often a credential of nobody was made.
    stand_ins: Cell<usize>,
}

const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

impl Few {
    fn new() -> Self {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(4096).unwrap();
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            &salt,
            b"pencil",
            &mut salted,
        );
        let salt = Bytes::from(salt);
        Self {
            passwords: [("alice".to_owned(), Secret::new("secret"))].into(),
            credential: Credential::of(Mechanism::ScramSha256, salt, 4096, &salted),
            stand_ins: Cell::new(0),
        }
    }
}

impl Users for Few {
    fn password(&self, user: &str) -> Option<&Secret> {
        self.passwords.get(user)
    }

    fn credential(&self, user: &str, mechanism: Mechanism) -> Option<&Credential> {
        let is_user = user == "user" && mechanism == Mechanism::ScramSha256;
        is_user.then_some(&self.credential)
    }

    fn stand_in(&self, _: Mechanism) -> StandIn<'_> {
        self.stand_ins.set(self.stand_ins.get() + 1);
        StandIn::like(&self.credential)
    }

    fn delegation_token(&self, id: &str, mechanism: Mechanism) -> Option<TokenLogin> {
        (id == "id").then(|| TokenLogin {
            credential: delegation::credential(&Secret::new("s"), id, mechanism),
            owner: "owner".to_owned(),
            until_ms: 60_000,
        })
    }

    fn delegation_token_salt(&self, id: &str, mechanism: Mechanism) -> Option<Bytes> {
        self.stand_ins.set(self.stand_ins.get() + 1);
        Some(delegation::salt(&Secret::new("s"), id, mechanism))
    }

    /// `NAME.SECONDS` is a token of that one, until then.
    fn bearer(&self, token: &str) -> Result<Bearer, Refused> {
        let (name, seconds) = token.split_once('.').ok_or(Refused::Malformed)?;
        let until_ms = seconds.parse::<i64>().map_err(|_| Refused::Signature)? * 1000;
        let name = name.to_owned();
        Ok(Bearer { name, until_ms })
    }
}

fn session(session_max: Option<Duration>) -> Session {
    let mechanisms = vec![
        Mechanism::ScramSha256,
        Mechanism::Plain,
        Mechanism::OAuthBearer,
    ];
    let session_max = mechanisms.iter().filter_map(|m| Some((*m, session_max?)));
    Session::new(Arc::new(Limits {
        session_max: session_max.collect(),
        mechanisms,
        token_bytes_max: 1000,
    }))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// That time by the broker's clock; it was started in 1970.
fn moment(seconds: u64) -> Moment {
    Moment {
        now: at(seconds),
        unix_ms: i64::try_from(seconds).unwrap() * 1000,
    }
}

/// The token that answers this one, or the sentence why there is none.
fn say(session: &mut Session, token: &str) -> Result<String, String> {
    let answer = session.authenticate(moment(0), token.as_bytes(), &Few::new());
    match answer.error {
        ErrorCode::None => Ok(String::from_utf8(answer.token).unwrap()),
        _ => Err(answer.message.unwrap()),
    }
}

const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn scram() -> Session {
    let mut session = session(None);
    let taken = session.handshake(at(0), 1, "SCRAM-SHA-256", NONCE.to_owned());
    assert_eq!(taken, ErrorCode::None);
    session
}

#[test]
fn scram_is_as_in_the_rfc() {
    let mut session = scram();
    assert_eq!(
        say(&mut session, FIRST).unwrap(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    assert_eq!(session.user(), None);
    assert_eq!(
        say(&mut session, FINAL).unwrap(),
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    assert_eq!(session.user().map(|user| &**user), Some("user"));
    assert!(!session.is_over());
}

#[test]
fn what_is_no_proof_logs_nobody_in() {
    let wrong_proof = FINAL.replace("p=dH", "p=dI");
    let other_nonce = FINAL.replace("NEkqO%", "NEkqO");
    let bound = FINAL.replace("biws", "eSws");
    for (name, first, last) in [
        ("a wrong proof", FIRST, wrong_proof.as_str()),
        ("another nonce", FIRST, other_nonce.as_str()),
        ("another binding", FIRST, bound.as_str()),
        ("a proof without an end", FIRST, "c=biws,r=x,p"),
        (
            "a proof that is too short",
            FIRST,
            &FINAL[..FINAL.len() - 8],
        ),
        ("nothing", FIRST, ""),
        (
            "a user in the place of a token",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO,tokenauth=true",
            FINAL,
        ),
        (
            "a token whose HMAC is another",
            "n,,n=id,r=rOprNGfwEbeRWgbNEkqO,tokenauth=true",
            FINAL,
        ),
        ("another user", "n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO", FINAL),
    ] {
        let mut session = scram();
        say(&mut session, first).unwrap();
        say(&mut session, last).expect_err(name);
        assert!(session.is_over() && session.user().is_none(), "{name}");
    }
    for first in [
        "",
        "n",
        "n,,",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=us=er,r=x",
        "n,,n=us=2Ä,r=x",
        "n,a=other,n=user,r=x",
        "p=tls-unique,,n=user,r=x",
        "n,,n=user,r=x,tokenauth=maybe",
        "n,,n=user,r=x,tokenauth=true,more=x",
        "n,,n=user,r=x,other=true",
    ] {
        say(&mut scram(), first).expect_err(first);
    }
}

#[test]
fn nothing_else_is_served_before_a_login() {
    let mut session = session(None);
    let admits = |session: &Session| {
        let all = ApiKey::ALL.iter().copied();
        let served = all.filter(|api| session.admit(at(0), *api).is_ok());
        served.collect::<Vec<_>>()
    };
    let before = [ApiKey::SaslHandshake, ApiKey::ApiVersions];
    assert_eq!(admits(&session), before);
    session.handshake(at(0), 1, "PLAIN", String::new());
    assert_eq!(admits(&session), [ApiKey::SaslAuthenticate]);
    say(&mut session, "\0alice\0secret").unwrap();
    assert_eq!(admits(&session).len(), ApiKey::ALL.len());
    // without a limit of its time nobody needs to log in again
    let again = session.handshake(at(9), 1, "PLAIN", String::new());
    assert_eq!(again, ErrorCode::IllegalSaslState);
    assert!(!session.is_over());
}

#[test]
fn a_token_after_the_login_is_refused_and_changes_nothing() {
    let mut session = session(None);
    session.handshake(at(0), 1, "PLAIN", String::new());
    say(&mut session, "\0alice\0secret").unwrap();
    for token in ["\0alice\0secret", "\0alice\0wrong", ""] {
        assert_eq!(session.admit(at(1), ApiKey::SaslAuthenticate), Ok(()));
        let answer = session.authenticate(moment(1), token.as_bytes(), &Few::new());
        assert_eq!(answer.error, ErrorCode::IllegalSaslState);
        assert_eq!(answer.failure, None);
        assert!(session.is_done() && !session.is_over());
        assert_eq!(session.user().map(|user| &**user), Some("alice"));
    }
    assert_eq!(session.admit(at(1), ApiKey::Fetch), Ok(()));
}

#[test]
fn a_mechanism_that_is_not_enabled_ends_the_connection() {
    for name in ["SCRAM-SHA-512", "GSSAPI", "plain", ""] {
        let mut session = session(None);
        let refused = session.handshake(at(0), 1, name, String::new());
        assert_eq!(refused, ErrorCode::UnsupportedSaslMechanism);
        assert!(session.is_over());
    }
    let listed: Vec<String> = session(None).mechanisms().collect();
    assert_eq!(listed, ["SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"]);
}

#[test]
fn bare_tokens_follow_a_handshake_of_version_0() {
    let mut session = session(None);
    session.handshake(at(0), 0, "PLAIN", String::new());
    assert_eq!(session.expected(), Expected::Token);
    assert!(session.admit(at(0), ApiKey::SaslAuthenticate).is_err());
    say(&mut session, "\0alice\0secret").unwrap();
    assert_eq!(session.expected(), Expected::Request);
}

#[test]
fn a_session_ends_unless_its_user_logs_in_again() {
    let logged_in = || {
        let mut session = session(Some(at(10)));
        session.handshake(at(0), 1, "PLAIN", String::new());
        let answer = session.authenticate(moment(0), b"\0alice\0secret", &Few::new());
        assert_eq!(answer.session_lifetime_ms, 10_000);
        session
    };
    let mut session = logged_in();
    assert_eq!(session.admit(at(9), ApiKey::Fetch), Ok(()));
    assert_eq!(
        session.admit(at(10), ApiKey::Fetch),
        Err(Unexpected::Expired)
    );
    assert_eq!(session.admit(at(10), ApiKey::SaslHandshake), Ok(()));
    assert_eq!(
        session.handshake(at(8), 1, "PLAIN", String::new()),
        ErrorCode::None
    );
    assert!(session.admit(at(8), ApiKey::Fetch).is_err());
    let answer = session.authenticate(moment(8), b"\0alice\0secret", &Few::new());
    assert_eq!(answer.error, ErrorCode::None);
    assert_eq!(session.admit(at(17), ApiKey::Fetch), Ok(()));
    // as Kafka has it: at once after the first login, and then not twice within a second
    let mut session = logged_in();
    let mut ask = |millis| {
        let now = Duration::from_millis(millis);
        let error = session.handshake(now, 1, "PLAIN", String::new());
        if error == ErrorCode::None {
            let moment = Moment { now, unix_ms: 0 };
            session.authenticate(moment, b"\0alice\0secret", &Few::new());
        }
        error
    };
    assert_eq!(ask(1), ErrorCode::None);
    assert_eq!(ask(1000), ErrorCode::IllegalSaslState);
    assert_eq!(ask(1001), ErrorCode::None);
    // as somebody else, or by another mechanism: no
    let mut users = Few::new();
    users.passwords.insert("bob".to_owned(), Secret::new("b"));
    let mut session = logged_in();
    session.handshake(at(8), 1, "PLAIN", String::new());
    let answer = session.authenticate(moment(8), b"\0bob\0b", &users);
    assert_eq!(answer.error, ErrorCode::SaslAuthenticationFailed);
    let mut session = logged_in();
    session.handshake(at(8), 1, "SCRAM-SHA-256", String::new());
    say(&mut session, FIRST).expect_err("by another mechanism");
    assert!(session.is_over());
}

#[test]
fn a_token_has_a_limit() {
    let mut session = scram();
    say(&mut session, &format!("{FIRST}{}", "x".repeat(1000))).expect_err("too long");
}

/// Mutations of real messages, and bytes of no sense, by a generator that always does the same.
#[test]
fn whatever_a_client_says_is_no_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let seeds = [
        FIRST,
        FINAL,
        "\0alice\0secret",
        "n,a=user,n=u=2Cser,r=x",
        "n,a=alice,\x01auth=Bearer alice.9\x01x=y\x01\x01",
        "\x01",
        "",
    ];
    let users = Few::new();
    for round in 0..20_000 {
        let mut said = Vec::new();
        for _ in 0..2 {
            let mut message = seeds[draw(seeds.len())].as_bytes().to_vec();
            for _ in 0..draw(4) {
                let at = draw(message.len() + 1);
                match draw(3) {
                    0 => message.insert(at, draw(256) as u8),
                    1 => message.truncate(at),
                    _ if at < message.len() => message[at] = b",=np\0r"[draw(6)],
                    _ => {}
                }
            }
            said.push(message);
        }
        let mut session = session(None);
        let mechanism = ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"][round % 3];
        session.handshake(at(0), 1, mechanism, NONCE.to_owned());
        for message in said {
            if !session.is_over() && !session.is_done() {
                session.authenticate(moment(0), &message, &users);
            }
        }
        let proven = session.user().is_some_and(|user| **user == *"user");
        assert!(!proven || mechanism == "SCRAM-SHA-256");
    }
}
