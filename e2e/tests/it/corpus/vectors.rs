//! What hostile clients do. Each gives the connections that it leaves open.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::groups::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::metadata::MetadataRequest;
use ottla_protocol::record_batch::set_max_timestamp;

use super::{batch, produce, request};

type Held = Result<Vec<TcpStream>>;
type Vector = (&'static str, Box<dyn Fn(&str) -> Held>);

/// All of them, in an order in which those that hold something stay for the next ones.
pub fn all() -> Vec<Vector> {
    let mut all: Vec<Vector> = Vec::new();
    for (name, bytes) in frames().into_iter().chain(batches()) {
        let send = move |address: &str| {
            for _ in 0..20 {
                sent(address, &bytes)?;
            }
            Ok(Vec::new())
        };
        all.push((name, Box::new(send)));
    }
    all.push(("connections that say nothing", Box::new(silent)));
    all.push(("connections that come and go", Box::new(restless)));
    all.push((
        "frames that are declared and never come",
        Box::new(|a| begun(a, 0)),
    ));
    all.push(("frames that come in part", Box::new(|a| begun(a, 1 << 20))));
    all.push(("a frame that comes byte by byte", Box::new(dripping)));
    all.push((
        "fetches whose answers nobody takes",
        Box::new(untaken_fetches),
    ));
    all.push((
        "questions whose answers nobody takes",
        Box::new(untaken_metadata),
    ));
    all.push(("members that join and never sync", Box::new(joining)));
    all.push(("produces that nobody waits for", Box::new(flooding)));
    all
}

/// Frames that make no sense, each sent twenty times.
fn frames() -> Vec<(&'static str, Vec<u8>)> {
    // key, version, correlation id, a null client id; then what the schema does not allow
    let header = |key: u16, version: u16| {
        let mut bytes = [key.to_be_bytes(), version.to_be_bytes()].concat();
        bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
        bytes
    };
    let framed = |parts: &[&[u8]]| {
        let body = parts.concat();
        [&(body.len() as u32).to_be_bytes(), &body[..]].concat()
    };
    let huge = 0x7fff_ffff_u32.to_be_bytes();
    let compact = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let tags = [&header(3, 12)[..], &[0xff, 0xff, 0x03]].concat();
    let many_tags = [0x80, 0x80, 0x04]
        .into_iter()
        .chain((0..65_536).flat_map(|_| [1, 0]));
    let many_tags: Vec<u8> = many_tags.collect();
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec()),
        (
            "TLS",
            [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat(),
        ),
        ("a negative size", vec![0xff; 4096]),
        (
            "a size beyond the limit",
            vec![0x7f, 0xff, 0xff, 0xff, 0, 3],
        ),
        ("no bytes", vec![0, 0, 0, 0]),
        ("half a header", framed(&[&[0]])),
        ("an unknown API", framed(&[&header(999, 0), &[0; 8]])),
        ("an unknown version", framed(&[&header(3, 999), &[0; 8]])),
        ("topics without end", framed(&[&header(3, 1), &huge])),
        (
            "produce without end",
            framed(&[&header(0, 7), &[0xff, 0xff, 0, 1, 0, 0, 0, 9], &huge]),
        ),
        (
            "fetch without end",
            framed(&[&header(1, 4), &[0; 17], &huge]),
        ),
        (
            "a compact count without end",
            framed(&[&header(3, 12), &[0], &compact]),
        ),
        ("a text without end", framed(&[&header(18, 3), &compact])),
        (
            "a group's long name",
            framed(&[&header(11, 5), &[0x7f, 0xff], &[b'g'; 64]]),
        ),
        ("tags without end", framed(&[&tags, &compact])),
        (
            "tags by the thousand",
            framed(&[&header(3, 12), &many_tags]),
        ),
    ]
}

/// Batches that nobody could read.
fn batches() -> Vec<(&'static str, Vec<u8>)> {
    let mut damaged = batch(b"value");
    damaged[70] ^= 1;
    let mut many = batch(b"value");
    many[23..27].copy_from_slice(&0x7fff_fffe_i32.to_be_bytes());
    many[57..61].copy_from_slice(&0x7fff_ffff_i32.to_be_bytes());
    set_max_timestamp(&mut many, 1);
    let mut compressed = batch(&vec![0; 900_000]);
    compressed[22] |= 4;
    set_max_timestamp(&mut compressed, 1);
    vec![
        ("a damaged batch", produce("t", damaged)),
        ("a batch of two thousand million", produce("t", many)),
        (
            "zeros that are said to be Zstandard",
            produce("t", compressed),
        ),
    ]
}

fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

/// Sends, and goes: the broker may well close before all is sent.
fn sent(address: &str, bytes: &[u8]) -> Result<()> {
    let _ = connect(address)?.write_all(bytes);
    Ok(())
}

fn silent(address: &str) -> Held {
    (0..2000).map(|_| connect(address)).collect()
}

fn restless(address: &str) -> Held {
    for _ in 0..2000 {
        drop(connect(address)?);
    }
    Ok(Vec::new())
}

/// Frames of which only so many bytes come.
fn begun(address: &str, bytes: usize) -> Held {
    let begin = |_| {
        let mut stream = connect(address)?;
        let head = [&(90_u32 << 20).to_be_bytes()[..], &[0, 0, 0, 9, 0, 0, 0, 1]].concat();
        let _ = stream.write_all(&head);
        let _ = stream.write_all(&vec![0; bytes]);
        Ok(stream)
    };
    (0..40).map(begin).collect()
}

fn dripping(address: &str) -> Held {
    let mut stream = connect(address)?;
    for byte in (1_u32 << 20).to_be_bytes() {
        let _ = stream.write_all(&[byte]);
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(vec![stream])
}

/// As many of the request as go out, on several connections, of which nothing is read.
fn untaken(address: &str, frame: &[u8], count: usize) -> Held {
    let ask = |_| {
        let mut stream = connect(address)?;
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        for _ in 0..count {
            if stream.write_all(frame).is_err() {
                break;
            }
        }
        Ok(stream)
    };
    (0..10).map(ask).collect()
}

fn untaken_fetches(address: &str) -> Held {
    let topic = FetchTopic {
        topic: "t".to_owned(),
        partitions: vec![FetchPartition {
            partition_max_bytes: 55 << 20,
            ..FetchPartition::default()
        }],
        ..FetchTopic::default()
    };
    let body = FetchRequest {
        replica_id: -1,
        max_wait_ms: 100,
        max_bytes: 55 << 20,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    untaken(address, &request(4, &body), 64)
}

fn untaken_metadata(address: &str) -> Held {
    let body = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    untaken(address, &request(9, &body), 10_000)
}

fn joining(address: &str) -> Held {
    let join = |place: usize| {
        let body = JoinGroupRequest {
            group_id: format!("g{}", place % 10),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: vec![7; 100_000].into(),
            }],
            ..JoinGroupRequest::default()
        };
        let mut stream = connect(address)?;
        let _ = stream.write_all(&request(3, &body));
        Ok(stream)
    };
    (0..200).map(join).collect()
}

/// Large batches, one after the other, with no eye for the answers.
fn flooding(address: &str) -> Held {
    let frame = produce("t", batch(&vec![b'x'; 900_000]));
    untaken(address, &frame, 50)
}
