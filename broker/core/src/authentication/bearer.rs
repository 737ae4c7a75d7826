//! OAUTHBEARER (RFC 7628): a client shows a token that somebody else has signed.
//!
//! ```text
//! client  n,,^Aauth=Bearer TOKEN^A^A
//! server  nothing, and the client is in; or {"status":"invalid_token"}
//! client  ^A, and is told that it failed
//! ```

use super::Users;
use super::jwt::Bearer;

const SEPARATOR: char = '\x01';

/// What a client is told whose token is not taken, whatever is wrong with it.
pub(super) const INVALID_TOKEN: &str = "{\"status\":\"invalid_token\"}";

/// What came of the client's first message.
pub(super) enum Judged {
    /// The token is of this one.
    Taken(Bearer),
    /// It is not taken; why, for who keeps the broker.
    Refused(String),
}

/// Judges the client's first message.
///
/// # Errors
/// Kafka's sentence why nobody has logged in.
pub(super) fn judge(message: &[u8], users: &dyn Users) -> Result<Judged, String> {
    let read = First::read(message);
    let first = read.ok_or_else(|| "Invalid OAUTHBEARER client first message".to_owned())?;
    let bearer = match users.bearer(first.token) {
        Ok(bearer) => bearer,
        Err(refused) => return Ok(Judged::Refused(refused.to_string())),
    };
    if !first.authorization_id.is_empty() && first.authorization_id != bearer.name {
        return Err(
            "Authentication failed: Client requested an authorization id that is different from \
             the token's principal name"
                .to_owned(),
        );
    }
    Ok(Judged::Taken(bearer))
}

struct First<'a> {
    authorization_id: String,
    token: &'a str,
}

impl<'a> First<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let (authorization_id, rest) = text.strip_prefix("n,")?.split_once(',')?;
        let authorization_id = match authorization_id {
            "" => String::new(),
            named => super::scram::sasl_name(named.strip_prefix("a=")?)?,
        };
        let pairs = rest.strip_prefix(SEPARATOR)?.strip_suffix("\x01\x01")?;
        let mut token = None;
        for pair in pairs.split(SEPARATOR) {
            let (key, value) = pair.split_once('=')?;
            // other pairs are extensions, of which nothing here goes by any
            if key == "auth" && token.replace(value).is_some() {
                return None;
            }
        }
        let (scheme, token) = token?.split_once(' ')?;
        let token = token.trim_start_matches(' ');
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(Self {
            authorization_id,
            token,
        })
    }
}
