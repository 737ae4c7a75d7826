//! Stands in for what kube looks up in the answers of an old provider of logins.
//!
//! The crate of this name has the whole of RFC 9535, with a generator of parsers and nine crates
//! more. kube calls it in one place only: for the token in what the `gcp` provider of a kubeconfig
//! prints, which Kubernetes itself took out with version 1.26. There the path is names with points
//! between them, which is what this one knows. `[patch.crates-io]` in the workspace puts it in
//! place.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

/// A path that is not names with points between them.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown;

impl Display for Unknown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a path of names is wanted, such as $.credential.access_token")
    }
}

impl std::error::Error for Unknown {}

/// Values that can be asked.
pub trait JsonPath {
    /// What is found at a path such as `$.credential.access_token`: one value or none.
    ///
    /// # Errors
    /// The path has more than names in it.
    fn query(&self, path: &str) -> Result<Vec<&Value>, Unknown>;
}

impl JsonPath for Value {
    fn query(&self, path: &str) -> Result<Vec<&Value>, Unknown> {
        let mut names = path.strip_prefix("$.").ok_or(Unknown)?.split('.');
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if names
            .clone()
            .any(|name| name.is_empty() || !name.chars().all(is_name))
        {
            return Err(Unknown);
        }
        let found = names.try_fold(self, |value, name| value.get(name));
        Ok(found.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_found_by_names() {
        let printed = json!({ "credential": { "access_token": "secret", "id-token": 1 } });
        let found = |path| printed.query(path);
        assert_eq!(
            found("$.credential.access_token"),
            Ok(vec![&json!("secret")])
        );
        assert_eq!(found("$.credential.id-token"), Ok(vec![&json!(1)]));
        assert_eq!(found("$.credential.other"), Ok(Vec::new()));
        assert_eq!(found("$.credential.access_token.more"), Ok(Vec::new()));
        for unknown in ["credential", "$", "$.", "$.a..b", "$.a[0]", "$.*", "$..a"] {
            assert_eq!(found(unknown), Err(Unknown), "{unknown}");
        }
    }
}
