use ottla_protocol::ids::{LeaderEpoch, Offset};

use super::*;

fn batch(producer: i64, epoch: i16, sequence: i32) -> Batch {
    Batch {
        base_offset: Offset(0),
        last_offset_delta: 0,
        leader_epoch: LeaderEpoch(0),
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
        max_timestamp: 0,
        is_transactional: false,
        is_control: false,
        marker: None,
    }
}

const NOW: Duration = Duration::from_secs(100);

#[test]
fn what_was_sent_behind_a_refused_batch_waits_for_it() {
    let mut refused = RefusedBatches::default();
    let mut producers = Producers::default();
    refused.refused(NOW, &"a", &batch(7, 0, 0));
    let waits = |refused: &RefusedBatches<&str>, producers: &Producers, batch: &Batch| {
        refused.is_out_of_turn(NOW, &"a", batch, producers)
    };
    assert!(waits(&refused, &producers, &batch(7, 0, 1)));
    assert!(!waits(&refused, &producers, &batch(7, 0, 0)), "it itself");
    assert!(!waits(&refused, &producers, &batch(8, 0, 1)), "another's");
    assert!(!waits(&refused, &producers, &batch(7, 1, 0)), "begun anew");
    assert!(!refused.is_out_of_turn(NOW, &"b", &batch(7, 0, 1), &producers));
    // refused themselves, the later ones do not come first by that
    refused.refused(NOW, &"a", &batch(7, 0, 1));
    assert!(waits(&refused, &producers, &batch(7, 0, 1)));
    // what a partition knows by its log, it knows better
    let _ = producers.appended(&batch(7, 0, 4));
    assert!(!waits(&refused, &producers, &batch(7, 0, 5)));
    refused.came_again(&"a", &batch(7, 0, 0));
    assert!(refused.is_empty());
}

#[test]
fn a_refused_batch_is_forgotten_in_time() {
    let mut refused = RefusedBatches::default();
    refused.refused(NOW, &"a", &batch(7, 0, i32::MAX));
    let later = NOW + REMEMBERED + Duration::from_millis(1);
    let none = Producers::default();
    assert!(refused.is_out_of_turn(NOW, &"a", &batch(7, 0, 0), &none));
    assert!(!refused.is_out_of_turn(later, &"a", &batch(7, 0, 0), &none));
    for producer in 10..10 + REFUSED_MAX as i64 {
        refused.refused(later, &"a", &batch(producer, 0, 5));
    }
    assert!(!refused.is_out_of_turn(NOW, &"a", &batch(7, 0, 0), &none));
    assert!(refused.is_out_of_turn(later, &"a", &batch(10, 0, 6), &none));
}
