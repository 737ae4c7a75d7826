//! Settings by which brokers encrypt, ask who clients are, and decide what they may do; and what
//! they say of listeners, read back.

use std::path::Path;

use ottla_core::config::settings::security::lines;

use super::{PEER_LISTENER, listener_name};
use crate::crd::cluster::{
    Listener, ListenerAuthentication, ListenerAuthenticationType, ListenerTls,
};
use crate::platform::Properties;
use crate::validated::{BROKERS, ValidatedCluster};

/// The listener over which brokers that have certificates replicate, and the operator meets them.
/// No listener of a spec has a name with an underscore.
pub const BROKER_LISTENER: &str = "INTER_BROKER";
/// The principal of the operator, and that of brokers, on their own listener. No certificate and no
/// KafkaUser gives such a name on another.
pub const OWN_PRINCIPALS: [&str; 2] = ["User:ottla:operator", "User:ottla:brokers"];
/// From the subject of a certificate to such a principal.
const OWN_PRINCIPAL_RULE: &str = "RULE:CN=(.*)/ottla:$1/";

const PROTOCOLS: &str = "listener.security.protocol.map";
const SCRAM: &str = "SCRAM-SHA-512";
const OAUTH: &str = "OAUTHBEARER";

/// The settings of OAUTHBEARER, behind the listener.
const MECHANISMS: &str = "sasl.enabled.mechanisms";
const KEYS: &str = "oauthbearer.sasl.oauthbearer.jwks.endpoint.url";
const ISSUER: &str = "oauthbearer.sasl.oauthbearer.expected.issuer";
const AUDIENCES: &str = "oauthbearer.sasl.oauthbearer.expected.audience";
const PRINCIPAL: &str = "oauthbearer.sasl.oauthbearer.sub.claim.name";
const MODULE: &str = "oauthbearer.sasl.jaas.config";

/// The options of the module around the certificates of an issuer.
const TRUSTED: [&str; 2] = [
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
     ssl.truststore.type=\"PEM\" ssl.truststore.certificates=\"",
    "\";",
];

/// The settings of a broker, or of a controller that is none; none where the spec asks for nothing
/// of the kind.
#[must_use]
pub fn properties(cluster: &ValidatedCluster, certificates: &Path, is_broker: bool) -> Properties {
    let mut settings = Properties::new();
    if !cluster.has_certificates() && cluster.super_users.is_none() {
        return settings;
    }
    let mut set = |key: &str, value: String| drop(settings.insert(key.to_owned(), value));
    let mut protocols = Vec::new();
    for listener in cluster.listeners.iter().filter(|_| is_broker) {
        let name = listener_name(&listener.name);
        let authentication = listener.authentication.as_ref().map(|it| it.type_);
        let protocol = match (&listener.tls, authentication) {
            (None, None) => "PLAINTEXT",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), None | Some(ListenerAuthenticationType::MutualTls)) => "SSL",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        protocols.push(format!("{name}:{protocol}"));
        let key = |setting: &str| format!("listener.name.{}.{setting}", listener.name);
        if listener.tls.is_some() {
            let is_mutual = authentication == Some(ListenerAuthenticationType::MutualTls);
            stores(
                &mut set,
                &listener.name,
                &listener.name,
                certificates,
                is_mutual,
            );
        }
        match &listener.authentication {
            Some(it) if it.type_ == ListenerAuthenticationType::Scram => {
                set(&key(MECHANISMS), SCRAM.to_owned());
            }
            Some(it) if it.type_ == ListenerAuthenticationType::OAuth => {
                tokens(it, |setting, value| set(&key(setting), value));
            }
            _ => {}
        }
    }
    if cluster.mutual_tls {
        protocols.push(format!("{PEER_LISTENER}:SSL"));
        let peers = PEER_LISTENER.to_lowercase();
        stores(&mut set, &peers, BROKERS, certificates, true);
    }
    if cluster.mutual_tls && is_broker {
        let own = BROKER_LISTENER.to_lowercase();
        protocols.push(format!("{BROKER_LISTENER}:SSL"));
        set("inter.broker.listener.name", BROKER_LISTENER.to_owned());
        stores(&mut set, &own, BROKERS, certificates, true);
        let rules = format!("listener.name.{own}.ssl.principal.mapping.rules");
        set(&rules, OWN_PRINCIPAL_RULE.to_owned());
    }
    if !protocols.is_empty() {
        set(PROTOCOLS, protocols.join(","));
    }
    if let Some(users) = &cluster.super_users {
        let class = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        set("authorizer.class.name", class.to_owned());
        let own: &[&str] = match cluster.mutual_tls {
            true => &OWN_PRINCIPALS,
            // The operator has no other name where the cluster was created without certificates.
            false => &["User:ANONYMOUS"],
        };
        let own = own.iter().map(|one| (*one).to_owned());
        let all: Vec<String> = own.chain(users.iter().cloned()).collect();
        set("super.users", all.join(";"));
    }
    settings
}

