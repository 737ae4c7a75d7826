//! The server's side of SCRAM (RFC 5802, RFC 7677).
//!
//! ```text
//! client  n,,n=user,r=NONCE
//! server  r=NONCE+OURS,s=SALT,i=ITERATIONS
//! client  c=biws,r=NONCE+OURS,p=PROOF
//! server  v=SIGNATURE
//! ```
//!
//! A user that is not there is answered like any other, with a salt that follows from its name and
//! a secret of the cluster, and fails at its proof as with a wrong password. So is a delegation
//! token that is not there, or has ended. What stands in for them is made whoever comes, so that
//! the time it takes tells nothing.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use super::{Mechanism, TokenLogin, Users};

/// The fewest iterations that a credential may have.
pub const ITERATIONS_MIN: i32 = 4096;

/// The most iterations that a credential may have.
pub const ITERATIONS_MAX: i32 = 16_384;

/// Bytes of the salts that Kafka's tool draws.
const SALT_BYTES: usize = 26;

/// What is kept of a password: enough to check who has it, and not it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Drawn by whoever set the password.
    pub salt: Bytes,
    /// The hash of the client's key.
    pub stored_key: Bytes,
    /// With what the broker proves that it knows the credential.
    pub server_key: Bytes,
    /// How often the password was hashed.
    pub iterations: i32,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} iterations)", self.iterations)
    }
}

impl Credential {
    /// The credential of a password that was salted and hashed with that mechanism.
    #[must_use]
    pub fn of(mechanism: Mechanism, salt: Bytes, iterations: i32, salted_password: &[u8]) -> Self {
        let client_key = mac(mechanism, salted_password, b"Client Key");
        let server_key = mac(mechanism, salted_password, b"Server Key");
        Self {
            salt,
            stored_key: Bytes::copy_from_slice(hash(mechanism, client_key.as_ref()).as_ref()),
            server_key: Bytes::copy_from_slice(server_key.as_ref()),
            iterations,
        }
    }

    /// The credential that a user who is not there seems to have. Nobody has its password.
    fn of_nobody(mechanism: Mechanism, user: &str, like: &StandIn) -> Self {
        let mut salt = mac(mechanism, like.secret, user.as_bytes())
            .as_ref()
            .to_vec();
        salt.resize(like.salt_bytes, 0x5a);
        Self::without_password(mechanism, salt.into(), like.iterations)
    }

    /// A credential of that salt which is nobody's.
    fn without_password(mechanism: Mechanism, salt: Bytes, iterations: i32) -> Self {
        let nothing = Bytes::copy_from_slice(mac(mechanism, &salt, b"nobody").as_ref());
        Self {
            salt,
            stored_key: nothing.clone(),
            server_key: nothing,
            iterations,
        }
    }
}

/// What credentials of users who are not there are made of: like those of users who are.
#[derive(Clone, Copy)]
pub struct StandIn<'a> {
    secret: &'a [u8],
    salt_bytes: usize,
    iterations: i32,
}

impl<'a> StandIn<'a> {
    /// Like the credential of somebody, whose key is known to the brokers alone.
    #[must_use]
    pub fn like(somebody: &'a Credential) -> Self {
        Self {
            secret: &somebody.server_key,
            salt_bytes: somebody.salt.len(),
            iterations: somebody.iterations,
        }
    }

    /// Where nobody has a credential: by what is not told before a login.
    #[must_use]
    pub fn by(secret: &'a [u8]) -> Self {
        Self {
            secret,
            salt_bytes: SALT_BYTES,
            iterations: ITERATIONS_MIN,
        }
    }
}

/// What has been said before the client's proof.
#[derive(Debug)]
pub struct Begun {
    mechanism: Mechanism,
    user: String,
    is_known: bool,
    credential: Credential,
    /// When the delegation token ends that the client logs in by, where it is one.
    token_until_ms: Option<i64>,
    /// Its id.
    token_id: Option<Arc<str>>,
    /// The beginning of the client's first message, which it repeats.
    gs2_header: String,
    /// The client's first message without that.
    first_bare: String,
    /// Ours.
    server_first: String,
    /// The client's nonce and ours.
    nonce: String,
}

/// Takes the client's first message; the broker adds `nonce` to the client's.
///
/// # Errors
/// Kafka's sentence why there is no answer.
pub fn begin(
    mechanism: Mechanism,
    message: &[u8],
    nonce: &str,
    users: &dyn Users,
) -> Result<Begun, String> {
    let first = ClientFirst::read(message)
        .ok_or_else(|| "Invalid SCRAM client first message format".to_owned())?;
    if !first.authorization_id.is_empty() && first.authorization_id != first.user {
        return Err(
            "Authentication failed: Client requested an authorization id that is different from \
             username"
                .to_owned(),
        );
    }
    let login = match first.is_by_token {
        true => users.delegation_token(&first.user, mechanism),
        false => users
            .credential(&first.user, mechanism)
            .map(|credential| TokenLogin {
                credential: credential.clone(),
                owner: first.user.clone(),
                until_ms: i64::MAX,
            }),
    };
    let salt = match first.is_by_token {
        true => users.delegation_token_salt(&first.user, mechanism),
        false => None,
    };
    let nobody = match salt {
        Some(salt) => Credential::without_password(mechanism, salt, ITERATIONS_MIN),
        None => Credential::of_nobody(mechanism, &first.user, &users.stand_in(mechanism)),
    };
    let is_known = login.is_some();
    let token_id = first.is_by_token.then(|| first.user.as_str().into());
    let login = login.unwrap_or_else(|| TokenLogin {
        credential: nobody,
        owner: first.user,
        until_ms: i64::MAX,
    });
    let credential = login.credential;
    let nonce = format!("{}{nonce}", first.nonce);
    let salt = BASE64.encode(&credential.salt);
    Ok(Begun {
        mechanism,
        is_known,
        gs2_header: first.gs2_header,
        first_bare: first.bare,
        server_first: format!("r={nonce},s={salt},i={}", credential.iterations),
        user: login.owner,
        credential,
        token_until_ms: first.is_by_token.then_some(login.until_ms),
        token_id,
        nonce,
    })
}

