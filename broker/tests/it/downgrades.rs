//! Handshakes that are to end up in less than both sides can do: by versions that nobody should
//! speak any more, by somebody in between, and by what was overheard of a login.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use ottla_client::Connection;
use ottla_protocol::error::ErrorCode;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::login::{handshake, overheard, token};
use crate::secure::Secure;

const LONG: Duration = Duration::from_secs(20);

/// Of records of TLS: an alert, and a part of a handshake.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Of alerts: a fatal one, and what it is about.
const FATAL: u8 = 2;
const PROTOCOL_VERSION: u8 = 70;

/// The extension by which a client says that it speaks TLS 1.3.
const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];

/// What ends the random bytes of a server that can do TLS 1.3 and was asked for less (RFC 8446).
const WAS_ASKED_FOR_LESS: &[u8] = b"DOWNGRD\x01";

/// The fatal alert that answers `hello`, if one does.
async fn alert(address: &str, hello: &[u8]) -> Option<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").ok();
    match answer.as_slice() {
        [ALERT, _, _, 0, 2, FATAL, alert] => Some(*alert),
        _ => None,
    }
}

/// A client of TLS 1.2 and 1.3, and its hello.
fn client(secure: &Secure) -> (ClientConnection, Vec<u8>) {
    let mut roots = RootCertStore::empty();
    let pem = secure.authority.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    (client, hello)
}

/// The hello without the word of TLS 1.3; its lengths are set right.
fn stripped(hello: &[u8]) -> Vec<u8> {
    // record: type, version, length; handshake: type, length of three bytes; version, random
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(hello[at]); // session
    at += 2 + number(&hello[at..]); // suites
    at += 1 + usize::from(hello[at]); // compressions
    let extensions = at;
    at += 2;
    while hello[at..at + 2] != SUPPORTED_VERSIONS {
        at += 4 + number(&hello[at + 2..]);
    }
    let length = 4 + number(&hello[at + 2..]);
    let mut stripped = [&hello[..at], &hello[at + length..]].concat();
    for place in [3, 7, extensions] {
        let shorter = number(&stripped[place..]) - length;
        let shorter = u16::try_from(shorter).unwrap().to_be_bytes();
        stripped[place..place + 2].copy_from_slice(&shorter);
    }
    stripped
}

fn number(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_nobody_should_speak_are_refused() {
    let secure = Secure::start("SSL", &[]).await;
    let (_, hello) = client(&secure);
    let stripped_hello = stripped(&hello);
    for minor in 0..=2 {
        // SSL 3.0, TLS 1.0 and TLS 1.1
        let mut old = stripped_hello.clone();
        old[9..11].copy_from_slice(&[3, minor]);
        let alert = alert(secure.address(), &old).await;
        assert_eq!(alert, Some(PROTOCOL_VERSION), "3.{minor}");
    }
    secure.node.stop().await;

    let only_13 = Secure::start("SSL", &["ssl.enabled.protocols=TLSv1.3"]).await;
    let alert = alert(only_13.address(), &stripped_hello).await;
    assert_eq!(alert, Some(PROTOCOL_VERSION), "TLS 1.2");
    only_13.node.stop().await;
}

/// Somebody in between takes the word of TLS 1.3 out of a hello: the broker says that it could do
/// better, and the client goes no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_learns_that_its_hello_was_cut() {
    let secure = Secure::start("SSL", &[]).await;
    let (mut victim, hello) = client(&secure);
    let mut between = TcpStream::connect(secure.address()).await.unwrap();
    between.write_all(&stripped(&hello)).await.unwrap();
    let mut record = vec![0; 5];
    let read = tokio::time::timeout(LONG, between.read_exact(&mut record)).await;
    read.expect("an answer").unwrap();
    assert_eq!(record[0], HANDSHAKE);
    let mut body = vec![0; number(&record[3..])];
    between.read_exact(&mut body).await.unwrap();
    assert_eq!(&body[4..6], [3, 3], "TLS 1.2");
    let random = &body[6..38];
    assert!(random.ends_with(WAS_ASKED_FOR_LESS), "{random:?}");
    record.extend(body);
    victim.read_tls(&mut Cursor::new(record)).unwrap();
    let refused = victim.process_new_packets().unwrap_err().to_string();
    assert!(refused.contains("Downgrade"), "{refused}");
    secure.node.stop().await;
}

/// What somebody overheard of a login, word by word, lets nobody in a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_was_overheard_lets_nobody_in() {
    let secure = Secure::start("SASL_SSL", &[]).await;
    secure.add_user("root", "pencil").await;
    let mut good = secure.connect(&version::TLS13, None).await.unwrap();
    let heard = overheard(&mut good, "n=root,r=abc", "pencil").await;
    assert_eq!(heard.answer.error_code, 0, "{:?}", heard.answer);

    let mut second = secure.connect(&version::TLS13, None).await.unwrap();
    assert_eq!(handshake(&mut second, "SCRAM-SHA-256").await.error_code, 0);
    let first = token(&mut second, &heard.first).await.unwrap();
    assert_ne!(first.auth_bytes, heard.challenge, "each has its own nonce");
    let answer = token(&mut second, &heard.proof).await.unwrap();
    assert_eq!(
        answer.error_code,
        ErrorCode::SaslAuthenticationFailed.code()
    );

    // nor with the nonce of the second connection
    let mut third: Connection<_> = secure.connect(&version::TLS13, None).await.unwrap();
    assert_eq!(handshake(&mut third, "SCRAM-SHA-256").await.error_code, 0);
    let first = token(&mut third, &heard.first).await.unwrap();
    let nonce = |challenge: &[u8]| {
        let said = String::from_utf8(challenge.to_vec()).unwrap();
        said.split(',').next().unwrap().to_owned()
    };
    let proof = heard
        .proof
        .replace(&nonce(&heard.challenge), &nonce(&first.auth_bytes));
    assert_ne!(proof, heard.proof);
    let answer = token(&mut third, &proof).await.unwrap();
    assert_eq!(
        answer.error_code,
        ErrorCode::SaslAuthenticationFailed.code()
    );
    secure.node.stop().await;
}
