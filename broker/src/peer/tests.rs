use ottla_core::liveness::Sight;
use ottla_protocol::ids::BrokerEpoch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::Settings;
use crate::env::Env;
use crate::stream::Network;

#[path = "../../tests/it/authority.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod authority;

use authority::Authority;

const NODE: NodeId = NodeId(1);

/// How a connection with the broker ends, before its address is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its process ends.
    Closed,
    /// A firewall resets it.
    Reset,
    /// Nothing is heard of it.
    Open,
}

/// Connects to a broker, has the connection end and its listener closed, and looks at it.
async fn sight_after(end: End, listens: bool) -> Sight {
    let listener = Network::Tcp.listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peers = Peers::new(Network::Tcp);
    let mut here = peers
        .links
        .watch(Network::Tcp.connect(&address).await.unwrap());
    here.link().belongs_to(NODE);
    let (mut there, _) = listener.accept().await.unwrap();
    if end == End::Reset {
        // what is not read when a connection is closed resets it
        here.write_all(b"unread").await.unwrap();
        let _ = there.read_u8().await;
    }
    if !listens {
        drop(listener);
    }
    if end == End::Open {
        return peers.sight(NODE, &address).await;
    }
    drop(there);
    let _ = here.read_to_end(&mut Vec::new()).await;
    drop(here);
    peers.sight(NODE, &address).await
}

#[tokio::test]
async fn a_closed_connection_and_a_refusal_are_told_from_all_else() {
    for (what, end, listens, refuses, was_closed) in [
        ("a process that ended", End::Closed, false, true, true),
        ("one that ends", End::Closed, true, false, true),
        ("a firewall that resets", End::Reset, false, true, false),
        ("a firewall that rejects", End::Open, false, true, false),
        ("a broker that lives", End::Open, true, false, false),
    ] {
        let sight = sight_after(end, listens).await;
        assert_eq!(
            sight,
            Sight {
                refuses,
                was_closed
            },
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_connection_from_another_address_proves_nothing() {
    let listener = Network::Tcp.listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peers = Peers::new(Network::Tcp);
    let mut here = peers
        .links
        .watch(Network::Tcp.connect(&address).await.unwrap());
    here.link().belongs_to(NODE);
    drop(listener.accept().await.unwrap());
    drop(listener);
    let _ = here.read_to_end(&mut Vec::new()).await;
    // 192.0.2.0/24 is nobody's
    let sight = peers.sight(NODE, "192.0.2.1:9").await;
    assert!(!sight.was_closed);
    assert!(peers.sight(NODE, &address).await.was_closed);
    // a process that is started again is no longer closed
    let listener = Network::Tcp.listen(&address).await.unwrap();
    let again = peers
        .links
        .watch(Network::Tcp.connect(&address).await.unwrap());
    again.link().belongs_to(NODE);
    assert!(!peers.sight(NODE, &address).await.was_closed);
    drop(listener);
}

/// The next process of a broker may not have had a connection with this node yet.
#[tokio::test]
async fn what_an_earlier_process_closed_proves_nothing_of_the_next() {
    let listener = Network::Tcp.listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peers = Peers::new(Network::Tcp);
    peers.links.registered(NODE, BrokerEpoch(1));
    let mut here = peers
        .links
        .watch(Network::Tcp.connect(&address).await.unwrap());
    here.link().belongs_to(NODE);
    drop(listener.accept().await.unwrap());
    let _ = here.read_to_end(&mut Vec::new()).await;
    peers.links.registered(NODE, BrokerEpoch(1));
    assert!(peers.sight(NODE, &address).await.was_closed);
    peers.links.registered(NODE, BrokerEpoch(2));
    assert!(!peers.sight(NODE, &address).await.was_closed);
}

/// What a peer of that name has, with these settings beside.
fn tls_of(authority: &Authority, name: &str, more: &str) -> Arc<Tls> {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let text = format!(
        "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:SSL\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\n\
         ssl.truststore.type=PEM\nssl.truststore.location={}\n{more}",
        file("own.pem", authority.server(name)),
        file("ca.pem", authority.pem()),
    );
    let settings = Settings::from_properties("test", &text).unwrap();
    let security = settings.security("CONTROLLER");
    let tls = security.tls.as_ref().unwrap();
    Arc::new(Tls::load("CONTROLLER", tls, true, &Env::real()).unwrap())
}

/// In TLS who dies says no farewell; the end of the stream counts all the same.
#[tokio::test]
async fn an_encrypted_connection_whose_process_ends_is_closed() {
    let authority = Authority::new("peers");
    let tls = tls_of(&authority, "broker", "");
    let listener = Network::Tcp.listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connector = Connector::new(Network::Tcp, Some(Arc::clone(&tls)));
    let peers = Peers::new(connector.clone());
    let door = Door {
        clients: None,
        listener,
        tls: Some(tls),
    };
    let mut handshakes = JoinSet::new();
    let connecting = connector.connect(&address, true);
    let (there, here) = tokio::join!(door.accept(&mut handshakes), connecting);
    let mut here = peers.links.watch(here.unwrap());
    here.link().belongs_to(NODE);
    drop(there);
    drop(door);
    let _ = here.read_to_end(&mut Vec::new()).await;
    drop(here);
    let sight = peers.sight(NODE, &address).await;
    assert!(sight.was_closed && sight.refuses, "{sight:?}");
}

/// Whom the authority of peers signs is a peer, unless the rules for names have none for him.
#[tokio::test]
async fn rules_for_names_say_which_certificates_are_of_peers() {
    let authority = Authority::new("peers");
    let rules = "listener.name.controller.ssl.principal.mapping.rules=RULE:^CN=broker$/broker/\n";
    for (rules, name, is_peer) in [
        ("", "application", true),
        (rules, "application", false),
        (rules, "broker", true),
    ] {
        let listener = Network::Tcp.listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let door = Door {
            clients: None,
            listener,
            tls: Some(tls_of(&authority, "broker", rules)),
        };
        let own = tls_of(&authority, name, "");
        let connector = Connector::new(Network::Tcp, Some(own));
        let asking = async {
            let mut stream = connector.connect(&address, true).await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        let mut handshakes = JoinSet::new();
        let is_taken = tokio::select! {
            _stream = door.accept(&mut handshakes) => true,
            _refused = asking => false,
        };
        assert_eq!(is_taken, is_peer, "{name} with {rules:?}");
    }
}
