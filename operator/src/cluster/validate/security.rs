//! What a spec says of who may connect and what they may do, and whether it goes together.

use ottla_core::config::settings::security::lines;

use super::invalid;
use crate::condition::Verdict;
use crate::crd::KafkaClusterSpec;
use crate::crd::cluster::{Listener, ListenerAuthentication, ListenerAuthenticationType};
use crate::validated::{BROKER_PORT, BROKERS};

/// Settings by which a broker encrypts and authenticates, in the words of the spec.
const SETTINGS: [(&str, &str); 6] = [
    ("listener.security.protocol.map", "spec.listeners"),
    ("listener.name.", "spec.listeners"),
    ("sasl.enabled.mechanisms", "spec.listeners"),
    ("sasl.oauthbearer.", "spec.listeners"),
    ("authorizer.class.name", "spec.authorization"),
    ("super.users", "spec.authorization.superUsers"),
];

/// What was found.
pub(super) struct Security {
    /// Whether brokers know one another by certificates.
    pub(super) mutual_tls: bool,
    /// Who may do everything, where not everybody may.
    pub(super) super_users: Option<Vec<String>>,
}

/// Whether a spec asks for certificates, for who clients are, or for what they may do.
#[must_use]
pub fn is_secured(spec: &KafkaClusterSpec) -> bool {
    let mut listeners = spec.listeners.iter();
    spec.authorization.is_some()
        || listeners.any(|one| one.tls.is_some() || one.authentication.is_some())
}

/// Checks it. `exists` is whether brokers that exist know one another by certificates.
pub(super) fn check(spec: &KafkaClusterSpec, exists: Option<bool>) -> Result<Security, Verdict> {
    let listeners = &spec.listeners;
    let authenticates = listeners.iter().any(|one| one.authentication.is_some());
    let mutual_tls = exists.unwrap_or_else(|| is_secured(spec));
    if mutual_tls || is_secured(spec) {
        check_settings(spec)?;
    }
    let has_acls = authenticates || spec.authorization.is_some();
    for (place, listener) in listeners.iter().enumerate() {
        check_listener(place, listener, mutual_tls)?;
        if has_acls && !mutual_tls && place > 0 && listener.authentication.is_none() {
            return Err(invalid(format!(
                "spec.listeners[{place}] ({}) must authenticate: the cluster was created without \
                 certificates, so who has no name is the operator and may do everything; give it \
                 an authentication, or remove it.",
                listener.name
            )));
        }
    }
    let given = spec.authorization.as_ref();
    let given = given.map_or(&[][..], |given| &given.super_users);
    for user in given {
        let name = user.strip_prefix("User:");
        if name.is_none_or(|name| name.is_empty() || name.contains([';', '\n'])) {
            return Err(invalid(format!(
                "spec.authorization.superUsers has \"{user}\"; write it as User:name."
            )));
        }
    }
    Ok(Security {
        mutual_tls,
        super_users: has_acls.then(|| given.to_vec()),
    })
}

fn check_listener(place: usize, listener: &Listener, mutual_tls: bool) -> Result<(), Verdict> {
    let name = &listener.name;
    let authentication = listener.authentication.as_ref();
    if name == BROKERS && (mutual_tls || listener.tls.is_some()) {
        return Err(invalid(format!(
            "spec.listeners[{place}].name is {BROKERS}, as the listener is called where brokers \
             with certificates meet; choose another."
        )));
    }
    if let Some(asked) = authentication {
        let refused = |why: &str| {
            invalid(format!(
                "spec.listeners[{place}] ({name}).authentication {why}"
            ))
        };
        check_tokens(asked, listener.tls.is_some()).map_err(refused)?;
    }
    let mutual = ListenerAuthenticationType::MutualTls;
    let is_mutual = authentication.is_some_and(|it| it.type_ == mutual);
    if is_mutual && listener.tls.is_none() {
        return Err(invalid(format!(
            "spec.listeners[{place}] ({name}) authenticates by MutualTls and has no tls: clients \
             show their certificates in its handshake; add `tls: {{}}`."
        )));
    }
    if mutual_tls && listener.port == BROKER_PORT {
        return Err(invalid(format!(
            "spec.listeners[{place}].port is {BROKER_PORT}, where brokers with certificates meet; \
             choose another."
        )));
    }
    if place == 0 && !mutual_tls && !listener.reach.allowed_from.is_empty() {
        return Err(invalid(format!(
            "spec.listeners[0] ({name}) has allowedFrom, and the operator meets brokers there, for \
             the cluster was created without certificates; give clients another listener."
        )));
    }
    if place == 0 && !mutual_tls && (listener.tls.is_some() || authentication.is_some()) {
        return Err(invalid(format!(
            "spec.listeners[0] ({name}) must stay plain: the cluster was created without \
             certificates, so brokers and the operator meet there; give clients another listener."
        )));
    }
    Ok(())
}

