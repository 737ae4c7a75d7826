//! Which port each broker of this machine has, and who holds a port that should be free.
//!
//! Broker n listens for clients on the listener's port + n. For the first listener, at 9092 by
//! default, that is 9092, 9093, …; peers find it 10,000 above (19092, …), `/metrics` and `/readyz`
//! are 20,000 above (29092, …), and where they know one another by certificates, they replicate
//! 15,000 above (24092, …). Where that would reach the ports that the system hands out to
//! connections (32768 and above), counting goes on at 1024: such a port may be taken by any
//! connection at any moment. Dedicated controllers, whose ids are 1000 and above, have such ports
//! for peers and `/metrics` alone. All on 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::platform::{ClientEndpoint, Endpoints, Listener};
use crate::validated::FIRST_CONTROLLER;

/// How far a broker's port for peers is from its first port for clients.
pub const PEER_PORT_DISTANCE: u16 = 10_000;
/// How far a broker's port for others that replicate, and for the operator, is from its first one.
pub const BROKER_PORT_DISTANCE: u16 = 15_000;
/// How far a broker's port for HTTP is from its first port for clients.
pub const HTTP_PORT_DISTANCE: u16 = 20_000;
/// How much further a dedicated controller's are.
const CONTROLLERS_DISTANCE: u16 = 1_000;
/// Ports below this one are not for everybody.
const LOWEST: u16 = 1024;
/// From here on the system takes ports for connections.
const BEYOND: u16 = 32_768;

fn beside(first: u16, distance: u16) -> u16 {
    let counted = (u32::from(first) + u32::from(distance)).saturating_sub(u32::from(LOWEST));
    let within = counted % u32::from(BEYOND - LOWEST);
    LOWEST + u16::try_from(within).expect("less than the number of ports")
}

fn port(listener: &Listener, first: u16, ordinal: u16) -> u16 {
    match listener.is_for_brokers {
        true => beside(first, BROKER_PORT_DISTANCE),
        false => listener.port.saturating_add(ordinal),
    }
}

/// The endpoints of one node.
#[must_use]
pub fn lay_out(
    node: i32,
    listeners: &[Listener],
    log_dir: PathBuf,
    certificates: PathBuf,
) -> Endpoints {
    let ordinal = u16::try_from(node).unwrap_or(u16::MAX);
    let first = listeners.first().map_or(0, |listener| listener.port);
    let (first, beyond) = firsts(first, node);
    let at = |listener: &Listener| format!("127.0.0.1:{}", port(listener, first, ordinal));
    let is_broker = node < FIRST_CONTROLLER;
    let clients = listeners
        .iter()
        .filter(|_| is_broker)
        .map(|listener| ClientEndpoint {
            name: listener.name.clone(),
            bind: at(listener),
            advertised: at(listener),
        });
    let beside = |distance: u16| format!("127.0.0.1:{}", beside(first, distance + beyond));
    let peer = beside(PEER_PORT_DISTANCE);
    Endpoints {
        clients: clients.collect(),
        peer_bind: peer.clone(),
        peer_advertised: peer,
        http_bind: beside(HTTP_PORT_DISTANCE),
        log_dir,
        certificates,
        rack: None,
    }
}

/// From where the ports of a node are counted, and how much further those beside it are.
fn firsts(first: u16, node: i32) -> (u16, u16) {
    let controller = node.checked_sub(FIRST_CONTROLLER).filter(|id| *id >= 0);
    let beyond = controller.map_or(0, |id| {
        CONTROLLERS_DISTANCE + u16::try_from(id).unwrap_or(0)
    });
    let ordinal = controller.map_or(node, |_| 0);
    let ordinal = u16::try_from(ordinal).unwrap_or(u16::MAX);
    (first.saturating_add(ordinal), beyond)
}

