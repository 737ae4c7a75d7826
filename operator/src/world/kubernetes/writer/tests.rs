use super::*;
use crate::crd::KafkaTopic;

fn patching(name: &str, write: Write) -> Patching {
    Patching {
        resource: ApiResource::erase::<KafkaTopic>(&()),
        key: ObjectKey {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        },
        write,
        is_overtaken: false,
    }
}

fn status(name: &str, says: &str) -> Patching {
    patching(name, Write::Status(json!(says)))
}

fn failed((patching, tries): (Patching, u32), code: u16) -> Done {
    let status = kube::core::Status {
        code,
        ..kube::core::Status::default()
    };
    Done {
        patching,
        tries: tries + 1,
        answer: Err(kube::Error::Api(Box::new(status))),
    }
}

fn said(next: Option<(Patching, u32)>) -> Option<String> {
    match next?.0.write {
        Write::Status(says) => says.as_str().map(str::to_owned),
        Write::Finalizers(..) => Some("finalizers".to_owned()),
    }
}

#[test]
fn of_one_object_one_write_at_a_time_the_finalizers_first_and_the_newest_status() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.put(status("a", "old"));
    queue.put(patching("a", Write::Finalizers(Vec::new(), None)));
    queue.put(status("a", "new"));
    queue.put(status("b", "other"));
    let first = queue.next(now).unwrap();
    assert_eq!(said(Some(first.clone())).unwrap(), "finalizers");
    assert_eq!(said(queue.next(now)).unwrap(), "other");
    assert_eq!(said(queue.next(now)), None);
    queue.take_back(Done {
        patching: first.0,
        tries: 1,
        answer: Ok(7),
    });
    assert_eq!(said(queue.next(now)).unwrap(), "new");
}

#[test]
fn what_fails_is_written_again_later_and_so_is_what_is_newer() {
    let now = Instant::now();
    let later = now + RETRY_INTERVAL_MAX * 2;
    let mut queue = Queue::default();
    queue.put(status("a", "old"));
    for _ in 0..10 {
        let next = queue.next(later).unwrap();
        queue.take_back(failed(next, 503));
        assert_eq!(said(queue.next(now)), None, "not at once");
    }
    let next = queue.next(later).unwrap();
    queue.put(status("a", "new"));
    queue.take_back(failed(next, 503));
    assert_eq!(said(queue.next(now)), None, "not at once");
    queue.put(status("a", "newest"));
    assert_eq!(said(queue.next(now)), None, "not at once");
    assert_eq!(said(queue.next(later)).unwrap(), "newest");
}

#[test]
fn what_is_not_taken_is_written_again_less_and_less_often() {
    for (code, expected) in [
        (403, [1, 2, 4, 8, 16, 32, 60, 60]),
        (500, [1, 2, 4, 8, 10, 10, 10, 10]),
    ] {
        let begun = Instant::now();
        let mut queue = Queue::default();
        queue.put(status("a", "it"));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let next = queue.next(begun + REFUSED_INTERVAL_MAX * 2).unwrap();
            queue.take_back(failed(next, code));
            let due = queue.first_retry(begun).unwrap();
            pauses.push((due - begun).as_secs());
        }
        assert_eq!(pauses, expected, "{code}");
    }
}

/// Finalizers that met others would meet them again; the object they were meant for may be gone.
#[test]
fn what_is_gone_is_given_up_and_finalizers_that_met_others_are_given_back() {
    let later = Instant::now() + RETRY_INTERVAL * 2;
    let mut queue = Queue::default();
    for (write, code, is_given_up) in [
        (Write::Status(json!("it")), 404, true),
        (Write::Finalizers(Vec::new(), None), 409, false),
        (Write::Status(json!("it")), 409, false),
    ] {
        queue.put(patching("a", write));
        let next = queue.next(later).unwrap();
        queue.take_back(failed(next, code));
        assert_eq!(queue.waiting.is_empty(), is_given_up, "{code}");
        if let Some((next, tries)) = queue.next(later) {
            let is_status = matches!(next.write, Write::Status(_));
            assert_ne!(next.is_overtaken, is_status, "{code}");
            queue.give_back(next, tries);
        }
    }
}

/// What meets others again and again, however often it is looked at anew, is tried less often.
#[test]
fn finalizers_that_always_meet_others_are_written_less_and_less_often() {
    let begun = Instant::now();
    let mut queue = Queue::default();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        queue.put(patching("a", Write::Finalizers(Vec::new(), None)));
        let next = queue.next(begun).expect("what was looked at anew");
        queue.take_back(failed(next, 409));
        let due = queue.first_retry(begun).unwrap();
        pauses.push((due - begun).as_secs());
        let (next, tries) = queue.next(due).unwrap();
        queue.give_back(next, tries);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
}
