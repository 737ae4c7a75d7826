use std::collections::BTreeMap;

use super::{Files, Place, place};

/// Files from `broker: port dynamic`, one a line.
fn files(lines: &[&str]) -> Files {
    let files = lines.iter().map(|line| {
        let mut words = line.split_whitespace();
        let broker: i32 = words.next().unwrap().parse().unwrap();
        let mut file = BTreeMap::new();
        for (key, value) in ["port", "dynamic"].into_iter().zip(words) {
            file.insert(key.to_owned(), value.to_owned());
        }
        (broker, file)
    });
    files.collect()
}

fn find(current: Option<&Place>, desired: &Files) -> Place {
    let known = |name: &str| current.filter(|c| c.name == name).map(|c| &c.files);
    let name = current.map(|current| current.name.as_str());
    place("orders", name, known, desired, |key| key == "dynamic")
}

#[test]
fn a_setting_of_any_broker_that_needs_a_restart_has_a_place_of_its_own() {
    let three = files(&["0 9092", "1 9092", "2 9092"]);
    let first = find(None, &three);
    assert_eq!(first.files, three);
    assert_eq!(find(Some(&first), &three), first);
    let moved = files(&["0 9092", "1 9099", "2 9092"]);
    let second = find(Some(&first), &moved);
    assert_ne!(second.name, first.name);
    assert_eq!(second.files, moved);
    assert_eq!(find(Some(&second), &moved), second);
    // and back again
    assert_eq!(find(Some(&second), &three), first);
}

#[test]
fn brokers_that_are_added_find_theirs_beside_the_others() {
    let first = find(None, &files(&["0 9092", "1 9092"]));
    let three = files(&["0 9092", "1 9092", "2 9093"]);
    let second = find(Some(&first), &three);
    assert_eq!(second.name, first.name);
    assert_eq!(second.files, three);
    let moved = find(Some(&second), &files(&["0 9092", "1 9092", "2 9094"]));
    assert_ne!(moved.name, first.name);
}

#[test]
fn what_somebody_else_wrote_is_put_back() {
    let desired = files(&["0 9092", "1 9092"]);
    let first = find(None, &desired);
    let edited = Place {
        files: files(&["0 9092", "1 9099"]),
        ..first.clone()
    };
    assert_eq!(find(Some(&edited), &desired), first);
}

#[test]
fn what_a_running_broker_takes_needs_no_other_place() {
    let first = find(None, &files(&["0 9092 a"]));
    let second = find(Some(&first), &files(&["0 9092 b"]));
    assert_eq!(second, first);
}

#[test]
fn a_broker_that_is_gone_leaves_no_file() {
    let first = find(None, &files(&["0 9092", "1 9092"]));
    let one = find(Some(&first), &files(&["0 9092"]));
    assert_eq!(one.name, first.name);
    assert_eq!(one.files, files(&["0 9092"]));
}