/// The settings by which a listener judges tokens.
fn tokens(asked: &ListenerAuthentication, mut set: impl FnMut(&str, String)) {
    set(MECHANISMS, OAUTH.to_owned());
    set(KEYS, asked.jwks_endpoint.clone());
    set(ISSUER, asked.issuer.clone());
    set(AUDIENCES, asked.audiences.join(","));
    if !asked.principal_claim.is_empty() {
        set(PRINCIPAL, asked.principal_claim.clone());
    }
    if !asked.trusted_certificates.is_empty() {
        let words = asked.trusted_certificates.split_whitespace();
        let pem = words.collect::<Vec<_>>().join(" ");
        set(MODULE, format!("{}{pem}{}", TRUSTED[0], TRUSTED[1]));
    }
}

/// How a listener with these settings judges tokens.
fn read_tokens(setting: impl Fn(&str) -> String) -> ListenerAuthentication {
    let audiences = setting(AUDIENCES);
    let audiences = audiences.split(',').filter(|one| !one.is_empty());
    let module = setting(MODULE);
    let trusted = module.strip_prefix(TRUSTED[0]);
    let trusted = trusted.and_then(|rest| rest.strip_suffix(TRUSTED[1]));
    ListenerAuthentication {
        type_: ListenerAuthenticationType::OAuth,
        jwks_endpoint: setting(KEYS),
        issuer: setting(ISSUER),
        audiences: audiences.map(str::to_owned).collect(),
        principal_claim: setting(PRINCIPAL),
        trusted_certificates: lines(trusted.unwrap_or_default()),
    }
}

/// The settings that name the files of one listener's certificates.
fn stores(
    set: &mut impl FnMut(&str, String),
    listener: &str,
    name: &str,
    folder: &Path,
    is_mutual: bool,
) {
    let mut set = |setting: &str, value: String| {
        set(&format!("listener.name.{listener}.{setting}"), value);
    };
    let file = |file: String| folder.join(file).display().to_string();
    set("ssl.keystore.type", "PEM".to_owned());
    set("ssl.keystore.location", file(keystore(name)));
    if is_mutual {
        set("ssl.truststore.type", "PEM".to_owned());
        set("ssl.truststore.location", file(truststore(name)));
        set("ssl.client.auth", "required".to_owned());
    }
}

/// The file of a listener's certificate and key. What follows a listener's name in those of its
/// files begins with a dot, which no listener's name has: files of two listeners never share one.
#[must_use]
pub fn keystore(name: &str) -> String {
    format!("{name}.pem")
}

/// The file of the certificates that sign those of a listener's clients.
#[must_use]
pub fn truststore(name: &str) -> String {
    format!("{name}.ca.pem")
}

/// Whether a file is such a one.
#[must_use]
pub fn is_truststore(file: &str) -> bool {
    file.ends_with(".ca.pem")
}

/// The file of the certificates by which a listener's clients know it, for users.
#[must_use]
pub fn signers(name: &str) -> String {
    format!("{name}.signers.pem")
}

/// The file that says what a certificate of the operator's was made of.
#[must_use]
pub fn made_of(name: &str) -> String {
    format!("{name}.made-of")
}

