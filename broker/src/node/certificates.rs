//! The certificates of a node's listeners.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Settings;
use crate::env::Env;
use crate::metrics::Metrics;
use crate::net::Door;
use crate::stream::{Listener, Network};
use crate::tls::{Connector, Error, Tls};

/// The certificates of each listener that speaks TLS, by its name in capitals.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates(BTreeMap<String, Arc<Tls>>);

impl Certificates {
    /// Reads all that the settings name.
    pub(super) fn load(settings: &Settings, env: &Env) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for listener in &settings.listeners {
            let security = settings.security(&listener.name);
            if let Some(tls) = &security.tls {
                let is_mutual = settings.peer_listener() == Some(listener);
                let tls = Tls::load(&listener.name, tls, is_mutual, env)?;
                all.insert(listener.name.clone(), Arc::new(tls));
            }
        }
        Ok(Self(all))
    }

    /// Those of the listener of that name.
    pub(super) fn of(&self, listener: &str) -> Option<Arc<Tls>> {
        self.0.get(&listener.to_ascii_uppercase()).cloned()
    }

    /// The clients' listeners, each with its own.
    pub(super) fn doors(
        &self,
        settings: &Settings,
        clients: Vec<(Arc<str>, Listener)>,
    ) -> impl Iterator<Item = Door> {
        clients.into_iter().map(|(name, listener)| Door {
            listener,
            tls: self.of(&name),
            creation_rate: settings.security(&name).creation_rate,
            name,
        })
    }

    /// How this broker reaches a listener of that name of other brokers.
    pub(super) fn connector(&self, network: Network, listener: Option<&str>) -> Connector {
        Connector::new(network, listener.and_then(|listener| self.of(listener)))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Tls>> {
        self.0.values().cloned().collect()
    }

    /// Tells when each expires.
    pub(super) fn tell(&self, metrics: &Metrics) {
        for (listener, tls) in &self.0 {
            let labels = [("listener", listener.clone())];
            let expiry = metrics.certificate_expiry.get_or_create(&labels);
            expiry.set(tls.not_after());
        }
    }
}
