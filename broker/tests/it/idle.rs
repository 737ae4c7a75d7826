//! Connections that say nothing.

use std::time::{Duration, Instant};

use ottla_broker::node::Surroundings;
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::dev_node::DevNode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_be_idle_for_as_long_as_the_setting_says() {
    const IDLE: Duration = Duration::from_millis(1000);
    let node = DevNode::start_with(Surroundings::real(), |settings| {
        assert!(settings.first_request_timeout > 4 * IDLE);
        settings.connections_max_idle = Some(IDLE);
    })
    .await;
    let mut stream = TcpStream::connect(&node.node.bootstrap()[0]).await.unwrap();
    let request = frame::request(0, 7, "test", &ApiVersionsRequest::default()).unwrap();
    stream.write_all(&request.concat()).await.unwrap();
    let since = Instant::now();
    let mut answer = Vec::new();
    let closing = stream.read_to_end(&mut answer);
    let closed = tokio::time::timeout(4 * IDLE, closing).await;
    assert!(closed.is_ok(), "open after {:?}", since.elapsed());
    assert!(
        since.elapsed() > IDLE / 2,
        "closed after {:?}",
        since.elapsed()
    );
}
