//! Another implementation of the protocol reads what we mean, and writes the same bytes: the crate
//! `kafka-protocol`, whose structs come from the schemas of Kafka 4.1.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use crate::catalogue::{self, Entry, Role};
use crate::forms::{self, Draw};

/// Versions that the crate says it knows while its structs end one earlier: they were unstable in
/// Kafka 4.1.
const UNSTABLE: [(&str, i16); 3] = [
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("InitProducerIdRequest", 6),
];

/// Forms tried for each version of each message.
const FORMS: u64 = 20;

/// The form as the other implementation writes it, having read it; `None` where it lacks the
/// version.
fn transcode(entry: &Entry, version: i16, form: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let (key, asks) = match entry.role {
        Role::Request(key) => (key, true),
        Role::Response(key) => (key, false),
        Role::Record => return None,
    };
    if UNSTABLE.contains(&(entry.name, version)) {
        return None;
    }
    let key = ApiKey::try_from(key.key()).ok()?;
    let known = key.valid_versions();
    if version < known.min || known.max < version {
        return None;
    }
    let mut input = Bytes::copy_from_slice(form);
    let mut output = BytesMut::new();
    let done = if asks {
        RequestKind::decode(key, &mut input, version)
            .and_then(|request| request.encode(&mut output, version))
    } else {
        ResponseKind::decode(key, &mut input, version)
            .and_then(|response| response.encode(&mut output, version))
    };
    Some(
        done.map(|()| output.to_vec())
            .map_err(|error| error.to_string()),
    )
}

#[test]
fn kafka_protocol_reads_and_writes_the_same() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for entry in catalogue::all() {
        for version in entry.versions.clone() {
            for seed in 0..FORMS {
                let form = forms::draw(&entry, version, &mut Draw(seed));
                match transcode(&entry, version, &form) {
                    None => break,
                    Some(Ok(again)) if again == form => compared += 1,
                    Some(other) => {
                        wrong.push(format!(
                            "{} v{version}: {form:?} became {other:?}",
                            entry.name
                        ));
                        break;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 5000, "only {compared} forms were compared");
}
