use ottla_core::liveness::Sight;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::stream::Network;

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
