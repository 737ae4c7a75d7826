//! What the brokers of a cluster are told.

use std::fmt::Write as _;

use super::{Cluster, Server, apache};

impl Cluster {
    /// `host:port` of a further listener of every broker, separated by commas.
    #[must_use]
    pub fn bootstrap_of(&self, listener: &str) -> String {
        let place = self
            .shape
            .listeners
            .iter()
            .position(|name| name == listener);
        let ports = self
            .brokers
            .iter()
            .filter_map(|b| b.listener_ports.get(place?));
        let addresses: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        addresses.join(",")
    }

    /// The properties file of a broker, in names that both servers know.
    pub(super) fn properties(&self, id: u16) -> String {
        let broker = &self.brokers[usize::from(id)];
        let many = self.shape.brokers >= 3;
        let replication = if many { "3" } else { "1" };
        let voters = self.voters();
        let voters: Vec<_> = voters
            .map(|b| format!("{}@{}:{}", b.id, b.host, b.peer_port))
            .collect();
        let is_broker = id < self.shape.brokers;
        let mut listeners = format!("CONTROLLER://{}:{}", broker.host, broker.peer_port);
        if is_broker {
            let clients = format!("PLAINTEXT://{}:{},", broker.host, broker.port);
            listeners.insert_str(0, &clients);
        }
        for (name, port) in self.shape.listeners.iter().zip(&broker.listener_ports) {
            let _ = write!(listeners, ",{name}://{}:{port}", broker.host);
        }
        let mut pairs: Vec<(String, String)> = [
            ("node.id", id.to_string()),
            ("listeners", listeners),
            ("controller.listener.names", "CONTROLLER".into()),
            ("controller.quorum.voters", voters.join(",")),
            (
                "log.dirs",
                self.dir.join(format!("{id}.data")).display().to_string(),
            ),
            ("num.partitions", "4".into()),
            ("default.replication.factor", replication.into()),
            ("min.insync.replicas", if many { "2" } else { "1" }.into()),
            ("offsets.topic.replication.factor", replication.into()),
            ("group.initial.rebalance.delay.ms", "0".into()),
            ("auto.create.topics.enable", "true".into()),
        ]
        .map(|(key, value)| (key.to_string(), value))
        .into();
        if self.shape.controllers > 0 {
            let role = if is_broker { "broker" } else { "controller" };
            pairs.push(("process.roles".into(), role.into()));
        }
        if self.shape.racks {
            pairs.push(("broker.rack".into(), format!("zone-{id}")));
        }
        match self.shape.server {
            Server::Ottla => {
                let http = format!("{}:{}", broker.host, broker.http_port);
                pairs.push(("ottla.http.listener".into(), http));
            }
            Server::Apache => pairs.extend(apache::properties(replication)),
        }
        for (key, value) in &self.shape.settings {
            pairs.retain(|(known, _)| known != key);
            pairs.push((key.clone(), value.clone()));
        }
        pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect()
    }
}
