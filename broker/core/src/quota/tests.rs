//! Which quota holds, what is a quota, and how long one over it waits.

use std::time::Duration;

use super::connections::ConnectionRates;
use super::window::{Bucket, Sampling, Window};
use super::*;

const SAMPLING: Sampling = Sampling {
    windows: 11,
    window: Duration::from_secs(1),
};

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(value: f64) -> Rate {
    Rate::new(value).unwrap()
}

fn entity(parts: &[(&str, Option<&str>)]) -> Entity {
    Entity::of_parts(parts.iter().copied()).unwrap()
}

#[test]
fn of_eight_levels_the_first_that_is_there_holds() {
    let key = Key::ProducerByteRate;
    // Kafka's order, the strongest first; and who is counted together
    let levels = [
        (
            entity(&[(USER, Some("u")), (CLIENT_ID, Some("c"))]),
            true,
            true,
        ),
        (entity(&[(USER, Some("u")), (CLIENT_ID, None)]), true, true),
        (entity(&[(USER, Some("u"))]), true, false),
        (entity(&[(USER, None), (CLIENT_ID, Some("c"))]), true, true),
        (entity(&[(USER, None), (CLIENT_ID, None)]), true, true),
        (entity(&[(USER, None)]), true, false),
        (entity(&[(CLIENT_ID, Some("c"))]), false, true),
        (entity(&[(CLIENT_ID, None)]), false, true),
    ];
    let mut quotas = ClientQuotas::default();
    assert_eq!(quotas.find(key, "u", "c"), None);
    for (number, (entity, by_user, by_client_id)) in levels.iter().enumerate().rev() {
        let rate = rate(number as f64 + 1.0);
        quotas.set(entity.clone(), key, rate);
        let found = Found {
            rate,
            by_user: *by_user,
            by_client_id: *by_client_id,
        };
        assert_eq!(quotas.find(key, "u", "c"), Some(found), "{entity:?}");
        assert_eq!(quotas.find(Key::ConsumerByteRate, "u", "c"), None);
    }
    // another client of the user, another user of the client id, and somebody else
    let value = |user, client| quotas.find(key, user, client).map(|f| f.rate.value());
    assert_eq!(value("u", "other"), Some(2.0));
    assert_eq!(value("other", "c"), Some(4.0));
    assert_eq!(value("other", "other"), Some(5.0));
    for (entity, ..) in &levels {
        quotas.remove(entity, key);
    }
    assert!(quotas.is_empty());
}

#[test]
fn a_level_without_the_key_is_passed_over() {
    let mut quotas = ClientQuotas::default();
    quotas.set(
        entity(&[(USER, Some("u"))]),
        Key::ConsumerByteRate,
        rate(1.0),
    );
    quotas.set(entity(&[(USER, None)]), Key::ProducerByteRate, rate(2.0));
    let found = quotas.find(Key::ProducerByteRate, "u", "c").unwrap();
    assert_eq!((found.rate.value(), found.by_user), (2.0, true));
}

#[test]
fn an_address_has_its_own_or_the_default_however_it_is_written() {
    let mut quotas = ClientQuotas::default();
    let of = |quotas: &ClientQuotas, ip: &str| {
        let found = quotas.connection_rate(ip.parse().unwrap());
        found.map(Rate::value)
    };
    assert_eq!(of(&quotas, "10.0.0.1"), None);
    quotas.set(
        entity(&[(IP, None)]),
        Key::ConnectionCreationRate,
        rate(5.0),
    );
    let own = entity(&[(IP, Some("0:0::ffff:10.0.0.1"))]);
    quotas.set(own, Key::ConnectionCreationRate, rate(7.0));
    assert_eq!(of(&quotas, "10.0.0.1"), Some(7.0));
    assert_eq!(of(&quotas, "10.0.0.2"), Some(5.0));
    assert_eq!(of(&quotas, "::1"), Some(5.0));
}

#[test]
fn entities_that_cannot_be_are_refused_in_words() {
    let refused = |parts: &[(&str, Option<&str>)]| Entity::of_parts(parts.iter().copied());
    let cases: [(&[(&str, Option<&str>)], &str); 7] = [
        (&[], "Invalid empty client quota entity"),
        (&[("", Some("x"))], "Unhandled client quota entity type: "),
        (&[(USER, Some(""))], "Empty user not supported"),
        (&[(IP, Some(""))], "Empty ip not supported"),
        (
            &[(IP, Some("nowhere"))],
            "nowhere is not a valid IP or resolvable host.",
        ),
        (
            &[(USER, None), (USER, Some("u"))],
            "Invalid client quota entity, duplicate entity type user",
        ),
        (
            &[(IP, None), (CLIENT_ID, None)],
            "Invalid quota entity combination, IP entity should not be combined with User or \
             ClientId",
        ),
    ];
    for (parts, sentence) in cases {
        assert_eq!(refused(parts), Err(sentence.to_owned()));
    }
}

#[test]
fn rates_are_above_zero_and_whole_where_kafkas_are() {
    let checked = |key, value| Rate::checked(key, value).map(Rate::value);
    assert_eq!(checked(Key::ProducerByteRate, 1.0), Ok(1.0));
    assert_eq!(checked(Key::RequestPercentage, 0.5), Ok(0.5));
    let cases = [
        (
            Key::ProducerByteRate,
            0.0,
            "Quota producer_byte_rate must be greater than 0",
        ),
        (
            Key::RequestPercentage,
            -1.0,
            "Quota request_percentage must be greater than 0",
        ),
        (
            Key::RequestPercentage,
            f64::NAN,
            "Quota request_percentage must be greater than 0",
        ),
        (
            Key::ControllerMutationRate,
            f64::INFINITY,
            "Quota controller_mutation_rate must be a finite number",
        ),
        (
            Key::ConsumerByteRate,
            1.5,
            "consumer_byte_rate cannot be a fractional value.",
        ),
        (
            Key::ConsumerByteRate,
            1e19,
            "Proposed value for consumer_byte_rate is too large for a LONG.",
        ),
        (
            Key::ConnectionCreationRate,
            3e9,
            "Proposed value for connection_creation_rate is too large for a INT.",
        ),
    ];
    for (key, value, sentence) in cases {
        assert_eq!(checked(key, value), Err(sentence.to_owned()));
    }
}

