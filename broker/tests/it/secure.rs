//! Listeners that encrypt and authenticate, and clients that nobody should let in.

#[path = "../../core/src/authentication/pkcs12/tests/stores.rs"]
#[allow(dead_code, reason = "core's own tests use the rest")]
mod stores;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ottla_broker::config::Settings;
use ottla_broker::node::{Node, Surroundings};
use ottla_client::Connection;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::*;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::metadata::MetadataRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::Authority;
use crate::login::{handshake, log_in, salted, token};

const LONG: Duration = Duration::from_secs(20);

pub type Tls = Connection<TlsStream<TcpStream>>;

/// A node with a plain listener and a secure one.
pub struct Secure {
    /// The node.
    pub node: Node,
    /// Who signed its certificate.
    pub authority: Authority,
    dir: tempfile::TempDir,
}

impl Secure {
    /// The secure listener speaks `protocol` and has these settings of its own.
    pub async fn start(protocol: &str, own: &[&str]) -> Self {
        let authority = Authority::new("Test CA");
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("server.pem"), authority.server("broker")).unwrap();
        std::fs::write(file("ca.pem"), authority.pem()).unwrap();
        let own = own
            .iter()
            .map(|line| format!("listener.name.secure.{line}\n"));
        let at = |name: &str| file(name).display().to_string();
        let text = format!(
            "node.id=0\nlog.dirs={}\nottla.http.listener=\n\
             listeners=PLAIN://127.0.0.1:0,SECURE://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
             controller.quorum.voters=0@127.0.0.1:9091\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:{protocol}\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n\
             sasl.enabled.mechanisms=SCRAM-SHA-256\nottla.audit.log={}\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:root;User:ANONYMOUS;User:CN=admin\n{}",
            at("data"),
            at("server.pem"),
            at("ca.pem"),
            at("audit.log"),
            own.collect::<String>(),
        );
        let settings = Settings::from_properties("test", &text).unwrap();
        let node = Node::start(settings, Surroundings::real()).await.unwrap();
        node.ready().await;
        Self {
            node,
            authority,
            dir,
        }
    }

    /// Where the secure listener is.
    pub fn address(&self) -> &str {
        &self.node.bootstrap()[1]
    }

    /// A connection by TLS of that version, with a certificate or without.
    pub async fn connect(
        &self,
        version: &'static SupportedProtocolVersion,
        certificate: Option<&str>,
    ) -> std::io::Result<Tls> {
        connect(self.address(), &self.authority, version, certificate).await
    }

    async fn plain(&self) -> Connection<TcpStream> {
        let stream = TcpStream::connect(&self.node.bootstrap()[0]).await.unwrap();
        let mut connection = Connection::new(stream, "test", 1 << 20);
        connection.negotiate("1").await.unwrap();
        connection
    }

    /// Lets `user` log in with a password by SCRAM-SHA-256.
    pub async fn add_user(&self, user: &str, password: &str) {
        let salt = Bytes::from_static(b"0123456789");
        let request = AlterUserScramCredentialsRequest {
            upsertions: vec![ScramCredentialUpsertion {
                name: user.to_owned(),
                mechanism: 1,
                iterations: 4096,
                salted_password: Bytes::copy_from_slice(&salted(password, &salt, 4096)),
                salt,
            }],
            ..Default::default()
        };
        let answer = self.plain().await.call(&request).await.unwrap();
        assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
    }
}

async fn connect(
    address: &str,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    certificate: Option<&str>,
) -> std::io::Result<Tls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let pem = authority.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = tokio::time::timeout(LONG, connector.connect(name, stream)).await??;
    Ok(Connection::new(stream, "test", 1 << 20))
}

