//! Kafka's tools over SASL_SSL: with `OTTLA_E2E_SECURE` set, clusters that have no listeners of
//! their own get one on which a user logs in over TLS, and tools that are told where such a cluster
//! is go there instead. Whatever else a test uses stays on the plain listener.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::{Certificates, Cluster, Shape};

const LISTENER: &str = "TOOLS";
const USER: &str = "tools";
const PASSWORD: &str = "tools-secret";
const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";

/// The way by which tools reach the brokers.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where they encrypt.
    pub bootstrap: String,
    /// The settings of a tool.
    pub properties: PathBuf,
}

static WAYS: Mutex<BTreeMap<String, Way>> = Mutex::new(BTreeMap::new());

fn ways() -> MutexGuard<'static, BTreeMap<String, Way>> {
    WAYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way to the brokers that are plain there, where there is another one.
#[must_use]
pub fn way(plain: &str) -> Option<Way> {
    ways().get(plain).cloned()
}

/// The shape, with a listener for tools where that is wanted; and the settings of a tool then.
pub(super) fn prepared(shape: Shape) -> Result<(Shape, Option<PathBuf>)> {
    let is_wanted = std::env::var_os("OTTLA_E2E_SECURE").is_some();
    if !is_wanted || !shape.listeners.is_empty() || shape.controllers > 0 {
        return Ok((shape, None));
    }
    let certificates = Certificates::make(&format!("{}-certificates", shape.name))?;
    let own = certificates.dir().join("broker.pem").display().to_string();
    let supers = shape
        .settings
        .iter()
        .find(|(name, _)| name == "super.users");
    let supers = supers.map_or(String::new(), |(_, users)| format!("{users};"));
    let login = format!("{MODULE} user_{USER}=\"{PASSWORD}\";");
    let shape = shape
        .listener(LISTENER)
        .with(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TOOLS:SASL_SSL",
        )
        .with("inter.broker.listener.name", "PLAINTEXT")
        .with("ssl.keystore.type", "PEM")
        .with("ssl.keystore.location", &own)
        .with("listener.name.tools.sasl.enabled.mechanisms", "PLAIN")
        .with("listener.name.tools.plain.sasl.jaas.config", &login)
        .with("super.users", &format!("{supers}User:{USER}"));
    let properties = certificates.dir().join("tools.properties");
    let text = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n\
         sasl.jaas.config={MODULE} username=\"{USER}\" password=\"{PASSWORD}\";\n",
        certificates.authority().display()
    );
    std::fs::write(&properties, text)?;
    Ok((shape, Some(properties)))
}

/// Has tools find the cluster by its listener.
pub(super) fn publish(cluster: &Cluster, properties: PathBuf) {
    let (plain, secure) = (cluster.bootstrap(), cluster.bootstrap_of(LISTENER));
    let pairs = plain.split(',').zip(secure.split(','));
    let all = pairs.chain([(plain.as_str(), secure.as_str())]);
    for (plain, secure) in all {
        let way = Way {
            bootstrap: secure.to_owned(),
            properties: properties.clone(),
        };
        ways().insert(plain.to_owned(), way);
    }
}
