//! Nodes whose address changes while the active controller stays.

use std::sync::OnceLock;

use tonic::Request;

use super::*;
use crate::controller::service::Service;
use crate::peer::Peer as _;

#[tokio::test]
async fn a_node_that_joins_from_another_address_is_sent_the_metadata_there() {
    let handle = beside(Other::default()).await;
    formation::run(handle.clone(), "127.0.0.1:1".to_owned()).await;
    while handle.image().cluster_id.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let service = Service::new(handle.clone(), Arc::new(OnceLock::new()));
    let join = async |address: String| {
        let request = wire::JoinRequest {
            node_id: 3,
            address,
            cluster_id: String::new(),
        };
        service.join(Request::new(request)).await.expect("it leads");
    };
    // nobody listens there any more
    join("127.0.0.1:1".to_owned()).await;
    let other = Other::default();
    let is_followed = Arc::clone(&other.is_followed);
    let listener = Network::Tcp.listen("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, Links::default(), other, stopped));
    join(address.to_string()).await;
    let followed = tokio::time::timeout(Duration::from_secs(20), is_followed.notified()).await;
    assert!(followed.is_ok(), "nothing was sent to {address}");
}
