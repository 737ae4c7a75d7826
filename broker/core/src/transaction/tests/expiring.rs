//! Ids that nobody uses any more.

use ottla_protocol::ids::ProducerId;

use crate::image::MetadataImage;
use crate::shard::{Now, Shard as _};
use crate::transaction::{Record, Settings, Shard, Transaction};

/// A time at which what was made at the beginning has expired, and the look for it is due.
fn later(settings: &Settings, ms: i64) -> Now {
    let age_ms = settings.id_expiration_ms + ms;
    Now {
        monotonic_ms: age_ms.unsigned_abs(),
        wall_ms: age_ms,
        age_ms,
    }
}

#[test]
fn many_expired_ids_are_forgotten_a_part_at_a_time() {
    let settings = Settings::default();
    let mut shard = Shard::new(settings.clone());
    let start = Now {
        monotonic_ms: 0,
        wall_ms: 0,
        age_ms: 0,
    };
    for id in 0..2_500 {
        shard.replay(Record {
            transactional_id: format!("x-{id}").into(),
            transaction: Some(Transaction::first(ProducerId(id), 1_000, start)),
        });
    }
    let (mut soft, _) = shard.on_loaded(start, &MetadataImage::default());
    let mut counts = Vec::new();
    for ms in [0, 1_000, 2_000, 3_000] {
        let now = later(&settings, ms);
        let decision = shard.on_deadline(&mut soft, now);
        counts.push(decision.records.len());
        for record in decision.records {
            shard.replay(record);
        }
    }
    assert_eq!(counts, [1_000, 1_000, 500, 0]);
}
