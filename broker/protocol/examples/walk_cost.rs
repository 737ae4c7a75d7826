//! What it costs to look at every record of a produced batch, by codec and size of record. The
//! first row of each is its checksum, for comparison. Run with `--release`; what else the machine
//! does counts little, since it is the thread's own time that is measured.

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::{Builder, Compression, RecordBatch, validate_produced};

/// How long each row is measured.
const MEASURED: Duration = Duration::from_millis(200);

const BYTES_MAX: usize = 256 << 20;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Lz4,
    Compression::Zstd,
    Compression::Snappy,
    Compression::Gzip,
];

fn main() {
    println!(
        "{:>8} {:>8} {:>9} {:>7} {:>12} {:>10}  step",
        "records", "bytes", "batch", "codec", "ns/record", "MB/s"
    );
    for (records, bytes) in [(1, 100), (100, 100), (1000, 100), (16, 1024), (500, 1024)] {
        let plain = batch(records, bytes);
        row((records, bytes), &plain, "checksum", |batch| {
            black_box(validate_produced(batch.bytes).expect("valid"));
        });
        for codec in CODECS {
            let batch = compressed(&plain, codec);
            row((records, bytes), &batch, "walk", |batch| {
                let mut last = 0;
                let walked = batch.walk(BYTES_MAX, |seen| last = seen.timestamp_delta);
                walked.expect("valid");
                black_box(last);
            });
        }
    }
}

/// Measures `work` on a batch of so many records of so many bytes.
fn row((records, size): (usize, usize), bytes: &[u8], step: &str, work: impl Fn(&RecordBatch<'_>)) {
    let batch = RecordBatch::first(bytes).expect("a batch");
    let (mut spent, mut rounds) = (Duration::ZERO, 0u32);
    while spent < MEASURED {
        let start = on_processor();
        (0..256).for_each(|_| work(&batch));
        spent += on_processor() - start;
        rounds += 256;
    }
    let each = spent.as_secs_f64() / f64::from(rounds);
    let codec = batch.header.compression().expect("known");
    println!(
        "{records:>8} {size:>8} {:>9} {:>7} {:>12.1} {:>10.0}  {step}",
        bytes.len(),
        format!("{codec:?}"),
        each * 1e9 / records as f64,
        (records * size) as f64 / each / 1e6,
    );
}

/// How long this thread has run.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.expect("Linux counts it"))
}

/// Records as services write them: text in which much comes again, and some does not.
fn batch(records: usize, bytes: usize) -> BytesMut {
    let mut builder = Builder::new();
    let mut state = 1u64;
    for place in 0..records {
        let mut value = String::new();
        while value.len() < bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let id = state >> 24;
            value += &format!(
                r#"{{"order":"{id:x}","customer":{},"state":"paid"}}"#,
                id % 977
            );
        }
        builder.push(&NewRecord {
            timestamp_ms: 1_700_000_000_000 + place as i64,
            key: Some(format!("customer-{}", state % 977).as_bytes()),
            value: value.as_bytes().get(..bytes),
            headers: &[],
        });
    }
    builder.build()
}

fn compressed(plain: &[u8], codec: Compression) -> BytesMut {
    let plain = RecordBatch::first(plain).expect("a batch");
    let mut asked = plain;
    asked.header.attributes |= codec as i16;
    let compacted = asked.compacted(plain.body(), None, &mut |_| true);
    compacted.expect("compresses")
}
