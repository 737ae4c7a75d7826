//! What compaction makes of transactions: one log, a batch a segment.

use ottla_protocol::record::ControlRecord;
use ottla_storage::compaction::AbortedTransaction;

use super::*;

/// A batch of producer `id` in its transaction.
fn data(offset: i64, id: i64, value: &str) -> BytesMut {
    let (id, epoch) = (ProducerId(id), ProducerEpoch(0));
    let builder = Builder::new().producer(id, epoch, Sequence(offset as i32));
    let mut builder = builder.transactional();
    builder.push(&NewRecord {
        timestamp_ms: offset,
        key: Some(b"k"),
        value: Some(value.as_bytes()),
        headers: &[],
    });
    stamped(offset, builder)
}

fn marker(offset: i64, id: i64, record: ControlRecord) -> BytesMut {
    stamped(
        offset,
        Builder::control(record, offset, ProducerId(id), ProducerEpoch(0)),
    )
}

fn stamped(offset: i64, builder: Builder) -> BytesMut {
    let mut bytes = builder.build();
    record_batch::stamp(&mut bytes, Offset(offset), LeaderEpoch(0));
    bytes
}

/// Each batch as `offset`, `offset!` for a marker, `offset-` for one without records.
fn shown(log: &LogReader, end: i64) -> String {
    let mut seen = Vec::new();
    let mut next = 0;
    while next < end {
        let before = next;
        for chunk in log
            .read(Offset(next), 1 << 16, Offset(end))
            .unwrap()
            .perform()
            .unwrap()
        {
            for batch in record_batch::iterate(&chunk) {
                let header = batch.unwrap().header;
                let kind = match (header.records_count, header.is_control()) {
                    (0, _) => "-",
                    (_, true) => "!",
                    (_, false) => "",
                };
                seen.push(format!("{}{kind}", header.base_offset));
                next = header.next_offset().0;
            }
        }
        if next == before {
            break;
        }
    }
    seen.join(" ")
}

fn batches() -> [BytesMut; 9] {
    let abort = ControlRecord::Abort {
        coordinator_epoch: 0,
    };
    let commit = ControlRecord::Commit {
        coordinator_epoch: 0,
    };
    [
        data(0, 1, "old"),
        marker(1, 1, commit),
        data(2, 1, "aborted"),
        marker(3, 1, abort),
        data(4, 2, "committed"),
        marker(5, 2, commit),
        data(6, 1, "aborted"),
        marker(7, 1, abort),
        data(8, 2, "active"),
    ]
}

#[test]
fn what_was_aborted_goes_and_markers_follow_once_nothing_is_left_to_end() {
    let (store, mut log) = opened_anew(&SimDisk::new(1), small, batches());
    let aborted = |first, last| AbortedTransaction {
        producer_id: ProducerId(1),
        first_offset: Offset(first),
        last_offset: Offset(last),
    };
    let mut compact = |now_ms: i64, last_of_producer: i64, forgets: bool| {
        let terms = Compaction {
            until: Offset(8),
            now_ms,
            delete_retention_ms: 100,
            forgets,
            keys_bytes_max: 1 << 10,
            buffer_bytes: 1 << 10,
            producers: BTreeMap::from([(ProducerId(1), Offset(last_of_producer))]),
            aborted: vec![aborted(2, 3), aborted(6, 7)],
        };
        let mut holder = Holder {
            log: &mut log,
            steps_left: usize::MAX,
        };
        let reader = holder.log.reader();
        let done = reader.compact(&terms, &mut holder).unwrap();
        store.commit().unwrap();
        store.checkpoint(&Quiet).unwrap();
        let removed: Vec<i64> = done.removed_markers.iter().map(|offset| offset.0).collect();
        (shown(&log, 8), removed)
    };
    // a producer's last batch stays, so that its next one can be judged
    let kept = |batches: &str, removed: &[i64]| (batches.to_owned(), removed.to_vec());
    assert_eq!(compact(1000, 6, true), kept("1! 3! 4 5! 6- 7!", &[]));
    // nothing of the first two transactions is left: from now on their markers' time counts
    assert_eq!(compact(2000, 6, true), kept("1! 3! 4 5! 6- 7!", &[]));
    assert_eq!(compact(2099, 6, true), kept("1! 3! 4 5! 6- 7!", &[]));
    // a replica may not have them
    assert_eq!(compact(2100, 6, false), kept("1! 3! 4 5! 6- 7!", &[]));
    assert_eq!(compact(2100, 8, true), kept("4 5! 7!", &[1, 3]));
    assert_eq!(compact(3000, 8, true), kept("4 5! 7!", &[]));
    // the last batch of what is compacted stays without records
    assert_eq!(compact(3100, 8, true), kept("4 5! 7-", &[7]));
}

/// What is compacted ends inside of a transaction that was aborted: its record takes the place of
/// none that was committed.
#[test]
fn what_was_aborted_supersedes_nothing_where_its_marker_is_in_a_later_segment() {
    let (_store, mut log) = opened_anew(&SimDisk::new(1), small, batches());
    let terms = Compaction {
        until: Offset(3),
        now_ms: 1000,
        delete_retention_ms: 100,
        forgets: true,
        keys_bytes_max: 1 << 10,
        buffer_bytes: 1 << 10,
        producers: BTreeMap::new(),
        aborted: vec![AbortedTransaction {
            producer_id: ProducerId(1),
            first_offset: Offset(2),
            last_offset: Offset(3),
        }],
    };
    let mut holder = Holder {
        log: &mut log,
        steps_left: usize::MAX,
    };
    let reader = holder.log.reader();
    reader.compact(&terms, &mut holder).unwrap();
    assert_eq!(shown(&log, 4), "0 1! 2- 3!");
}
