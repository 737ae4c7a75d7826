//! The sockets of a node, and what it advertises of them.

use std::io;
use std::sync::Arc;

use ottla_core::image::Endpoint;

use super::Error;
use crate::config::{self, Settings};
use crate::stream::{Listener, Network};

/// The sockets of a node.
pub(super) struct Sockets {
    pub(super) clients: Vec<(Arc<str>, Listener)>,
    pub(super) peers: Option<Listener>,
    pub(super) http: Option<Listener>,
}

impl Sockets {
    pub(super) async fn bind(settings: &Settings, network: Network) -> Result<Self, Error> {
        let mut clients = Vec::new();
        for listener in settings.client_listeners() {
            let bound = bind(network, &listener.name, &listener.address()).await?;
            clients.push((Arc::from(listener.name.as_str()), bound));
        }
        let peers = match settings.peer_listener() {
            Some(listener) => Some(bind(network, &listener.name, &listener.address()).await?),
            None => None,
        };
        let http = match &settings.http_listener {
            Some(address) => Some(bind(network, "ottla.http.listener", address).await?),
            None => None,
        };
        Ok(Self {
            clients,
            peers,
            http,
        })
    }
}

async fn bind(network: Network, name: &str, address: &str) -> Result<Listener, Error> {
    network.listen(address).await.map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::AddrInUse => "stop what listens there, or choose another port",
            io::ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "use an address of this machine",
        };
        Error::Listen {
            name: name.to_owned(),
            address: address.to_owned(),
            error,
            mend,
        }
    })
}

/// A listener that advertises nothing is reached under the host it listens on, or, where that is
/// every address, under the machine's name.
fn host_of(listener: &config::Listener) -> String {
    if !listener.host.is_empty() && listener.host != "0.0.0.0" && listener.host != "::" {
        return listener.host.clone();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

pub(super) fn client_endpoints(
    settings: &Settings,
    bound: &[(Arc<str>, Listener)],
) -> Vec<Endpoint> {
    let endpoint = |(listener, (name, socket)): (&config::Listener, &(Arc<str>, Listener))| {
        let advertised = settings
            .advertised_listeners
            .iter()
            .find(|l| *l.name == **name);
        let (host, port) = match advertised {
            Some(advertised) => (advertised.host.clone(), advertised.port),
            None => (host_of(listener), listener.port),
        };
        let port = if port == 0 {
            socket.local_addr().map_or(0, |a| a.port())
        } else {
            port
        };
        Endpoint {
            name: name.to_string(),
            host,
            port,
            security_protocol: settings.security(name).protocol.number(),
        }
    };
    settings
        .client_listeners()
        .zip(bound)
        .map(endpoint)
        .collect()
}

pub(super) fn peer_endpoint(settings: &Settings, socket: Option<&Listener>) -> Endpoint {
    let name = settings.controller_listener_names.clone();
    let bound = socket
        .and_then(|socket| socket.local_addr().ok())
        .map_or(0, |a| a.port());
    let me = settings
        .controller_quorum_voters
        .iter()
        .find(|v| v.node_id == settings.node_id);
    let advertised = settings
        .advertised_listeners
        .iter()
        .find(|l| l.name == name);
    let (host, port) = match (me, advertised, settings.peer_listener()) {
        (Some(voter), ..) => (voter.host.clone(), voter.port),
        (None, Some(advertised), _) => (advertised.host.clone(), advertised.port),
        (None, None, Some(listener)) => {
            // a broker's name is the same whoever asks; its first client listener advertises it
            let public = settings
                .advertised_listeners
                .first()
                .map(|l| l.host.clone());
            (public.unwrap_or_else(|| host_of(listener)), bound)
        }
        (None, None, None) => (String::new(), 0),
    };
    Endpoint {
        security_protocol: settings.security(&name).protocol.number(),
        name,
        host,
        port,
    }
}

/// Where clients reach a node: at its listeners, or at that of controllers where it is no broker.
pub(super) fn bootstrap_of(
    settings: &Settings,
    listeners: &[Endpoint],
    peer: &Endpoint,
) -> Vec<String> {
    match settings.roles.broker {
        true => listeners.iter().map(address_of).collect(),
        false => vec![address_of(peer)],
    }
}

/// `host:port`.
pub(super) fn address_of(endpoint: &Endpoint) -> String {
    format!("{}:{}", endpoint.host, endpoint.port)
}