impl Begun {
    /// What the client is answered to its first message.
    #[must_use]
    pub fn server_first(&self) -> &[u8] {
        self.server_first.as_bytes()
    }

    /// When the delegation token ends that the client logs in by, where it is one, in milliseconds
    /// since 1970.
    #[must_use]
    pub fn token_until_ms(&self) -> Option<i64> {
        self.token_until_ms
    }

    /// The id of the delegation token that the client logs in by, where it is one.
    #[must_use]
    pub fn delegation_token(&self) -> Option<Arc<str>> {
        self.token_id.clone()
    }

    /// Takes the client's proof: the user and the last answer, where it is right.
    ///
    /// # Errors
    /// Kafka's sentence why nobody has logged in.
    pub fn finish(self, message: &[u8]) -> Result<(String, Vec<u8>), String> {
        let last = ClientFinal::read(message)
            .ok_or_else(|| "Invalid SCRAM client final message format".to_owned())?;
        if last.nonce != self.nonce || last.channel_binding != self.gs2_header.as_bytes() {
            return Err("Invalid client nonce in the final client message.".to_owned());
        }
        let said = format!(
            "{},{},{}",
            self.first_bare, self.server_first, last.without_proof
        );
        let (mechanism, credential) = (self.mechanism, &self.credential);
        let signature = mac(mechanism, &credential.stored_key, said.as_bytes());
        let proof = last.proof.iter().zip(signature.as_ref());
        let client_key: Vec<u8> = proof.map(|(proof, signature)| proof ^ signature).collect();
        let stored_key = hash(mechanism, &client_key);
        let is_right: bool = stored_key.as_ref().ct_eq(&credential.stored_key).into();
        if !is_right || !self.is_known || last.proof.len() != client_key.len() {
            return Err(format!(
                "Authentication failed during authentication due to invalid credentials with SASL \
                 mechanism {mechanism}"
            ));
        }
        let signature = mac(mechanism, &credential.server_key, said.as_bytes());
        let answer = format!("v={}", BASE64.encode(signature));
        Ok((self.user, answer.into_bytes()))
    }
}

struct ClientFirst {
    gs2_header: String,
    authorization_id: String,
    bare: String,
    user: String,
    nonce: String,
    /// Whether the user is the id of a delegation token.
    is_by_token: bool,
}

impl ClientFirst {
    fn read(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        // the broker offers no channel binding, so the client has none, or thinks that we have none
        let rest = text
            .strip_prefix("n,")
            .or_else(|| text.strip_prefix("y,"))?;
        let (authorization_id, bare) = rest.split_once(',')?;
        let authorization_id = match authorization_id {
            "" => String::new(),
            named => sasl_name(named.strip_prefix("a=")?)?,
        };
        let mut parts = bare.split(',');
        let user = sasl_name(parts.next()?.strip_prefix("n=")?)?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        // no other extension may be passed over
        let is_by_token = match parts.next() {
            None => false,
            Some(extension) => extension.strip_prefix("tokenauth=")?.parse().ok()?,
        };
        if user.is_empty() || !is_nonce(nonce) || parts.next().is_some() {
            return None;
        }
        Some(Self {
            gs2_header: text[..text.len() - bare.len()].to_owned(),
            authorization_id,
            bare: bare.to_owned(),
            user,
            nonce: nonce.to_owned(),
            is_by_token,
        })
    }
}

struct ClientFinal {
    channel_binding: Vec<u8>,
    nonce: String,
    without_proof: String,
    proof: Vec<u8>,
}

impl ClientFinal {
    fn read(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let channel_binding = parts.next()?.strip_prefix("c=")?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        Some(Self {
            channel_binding: BASE64.decode(channel_binding).ok()?,
            nonce: nonce.to_owned(),
            without_proof: without_proof.to_owned(),
            proof: BASE64.decode(proof).ok()?,
        })
    }
}

/// A nonce is printable ASCII.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name in which `=2C` is a comma and `=3D` an equals sign.
pub(super) fn sasl_name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name += before;
        let (code, after) = after.split_at_checked(2)?;
        name.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = after;
    }
    Some(name + rest)
}

fn mac(mechanism: Mechanism, key: &[u8], data: &[u8]) -> hmac::Tag {
    let algorithm = match mechanism {
        Mechanism::ScramSha512 => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), data)
}

fn hash(mechanism: Mechanism, data: &[u8]) -> digest::Digest {
    let algorithm = match mechanism {
        Mechanism::ScramSha512 => &digest::SHA512,
        _ => &digest::SHA256,
    };
    digest::digest(algorithm, data)
}