#[test]
fn who_was_idle_may_take_what_all_windows_but_one_have_room_for() {
    let mut window = Window::default();
    let rate = rate(100.0);
    assert_eq!(SAMPLING.amount_max(rate), 1000.0);
    window.take(at(5000), SAMPLING, 1000.0);
    assert_eq!(window.wait(at(5000), SAMPLING, rate), at(0));
    window.take(at(5000), SAMPLING, 1.0);
    assert_eq!(window.wait(at(5000), SAMPLING, rate), at(10));
    // what is taken back was never taken
    window.take(at(5000), SAMPLING, -1.0);
    assert_eq!(window.wait(at(5000), SAMPLING, rate), at(0));
}

#[test]
fn who_waits_as_told_keeps_to_the_rate() {
    let rate = rate(100.0);
    for amount in [1.0, 30.0, 99.0, 300.0, 900.0] {
        let mut window = Window::default();
        let (mut now, mut taken) = (at(0), 0.0);
        // the first half takes what may be taken at once
        let mut half = None;
        while now < at(600_000) {
            window.take(now, SAMPLING, amount);
            taken += amount;
            now += window.wait(now, SAMPLING, rate) + at(1);
            if half.is_none() && now > at(300_000) {
                half = Some((now, taken));
            }
        }
        let (since, before) = half.unwrap();
        let lasting = (taken - before) / (now - since).as_secs_f64();
        assert!(
            (90.0..=110.0).contains(&lasting),
            "{lasting} a second by {amount}"
        );
    }
}

#[test]
fn what_was_taken_is_forgotten_after_all_windows() {
    let mut window = Window::default();
    let rate = rate(1.0);
    window.take(at(0), SAMPLING, 1_000_000.0);
    assert_eq!(
        window.wait(at(0), SAMPLING, rate),
        at(1_000_000_000 - 10_000)
    );
    assert!(window.wait(at(10_999), SAMPLING, rate) > at(0));
    assert_eq!(window.wait(at(11_000), SAMPLING, rate), at(0));
    // no wait is longer than a field of the protocol holds
    window.take(at(11_000), SAMPLING, f64::MAX);
    assert_eq!(window.wait(at(11_000), SAMPLING, rate), at(i32::MAX as u64));
}

#[test]
fn a_window_keeps_no_more_samples_than_it_looks_at() {
    for windows in [1, 2, 11] {
        let sampling = Sampling::new(windows, 1);
        let mut window = Window::default();
        for second in 0..1000 {
            window.take(at(second * 1000), sampling, 100.0);
            let _ = window.wait(at(second * 1000), sampling, rate(100.0));
        }
        // a steady client at its rate is never made to wait longer than a window
        let wait = window.wait(at(999_000), sampling, rate(100.0));
        assert!(wait <= at(1000), "{wait:?} with {windows} windows");
    }
}

#[test]
fn a_bucket_is_full_at_first_and_may_be_overdrawn_once() {
    let mut bucket = Bucket::default();
    let rate = rate(2.0);
    assert_eq!(bucket.tokens(at(100), SAMPLING, rate), 22.0);
    bucket.take(at(100), SAMPLING, rate, 30.0);
    assert_eq!(bucket.wait(at(100), SAMPLING, rate), at(4000));
    assert_eq!(bucket.wait(at(3100), SAMPLING, rate), at(1000));
    assert_eq!(bucket.wait(at(4100), SAMPLING, rate), at(0));
    assert_eq!(bucket.tokens(at(900_000), SAMPLING, rate), 22.0);
    // a clock that stands still, or settings of no sense, harm nothing
    assert_eq!(
        bucket.tokens(at(0), Sampling::new(-1, i64::MAX), rate),
        22.0
    );
}

#[test]
fn connections_wait_a_window_at_most_and_those_refused_do_not_count() {
    let sampling = Sampling::new(2, 1);
    let mut rates = ConnectionRates::new(sampling);
    for _ in 0..10 {
        assert_eq!(rates.begin(at(0), rate(10.0)), at(0));
    }
    assert_eq!(rates.begin(at(0), rate(10.0)), at(100));
    assert_eq!(rates.begin(at(0), rate(0.001)), at(1000));
    // a listener's own rate counts what begins there alone
    assert_eq!(rates.begin_at(at(0), "A", rate(1.0)), at(0));
    assert_eq!(rates.begin_at(at(0), "A", rate(1.0)), at(1000));
    assert_eq!(rates.begin_at(at(0), "B", rate(1.0)), at(0));
    let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    for _ in 0..5 {
        assert_eq!(rates.begin_from(at(0), here, rate(5.0)), None);
    }
    for _ in 0..5 {
        assert_eq!(rates.begin_from(at(0), here, rate(5.0)), Some(at(200)));
    }
    assert_eq!(rates.begin_from(at(0), there, rate(5.0)), None);
    assert_eq!(rates.begin_from(at(200), here, rate(5.0)), None);
    // however many addresses come
    for number in 0..100_000_u32 {
        let _ = rates.begin_from(at(300), IpAddr::from(number.to_be_bytes()), rate(5.0));
    }
    assert!(rates.by_address.len() <= 4096);
}
