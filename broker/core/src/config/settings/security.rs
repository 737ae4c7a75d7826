//! What a listener demands of who connects to it, from its settings.
//!
//! `listener.name.<listener>.<setting>` holds for that listener, the setting without the prefix for
//! all that have none of their own.

pub mod oauth;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::oauth::OAuth;
use crate::authentication::pkcs12::Passwords;
use crate::authentication::principals::PrincipalRules;
use crate::authentication::{Limits, Mechanism, Secret, jaas};
use crate::config::connections::creation_rate;
use crate::config::key::Scope;
use crate::config::{ConfigMap, Value, table};
use crate::quota::Rate;

/// How the settings of one listener begin.
const PREFIX: &str = "listener.name.";

/// Settings that a listener has of its own for each mechanism.
const USERS: &str = "sasl.jaas.config";
const SESSION_MAX: &str = "connections.max.reauth.ms";
const CALLBACKS: &str = "sasl.server.callback.handler.class";

/// How the settings begin that judge tokens. A listener may have them of its own, with the
/// mechanism before them or not.
const OAUTH: &str = "sasl.oauthbearer.";

/// How many connections may begin at a listener in a second, besides what holds for all.
const CREATION_RATE: &str = "max.connection.creation.rate";

/// Other settings that a listener may have of its own, besides all that begin with `ssl.`.
const OF_A_LISTENER: [&str; 4] = [
    CREATION_RATE,
    "sasl.enabled.mechanisms",
    "sasl.server.max.receive.size",
    SESSION_MAX,
];

/// What is spoken on a listener; Kafka's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL, in the clear.
    SaslPlaintext = 2,
    /// SASL within TLS.
    SaslSsl = 3,
}

impl Protocol {
    /// All that there are.
    pub const ALL: [Self; 4] = [
        Self::Plaintext,
        Self::Ssl,
        Self::SaslPlaintext,
        Self::SaslSsl,
    ];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Kafka's number.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients log in by SASL.
    #[must_use]
    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a listener demands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerSecurity {
    /// What is spoken.
    pub protocol: Protocol,
    /// With which certificates, where it speaks TLS.
    pub tls: Option<Tls>,
    /// Who may log in and how, where that is by SASL.
    pub sasl: Option<Sasl>,
    /// How many connections may begin there in a second, where it has a limit of its own.
    pub creation_rate: Option<Rate>,
}

/// Certificates, and what is asked of clients'.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The chain of certificates and their key.
    pub keystore: Store,
    /// Whom clients' certificates must be signed by.
    pub truststore: Option<Store>,
    /// Whether clients are asked for certificates.
    pub client_auth: ClientAuth,
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    /// What a certificate's subject is called.
    pub principals: PrincipalRules,
}

/// Where certificates are, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In PEM.
    Pem(Pem),
    /// In a file of PKCS#12, which is read again when it changes.
    Pkcs12(PathBuf, Passwords),
}

/// Where PEM is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file, which is read again when it changes.
    File(PathBuf),
    /// In the settings themselves.
    Inline(Secret),
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No.
    None,
    /// Yes, and one without is let in as nobody in particular.
    Requested,
    /// Yes, and one without is not let in.
    Required,
}

/// Logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// What is allowed.
    pub limits: Arc<Limits>,
    /// The users of PLAIN.
    pub passwords: BTreeMap<String, Secret>,
    /// How tokens of OAUTHBEARER are judged, where clients may log in by them.
    pub oauth: Option<OAuth>,
}

/// The listener and the setting that such a key names; none where it is no such key. Both are as
/// the key has them.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    let rest = key.strip_prefix(PREFIX)?;
    let dots = rest.match_indices('.').map(|(at, _)| at);
    let mut parts = dots.map(|at| (&rest[..at], &rest[at + 1..]));
    parts.find(|(_, setting)| is_of_a_listener(setting))
}

/// The value of such a setting.
///
/// # Errors
/// What to give instead.
pub(super) fn parse(setting: &str, text: &str) -> Result<Value, String> {
    match table::find(Scope::Broker, of_mechanism(setting).0) {
        Some(name) => name
            .parse(text)
            .map_err(|_| format!("give {}", name.expected())),
        None => Err("give it without the listener".to_owned()),
    }
}

/// The setting without the mechanism that it is of, and that one.
fn of_mechanism(setting: &str) -> (&str, Option<Mechanism>) {
    let of_mechanism = Mechanism::ALL.iter().find_map(|mechanism| {
        let rest = setting.strip_prefix(&mechanism.name().to_lowercase())?;
        Some((rest.strip_prefix('.')?, Some(*mechanism)))
    });
    of_mechanism.unwrap_or((setting, None))
}

