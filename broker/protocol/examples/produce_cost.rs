//! What the codec costs on the hot path: decoding produce requests, validating and stamping their
//! batches, encoding fetch responses. Run with `--release`.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ottla_protocol::codec::{Decode, Encode, Reader, Records, Writer};
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::ids::{LeaderEpoch, Offset};
use ottla_protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::{Builder, stamp, validate_produced};

/// How long each row is measured.
const MEASURED: Duration = Duration::from_millis(500);

/// How many requests are made ready at a time, so that making them is not measured.
const ROUND: usize = 64;

/// The produce version of the frames.
const VERSION: i16 = 12;

fn main() {
    println!(
        "{:>10} {:>10} {:>12} {:>10}  step",
        "batches", "bytes", "ns/request", "GB/s"
    );
    for (partitions, records) in [(1, 1), (1, 16), (1, 64), (8, 16), (100, 1)] {
        let frame = produce_frame(partitions, records);
        let row = |step| (partitions, frame.len(), step);
        let whole = decode(frame.clone());
        measure(row("decode"), || frame.clone(), decode);
        measure(
            row("validate"),
            || whole.clone(),
            |request| {
                for data in &request.topic_data[0].partition_data {
                    let header = validate_produced(data.records.as_deref().unwrap_or_default());
                    black_box(header.expect("valid"));
                }
                request
            },
        );
        measure(
            row("decode, validate, stamp, freeze"),
            || frame.clone(),
            append,
        );
        let records = produce_batch(records).freeze();
        let response = || fetch_response(partitions, &records);
        measure(row("encode a fetch response"), response, |response| {
            let mut writer = Writer::with_capacity(256);
            response.encode(&mut writer, 16).expect("encodes");
            (response, writer.finish())
        });
    }
}

/// What happens to a produce request before its batches are queued for the log.
fn append(frame: BytesMut) -> Vec<Bytes> {
    let data = decode(frame).topic_data.swap_remove(0).partition_data;
    let stamped = data.into_iter().map(|data| {
        let mut records = data.records.unwrap_or_default();
        validate_produced(&records).expect("valid");
        stamp(&mut records, Offset(7), LeaderEpoch(1));
        records.freeze()
    });
    stamped.collect()
}

/// Measures `work` on what `ready` makes; neither making that nor dropping the result counts.
fn measure<T, R>(
    (partitions, bytes, step): (usize, usize, &str),
    ready: impl Fn() -> T,
    work: impl Fn(T) -> R,
) {
    let (mut spent, mut requests) = (Duration::ZERO, 0u32);
    while spent < MEASURED {
        let round: Vec<T> = (0..ROUND).map(|_| ready()).collect();
        let mut results = Vec::with_capacity(ROUND);
        let start = Instant::now();
        results.extend(round.into_iter().map(&work));
        spent += start.elapsed();
        black_box(results);
        requests += ROUND as u32;
    }
    let each = spent.as_secs_f64() / f64::from(requests);
    let rate = bytes as f64 / each / 1e9;
    println!(
        "{partitions:>10} {bytes:>10} {:>12.0} {rate:>10.2}  {step}",
        each * 1e9
    );
}

fn decode(frame: BytesMut) -> ProduceRequest {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::read(&mut reader).expect("a header");
    ProduceRequest::decode(&mut reader, header.api_version).expect("a request")
}

fn produce_batch(records: usize) -> BytesMut {
    let mut builder = Builder::new();
    let value = [b'v'; 1024];
    for index in 0..records {
        builder.push(&NewRecord {
            timestamp_ms: 1_700_000_000_000 + index as i64,
            value: Some(&value),
            ..NewRecord::default()
        });
    }
    builder.build()
}

fn produce_frame(partitions: usize, records: usize) -> BytesMut {
    let partition_data = (0..partitions).map(|index| PartitionProduceData {
        index: index as i32,
        records: Some(produce_batch(records)),
    });
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: "orders".to_owned(),
            partition_data: partition_data.collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let segments = frame::request(VERSION, 1, "producer-1", &request).expect("encodes");
    let whole: Vec<u8> = segments.concat();
    BytesMut::from(&whole[4..])
}

fn fetch_response(partitions: usize, records: &Bytes) -> FetchResponse {
    let partitions = (0..partitions).map(|index| PartitionData {
        partition_index: index as i32,
        high_watermark: 1000,
        aborted_transactions: None,
        records: Some(Records::from(records.clone())),
        ..PartitionData::default()
    });
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    }
}
