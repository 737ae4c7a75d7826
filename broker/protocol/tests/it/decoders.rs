//! What must hold when any bytes are decoded. The fuzz targets call these, one for each family, and
//! `corpus.rs` calls them with the inputs that fuzzing kept.

use bytes::BytesMut;
use ottla_protocol::codec::{MEMORY_FACTOR_MAX, MEMORY_FREE_BYTES, Reader};
use ottla_protocol::compression::decompress;
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::record;
use ottla_protocol::record_batch::{self, Compression, validate_produced};

use crate::allocations;
use crate::catalogue::{self, Entry};

/// What splitting a buffer and the like may take beyond the decoded value.
pub const OVERHEAD_BYTES: usize = 4096;

/// The most that records may decompress to here.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

/// Frames above this are refused here.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Decodes a message of `family`: the first byte chooses which, the second its version.
pub fn message(family: &str, input: &[u8]) {
    let [choice, version, body @ ..] = input else {
        return;
    };
    let entries: Vec<_> = catalogue::all()
        .into_iter()
        .filter(|e| e.family == family)
        .collect();
    assert!(!entries.is_empty(), "no family {family}");
    let entry = &entries[usize::from(*choice) % entries.len()];
    let versions = entry.versions.end() - entry.versions.start() + 1;
    let version = entry.versions.start() + i16::from(*version) % versions;
    if bounded(entry, version, body) {
        let once = (entry.transcode)(BytesMut::from(body), version);
        let once = once.expect("what was decoded is encoded");
        let twice = (entry.transcode)(BytesMut::from(&once[..]), version);
        assert_eq!(twice.as_deref(), Ok(&once[..]), "{} v{version}", entry.name);
    }
}

/// Whether `body` is a message; decoding it must take no more memory than its bytes justify.
pub fn bounded(entry: &Entry, version: i16, body: &[u8]) -> bool {
    let buffer = BytesMut::from(body);
    let (decoded, allocated) = allocations::during(|| (entry.decode)(buffer, version));
    let allowed = MEMORY_FACTOR_MAX * body.len() + MEMORY_FREE_BYTES + OVERHEAD_BYTES;
    let (name, count) = (entry.name, body.len());
    assert!(
        allocated <= allowed,
        "{name} v{version}: {allocated} bytes of memory for {count}"
    );
    decoded.is_ok()
}

/// Splits frames off `input` and reads their headers.
pub fn frames(input: &[u8]) {
    let mut buffer = BytesMut::from(input);
    while let Ok(Some(frame)) = frame::split(&mut buffer, FRAME_BYTES_MAX) {
        let _ = RequestHeader::read(&mut Reader::new(frame));
    }
}

/// Walks batches and their records.
pub fn batches(input: &[u8]) {
    let _ = validate_produced(input);
    for batch in record_batch::iterate(input).map_while(Result::ok) {
        let mut seen = 0;
        let walked = batch.walk(DECOMPRESSED_BYTES_MAX, |_| seen += 1);
        if walked.is_ok() {
            let body = batch.decompressed(DECOMPRESSED_BYTES_MAX);
            let body = body.expect("what was walked over decompresses");
            let records = record::iterate(&body, batch.header.records_count);
            let read = records.filter(|record| record.is_ok()).count();
            assert_eq!(seen, read, "what was walked over can be read");
        }
        let Ok(body) = batch.decompressed(DECOMPRESSED_BYTES_MAX) else {
            continue;
        };
        for record in record::iterate(&body, batch.header.records_count).map_while(Result::ok) {
            record.headers().for_each(drop);
        }
    }
}

/// Decompresses: the first byte chooses how.
pub fn compressed(input: &[u8]) {
    let [choice, body @ ..] = input else {
        return;
    };
    let compression = Compression::from_attributes(i16::from(choice % 5)).expect("there are five");
    if let (Ok(bytes), true) = (
        decompress(compression, body, DECOMPRESSED_BYTES_MAX),
        compression != Compression::None,
    ) {
        assert!(bytes.len() <= DECOMPRESSED_BYTES_MAX, "more than the limit");
    }
}
