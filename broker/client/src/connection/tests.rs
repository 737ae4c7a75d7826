use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::{Message, Reader};
use ottla_protocol::frame::RequestHeader;
use ottla_protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::messages::groups::{HeartbeatRequest, HeartbeatResponse};
use tokio::io::DuplexStream;

use super::*;

const BYTES_MAX: usize = 1 << 20;

/// The other end of a connection: a broker that answers what a test has it answer.
struct Broker {
    stream: DuplexStream,
    buffer: BytesMut,
}

fn connected() -> (Connection<DuplexStream>, Broker) {
    let (here, there) = tokio::io::duplex(1 << 16);
    let broker = Broker {
        stream: there,
        buffer: BytesMut::new(),
    };
    (Connection::new(here, "tests", BYTES_MAX), broker)
}

impl Broker {
    async fn request(&mut self) -> RequestHeader {
        loop {
            if let Some(frame) = frame::split(&mut self.buffer, BYTES_MAX).expect("a frame") {
                return RequestHeader::read(&mut Reader::new(frame)).expect("a header");
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            assert_ne!(read.expect("an open stream"), 0, "a request comes");
        }
    }

    async fn answer(&mut self, header: &RequestHeader, body: &impl ottla_protocol::codec::Encode) {
        let frame = frame::response(header, header.api_version, body).expect("it encodes");
        for segment in frame {
            let written = self.stream.write_all(&segment).await;
            written.expect("an open stream");
        }
    }

    async fn say_versions(&mut self, key: ApiKey, min_version: i16, max_version: i16) {
        let asked = self.request().await;
        assert_eq!(
            (asked.api_key, asked.client_id.as_deref()),
            (ApiKey::ApiVersions, Some("tests"))
        );
        let known = ApiVersion {
            api_key: key.key(),
            min_version,
            max_version,
        };
        let answer = ApiVersionsResponse {
            api_keys: vec![known],
            ..ApiVersionsResponse::default()
        };
        self.answer(&asked, &answer).await;
    }
}

fn throttled(throttle_time_ms: i32) -> HeartbeatResponse {
    HeartbeatResponse {
        throttle_time_ms,
        ..HeartbeatResponse::default()
    }
}

#[tokio::test]
async fn the_newest_version_that_both_know_is_taken() {
    let newest = *HeartbeatRequest::VERSIONS.end();
    let cases = [
        ("the broker is older", (0, 2), Some(2)),
        ("the broker is newer", (1, newest + 3), Some(newest)),
        ("nothing in common", (newest + 1, newest + 3), None),
    ];
    for (name, (min, max), expected) in cases {
        let (mut connection, mut broker) = connected();
        let serve = async {
            broker.say_versions(ApiKey::Heartbeat, min, max).await;
            let version = expected?;
            let asked = broker.request().await;
            assert_eq!(asked.api_version, version, "{name}");
            broker.answer(&asked, &throttled(7)).await;
            Some(())
        };
        let ask = async {
            connection.negotiate("1").await.expect("versions");
            connection.call(&HeartbeatRequest::default()).await
        };
        match (tokio::join!(ask, serve).0, expected) {
            (Ok(answer), Some(_)) => assert_eq!(answer.throttle_time_ms, 7, "{name}"),
            (Err(Error::Version { api: "Heartbeat" }), None) => {}
            (answer, _) => panic!("{name}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn answers_belong_to_their_requests() {
    let (mut connection, mut broker) = connected();
    let request = HeartbeatRequest::default();
    let first = connection.send(&request, 3).await.expect("sent");
    let second = connection.send(&request, 3).await.expect("sent");
    let (one, two) = (broker.request().await, broker.request().await);
    broker.answer(&one, &throttled(1)).await;
    broker.answer(&two, &throttled(2)).await;
    for (sent, throttle) in [(first, 1), (second, 2)] {
        let answer = connection.receive::<HeartbeatRequest>(3).await;
        let answer = answer.expect("an answer");
        let what = (answer.correlation_id, answer.response.throttle_time_ms);
        assert_eq!(what, (sent, throttle));
    }
    // one that overtakes, and one that nobody asked for
    connection.send(&request, 3).await.expect("sent");
    broker.answer(&two, &throttled(3)).await;
    let answer = connection.receive::<HeartbeatRequest>(3).await;
    assert!(matches!(answer, Err(Error::Unasked)), "{answer:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error() {
    let cases: [(&str, &[u8], &str); 4] = [
        (
            "larger than allowed",
            &[0x7f, 0, 0, 0],
            "malformed frame: a frame of",
        ),
        (
            "a negative size",
            &[0xff; 4],
            "malformed frame: a frame of -1",
        ),
        ("cut short", &[0, 0, 0, 4, 0, 0, 0, 1], "malformed answer"),
        ("closed half-way", &[0, 0, 0, 9, 0], "the connection broke"),
    ];
    for (name, bytes, expected) in cases {
        let (mut connection, mut broker) = connected();
        let sent = connection.send(&ApiVersionsRequest::default(), 3).await;
        sent.expect("sent");
        broker.stream.write_all(bytes).await.expect("open");
        drop(broker);
        let answer = connection.receive::<ApiVersionsRequest>(3).await;
        let error = answer.expect_err(name).to_string();
        assert!(error.starts_with(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_request_given_up_half_way_ends_the_connection() {
    let (here, _there) = tokio::io::duplex(8);
    let mut connection = Connection::new(here, "tests", BYTES_MAX);
    let request = HeartbeatRequest::default();
    let wait = std::time::Duration::from_millis(1);
    let given_up = tokio::time::timeout(wait, connection.send(&request, 3)).await;
    given_up.expect_err("the frame does not fit");
    let next = connection.send(&request, 3).await;
    assert!(matches!(next, Err(Error::Broken(_))), "{next:?}");
}