/// Whether brokers with these settings know one another by certificates; none where they are not
/// known.
#[must_use]
pub fn is_mutual_tls(settings: &Properties) -> Option<bool> {
    let protocols = settings.get(PROTOCOLS).map_or("", String::as_str);
    let peers = format!("{PEER_LISTENER}:SSL");
    (!settings.is_empty()).then(|| protocols.split(',').any(|one| one == peers))
}

/// What brokers with these settings do on one listener for clients, as a spec has it. Which Secret
/// its certificate comes from they do not know.
pub fn read(settings: &Properties, listener: &mut Listener) {
    let name = listener_name(&listener.name);
    let protocols = settings.get(PROTOCOLS).map_or("", String::as_str);
    let mut pairs = protocols.split(',').filter_map(|one| one.split_once(':'));
    let protocol = pairs.find(|(known, _)| *known == name);
    let protocol = protocol.map_or("PLAINTEXT", |(_, protocol)| protocol);
    let setting = |setting: &str| {
        let key = format!("listener.name.{}.{setting}", listener.name);
        settings.get(&key).cloned().unwrap_or_default()
    };
    let authentication = match protocol.starts_with("SASL") {
        true if setting(MECHANISMS) == OAUTH => Some(read_tokens(setting)),
        true => Some(ListenerAuthenticationType::Scram.into()),
        false if setting("ssl.client.auth").is_empty() => None,
        false => Some(ListenerAuthenticationType::MutualTls.into()),
    };
    listener.tls = protocol.ends_with("SSL").then(ListenerTls::default);
    listener.authentication = authentication;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::gate::listeners;
    use crate::cluster::settings::{check, properties as all};
    use crate::cluster::validate::{Observed, validate};
    use crate::crd::KafkaCluster;
    use crate::platform::local::ports;

    #[test]
    fn no_two_listeners_share_a_file() {
        let names = [
            "web",
            "web-ca",
            "web-signers",
            "brokers",
            "brokers-ca",
            "web-made-of",
        ];
        let files = names.map(|name| {
            [
                keystore(name),
                truststore(name),
                signers(name),
                made_of(name),
            ]
        });
        let all: std::collections::BTreeSet<&String> = files.iter().flatten().collect();
        assert_eq!(all.len(), 4 * names.len(), "{all:?}");
    }

    const LISTENERS: &str = "{ name: plain, port: 9092 }, { name: tls, port: 9192, tls: {} }, \
        { name: scram, port: 9292, authentication: { type: Scram } }, \
        { name: both, port: 9392, tls: {}, authentication: { type: Scram } }, \
        { name: mutual, port: 9492, tls: {}, authentication: { type: MutualTls } }, \
        { name: tokens, port: 9592, tls: {}, authentication: { type: OAuth, jwksEndpoint: \
        'https://idp/keys', issuer: 'https://idp', audiences: [kafka, orders], principalClaim: \
        email, trustedCertificates: \"-----BEGIN CERTIFICATE-----\\nAA\\nBB\\n-----END \
        CERTIFICATE-----\\n\" } }";

    /// What is in force while a restart waits is read back from the brokers' settings.
    #[test]
    fn brokers_take_every_listener_and_tell_it() {
        let cluster: KafkaCluster = serde_yaml::from_str(&format!(
            "metadata: {{ name: c }}\nspec: {{ replicas: 1, listeners: [{LISTENERS}] }}"
        ))
        .unwrap();
        for mutual_tls in [true, false] {
            let observed = Observed {
                mutual_tls: Some(mutual_tls),
                ..Observed::default()
            };
            let mut cluster = cluster.clone();
            if !mutual_tls {
                cluster.spec.listeners.retain(|one| one.name != "tls");
            }
            let valid = validate(&cluster, observed).unwrap();
            let own = crate::cluster::reconcile::listeners(&valid.listeners, mutual_tls);
            let here = ports::lay_out(0, &own, "data".into(), "certificates".into());
            let settings = all(&valid, 0, &[(0, here)].into());
            assert_eq!(check(&settings, true), Ok(()));
            assert_eq!(is_mutual_tls(&settings), Some(mutual_tls));
            let found = listeners(&[(0, settings)].into(), &[], &BTreeMap::new());
            assert_eq!(found, Some(valid.listeners));
        }
        assert_eq!(is_mutual_tls(&Properties::new()), None);
    }
}
