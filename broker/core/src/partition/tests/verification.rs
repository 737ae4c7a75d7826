//! The first batches of transactions, and the consent of their coordinators.

use super::transactions::runs;

/// After the last sequence comes 0: a transaction may begin where they do anew.
#[test]
fn the_lowest_sequence_is_that_of_the_first_batch_also_where_sequences_begin_anew() {
    runs(
        "verify 1/0 2147483646+2    => guarded
         verify 1/0 0+2             => guarded
         verified 1 1/0 0+2         => OUT_OF_ORDER_SEQUENCE_NUMBER
         verified 0 1/0 2147483646+2 => 0
         verified 1 1/0 0+2         => 2",
    );
}

#[test]
fn the_first_batch_of_a_transaction_is_verified_unless_a_marker_came() {
    runs(
        "unverified 1/0 0+5       => INVALID_TXN_STATE
         verify 1/0 0+5           => guarded
         unverified 1/0 0+5       => INVALID_TXN_STATE
         verified 0 1/0 0+5       => 0
         verify 1/0 0+5           => needless
         unverified 1/0 0+5       => 0
         unverified 1/0 5+5       => 5
         plain 1/0 10+1           => INVALID_TXN_STATE
         commit 1/0 c0            => 10
         verify 1/0 10+5          => guarded
         abort 1/0 c0             => 11
         verified 2 1/0 10+5      => CONCURRENT_TRANSACTIONS
         verify 1/0 10+5          => guarded
         verify 1/0 15+5          => guarded
         verified 4 1/0 15+5      => OUT_OF_ORDER_SEQUENCE_NUMBER
         verified 3 1/0 10+5      => 12
         verified 4 1/0 15+5      => 17
         verify 1/0 25+5          => guarded
         verify 1/0 20+5          => needless
         offsets 5/0 2            => 22
         offsets 5/0 2            => 24
         open                     => 12",
    );
}

/// The marker of the transaction before, which the coordinator waits for, may overtake its consent
/// to the next one. With an epoch for each transaction it shows which one it ends.
#[test]
fn consent_to_a_transaction_outlasts_the_marker_of_the_one_before() {
    runs(
        "offsets 5/0 2            => 0
         verify 5/1 0+2           => guarded
         commit 5/1 c0 v2         => 2
         commit 5/1 c0 v2         => 3
         verified 0 5/1 0+2       => 4
         commit 5/2 c0 v2         => 6
         verify 5/2 0+2           => guarded
         abort 5/3 c0 v2          => 7
         verified 1 5/2 0+2       => CONCURRENT_TRANSACTIONS
         verify 5/3 0+2           => guarded
         verify 5/3 2+2           => guarded
         commit 5/3 c0 v2         => 8
         refused 8                => stable 0
         verified 3 5/3 2+2       => OUT_OF_ORDER_SEQUENCE_NUMBER
         verified 2 5/3 0+2       => 8",
    );
}

#[test]
fn without_epochs_what_a_marker_overtook_is_asked_about_again() {
    runs(
        "data 5/0 0+2             => 0
         commit 5/0 c0            => 2
         verify 5/0 2+2           => guarded
         commit 5/0 c0            => 3
         verified 0 5/0 2+2       => CONCURRENT_TRANSACTIONS
         verify 5/0 2+2           => guarded
         verified 1 5/0 2+2       => 4",
    );
}

#[test]
fn an_older_incarnation_does_not_take_the_place_of_one_whose_coordinator_is_asked() {
    runs(
        "verify 1/3 0+5           => guarded
         verify 1/2 0+5           => needless
         data 1/2 0+5             => INVALID_PRODUCER_EPOCH
         offsets 1/2 1            => INVALID_PRODUCER_EPOCH
         verified 0 1/3 0+5       => 0
         abort 1/3 c0             => 5
         verify 1/3 5+1           => guarded
         verify 1/4 0+1           => guarded
         verified 2 1/3 5+1       => INVALID_PRODUCER_EPOCH
         verified 3 1/4 0+1       => 6",
    );
}

#[test]
fn a_batch_that_was_verified_stays_so_where_the_log_refuses_it() {
    runs(
        "verify 1/0 0+5           => guarded
         verify 1/0 5+5           => guarded
         verified 0 1/0 0+5       => 0
         refused 0                => stable 0
         verified 1 1/0 5+5       => OUT_OF_ORDER_SEQUENCE_NUMBER
         verified 0 1/0 0+5       => 0
         abort 1/0 c0             => 5
         verify 1/0 5+5           => guarded
         commit 1/0 c0            => 6
         refused 6                => stable 0
         verified 2 1/0 5+5       => 6",
    );
}

#[test]
fn what_its_coordinator_refused_is_forgotten() {
    runs(
        "verify 1/9 0+5           => guarded
         disproved 0 1            => forgotten
         verify 1/3 0+5           => guarded
         disproved 0 1            => forgotten
         verified 0 1/9 0+5       => CONCURRENT_TRANSACTIONS
         verified 1 1/3 0+5       => 0",
    );
}
