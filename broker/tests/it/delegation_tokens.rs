//! Delegation tokens: who gets one, who it logs in as, and until when.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ottla_broker::config::Settings;
use ottla_broker::node::{Node, Surroundings};
use ottla_client::Connection;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::*;
use tokio::net::TcpStream;

use crate::login::{handshake, log_in, log_in_as, salted, token};

/// A node with a plain listener, of which everybody is a super user, and one of SCRAM.
struct Secure {
    node: Node,
    dir: tempfile::TempDir,
}

impl Secure {
    async fn start(lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "log.dirs={}\nottla.http.listener=\nottla.audit.log={}\n\
             listeners=PLAIN://127.0.0.1:0,SECURE://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_PLAINTEXT\n\
             sasl.enabled.mechanisms=SCRAM-SHA-256\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:root\n{lines}",
            at("data"),
            at("audit.log"),
        );
        let settings = Settings::from_properties("test", &text).unwrap();
        let node = Node::start(settings, Surroundings::real()).await.unwrap();
        node.ready().await;
        let secure = Self { node, dir };
        let mut admin = secure.connect(0).await;
        let salt = Bytes::from_static(b"0123456789");
        let upsertion = |name: &str| ScramCredentialUpsertion {
            name: name.to_owned(),
            mechanism: 1,
            iterations: 4096,
            salted_password: Bytes::copy_from_slice(&salted("pencil", &salt, 4096)),
            salt: salt.clone(),
        };
        let request = AlterUserScramCredentialsRequest {
            upsertions: ["root", "alice", "bob"].map(upsertion).to_vec(),
            ..Default::default()
        };
        let answer = admin.exchange(&request, 0).await.unwrap();
        assert!(answer.results.iter().all(|result| result.error_code == 0));
        secure
    }

    /// A connection to the plain listener or to the secure one.
    async fn connect(&self, listener: usize) -> Connection<TcpStream> {
        let address = &self.node.bootstrap()[listener];
        let stream = TcpStream::connect(address).await.unwrap();
        Connection::new(stream, "test", 1 << 20)
    }

    async fn user(&self, name: &str) -> Connection<TcpStream> {
        let mut connection = self.connect(1).await;
        let answer = log_in(&mut connection, name, "pencil").await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
        connection
    }

    /// A connection that has shown that token, and what it was answered.
    async fn by_token(
        &self,
        id: &str,
        hmac: &[u8],
    ) -> (Connection<TcpStream>, SaslAuthenticateResponse) {
        let mut connection = self.connect(1).await;
        let first = format!("n={id},r=abc,tokenauth=true");
        let answer = log_in_as(&mut connection, &first, &BASE64.encode(hmac)).await;
        (connection, answer)
    }

    /// The audit log once so many of its lines have these words.
    async fn audit(&self, words: &str, count: usize) -> String {
        let is_there = async {
            loop {
                let text = std::fs::read_to_string(self.dir.path().join("audit.log")).unwrap();
                if text.lines().filter(|line| line.contains(words)).count() >= count {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let text = tokio::time::timeout(Duration::from_secs(20), is_there).await;
        text.expect("it tells of that")
    }

    async fn allow(&self, user: &str, resource: (i8, &str), operation: i8) {
        let creation = AclCreation {
            resource_type: resource.0,
            resource_name: resource.1.to_owned(),
            resource_pattern_type: 3,
            principal: format!("User:{user}"),
            host: "*".to_owned(),
            operation,
            permission_type: 3,
        };
        let creations = vec![creation];
        let mut admin = self.connect(0).await;
        let answer = admin.exchange(&CreateAclsRequest { creations }, 3).await;
        assert_eq!(answer.unwrap().results[0].error_code, 0);
    }
}

async fn create(
    connection: &mut Connection<TcpStream>,
    owner: Option<&str>,
) -> CreateDelegationTokenResponse {
    let request = CreateDelegationTokenRequest {
        owner_principal_type: owner.map(|_| "User".to_owned()),
        owner_principal_name: owner.map(str::to_owned),
        renewers: Vec::new(),
        max_lifetime_ms: -1,
    };
    connection.exchange(&request, 3).await.unwrap()
}

/// The error, and the ids of the tokens that are shown.
async fn describe(
    connection: &mut Connection<TcpStream>,
    owners: Option<&[&str]>,
) -> (ErrorCode, Vec<String>) {
    let owner = |name: &&str| DescribeDelegationTokenOwner {
        principal_type: "User".to_owned(),
        principal_name: (*name).to_owned(),
    };
    let request = DescribeDelegationTokenRequest {
        owners: owners.map(|owners| owners.iter().map(owner).collect()),
    };
    let answer = connection.exchange(&request, 3).await.unwrap();
    let ids = answer.tokens.into_iter().map(|token| token.token_id);
    (ErrorCode::from(answer.error_code), ids.collect())
}

async fn expire(connection: &mut Connection<TcpStream>, hmac: &Bytes, period_ms: i64) -> ErrorCode {
    let request = ExpireDelegationTokenRequest {
        hmac: hmac.clone(),
        expiry_time_period_ms: period_ms,
    };
    let answer = connection.exchange(&request, 2).await.unwrap();
    ErrorCode::from(answer.error_code)
}

/// Whether the client may see ACLs, as a super user may.
async fn is_super(connection: &mut Connection<TcpStream>) -> bool {
    let describe = DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    connection.exchange(&describe, 3).await.unwrap().error_code == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_logs_in_as_its_owner_and_makes_no_other_token() {
    let secure = Secure::start("delegation.token.secret.key=s3cret\n").await;
    let mut root = secure.user("root").await;
    let made = create(&mut root, None).await;
    assert_eq!((made.error_code, made.principal_name.as_str()), (0, "root"));
    assert_eq!(made.max_timestamp_ms - made.issue_timestamp_ms, 604_800_000);
    let (mut by_token, answer) = secure.by_token(&made.token_id, &made.hmac).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let lifetime_ms = answer.session_lifetime_ms;
    assert!(
        (86_000_000..=86_400_000).contains(&lifetime_ms),
        "{lifetime_ms}"
    );
    assert!(is_super(&mut by_token).await, "it is root");
    let not_allowed = ErrorCode::DelegationTokenRequestNotAllowed;
    let refused = create(&mut by_token, None).await;
    assert_eq!(
        (refused.error_code, refused.hmac.len()),
        (not_allowed.code(), 0)
    );
    assert_eq!(expire(&mut by_token, &made.hmac, -1).await, not_allowed);
    assert_eq!(
        describe(&mut by_token, None).await,
        (not_allowed, Vec::new())
    );
    let mut plain = secure.connect(0).await;
    assert_eq!(
        create(&mut plain, None).await.error_code,
        not_allowed.code()
    );

    // its id is no user, another's HMAC and another id are nothing, nor is it a token any more
    // once it has ended
    let mut connection = secure.connect(1).await;
    let password = BASE64.encode(&made.hmac);
    let as_user = log_in(&mut connection, &made.token_id, &password).await;
    let (_, wrong) = secure.by_token(&made.token_id, b"wrong").await;
    let (_, unknown) = secure.by_token("unknown", &made.hmac).await;
    assert_eq!(expire(&mut root, &made.hmac, 0).await, ErrorCode::None);
    let (_, over) = secure.by_token(&made.token_id, &made.hmac).await;
    let leaked = create(&mut root, None).await;
    let (mut stranger, answer) = secure.by_token(&leaked.token_id, &leaked.hmac).await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    assert!(is_super(&mut stranger).await);
    assert_eq!(expire(&mut root, &leaked.hmac, -1).await, ErrorCode::None);
    let (_, gone) = secure.by_token(&leaked.token_id, &leaked.hmac).await;
    for answer in [as_user, wrong, unknown, over, gone] {
        let failed = ErrorCode::SaslAuthenticationFailed.code();
        assert_eq!(answer.error_code, failed, "{answer:?}");
        let message = answer.error_message.unwrap();
        assert!(message.contains("invalid credentials"), "{message}");
    }
    // nor do connections go on that were let in before
    for connection in [&mut by_token, &mut stranger] {
        let describe = DescribeAclsRequest::default();
        let late = connection.exchange(&describe, 3).await;
        assert!(late.is_err(), "who logged in by it is let go");
    }
    let not_found = ErrorCode::DelegationTokenNotFound;
    assert_eq!(expire(&mut root, &leaked.hmac, -1).await, not_found);
    let audit = secure.audit("authentication failed", 5).await;
    assert!(
        !audit.contains(&password) && !audit.contains("s3cret"),
        "{audit}"
    );
    secure.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_others_are_for_whom_acls_allow_it() {
    let secure = Secure::start("delegation.token.secret.key=s3cret\n").await;
    let (mut alice, mut bob) = (secure.user("alice").await, secure.user("bob").await);
    let made = create(&mut alice, None).await;
    let nothing = (ErrorCode::None, Vec::new());
    let all = (ErrorCode::None, vec![made.token_id.clone()]);
    assert_eq!(describe(&mut alice, None).await, all);
    assert_eq!(describe(&mut alice, Some(&["alice"])).await, all);
    assert_eq!(describe(&mut alice, Some(&["bob"])).await, nothing);
    assert_eq!(describe(&mut alice, Some(&[])).await, nothing);
    assert_eq!(describe(&mut bob, None).await, nothing);
    let mismatch = ErrorCode::DelegationTokenOwnerMismatch;
    assert_eq!(expire(&mut bob, &made.hmac, -1).await, mismatch);
    let (token, user) = (6, 7);
    let (describes, creates, describes_all) = (8, 13, 14);
    secure
        .allow("bob", (token, &made.token_id), describes)
        .await;
    assert_eq!(describe(&mut bob, None).await, all);
    let mut root = secure.user("root").await;
    assert_eq!(describe(&mut root, None).await, all);

    let refused = create(&mut bob, Some("alice")).await;
    let unauthorized = ErrorCode::DelegationTokenAuthorizationFailed.code();
    assert_eq!(refused.error_code, unauthorized);
    secure.allow("bob", (user, "User:alice"), creates).await;
    let of_alice = create(&mut bob, Some("alice")).await;
    assert_eq!(of_alice.error_code, 0, "{}", of_alice.error_code);
    let names = [
        of_alice.principal_name,
        of_alice.token_requester_principal_name,
    ];
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(describe(&mut bob, None).await.1.len(), 2);
    let third = create(&mut alice, None).await;
    assert_eq!(describe(&mut bob, None).await.1.len(), 2);
    secure
        .allow("bob", (user, "User:alice"), describes_all)
        .await;
    assert_eq!(describe(&mut bob, None).await.1.len(), 3);
    // who asked for a token sees it, and has no say in how long it lives
    for hmac in [&of_alice.hmac, &third.hmac] {
        assert_eq!(expire(&mut bob, hmac, -1).await, mismatch);
        assert_eq!(expire(&mut alice, hmac, -1).await, ErrorCode::None);
    }
    secure.node.stop().await;
}

/// Without a secret; and what has ended is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_off_without_a_secret_and_go_when_they_have_ended() {
    let secure = Secure::start("").await;
    let mut root = secure.user("root").await;
    let disabled = ErrorCode::DelegationTokenAuthDisabled;
    assert_eq!(create(&mut root, None).await.error_code, disabled.code());
    assert_eq!(describe(&mut root, None).await, (disabled, Vec::new()));
    secure.node.stop().await;
    let secure = Secure::start(
        "delegation.token.secret.key=s\ndelegation.token.expiry.time.ms=5000\n\
         delegation.token.expiry.check.interval.ms=100\n",
    )
    .await;
    let mut root = secure.user("root").await;
    let made = create(&mut root, None).await;
    let (mut by_token, answer) = secure.by_token(&made.token_id, &made.hmac).await;
    assert!(
        (1..=5000).contains(&answer.session_lifetime_ms),
        "{answer:?}"
    );
    assert!(is_super(&mut by_token).await);
    let forgotten = async {
        while describe(&mut root, None).await.1.contains(&made.token_id) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let forgotten = tokio::time::timeout(Duration::from_secs(20), forgotten).await;
    forgotten.expect("it is forgotten");
    let describe = DescribeAclsRequest::default();
    let late = by_token.exchange(&describe, 3).await;
    assert!(late.is_err(), "who logged in by it is let go");
    secure.node.stop().await;
}

/// A token's credential takes milliseconds to make, once: nobody learns by that which there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_an_answer_takes_tells_of_no_token() {
    let secure = Secure::start("delegation.token.secret.key=s\n").await;
    let mut root = secure.user("root").await;
    let made = create(&mut root, None).await;
    let mut salts = Vec::new();
    for id in [made.token_id.as_str(), made.token_id.as_str(), "none"] {
        let mut connection = secure.connect(1).await;
        assert_eq!(
            handshake(&mut connection, "SCRAM-SHA-256").await.error_code,
            0
        );
        let began = std::time::Instant::now();
        let first = format!("n,,n={id},r=x,tokenauth=true");
        let answer = token(&mut connection, first).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(20), "{id}");
        salts.push(answer.auth_bytes.len());
    }
    assert_eq!(salts[0], salts[2], "nor by the salt");
    secure.node.stop().await;
}
