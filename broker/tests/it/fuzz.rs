//! Requests that a fuzzer makes up, past the decoder: every API that is served is asked things that
//! are well formed and make little sense. The broker answers, in words that can be written, or
//! closes the connection; it never panics, and it works on.
//!
//! `FUZZ_SECONDS=60` goes on with fresh seeds for so long, `FUZZ_SEED=n` repeats one.

mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use ottla_broker::api;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::Decode;
use ottla_protocol::codec::Reader;
use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::groups::*;
use ottla_protocol::messages::metadata::*;
use ottla_protocol::messages::topics::*;

use self::words::Words;
use crate::catalogue::{self, Entry, Role};
use crate::dev_node::DevNode;
use crate::forms;

/// The seeds that always run.
const SEEDS: u64 = 3;

/// Requests with one seed.
const REQUESTS: usize = 400;

/// A request that waits longer than this is given up, as by a client that goes away.
const PATIENCE: Duration = Duration::from_millis(50);

/// Panics of tasks, which no test would see otherwise.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // a test's own panic fails that test; the other threads are a broker's
        let thread = std::thread::current();
        if thread.name().is_none_or(|name| name.starts_with("tokio")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
}

/// The requests that are served, each with the versions that are.
fn served() -> Vec<(ApiKey, i16, i16, Entry)> {
    let mut entries: BTreeMap<ApiKey, Entry> = BTreeMap::new();
    for entry in catalogue::all() {
        if let Role::Request(key) = entry.role {
            entries.insert(key, entry);
        }
    }
    let rows = api::table();
    rows.map(|row| {
        let entry = entries.remove(&row.key);
        let entry = entry.unwrap_or_else(|| panic!("the catalogue lacks {}", row.key));
        (row.key, row.version_min, row.version_max, entry)
    })
    .collect()
}

/// Whether the request would end the test: it asks to take this broker out of the cluster.
fn is_suicide(key: ApiKey, body: &[u8]) -> bool {
    key == ApiKey::UnregisterBroker && body.starts_with(&[0; 4])
}

fn frame(key: ApiKey, version: i16, client_id: &[u8], body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_i16(key.key());
    bytes.put_i16(version);
    bytes.put_i32(7);
    bytes.put_i16(client_id.len() as i16);
    bytes.put_slice(client_id);
    if key.request_header_version(version) >= 2 {
        bytes.put_u8(0);
    }
    bytes.put_slice(body);
    bytes
}

/// What the answers teach: ids that later requests name.
fn learn(words: &mut Words, key: ApiKey, version: i16, answer: BytesMut) {
    let mut reader = Reader::new(answer);
    let _ = reader.i32();
    if key.response_header_version(version) >= 1 && reader.skip_tags().is_err() {
        return;
    }
    match key {
        ApiKey::JoinGroup => {
            if let Ok(joined) = JoinGroupResponse::decode(&mut reader, version) {
                words.member(joined.member_id);
                words.epoch(joined.generation_id);
            }
        }
        ApiKey::Metadata => {
            let known = MetadataResponse::decode(&mut reader, version);
            for topic in known.into_iter().flat_map(|known| known.topics) {
                words.topic(topic.topic_id);
            }
        }
        ApiKey::CreateTopics => {
            let created = CreateTopicsResponse::decode(&mut reader, version);
            for topic in created.into_iter().flat_map(|created| created.topics) {
                words.topic(topic.topic_id);
            }
        }
        ApiKey::Fetch => {
            if let Ok(fetched) = FetchResponse::decode(&mut reader, version) {
                words.session(fetched.session_id);
            }
        }
        _ => {}
    }
}

async fn ask_all(node: &mut DevNode, seed: u64) {
    let served = served();
    let mut words = Words::new(seed);
    let mut said = BTreeMap::<ApiKey, usize>::new();
    for _ in 0..REQUESTS {
        let draw = forms::Choose::draw(&mut words);
        let (key, first, last, entry) = &served[draw.below(served.len() as u64) as usize];
        let version = first + draw.below((last - first + 1) as u64) as i16;
        let body = forms::draw(entry, version, &mut words);
        if is_suicide(*key, &body) {
            continue;
        }
        let client_id = forms::Choose::text(&mut words, "client_id", false);
        let what = format!("seed {seed}: {key} of version {version}");
        match node
            .call(frame(*key, version, &client_id, &body), PATIENCE)
            .await
        {
            Ok(Some(answer)) => {
                *said.entry(*key).or_default() += 1;
                learn(&mut words, *key, version, answer);
            }
            Ok(None) | Err(api::Error::Unacknowledged | api::Error::Body { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{what}: a task panicked");
    }
    assert!(said.len() > served.len() / 2, "only {said:?} were answered");
}

/// A topic can still be made, and its partition fetched from.
async fn works(node: &mut DevNode, seed: u64) {
    let name = format!("works-{seed}");
    node.create_topic(&name).await;
    let partition = FetchPartition {
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let fetch = FetchRequest {
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: name,
            partitions: vec![partition],
            ..Default::default()
        }],
        session_epoch: -1,
        ..Default::default()
    };
    for _ in 0..100 {
        let fetched = node.ask(12, &fetch).await;
        if fetched.responses[0].partitions[0].error_code == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("seed {seed}: a new partition cannot be fetched from");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_no_sense_are_answered_or_refused() {
    count_panics();
    let first = number("FUZZ_SEED").unwrap_or(1);
    let seconds = number("FUZZ_SECONDS").map(Duration::from_secs);
    let began = Instant::now();
    for seed in first.. {
        let is_over = match seconds {
            Some(limit) => began.elapsed() >= limit,
            None if number("FUZZ_SEED").is_some() => seed > first,
            None => seed > SEEDS,
        };
        if is_over {
            println!(
                "{} seeds from {first} on in {:?}",
                seed - first,
                began.elapsed()
            );
            return;
        }
        let mut node = DevNode::start().await;
        ask_all(&mut node, seed).await;
        works(&mut node, seed).await;
        node.node.stop().await;
    }
}
