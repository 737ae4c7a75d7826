//! Who is counted together, what a change reaches, and how many are remembered.

use ottla_core::quota::Entity;

use super::*;

const SAMPLING: Sampling = Sampling {
    windows: 11,
    window: Duration::from_secs(1),
};

/// Quotas of these entities; of bytes that producers send.
fn image(quotas: &[(&[(&str, Option<&str>)], f64)]) -> MetadataImage {
    let mut all = ClientQuotas::default();
    for (parts, rate) in quotas {
        let entity = Entity::of_parts(parts.iter().copied()).unwrap();
        all.set(entity, Key::ProducerByteRate, Rate::new(*rate).unwrap());
    }
    MetadataImage {
        client_quotas: Arc::new(all),
        ..MetadataImage::default()
    }
}

fn quotas() -> Quotas {
    Quotas::new(Env::simulated(1, 0), SAMPLING)
}

fn allowance(quotas: &Quotas, user: &str, client_id: &str) -> Arc<Allowance> {
    let user: Arc<str> = format!("User:{user}").into();
    quotas.allowance(&user, Some(&client_id.into()))
}

/// Has a client send so many bytes; gives how many milliseconds it waits.
fn produce(quotas: &Quotas, user: &str, client_id: &str, bytes: f64) -> u128 {
    let allowance = allowance(quotas, user, client_id);
    let limit = allowance.produce.as_ref();
    limit.map_or(0, |limit| quotas.take(limit, bytes).as_millis())
}

#[tokio::test(start_paused = true)]
async fn a_users_quota_is_shared_by_its_clients_and_a_default_is_each_ones_own() {
    let quotas = quotas();
    assert_eq!(quotas.generation(), 0);
    quotas.follow(&image(&[
        (&[("user", Some("alice"))], 100.0),
        (&[("client-id", None)], 10.0),
    ]));
    assert_eq!(produce(&quotas, "alice", "a", 1000.0), 0);
    assert_eq!(produce(&quotas, "alice", "b", 100.0), 1000);
    assert_eq!(produce(&quotas, "bob", "a", 100.0), 0);
    assert_eq!(produce(&quotas, "bob", "b", 100.0), 0);
    assert_eq!(produce(&quotas, "carol", "b", 10.0), 1000);
    let metrics = Metrics::default();
    quotas.tell(&metrics);
    let page = metrics.page();
    let lines = [
        "{quota=\"producer_byte_rate\",user=\"alice\",client_id=\"\"} 1000",
        "{quota=\"producer_byte_rate\",user=\"\",client_id=\"b\"} 1000",
    ];
    for line in lines {
        let line = format!("ottla_throttle_ms_total{line}\n");
        assert!(page.contains(&line), "{line} in {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_who_is_connected_and_what_it_took_counts_on() {
    let quotas = quotas();
    let (user, client_id): (Arc<str>, Arc<str>) = ("User:alice".into(), "a".into());
    let alice: &[(&str, Option<&str>)] = &[("user", Some("alice"))];
    quotas.follow(&image(&[(alice, 1000.0)]));
    let before = quotas.allowance(&user, Some(&client_id));
    assert!(before.is_of(quotas.generation(), &user, Some(&client_id)));
    assert!(!before.is_of(quotas.generation(), &user, None));
    assert_eq!(produce(&quotas, "alice", "a", 1000.0), 0);
    quotas.follow(&image(&[(alice, 50.0)]));
    assert!(!before.is_of(quotas.generation(), &user, Some(&client_id)));
    assert_eq!(produce(&quotas, "alice", "a", 0.0), 10_000);
    // the same quotas once more are no change
    let generation = quotas.generation();
    quotas.follow(&image(&[(alice, 50.0)]));
    assert_eq!(quotas.generation(), generation);
    quotas.follow(&image(&[]));
    assert_eq!(quotas.generation(), 0);
    assert!(allowance(&quotas, "alice", "a").produce.is_none());
}

#[tokio::test(start_paused = true)]
async fn however_many_names_there_are_few_are_remembered() {
    let quotas = quotas();
    quotas.follow(&image(&[(&[("client-id", None)], 1.0)]));
    produce(&quotas, "", "first", 20.0);
    let held = allowance(&quotas, "", "held");
    for number in 0..2 * METERS_MAX {
        tokio::time::advance(Duration::from_micros(10)).await;
        produce(&quotas, "", &format!("client-{number}"), 1.0);
        assert!(quotas.known().of_client_ids.len() <= METERS_MAX);
    }
    // who took too much is not forgotten for the others' sake
    assert!(produce(&quotas, "", "first", 0.0) > 9000);
    // however long they are
    let long = "é".repeat(10_000);
    produce(&quotas, "", &long, 1.0);
    let longest = |known: &Known| {
        let names = known.of_client_ids.keys().flat_map(|who| &who.client_id);
        names.map(String::len).max()
    };
    assert_eq!(longest(&quotas.known()), Some(NAME_BYTES_MAX));
    tokio::time::advance(IDLE_MAX).await;
    quotas.tell(&Metrics::default());
    assert!(quotas.known().of_client_ids.len() <= 1);
    drop(held);
}

/// A client makes client ids up: that must not empty the account of its user, nor where it has
/// taken more than the others take of theirs.
#[tokio::test(start_paused = true)]
async fn what_a_user_owes_is_not_forgotten_because_of_client_ids() {
    let quotas = quotas();
    quotas.follow(&image(&[
        (&[("user", Some("alice"))], 100.0),
        (&[("client-id", None)], 1.0),
    ]));
    assert_eq!(produce(&quotas, "alice", "a", 100_000.0), 990_000);
    tokio::time::advance(Duration::from_secs(5)).await;
    for number in 0..3 * METERS_MAX {
        tokio::time::advance(Duration::from_micros(10)).await;
        produce(&quotas, "", &format!("client-{number}"), 20.0);
    }
    assert!(produce(&quotas, "alice", "a", 0.0) > 900_000);
    assert!(quotas.known().of_client_ids.len() <= METERS_MAX);
}

#[tokio::test(start_paused = true)]
async fn time_is_waited_for_a_window_at_most() {
    let quotas = quotas();
    let mut all = ClientQuotas::default();
    let entity = Entity::of_parts([("user", None)]).unwrap();
    all.set(entity, Key::RequestPercentage, Rate::new(1.0).unwrap());
    quotas.follow(&MetadataImage {
        client_quotas: Arc::new(all),
        ..MetadataImage::default()
    });
    let allowance = allowance(&quotas, "alice", "a");
    let limit = allowance.request.as_ref().unwrap();
    // one percent of ten seconds
    assert_eq!(
        quotas.take_time(limit, Duration::from_millis(100)),
        Duration::ZERO
    );
    assert_eq!(
        quotas.take_time(limit, Duration::from_millis(1)),
        Duration::from_millis(100)
    );
    assert_eq!(
        quotas.take_time(limit, Duration::from_secs(9)),
        Duration::from_secs(1)
    );
    // what is told is counted, and not what would have been
    let metrics = Metrics::default();
    quotas.tell(&metrics);
    let line = "{quota=\"request_percentage\",user=\"alice\",client_id=\"\"} 1100\n";
    assert!(metrics.page().contains(line), "{}", metrics.page());
}
