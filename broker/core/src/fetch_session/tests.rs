//! Tables: a label, what happens to a session of partitions a, b and c, and what it comes to.
//!
//! ```text
//! name a b       the fetch at work names partitions
//! forget a       and forgets one
//! next           the next fetch begins; `next 7` one of that epoch
//! take 3 0 0     in which order these keys are looked at
//! new            the keys whose positions were not told to a leader yet
//! acls           the fetch comes with other ACLs; `acls same` with the same ones
//! g1 0@5 1@7r    the fetch of generation 1 found the high watermarks 5 and 7, key 1 has records;
//!                u: urgent, w: the reader waits for high watermarks, l: look again, s: the log
//!                starts elsewhere; `g1 due`: it is enough for an answer
//! ```

use super::*;

const POSITION: Position = Position {
    fetch_offset: Offset(0),
    bytes_max: 1000,
    log_start_offset: Offset(0),
    current_leader_epoch: None,
    last_fetched_epoch: None,
};

fn finding(word: &str) -> Finding {
    let (key, rest) = word.split_once('@').unwrap();
    let flags = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let high_watermark = rest[..rest.len() - flags.len()].parse().unwrap();
    Finding {
        key: key.parse().unwrap(),
        said: Said {
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset: i64::from(flags.contains('s')),
        },
        has_records: flags.contains('r'),
        is_urgent: flags.contains('u'),
        tells_high_watermark: flags.contains('w'),
        look_again: flags.contains('l'),
    }
}

fn settle(session: &mut FetchSession<String, ()>, generation: u64, words: &[&str]) -> String {
    let is_due = words.first() == Some(&"due");
    let findings: Vec<_> = words.iter().skip(usize::from(is_due)).collect();
    let findings: Vec<_> = findings.into_iter().map(|word| finding(word)).collect();
    match session.settle(generation, &findings, is_due) {
        Settled::Answer { is_told, again } => {
            let told = findings.iter().zip(is_told).filter(|(_, is_told)| *is_told);
            let told: Vec<_> = told.map(|(found, _)| found.key).collect();
            format!("tells {told:?} again {again:?}")
        }
        Settled::Wait { again } => format!("waits again {again:?}"),
    }
}

fn play(script: &str) -> String {
    let mut session = FetchSession::<String, ()>::default();
    let mut acls = Arc::new(Acls::default());
    let mut epoch = 1;
    let mut seen = Vec::new();
    for line in script.split(';') {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers = || words[1..].iter().map(|word| word.parse::<u32>().unwrap());
        let outcome = match words[0] {
            "name" => {
                let names = words[1..].iter();
                let keys = names.map(|name| session.update((*name).to_owned(), POSITION));
                format!("{:?}", keys.collect::<Vec<_>>())
            }
            "forget" => {
                let freed = session.forget(&words[1].to_owned());
                format!("frees {:?}", freed.map(|(key, ())| key))
            }
            "next" if words.len() > 1 => {
                format!("{:?}", session.advance(numbers().sum::<u32>() as i32))
            }
            "next" => {
                session.advance(epoch).unwrap();
                epoch += 1;
                format!("g{}", session.generation())
            }
            "take" => {
                let mut keys = numbers().collect();
                session.order(&mut keys);
                format!("{keys:?}")
            }
            "new" => {
                let is_new = |key: &u32| session.entry(*key).is_some_and(|entry| entry.is_new);
                format!("{:?}", (0..3).filter(is_new).collect::<Vec<_>>())
            }
            "acls" => {
                if words.len() == 1 {
                    acls = Arc::new(Acls::default());
                }
                format!("{:?}", session.recheck(&acls))
            }
            generation => settle(&mut session, generation[1..].parse().unwrap(), &words[1..]),
        };
        seen.push(outcome);
    }
    seen.join("; ")
}

