//! A listener where clients log in by tokens that an issuer has signed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use ottla_broker::config::Settings;
use ottla_broker::node::{Node, Surroundings};
use ottla_broker::threads;
use ottla_client::Connection;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::*;
use ottla_protocol::messages::metadata::MetadataRequest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(20);

/// An issuer with one key.
struct Issuer {
    key: EcdsaKeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        Self { key, id }
    }

    fn jwks(&self) -> String {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        format!(
            "{{\"keys\":[{{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"kid\":\"{}\",\
             \"x\":\"{}\",\"y\":\"{}\"}}]}}",
            self.id,
            BASE64.encode(x),
            BASE64.encode(y)
        )
    }

    /// The first message of a client whose token holds for so many seconds.
    fn message(&self, user: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        let header = format!("{{\"alg\":\"ES256\",\"kid\":\"{}\"}}", self.id);
        let claims = format!(
            "{{\"iss\":\"https://issuer\",\"aud\":[\"kafka\"],\"sub\":\"{user}\",\
             \"iat\":{now},\"exp\":{}}}",
            now + seconds
        );
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = BASE64.encode(signature.unwrap());
        format!("n,,\x01auth=Bearer {signed}.{signature}\x01\x01")
    }
}

/// A node whose second listener takes the issuer's tokens.
struct Guarded {
    node: Node,
    issuer: Issuer,
    dir: tempfile::TempDir,
}

impl Guarded {
    async fn start() -> Self {
        let (issuer, dir) = (Issuer::new("one"), tempfile::tempdir().unwrap());
        let path = dir.path().join("jwks");
        std::fs::write(&path, issuer.jwks()).unwrap();
        Self::start_with(issuer, dir, &format!("file://{}", path.display())).await
    }