fn is_of_a_listener(setting: &str) -> bool {
    let (plain, mechanism) = of_mechanism(setting);
    let is_known = || table::find(Scope::Broker, plain).is_some();
    let is_of_tokens = plain.starts_with(OAUTH) && is_known();
    match mechanism {
        None if plain.starts_with("ssl.") => is_known(),
        None => is_of_tokens || OF_A_LISTENER.contains(&plain),
        Some(Mechanism::OAuthBearer) if is_of_tokens => true,
        Some(_) => [USERS, SESSION_MAX, CALLBACKS].contains(&plain),
    }
}

/// The settings that hold for one listener.
pub(super) struct Reader<'a> {
    /// The listener's name, in capitals.
    pub(super) listener: &'a str,
    /// Those of its own.
    pub(super) own: Option<&'a ConfigMap>,
    /// Those of all.
    pub(super) statics: &'a ConfigMap,
}

impl Reader<'_> {
    /// What the listener demands.
    ///
    /// # Errors
    /// A sentence that says which settings do not go together.
    pub(super) fn read(&self, protocol: Protocol) -> Result<ListenerSecurity, String> {
        Ok(ListenerSecurity {
            protocol,
            tls: protocol.has_tls().then(|| self.tls()).transpose()?,
            sasl: protocol.has_sasl().then(|| self.sasl()).transpose()?,
            creation_rate: self
                .own
                .and_then(|own| creation_rate(own.get(CREATION_RATE)?)),
        })
    }

    /// How the setting is written for this listener.
    fn key(&self, setting: &str) -> String {
        format!("{PREFIX}{}.{setting}", self.listener.to_lowercase())
    }

    fn set(&self, setting: &str) -> Option<&Value> {
        let own = self.own.and_then(|own| own.get(setting));
        own.or_else(|| self.statics.get(setting))
    }

    fn get(&self, setting: &str) -> Value {
        let set = self.set(setting).cloned();
        set.unwrap_or_else(|| table::key(setting).default_value())
    }

    fn text(&self, setting: &str) -> Option<String> {
        let text = self.set(setting)?.to_string();
        Some(text).filter(|text| !text.is_empty())
    }

    fn tls(&self) -> Result<Tls, String> {
        let name = self.listener;
        let Some(keystore) = self.keystore()? else {
            return Err(format!(
                "the listener {name} speaks TLS and has no certificate; name a PEM file with its \
                 chain and key in {}, with {}=PEM",
                self.key("ssl.keystore.location"),
                self.key("ssl.keystore.type"),
            ));
        };
        let truststore = self.store("ssl.truststore", "ssl.truststore.certificates")?;
        let client_auth = match self.get("ssl.client.auth").to_string().as_str() {
            "required" => ClientAuth::Required,
            "requested" => ClientAuth::Requested,
            _ => ClientAuth::None,
        };
        if client_auth != ClientAuth::None && truststore.is_none() {
            return Err(format!(
                "the listener {name} asks clients for certificates and trusts none; name a PEM \
                 file with those that sign them in {}, with {}=PEM",
                self.key("ssl.truststore.location"),
                self.key("ssl.truststore.type"),
            ));
        }
        let is_pem = matches!(keystore, Store::Pem(_));
        if is_pem && self.text("ssl.key.password").is_some() {
            return Err(format!(
                "{} is set, and an encrypted key in PEM is not read; give a key that is not \
                 encrypted, in a file that only the broker reads, or a keystore of PKCS12",
                self.key("ssl.key.password")
            ));
        }
        let versions = self.get("ssl.enabled.protocols");
        if versions.items().is_empty() {
            let key = self.key("ssl.enabled.protocols");
            return Err(format!("{key} is empty; give TLSv1.3, or TLSv1.2 as well"));
        }
        let rules = self.get("ssl.principal.mapping.rules").to_string();
        let principals = PrincipalRules::parse(&rules).map_err(|mend| {
            let key = self.key("ssl.principal.mapping.rules");
            format!("{key}={rules} is refused: {mend}")
        })?;
        Ok(Tls {
            keystore,
            truststore,
            client_auth,
            tls12: versions.has("TLSv1.2"),
            tls13: versions.has("TLSv1.3"),
            principals,
        })
    }

    fn keystore(&self) -> Result<Option<Store>, String> {
        let chain = self.text("ssl.keystore.certificate.chain");
        let key = self.text("ssl.keystore.key");
        match (chain, key) {
            (Some(chain), Some(key)) => {
                let pem = Secret::new(lines(&(chain + " " + &key)));
                Ok(Some(Store::Pem(Pem::Inline(pem))))
            }
            (None, None) => self.store("ssl.keystore", "ssl.keystore.certificate.chain"),
            _ => Err(format!(
                "{} and {} go together; give both",
                self.key("ssl.keystore.certificate.chain"),
                self.key("ssl.keystore.key"),
            )),
        }
    }

    /// A store by its file, or by the setting that holds its PEM itself.
    fn store(&self, store: &str, inline: &str) -> Result<Option<Store>, String> {
        if let Some(pem) = self.text(inline) {
            let pem = Secret::new(lines(&pem));
            return Ok(Some(Store::Pem(Pem::Inline(pem))));
        }
        let Some(path) = self.text(&format!("{store}.location")) else {
            return Ok(None);
        };
        let kind = format!("{store}.type");
        let found = self.get(&kind).to_string();
        match found.to_ascii_uppercase().as_str() {
            "PEM" => Ok(Some(Store::Pem(Pem::File(PathBuf::from(path))))),
            "PKCS12" => {
                let password = format!("{store}.password");
                let Some(secret) = self.text(&password) else {
                    return Err(format!(
                        "{path} is a store of PKCS12 and has no password; give {}",
                        self.key(&password)
                    ));
                };
                let key = self.text("ssl.key.password").map(Secret::new);
                let passwords = Passwords {
                    store: Secret::new(secret),
                    key,
                };
                Ok(Some(Store::Pkcs12(PathBuf::from(path), passwords)))
            }
            _ => Err(format!(
                "{path} is a store of the type {found}, which is not read; make it PKCS12 \
                 (`keytool -importkeystore -srckeystore STORE -destkeystore NEW -deststoretype \
                 PKCS12`) or PEM and set {}",
                self.key(&kind)
            )),
        }
    }

    fn sasl(&self) -> Result<Sasl, String> {
        let name = self.listener;
        let mut limits = Limits {
            token_bytes_max: usize::try_from(self.get("sasl.server.max.receive.size").number())
                .unwrap_or_default(),
            ..Limits::default()
        };
        let mut passwords = BTreeMap::new();
        let mut oauth = None;
        for named in self.get("sasl.enabled.mechanisms").items() {
            let Some(mechanism) = Mechanism::named(named) else {
                let known = Mechanism::ALL.map(Mechanism::name).join(", ");
                return Err(format!(
                    "the listener {name} would log in clients by {named}, which is not there; set \
                     {} to some of {known}",
                    self.key("sasl.enabled.mechanisms")
                ));
            };
            let of = |setting| format!("{}.{setting}", named.to_lowercase());
            let session_max = self.set(&of(SESSION_MAX)).cloned();
            let session_max = session_max.unwrap_or_else(|| self.get(SESSION_MAX));
            let session_max = u64::try_from(session_max.number()).unwrap_or_default();
            if session_max > 0 {
                let session_max = Duration::from_millis(session_max);
                limits.session_max.insert(mechanism, session_max);
            }
            limits.mechanisms.push(mechanism);
            if mechanism == Mechanism::Plain {
                let key = self.key(&of(USERS));
                let users = self.text(&of(USERS)).ok_or_else(|| {
                    format!("the listener {name} logs in by PLAIN and has no users; give {key}")
                })?;
                passwords = jaas::plain_users(&users)
                    .map_err(|mend| format!("{key} is refused: {mend}"))?;
            }
            if mechanism == Mechanism::OAuthBearer {
                oauth = Some(self.oauth()?);
            }
        }
        Ok(Sasl {
            limits: Arc::new(limits),
            passwords,
            oauth,
        })
    }
}