/// What happens, by label, and what it comes to.
const ROWS: &[(&str, &str, &str)] = &[
    (
        "the first answer tells everything, the next only news",
        "name a b; g0 0@5 1@7; next; g1 due 0@5 1@8",
        "[0, 1]; tells [0, 1] again []; g1; tells [1] again []",
    ),
    (
        "news without records wait, and are looked at again",
        "name a; g0 0@5; next; g1 0@6; g1 0@5",
        "[0]; tells [0] again []; g1; waits again [0]; waits again []",
    ),
    (
        "too few records wait, and are looked at again",
        "name a; g0 0@5; next; g1 0@5r; g1 due 0@5r",
        "[0]; tells [0] again []; g1; waits again [0]; tells [0] again [0]",
    ),
    (
        "a reader that waits for high watermarks is told at once, but nothing twice",
        "name a; g0 0@5; next; g1 0@5w; g1 0@6w",
        "[0]; tells [0] again []; g1; waits again []; tells [0] again []",
    ),
    (
        "a log that starts elsewhere is told at once",
        "name a; g0 0@5; next; g1 0@5s",
        "[0]; tells [0] again []; g1; tells [0] again []",
    ),
    (
        "what is urgent is told each time, and looked at again with the next fetch",
        "name a; g0 0@5; next; g1 due 0@5ul; next; g2 due 0@5ul",
        "[0]; tells [0] again []; g1; tells [0] again [0]; g2; tells [0] again [0]",
    ),
    (
        "what was said beside an error or a diverging log is said again, its reader dropped it",
        "name a; g0 0@5; next; g1 0@5su; next; g2 due 0@5s; next; g3 due 0@5s",
        "[0]; tells [0] again []; g1; tells [0] again []; g2; tells [0] again []; g3; \
         tells [] again []",
    ),
    (
        "who waited longest for records comes first, each once",
        "name a b c; g0 0@5r 1@5; take 0 1 2 0; next; g1 due 2@5r 1@5r; take 2 1 0 1",
        "[0, 1, 2]; tells [0, 1] again [0]; [1, 2, 0]; g1; tells [2, 1] again [2, 1]; [0, 2, 1]",
    ),
    (
        "a position is new until a fetch has looked, whether it waits or answers",
        "name a b; new; g0 0@5; new; next; name a; new; g1 0@5 1@5; new",
        "[0, 1]; [0, 1]; tells [0] again []; [1]; g1; [0]; [0, 1]; waits again [1]; []",
    ),
    (
        "an overtaken fetch answers at once with what it has",
        "name a; g0 0@5; next; next; g1 0@6",
        "[0]; tells [0] again []; g1; g2; tells [0] again []",
    ),
    (
        "a position that a later fetch named is for that one to tell",
        "name a; next; name a; g0 0@5; new; g1 due 0@5; new",
        "[0]; g1; [0]; tells [0] again []; [0]; tells [0] again []; []",
    ),
    (
        "an overtaken answer leaves alone the partition that took over a key",
        "name a; next; forget a; name b; g0 0@5r; take 0; g1 due 0@5",
        "[0]; g1; frees Some(0); [0]; tells [0] again [0]; [0]; tells [0] again []",
    ),
    (
        "an overtaken answer with records does not set back who took over the key",
        "name a b; next; forget a; name c; g0 0@5r; take 0 1",
        "[0, 1]; g1; frees Some(0); [0]; tells [0] again [0]; [0, 1]",
    ),
    (
        "a forgotten partition is told of no more, and its key comes back as if it were new",
        "name a b; g0 0@5r 1@5; forget a; forget a; next; g1 due 0@6; name c; take 0 1",
        "[0, 1]; tells [0, 1] again [0]; frees Some(0); frees None; g1; tells [] again []; [0]; \
         [0, 1]",
    ),
    (
        "other ACLs: every partition is looked at again, once",
        "acls; name b a; acls same; acls; acls same",
        "[]; [0, 1]; []; [1, 0]; []",
    ),
    (
        "only the next epoch is taken",
        "next 2; next 1; next 1; next 2",
        "Err(InvalidFetchSessionEpoch); Ok(()); Err(InvalidFetchSessionEpoch); Ok(())",
    ),
];

#[test]
fn a_session_tells_what_has_news() {
    for (label, script, expected) in ROWS {
        assert_eq!(play(script), *expected, "{label}: {script}");
    }
}

#[test]
fn the_epoch_says_which_session_is_wanted() {
    let rows = [
        ("begins one", 0, true, Wanted::New),
        ("has nothing to begin with", 0, false, Wanted::None),
        ("wants none", -1, true, Wanted::None),
        ("goes on", 1, false, Wanted::Known),
        ("goes on at no epoch that there is", -2, true, Wanted::Known),
    ];
    for (label, epoch, names_partitions, expected) in rows {
        assert_eq!(Wanted::of(epoch, names_partitions), expected, "{label}");
    }
}

#[test]
fn room_is_made_by_who_was_not_there_for_longest() {
    let minute = 60_000;
    let held = |id, follower: Option<i32>, used_ms| Held {
        id,
        follower: follower.map(NodeId),
        used_ms,
    };
    let all = [
        held(7, None, 2 * minute),
        held(8, None, minute),
        held(9, Some(1), 0),
    ];
    let rows = [
        ("there is room", 4, None, 0, Vacancy::Free),
        ("all are in use", 3, None, 3 * minute - 1, Vacancy::None),
        (
            "the oldest but a follower's ends",
            3,
            None,
            3 * minute,
            Vacancy::InPlaceOf(8),
        ),
        (
            "a follower has one session",
            4,
            Some(1),
            0,
            Vacancy::InPlaceOf(9),
        ),
        ("another finds room always", 3, Some(2), 0, Vacancy::Free),
    ];
    for (label, count_max, follower, now_ms, expected) in rows {
        let follower = follower.map(NodeId);
        let room = Vacancy::among(all.into_iter(), count_max, follower, now_ms);
        assert_eq!(room, expected, "{label}");
    }
}

#[test]
fn who_goes_by_another_leader_epoch_is_told_all_anew() {
    let mut session = FetchSession::<String, ()>::default();
    let mut name = |epoch| {
        let current_leader_epoch = Some(LeaderEpoch(epoch));
        let position = Position {
            current_leader_epoch,
            ..POSITION
        };
        session.update("a".to_owned(), position);
        settle(&mut session, 0, &["due", "0@5"])
    };
    assert_eq!(name(1), "tells [0] again []");
    assert_eq!(name(1), "tells [] again []");
    // what was said in the epoch before came too late, and was dropped
    assert_eq!(name(2), "tells [0] again []");
}