/// Whether tokens can be judged by what stands there; or what is wrong, as the end of a sentence.
fn check_tokens(asked: &ListenerAuthentication, has_tls: bool) -> Result<(), &'static str> {
    if asked.type_ != ListenerAuthenticationType::OAuth {
        let is_bare = *asked == ListenerAuthentication::from(asked.type_);
        return match is_bare {
            true => Ok(()),
            false => Err("has fields that are for the type OAuth alone; remove them."),
        };
    }
    let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    let url = &asked.jwks_endpoint;
    let schemes = ["https://", "http://", "file:///"];
    let is_address = schemes.iter().any(|scheme| url.starts_with(scheme)) && is_word(url);
    let is_audience = |audience: &String| is_word(audience) && !audience.contains(',');
    let pem = &asked.trusted_certificates;
    let is_pem = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=- \r\n".contains(&byte);
    let has_pem = pem.contains("-----BEGIN CERTIFICATE-----") && pem.bytes().all(is_pem);
    if !has_tls {
        Err(
            "of the type OAuth needs tls: who reads a token along the way logs in by it; add \
             `tls: {}`.",
        )
    } else if !is_address {
        Err("needs jwksEndpoint, the address of the issuer's keys: https://, http:// or file:///.")
    } else if !is_word(&asked.issuer) {
        Err("needs issuer, what tokens have in their claim iss, without spaces.")
    } else if asked.audiences.is_empty() || !asked.audiences.iter().all(is_audience) {
        Err("needs audiences, what tokens have in their claim aud, without spaces and commas.")
    } else if asked.principal_claim.contains(char::is_whitespace) {
        Err("has a principalClaim with spaces; give the name of a claim.")
    } else if !pem.is_empty() && !has_pem {
        Err("has trustedCertificates that are no certificates in PEM; give such, or nothing.")
    } else {
        Ok(())
    }
}

/// The listeners of the spec, each as it can be read back from what brokers are told.
pub(super) fn listeners(spec: &KafkaClusterSpec) -> Vec<Listener> {
    let mut listeners = spec.listeners.clone();
    for asked in listeners
        .iter_mut()
        .filter_map(|one| one.authentication.as_mut())
    {
        asked.trusted_certificates = lines(&asked.trusted_certificates);
    }
    listeners
}

fn check_settings(spec: &KafkaClusterSpec) -> Result<(), Verdict> {
    let is_ours = |key: &&String| SETTINGS.iter().find(|(own, _)| key.starts_with(own));
    let found = spec
        .config
        .keys()
        .find_map(|key| Some((key, is_ours(&key)?)));
    match found {
        Some((key, (_, instead))) => Err(invalid(format!(
            "spec.config may not set {key} where listeners have tls or authentication, or brokers \
             have certificates: use {instead}."
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::cluster::validate::{Observed, validate};
    use crate::crd::KafkaCluster;

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table is of one piece")]
    fn what_does_not_go_together_is_named_with_what_to_do() {
        let mutual = "authentication: { type: MutualTls }";
        let tokens = |tls: &str, fields: &str| {
            let oauth = format!("authentication: {{ type: OAuth, {fields} }}");
            format!("listeners: [{{ name: a, port: 9092, {tls} {oauth} }}]")
        };
        let (keys, issuer) = ("jwksEndpoint: 'https://i/k', ", "issuer: i, ");
        for (spec, exists, says) in [
            (
                format!("listeners: [{{ name: a, port: 9092, {mutual} }}]"),
                None,
                "spec.listeners[0] (a) authenticates by MutualTls and has no tls",
            ),
            (
                tokens("", &format!("{keys}{issuer}audiences: [k]")),
                None,
                "spec.listeners[0] (a).authentication of the type OAuth needs tls",
            ),
            (
                tokens("tls: {},", &format!("{issuer}audiences: [k]")),
                None,
                "needs jwksEndpoint",
            ),
            (
                tokens(
                    "tls: {},",
                    "jwksEndpoint: 'ftp://i', issuer: i, audiences: [k]",
                ),
                None,
                "needs jwksEndpoint",
            ),
            (
                tokens("tls: {},", &format!("{keys}audiences: [k]")),
                None,
                "needs issuer",
            ),
            (
                tokens("tls: {},", &format!("{keys}{issuer}")),
                None,
                "needs audiences",
            ),
            (
                tokens("tls: {},", &format!("{keys}{issuer}audiences: ['a,b']")),
                None,
                "needs audiences",
            ),
            (
                tokens(
                    "tls: {},",
                    &format!("{keys}{issuer}audiences: [k], trustedCertificates: x"),
                ),
                None,
                "no certificates in PEM",
            ),
            (
                "listeners: [{ name: a, port: 9092, authentication: { type: Scram, issuer: i } }]"
                    .to_owned(),
                None,
                "for the type OAuth alone",
            ),
            (
                "listeners: [{ name: a, port: 9090, tls: {} }]".to_owned(),
                None,
                "spec.listeners[0].port is 9090",
            ),
            (
                "listeners: [{ name: brokers, port: 9092, tls: {} }]".to_owned(),
                None,
                "spec.listeners[0].name is brokers",
            ),
            (
                "listeners: [{ name: a, port: 9092, tls: {} }]".to_owned(),
                Some(false),
                "spec.listeners[0] (a) must stay plain",
            ),
            (
                "listeners: [{ name: a, port: 9092 }, { name: b, port: 9093, tls: {} }, \
                 { name: c, port: 9094, authentication: { type: Scram } }]"
                    .to_owned(),
                Some(false),
                "spec.listeners[1] (b) must authenticate",
            ),
            (
                "config: { super.users: 'User:a' }".to_owned(),
                Some(true),
                "spec.config may not set super.users",
            ),
            (
                "authorization: {}, config: { super.users: 'User:a' }".to_owned(),
                None,
                "spec.config may not set super.users",
            ),
            (
                "authorization: { superUsers: [admin] }".to_owned(),
                None,
                "\"admin\"; write it as User:name",
            ),
        ] {
            let cluster: KafkaCluster =
                serde_yaml::from_str(&format!("metadata: {{ name: c }}\nspec: {{ {spec} }}"))
                    .unwrap();
            let observed = Observed {
                mutual_tls: exists,
                ..Observed::default()
            };
            let verdict = validate(&cluster, observed).unwrap_err();
            assert!(verdict.message.contains(says), "{}", verdict.message);
        }
    }
}
