//! What nobody waits for any more.

use std::pin::pin;

use super::*;

/// A request whose caller was told that it came to nothing may have been made again: carried out
/// twice, the second one would be told that the first stands in its way.
#[tokio::test]
async fn a_request_that_was_given_up_is_not_carried_out() {
    let handle = active_beside(Other::default(), "").await;
    let of = |node: i32| RegisterBroker {
        node_id: NodeId(node),
        incarnation_id: Uuid([node as u8; 16]),
        ..registration(&handle)
    };
    {
        // it is handed to the controller's task, which this thread runs, too, and has not yet
        let mut given_up = pin!(handle.submit(of(8)));
        let polled = futures_util::poll!(given_up.as_mut());
        assert!(polled.is_pending());
    }
    let registered = handle.submit(of(7)).await;
    assert!(matches!(registered, Ok(Ok(_))), "{registered:?}");
    let image = handle.image();
    assert!(image.broker(NodeId(7)).is_some());
    assert!(image.broker(NodeId(8)).is_none(), "nobody waited for it");
}
