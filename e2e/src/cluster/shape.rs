//! What cluster to start, and whose.

use std::path::{Path, PathBuf};

/// Whose brokers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// `ottla-broker`.
    Ottla,
    /// `kafka.Kafka` of the jars.
    Apache,
}

impl Server {
    /// Ours, unless the environment asks for Apache Kafka.
    #[must_use]
    pub fn from_environment() -> Self {
        match std::env::var("OTTLA_E2E_SERVER").as_deref() {
            Ok("apache") => Self::Apache,
            _ => Self::Ottla,
        }
    }
}

/// What cluster to start.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Whose brokers.
    pub server: Server,
    /// Names the folder.
    pub name: String,
    /// How many; every one is a voter of the metadata quorum, unless there are controllers.
    pub brokers: u16,
    /// How many controllers there are that are no brokers; their ids follow those of brokers.
    pub controllers: u16,
    /// Whether each stands in a rack of its own.
    pub racks: bool,
    /// Names of listeners for clients besides PLAINTEXT.
    pub listeners: Vec<String>,
    /// Settings beyond those that every cluster of the tests has.
    pub settings: Vec<(String, String)>,
    /// Heap of a JVM broker.
    pub heap: String,
    /// The folder of another build's `ottla-broker`.
    pub build: Option<PathBuf>,
    /// The size of a disk of its own for each broker, in MiB; `None`: all share ours. Needs root.
    pub disk_mib: Option<u32>,
    /// Whether each is in a network namespace of its own. Needs root.
    pub has_network: bool,
}

impl Shape {
    /// A cluster of this many brokers with the settings that suit most tests.
    #[must_use]
    pub fn new(name: &str, brokers: u16) -> Self {
        Self {
            server: Server::from_environment(),
            name: name.to_string(),
            brokers,
            controllers: 0,
            racks: true,
            listeners: Vec::new(),
            settings: Vec::new(),
            heap: "512M".to_string(),
            build: None,
            disk_mib: None,
            has_network: false,
        }
    }

    /// Has controllers vote that are no brokers.
    #[must_use]
    pub fn controllers(mut self, count: u16) -> Self {
        self.controllers = count;
        self
    }

    /// Adds a listener for clients.
    #[must_use]
    pub fn listener(mut self, name: &str) -> Self {
        self.listeners.push(name.to_string());
        self
    }

    /// Adds a setting, over the one the tests would use.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_string(), value.to_string()));
        self
    }

    /// Gives its listeners TLS by the files of a folder: nodes show `broker.pem`, and `ca.pem` says
    /// whose certificates they take.
    #[must_use]
    pub fn encrypted(self, folder: &Path) -> Self {
        let at = |file: &str| folder.join(file).display().to_string();
        self.with("ssl.keystore.type", "PEM")
            .with("ssl.keystore.location", &at("broker.pem"))
            .with("ssl.truststore.type", "PEM")
            .with("ssl.truststore.location", &at("ca.pem"))
    }

    /// Has ACLs decide, but for clients of a plain listener, who may do everything.
    #[must_use]
    pub fn authorizing(self) -> Self {
        const AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        self.with("authorizer.class.name", AUTHORIZER)
            .with("super.users", "User:ANONYMOUS")
    }

    /// Has clients log in by tokens, of the issuer whose keys are there, and by delegation tokens.
    #[must_use]
    pub fn taking_tokens(self, keys_url: &str) -> Self {
        self.with("sasl.oauthbearer.jwks.endpoint.url", keys_url)
            .with("sasl.oauthbearer.expected.issuer", "https://issuer")
            .with("sasl.oauthbearer.expected.audience", "kafka")
            .with("delegation.token.secret.key", "a secret of the brokers")
    }
}