    /// A node whose issuer's keys are at that address.
    async fn start_with(issuer: Issuer, dir: tempfile::TempDir, keys: &str) -> Self {
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "log.dirs={}\nottla.http.listener=\nottla.audit.log={}\n\
             listeners=PLAIN://127.0.0.1:0,TOKENS://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,TOKENS:SASL_PLAINTEXT\n\
             listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER\n\
             listener.name.tokens.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={keys}\n\
             sasl.oauthbearer.expected.audience=kafka\n\
             sasl.oauthbearer.expected.issuer=https://issuer\n\
             sasl.oauthbearer.clock.skew.seconds=0\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:root\n",
            at("data"),
            at("audit.log"),
        );
        let settings = Settings::from_properties("test", &text).unwrap();
        let node = Node::start(settings, Surroundings::real()).await.unwrap();
        node.ready().await;
        Self { node, issuer, dir }
    }

    async fn connect(&self) -> Connection<TcpStream> {
        let stream = TcpStream::connect(&self.node.bootstrap()[1]).await.unwrap();
        Connection::new(stream, "test", 1 << 20)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

async fn say(connection: &mut Connection<TcpStream>, message: &str) -> SaslAuthenticateResponse {
    try_say(connection, message).await.expect("an answer")
}

/// None where the connection ends.
async fn try_say(
    connection: &mut Connection<TcpStream>,
    message: &str,
) -> Option<SaslAuthenticateResponse> {
    let request = SaslAuthenticateRequest {
        auth_bytes: Bytes::copy_from_slice(message.as_bytes()),
    };
    connection.exchange(&request, 2).await.ok()
}

async fn log_in(connection: &mut Connection<TcpStream>, message: &str) -> SaslAuthenticateResponse {
    try_log_in(connection, message).await.expect("an answer")
}

async fn try_log_in(
    connection: &mut Connection<TcpStream>,
    message: &str,
) -> Option<SaslAuthenticateResponse> {
    let request = SaslHandshakeRequest {
        mechanism: "OAUTHBEARER".to_owned(),
    };
    let answer = connection.exchange(&request, 1).await.unwrap();
    assert_eq!((answer.error_code, answer.mechanisms.len()), (0, 1));
    try_say(connection, message).await
}

/// What the client is answered that asks for all ACLs, or none where the connection ends.
async fn asks(connection: &mut Connection<TcpStream>) -> Option<ErrorCode> {
    let describe = DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    let answer = tokio::time::timeout(LONG, connection.exchange(&describe, 3)).await;
    let answer = answer.expect("an answer, or an end").ok()?;
    Some(ErrorCode::from(answer.error_code))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_says_who_a_client_is_as_long_as_it_holds() {
    let guarded = Guarded::start().await;
    let issuer = &guarded.issuer;
    let mut root = guarded.connect().await;
    let answer = log_in(&mut root, &issuer.message("root", 600)).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let lifetime_ms = answer.session_lifetime_ms;
    assert!((590_000..=600_000).contains(&lifetime_ms), "{lifetime_ms}");
    assert_eq!(asks(&mut root).await, Some(ErrorCode::None));
    let mut other = guarded.connect().await;
    let answer = log_in(&mut other, &issuer.message("other", 600)).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let denied = Some(ErrorCode::ClusterAuthorizationFailed);
    assert_eq!(asks(&mut other).await, denied);

    // the login ends with the token, unless the same user shows another one
    let (mut again, mut late) = (guarded.connect().await, guarded.connect().await);
    for connection in [&mut again, &mut late] {
        let answer = log_in(connection, &issuer.message("root", 4)).await;
        assert!(
            (1..=4000).contains(&answer.session_lifetime_ms),
            "{answer:?}"
        );
        assert_eq!(asks(connection).await, Some(ErrorCode::None));
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = log_in(&mut again, &issuer.message("root", 600)).await;
    assert!(answer.session_lifetime_ms > 500_000, "{answer:?}");
    tokio::time::sleep(Duration::from_millis(3000)).await;
    assert_eq!(asks(&mut again).await, Some(ErrorCode::None));
    assert_eq!(asks(&mut late).await, None, "the token is over");
    let answer = log_in(&mut again, &issuer.message("other", 600)).await;
    assert_eq!(
        answer.error_code,
        ErrorCode::SaslAuthenticationFailed.code()
    );
    assert_eq!(asks(&mut again).await, None);
    guarded.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_a_token_of_another_issuer_is_told_and_let_go() {
    let guarded = Guarded::start().await;
    let foreign = Issuer::new("one").message("root", 600);
    let expired = guarded.issuer.message("root", -1);
    for (message, why) in [
        (&foreign, "the token's signature is not the issuer's"),
        (&expired, "the token's claim exp is over"),
    ] {
        let mut connection = guarded.connect().await;
        let answer = log_in(&mut connection, message).await;
        let told: &[u8] = b"{\"status\":\"invalid_token\"}";
        assert_eq!((answer.error_code, &answer.auth_bytes[..]), (0, told));
        let last = say(&mut connection, "\x01").await;
        assert_eq!(last.error_code, ErrorCode::SaslAuthenticationFailed.code());
        assert_eq!(asks(&mut connection).await, None);
        // a thread of its own writes it
        let written = async {
            loop {
                let audit = std::fs::read_to_string(guarded.file("audit.log")).unwrap_or_default();
                if audit.contains(&format!("authentication failed: {why}")) {
                    return audit;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let audit = tokio::time::timeout(LONG, written).await.expect(why);
        assert!(!audit.contains("eyJ"), "no token is in it: {audit}");
    }
    let mut early = guarded.connect().await;
    log_in(&mut early, &foreign).await;
    let request = MetadataRequest::default();
    let asked = tokio::time::timeout(LONG, early.exchange(&request, 12)).await;
    assert!(asked.expect("it ends").is_err(), "before a login");
    guarded.node.stop().await;
}

/// A client takes the answer that its token is not good for final; so it gets none while nobody can
/// know, and it comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_keys_cannot_be_had_a_good_token_is_not_refused() {
    let (issuer, dir) = (Issuer::new("one"), tempfile::tempdir().unwrap());
    let body = issuer.jwks();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let (answer, go_on) = tokio::sync::watch::channel(false);
    threads::spawn(async move {
        let mut waits = go_on.clone();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if waits.wait_for(|answer| *answer).await.is_err() {
                return;
            }
            let length = body.len();
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    let guarded = Guarded::start_with(issuer, dir, &url).await;
    let message = guarded.issuer.message("root", 600);
    for _ in 0..3 {
        let mut connection = guarded.connect().await;
        let answer = try_log_in(&mut connection, &message).await;
        assert!(answer.is_none(), "it is told {answer:?}");
    }
    let waiting: Vec<_> = guarded.node.context().issuers.without_keys().collect();
    assert_eq!(waiting, ["TOKENS"]);
    answer.send(true).unwrap();
    let taken = async {
        loop {
            let mut connection = guarded.connect().await;
            if let Some(answer) = try_log_in(&mut connection, &message).await {
                assert_eq!((answer.error_code, answer.auth_bytes.len()), (0, 0));
                return asks(&mut connection).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let asked = tokio::time::timeout(LONG, taken).await.expect("in time");
    assert_eq!(asked, Some(ErrorCode::None));
    assert_eq!(guarded.node.context().issuers.without_keys().count(), 0);
    guarded.node.stop().await;
}

/// An issuer that signs by another key is believed once its keys have it, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_while_the_broker_runs() {
    let guarded = Guarded::start().await;
    let next = Issuer::new("two");
    let mut connection = guarded.connect().await;
    let answer = log_in(&mut connection, &next.message("root", 600)).await;
    assert!(!answer.auth_bytes.is_empty(), "it is not known yet");
    let part = guarded.file("part");
    std::fs::write(&part, next.jwks()).unwrap();
    std::fs::rename(&part, guarded.file("jwks")).unwrap();
    let taken = async {
        loop {
            let mut connection = guarded.connect().await;
            let answer = log_in(&mut connection, &next.message("root", 600)).await;
            if answer.auth_bytes.is_empty() {
                return asks(&mut connection).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let asked = tokio::time::timeout(LONG, taken).await.expect("in time");
    assert_eq!(asked, Some(ErrorCode::None));
    let mut old = guarded.connect().await;
    let answer = log_in(&mut old, &guarded.issuer.message("root", 600)).await;
    assert!(!answer.auth_bytes.is_empty(), "the old key is gone");
    guarded.node.stop().await;
}