/// Whether the broker closes the connection, and does not answer this request.
async fn is_refused(connection: &mut Tls) -> bool {
    let request = MetadataRequest::default();
    let asked = connection.exchange(&request, 12);
    let answer = tokio::time::timeout(LONG, asked).await;
    answer.expect("it ends").is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_says_who_a_client_is() {
    let rules = "ssl.principal.mapping.rules=RULE:^CN=(.*?),OU=Users$/$1/,RULE:^(CN=.*)$/$1/";
    let secure = Secure::start("SSL", &["ssl.client.auth=required", rules]).await;
    let describe = DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    for version in [&version::TLS12, &version::TLS13] {
        let admin = secure.authority.client("admin");
        let mut admin = secure.connect(version, Some(&admin)).await.unwrap();
        let answer = admin.exchange(&describe, 3).await.unwrap();
        assert_eq!(answer.error_code, 0, "a super user");
        let other = secure.authority.client("other");
        let mut other = secure.connect(version, Some(&other)).await.unwrap();
        let answer = other.exchange(&describe, 3).await.unwrap();
        assert_eq!(
            answer.error_code,
            ErrorCode::ClusterAuthorizationFailed.code()
        );
        let foreign = Authority::new("Test CA").client("admin");
        for certificate in [None, Some(foreign.as_str())] {
            // in TLS 1.3 the client learns of it when it reads
            if let Ok(mut stranger) = secure.connect(version, certificate).await {
                assert!(is_refused(&mut stranger).await, "{certificate:?}");
            }
        }
    }
    secure.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_in_by_scram_and_nothing_is_served_before() {
    let secure = Secure::start("SASL_SSL", &[]).await;
    secure.add_user("root", "pencil").await;
    let tls13 = &version::TLS13;
    let mut good = secure.connect(tls13, None).await.unwrap();
    good.negotiate("1").await.unwrap();
    let answer = log_in(&mut good, "root", "pencil").await;
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
    let listed = good
        .call(&DescribeUserScramCredentialsRequest::default())
        .await;
    let listed = listed.unwrap().results;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].credential_infos[0].iterations, 4096);
    let again = handshake(&mut good, "SCRAM-SHA-256").await;
    assert_eq!(again.error_code, ErrorCode::IllegalSaslState.code());
    // nor is another token taken, and the client stays who it is
    let late = token(&mut good, "n,,n=root,r=abc").await.unwrap();
    assert_eq!(late.error_code, ErrorCode::IllegalSaslState.code());
    let asked = DescribeUserScramCredentialsRequest::default();
    assert_eq!(good.call(&asked).await.unwrap().error_code, 0);

    for (user, password) in [("root", "pen"), ("nobody", "pencil")] {
        let mut bad = secure.connect(tls13, None).await.unwrap();
        let answer = log_in(&mut bad, user, password).await;
        assert_eq!(
            answer.error_code,
            ErrorCode::SaslAuthenticationFailed.code()
        );
        assert!(
            answer
                .error_message
                .unwrap()
                .contains("invalid credentials")
        );
        assert!(is_refused(&mut bad).await);
    }
    let mut early = secure.connect(tls13, None).await.unwrap();
    assert!(is_refused(&mut early).await, "before a login");
    let mut early = secure.connect(tls13, None).await.unwrap();
    let hello = early.exchange(&ApiVersionsRequest::default(), 0).await;
    let keys = hello.unwrap().api_keys;
    assert!(
        keys.iter()
            .any(|api| api.api_key == 36 && api.max_version == 2)
    );
    let wrong = handshake(&mut early, "SCRAM-SHA-512").await;
    assert_eq!(
        (wrong.error_code, wrong.mechanisms),
        (
            ErrorCode::UnsupportedSaslMechanism.code(),
            vec!["SCRAM-SHA-256".to_owned()]
        )
    );
    assert!(is_refused(&mut early).await);
    let audit = std::fs::read_to_string(secure.dir.path().join("audit.log")).unwrap();
    let failed = audit
        .lines()
        .filter(|line| line.contains("authentication failed"));
    assert_eq!(failed.count(), 2, "{audit}");
    assert!(audit.contains("\"api\":\"AlterUserScramCredentials\",\"operation\":\"Alter\""));
    assert!(!audit.contains("pencil"), "{audit}");
    secure.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_too_old_is_made_again_or_ends() {
    let secure = Secure::start("SASL_SSL", &["connections.max.reauth.ms=2000"]).await;
    secure.add_user("root", "pencil").await;
    let mut connection = secure.connect(&version::TLS13, None).await.unwrap();
    let answer = log_in(&mut connection, "root", "pencil").await;
    assert_eq!(answer.session_lifetime_ms, 2000);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = log_in(&mut connection, "root", "pencil").await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let request = MetadataRequest::default();
    connection.exchange(&request, 12).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert!(is_refused(&mut connection).await);
    secure.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_login_is_closed() {
    let secure = Secure::start("SASL_SSL", &[]).await;
    // a frame that is larger than any before a login may be, of which nothing more comes
    let mut large = tls_stream(&secure).await;
    large.write_all(&65_537_i32.to_be_bytes()).await.unwrap();
    assert!(is_closed(&mut large).await, "a large frame");
    // no TLS at all
    let mut plain = TcpStream::connect(secure.address()).await.unwrap();
    plain
        .write_all(b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\0\0")
        .await
        .unwrap();
    assert!(is_closed(&mut plain).await, "no TLS");
    // TLS where there is none
    let mut tls = TcpStream::connect(&secure.node.bootstrap()[0])
        .await
        .unwrap();
    tls.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")
        .await
        .unwrap();
    assert!(is_closed(&mut tls).await, "TLS on a plain listener");
    // a client that says hello again and again, and never logs in
    let mut silent = secure.connect(&version::TLS13, None).await.unwrap();
    let began = std::time::Instant::now();
    let hello = ApiVersionsRequest::default();
    while silent.exchange(&hello, 0).await.is_ok() {
        assert!(began.elapsed() < LONG, "it is let be");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(8));
    secure.node.stop().await;
}

/// Who guesses waits after each guess, whatever the version of its handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_token_that_is_wrong_costs_its_sender_time() {
    let secure = Secure::start("SASL_SSL", &[]).await;
    let mut stream = tls_stream(&secure).await;
    // SaslHandshake of version 0, without a client id
    let mechanism = "SCRAM-SHA-256";
    let mut frame = vec![0, 17, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 13];
    frame.extend_from_slice(mechanism.as_bytes());
    let length = u32::try_from(frame.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[4..6], [0, 0], "no error");
    let began = std::time::Instant::now();
    stream.write_all(b"\0\0\0\x05wrong").await.unwrap();
    assert!(is_closed(&mut stream).await);
    let delay = secure.node.context().settings.authentication_failure_delay;
    assert!(began.elapsed() >= delay, "after {:?}", began.elapsed());
    secure.node.stop().await;
}

async fn tls_stream(secure: &Secure) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let pem = secure.authority.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(secure.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

async fn is_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut rest))
        .await
        .is_ok()
}

