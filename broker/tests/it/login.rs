//! A client's side of logins.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ottla_client::Connection;
use ottla_protocol::messages::access::*;
use ring::{digest, hmac, pbkdf2};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a client makes of a password.
pub fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut salted = [0; 32];
    let rounds = iterations.try_into().unwrap();
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut salted);
    salted
}

/// The next token of an exchange.
pub async fn token<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    token: impl AsRef<[u8]>,
) -> Result<SaslAuthenticateResponse, ottla_client::Error> {
    let request = SaslAuthenticateRequest {
        auth_bytes: Bytes::copy_from_slice(token.as_ref()),
    };
    connection.exchange(&request, 2).await
}

/// Names the mechanism.
pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    mechanism: &str,
) -> SaslHandshakeResponse {
    let request = SaslHandshakeRequest {
        mechanism: mechanism.to_owned(),
    };
    connection.exchange(&request, 1).await.unwrap()
}

/// A client's side of SCRAM-SHA-256, to its last answer.
pub async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    user: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    log_in_as(connection, &format!("n={user},r=abc"), password).await
}

/// The same, by these words of the client's first message.
pub async fn log_in_as<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    bare: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    overheard(connection, bare, password).await.answer
}

/// All that is said in a login.
pub struct Overheard {
    /// The client's first message.
    pub first: String,
    /// What the broker answers to it.
    pub challenge: Bytes,
    /// The client's proof.
    pub proof: String,
    /// The broker's last answer.
    pub answer: SaslAuthenticateResponse,
}

/// The same, and all that was said.
pub async fn overheard<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    bare: &str,
    password: &str,
) -> Overheard {
    let answer = handshake(connection, "SCRAM-SHA-256").await;
    assert_eq!((answer.error_code, answer.mechanisms.len()), (0, 1));
    let first = format!("n,,{bare}");
    let challenged = token(connection, &first).await.unwrap();
    assert_eq!(challenged.error_code, 0, "{challenged:?}");
    let challenge = challenged.auth_bytes;
    let said = String::from_utf8(challenge.to_vec()).unwrap();
    let field = |name: &str| {
        let mut fields = said.split(',');
        fields.find_map(|field| field.strip_prefix(name)).unwrap()
    };
    let salt = BASE64.decode(field("s=")).unwrap();
    let salted = salted(password, &salt, field("i=").parse().unwrap());
    let mac = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let client_key = mac(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let last = format!("c=biws,r={}", field("r="));
    let all = format!("{bare},{said},{last}");
    let signature = mac(stored_key.as_ref(), all.as_bytes());
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    let proof: Vec<u8> = pairs.map(|(key, signature)| key ^ signature).collect();
    let proof = format!("{last},p={}", BASE64.encode(proof));
    let answer = token(connection, &proof).await.unwrap();
    Overheard {
        first,
        challenge,
        proof,
        answer,
    }
}