/// PEM in lines, as it should be: in a properties file it is often one line.
#[must_use]
pub fn lines(text: &str) -> String {
    let mut lines = String::new();
    for (place, part) in text.split("-----").enumerate() {
        // between two marks stands what begins or ends, around them the body
        match place % 2 {
            1 => lines += &format!("-----{part}-----\n"),
            _ => {
                for word in part.split_whitespace() {
                    lines += word;
                    lines.push('\n');
                }
            }
        }
    }
    lines
}

/// The protocols of listeners by their names, as `listener.security.protocol.map` has them.
///
/// # Errors
/// What to give instead, as the end of a sentence.
pub(super) fn protocols(map: &Value) -> Result<BTreeMap<String, Protocol>, String> {
    let text = map.to_string();
    let pairs = text.split(',').map(str::trim);
    let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let known = pair.split_once(':').and_then(|(name, protocol)| {
            let mut all = Protocol::ALL.into_iter();
            let protocol = all.find(|known| known.name() == protocol.trim())?;
            Some((name.trim().to_ascii_uppercase(), protocol))
        });
        known.ok_or_else(|| {
            let all = Protocol::ALL.map(Protocol::name).join(", ");
            format!("give pairs listener:protocol, with protocols of {all}, for `{pair}`")
        })
    });
    pairs.collect()
}