/// The ports that these nodes of a cluster take.
pub fn taken(nodes: impl Iterator<Item = i32>, listeners: &[Listener]) -> Vec<u16> {
    let mut taken = Vec::new();
    let lowest = listeners.first().map_or(0, |listener| listener.port);
    for node in nodes {
        let (first, beyond) = firsts(lowest, node);
        if node < FIRST_CONTROLLER {
            let ordinal = u16::try_from(node).unwrap_or(u16::MAX);
            taken.extend(listeners.iter().map(|one| port(one, first, ordinal)));
        }
        taken.push(beside(first, PEER_PORT_DISTANCE + beyond));
        taken.push(beside(first, HTTP_PORT_DISTANCE + beyond));
    }
    taken
}

/// Whether somebody listens on this port; the sentence says who, where that can be known.
#[must_use]
pub fn in_use(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Some(match holder(port) {
            Some(holder) => {
                format!("port {port} is in use by {holder}; stop it or choose another port")
            }
            None => {
                format!("port {port} is in use; stop who listens there or choose another port")
            }
        }),
        Err(error) => Some(format!("port {port} cannot be had: {error}")),
    }
}

/// The process that listens on a port, as `name (process id)`. Only Linux tells, and only of
/// processes that this user may look into.
fn holder(port: u16) -> Option<String> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| listening_socket(&table, port))?;
    let target = format!("socket:[{socket}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let pid = process.file_name().into_string().ok();
        let Some(pid) = pid.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit())) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = files
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|link| link.as_os_str() == target.as_str());
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

/// The inode of the socket that listens on `port`, in the kernel's table of TCP sockets.
fn listening_socket(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let local = columns.get(1)?.rsplit_once(':')?.1;
        let here = u16::from_str_radix(local, 16).ok()? == port && *columns.get(3)? == LISTEN;
        here.then(|| columns.get(9).map(|inode| (*inode).to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::reach::{Advertised, ListenerType};

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sentence = in_use(port).unwrap();
        assert!(
            sentence.contains(&std::process::id().to_string()),
            "{sentence}"
        );
        drop(listener);
        assert_eq!(in_use(port), None);
    }

    #[test]
    fn ports_follow_the_ordinal() {
        let listener = |port: u16| Listener {
            name: "internal".to_owned(),
            port,
            type_: ListenerType::Internal,
            advertised: Advertised::default(),
            first_node_port: None,
            is_for_brokers: false,
        };
        let listeners = [listener(9092)];
        let third = lay_out(2, &listeners, PathBuf::from("d"), PathBuf::from("c"));
        assert_eq!(third.clients[0].advertised, "127.0.0.1:9094");
        assert_eq!(third.peer_bind, "127.0.0.1:19094");
        assert_eq!(third.http_bind, "127.0.0.1:29094");
        assert_eq!(
            taken(0..2, &listeners),
            [9092, 19092, 29092, 9093, 19093, 29093]
        );
        let controller = lay_out(1001, &listeners, PathBuf::from("d"), PathBuf::from("c"));
        assert_eq!(controller.clients, []);
        assert_eq!(controller.peer_bind, "127.0.0.1:20093");
        assert_eq!(controller.http_bind, "127.0.0.1:30093");
        assert_eq!(taken(1001..1002, &listeners), [20093, 30093]);
    }

    #[test]
    fn ports_that_connections_take_are_left_alone() {
        for first in [
            1024, 9092, 12_767, 12_768, 19_092, 22_700, 32_092, 40_000, 65_000,
        ] {
            let listener = Listener {
                name: "internal".to_owned(),
                port: first,
                type_: ListenerType::Internal,
                advertised: Advertised::default(),
                first_node_port: None,
                is_for_brokers: false,
            };
            let taken = taken((0..100).chain(1000..1005), &[listener]);
            let beside = taken
                .iter()
                .filter(|port| !(first..=first + 99).contains(port));
            assert_eq!(beside.clone().count(), 210, "{first}");
            assert!(
                beside.clone().all(|port| (LOWEST..BEYOND).contains(port)),
                "{first}"
            );
            let different: std::collections::BTreeSet<_> = taken.iter().collect();
            assert_eq!(different.len(), taken.len(), "{first}");
        }
    }
}
