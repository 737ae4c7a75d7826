//! Text tables: an operation a line, then what must be known.

use super::*;

fn show(epochs: &Epochs) -> String {
    let entry = |(epoch, start): &(LeaderEpoch, Offset)| format!("{epoch}@{start}");
    epochs.0.iter().map(entry).collect::<Vec<_>>().join(" ")
}

fn number(word: &str) -> i64 {
    word.parse().expect("a number")
}

/// Each line: an operation `=>` the epochs after it.
fn check(table: &str) {
    let mut epochs = Epochs::default();
    for line in table.trim().lines() {
        let (operation, expected) = line.split_once("=>").expect("an arrow");
        let words: Vec<&str> = operation.split_whitespace().collect();
        match words[..] {
            ["assign", epoch, "at", start] => {
                epochs.assign(LeaderEpoch(number(epoch) as i32), Offset(number(start)));
            }
            ["cut-end", end] => epochs.truncate_from_end(Offset(number(end))),
            ["cut-start", start] => epochs.truncate_from_start(Offset(number(start))),
            _ => panic!("unknown: {line}"),
        }
        assert_eq!(show(&epochs), expected.trim(), "after {operation}");
    }
}

#[test]
fn epochs_ascend_and_follow_truncations() {
    check(
        "
        assign 1 at 0    => 1@0
        assign 1 at 5    => 1@0
        assign 0 at 5    => 1@0
        assign 3 at 10   => 1@0 3@10
        assign 4 at 10   => 1@0 4@10
        assign 6 at 20   => 1@0 4@10 6@20
        cut-end 20       => 1@0 4@10
        assign 7 at 18   => 1@0 4@10 7@18
        cut-start 12     => 4@12 7@18
        cut-start 18     => 7@18
        cut-end 18       =>
        cut-start 30     =>
        assign 9 at 30   => 9@30
        ",
    );
}

#[test]
fn an_epoch_ends_where_the_next_begins() {
    let epochs = [(2, 0), (4, 10), (7, 30)].map(|(e, o)| (LeaderEpoch(e), Offset(o)));
    let epochs = Epochs(epochs.to_vec());
    // asked for => epoch and end offset, the log ending at 50
    let table = "
        1 => 1 ends 0
        2 => 2 ends 10
        3 => 2 ends 10
        4 => 4 ends 30
        6 => 4 ends 30
        7 => 7 ends 50
        8 => unknown
        -1 => unknown";
    for line in table.trim().lines() {
        let (asked, expected) = line.split_once("=>").expect("an arrow");
        let found = epochs.end_offset_for(LeaderEpoch(number(asked.trim()) as i32), Offset(50));
        let found = found.map_or("unknown".to_owned(), |found| {
            format!("{} ends {}", found.leader_epoch, found.end_offset)
        });
        assert_eq!(found, expected.trim(), "epoch {asked}");
    }
    assert_eq!(epochs.at(Offset(9)), Some(LeaderEpoch(2)));
    assert_eq!(epochs.at(Offset(30)), Some(LeaderEpoch(7)));
}
