//! PLAIN (RFC 4616): `authorization id NUL user NUL password`.

use super::{Secret, Users};

/// Who has logged in; or Kafka's sentence why nobody has.
pub(super) fn judge(token: &[u8], users: &dyn Users) -> Result<String, String> {
    let text = std::str::from_utf8(token);
    let text = text.map_err(|_| "Authentication failed: invalid UTF-8".to_owned())?;
    let parts: Vec<&str> = text.split('\0').collect();
    let &[authorization_id, user, password] = parts.as_slice() else {
        let found = parts.len();
        return Err(format!(
            "Invalid SASL/PLAIN response: expected 3 tokens, got {found}"
        ));
    };
    if user.is_empty() {
        return Err("Authentication failed: username not specified".to_owned());
    }
    if password.is_empty() {
        return Err("Authentication failed: password not specified".to_owned());
    }
    let known = users.password(user);
    // a user that is not there takes as long as a wrong password
    let is_right = known.unwrap_or(&Secret::default()).is(password.as_bytes());
    if known.is_none() || !is_right {
        return Err("Authentication failed: Invalid username or password".to_owned());
    }
    if !authorization_id.is_empty() && authorization_id != user {
        return Err(
            "Authentication failed: Client requested an authorization id that is different from \
             username"
                .to_owned(),
        );
    }
    Ok(user.to_owned())
}
