//! Clients of controllers: they come in where peers do.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::api::Context;
use crate::config::Settings;
use crate::net::{Arrival, Net};
use crate::peer::TakesClients;
use crate::stream::Network;

/// Who takes clients on the listener of controllers, which is there before the node is. Cheap to
/// clone: all clones are the same.
#[derive(Clone, Default)]
pub(super) struct LateClients(Arc<OnceLock<TakesClients>>);

impl LateClients {
    /// What a door has clients taken by; none where none are served. A connection is closed while
    /// the node is not there.
    pub(super) fn taken(&self, settings: &Settings, network: Network) -> Option<TakesClients> {
        // in memory only peers speak
        let is_served = settings.roles.controller && network == Network::Tcp;
        let late = self.clone();
        let takes: TakesClients = Arc::new(move |stream, from, name| {
            if let Some(takes) = late.0.get() {
                takes(stream, from, name);
            }
        });
        is_served.then_some(takes)
    }

    /// From now on they are served, until `stop` becomes true.
    pub(super) fn begin(
        &self,
        net: &Arc<Net>,
        context: &Arc<Context>,
        stop: &watch::Receiver<bool>,
    ) {
        let name = context
            .settings
            .controller_listener_names
            .to_ascii_uppercase();
        let listener: Arc<str> = Arc::from(name);
        let (net, context, stop) = (Arc::clone(net), Arc::clone(context), stop.clone());
        let takes: TakesClients = Arc::new(move |stream, from, name| {
            let arrival = Arrival {
                stream,
                from,
                listener: Arc::clone(&listener),
                tls: None,
                name,
            };
            net.admit(arrival, &context, &stop);
        });
        // this is the first and only time
        let _ = self.0.set(takes);
    }
}