/// The subject's serial differs from certificate to certificate, so the bytes tell them apart.
async fn shown(secure: &Secure) -> Option<Vec<u8>> {
    let stream = tls_stream(secure).await;
    let shown = stream.get_ref().1.peer_certificates()?;
    Some(shown.first()?.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_changes_is_taken_if_it_makes_sense() {
    let secure = Secure::start("SSL", &[]).await;
    let keystore = secure.dir.path().join("server.pem");
    let first = shown(&secure).await.unwrap();
    let mut open = secure.connect(&version::TLS13, None).await.unwrap();
    let replace = |text: &str| replace(&keystore, text);
    let key_of_another = {
        let (one, other) = (secure.authority.server("a"), secure.authority.server("b"));
        let chain = one.split("-----BEGIN PRIVATE KEY").next().unwrap();
        let key = &other[other.find("-----BEGIN PRIVATE KEY").unwrap()..];
        format!("{chain}{key}")
    };
    let expired = secure.authority.expired("late");
    for senseless in ["no PEM", &key_of_another, &expired] {
        replace(senseless);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(shown(&secure).await.as_ref(), Some(&first));
    }
    replace(&secure.authority.server("next"));
    let changed = async {
        while shown(&secure).await.as_ref() == Some(&first) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), changed)
        .await
        .expect("it is taken within 5 s");
    let request = MetadataRequest::default();
    open.exchange(&request, 12)
        .await
        .expect("what is open stays");
    secure.node.stop().await;
}

/// A file is in its place whole or not at all, as Kubernetes mounts a Secret.
fn replace(path: &Path, text: &str) {
    let part = path.with_extension("part");
    std::fs::write(&part, text).unwrap();
    std::fs::rename(&part, path).unwrap();
}

/// Keytool's own store serves as keystore and as truststore; a wrong password is one sentence.
#[tokio::test]
async fn a_store_of_pkcs12_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keystore.p12");
    std::fs::write(&file, STANDARD.decode(stores::KEYTOOL).unwrap()).unwrap();
    for (password, why) in [
        ("changeit", None),
        ("wrong", Some("its password is another one")),
    ] {
        let (file, data) = (file.display(), dir.path().join("data"));
        let text = format!(
            "node.id=0\ncontroller.quorum.voters=0@127.0.0.1:9091\nlog.dirs={}\n\
             listeners=PLAIN://127.0.0.1:0,SECURE://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SSL\n\
             ssl.keystore.type=PKCS12\nssl.keystore.location={file}\n\
             ssl.keystore.password={password}\nssl.truststore.type=PKCS12\n\
             ssl.truststore.location={file}\nssl.truststore.password=changeit\n\
             ssl.client.auth=required\nottla.http.listener=\n",
            data.display(),
        );
        let settings = Settings::from_properties("test", &text).unwrap();
        match (Node::start(settings, Surroundings::real()).await, why) {
            (Ok(node), None) => node.stop().await,
            (Err(refused), Some(why)) => {
                let refused = refused.to_string();
                assert!(
                    refused.contains(why) && refused.contains("keystore.p12"),
                    "{refused}"
                );
            }
            (Ok(_), Some(_)) => panic!("{password} is taken"),
            (Err(refused), None) => panic!("{refused}"),
        }
    }
}

#[tokio::test]
async fn certificates_that_make_no_sense_end_a_start_in_a_sentence() {
    let authority = Authority::new("Test CA");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.pem");
    let bare = authority.server("a");
    let bare = bare.split("-----BEGIN PRIVATE KEY").next().unwrap();
    for (content, why) in [
        (None, "server.pem for the listener SECURE: "),
        (Some("no PEM"), "it has no certificate; add one in PEM"),
        (Some(bare), "it has no private key; add it in PEM"),
        (Some(&*authority.expired("late")), "of CN=late expired "),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let text = format!(
            "listeners=PLAIN://127.0.0.1:0,SECURE://127.0.0.1:0\nlog.dirs={}\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SSL\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n",
            dir.path().join("data").display(),
            file.display(),
        );
        let settings = Settings::from_properties("test", &text).unwrap();
        let Err(refused) = Node::start(settings, Surroundings::real()).await else {
            panic!("it starts");
        };
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
