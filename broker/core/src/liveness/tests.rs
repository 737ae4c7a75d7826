//! Scripts: one line an event, and below what it comes to.
//!
//! ```text
//! broker 1 at 5 [fenced]        a record is committed
//! leads 3 | leads 3 acked 900   this node leads the term; a majority accepted it so long ago
//! follows                       it leads nothing
//! begin 3                       it knows all that is committed
//! forget                        an entry may be committed or not
//! beat 1 at 5                   a broker beats
//! due                           what is due by itself
//! look 1                        a connection with the broker breaks
//! wait 100                      milliseconds pass
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};

use ottla_protocol::ids::{PartitionIndex, TopicId};

use super::*;
use crate::image::delta::MetadataDelta;
use crate::image::record::{BrokerRecord, PartitionRecord, TopicRecord};
use crate::image::{BrokerRegistration, PartitionRegistration};

mod disks;

const SETTINGS: Settings = Settings {
    session_timeout: Duration::from_millis(1500),
    rebalance_interval: Some(Duration::from_secs(300)),
};

fn broker(image: &mut MetadataImage, node: i64, epoch: i64, fenced: bool) {
    let broker = BrokerRegistration {
        node_id: NodeId(node as i32),
        broker_epoch: BrokerEpoch(epoch),
        fenced,
        ..BrokerRegistration::default()
    };
    Arc::make_mut(&mut image.brokers).insert(broker.node_id, Arc::new(broker));
}

fn show_due(due: &Due) -> String {
    let mut shown = String::new();
    for fence in &due.fences {
        write!(shown, "fence {} at {} ", fence.node_id, fence.broker_epoch).unwrap();
    }
    shown.push_str(if due.rebalances { "rebalance" } else { "" });
    if shown.is_empty() {
        "nothing".to_owned()
    } else {
        shown.trim_end().to_owned()
    }
}

fn show_looks(looks: &[Look]) -> String {
    let show = |look: &Look| format!("{} at {}", look.node_id, look.broker_epoch);
    let shown: Vec<String> = looks.iter().map(show).collect();
    if shown.is_empty() {
        "nobody".to_owned()
    } else {
        shown.join(", ")
    }
}

fn check(script: &str, expected: Expect) {
    let mut liveness = Liveness::new(SETTINGS);
    let mut image = MetadataImage::default();
    let mut now = Duration::ZERO;
    let mut seen = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words[place].parse::<i64>().unwrap();
        let outcome = match words[0] {
            "broker" => {
                broker(&mut image, number(1), number(3), words.contains(&"fenced"));
                String::new()
            }
            "leads" => {
                let acked = if words.len() > 2 { number(3) as u64 } else { 0 };
                let quorum = Quorum {
                    term_led: Some(number(1) as u64),
                    since_acked: Duration::from_millis(acked),
                };
                let part = liveness.observe(quorum);
                format!(
                    "{part:?}, a lease of {} ms",
                    liveness.lease(quorum, NodeId(1), None).as_millis()
                )
            }
            "follows" => format!("{:?}", liveness.observe(Quorum::default())),
            "begin" => {
                let looks = liveness.begin(now, number(1) as u64, (&image, 0));
                format!("looks at {}", show_looks(&looks))
            }
            "forget" => {
                liveness.forget();
                String::new()
            }
            "beat" => {
                liveness.beat(now, NodeId(number(1) as i32), BrokerEpoch(number(3)));
                String::new()
            }
            "look" => {
                let look = liveness.look(NodeId(number(1) as i32));
                format!("looks at {}", show_looks(look.as_slice()))
            }
            "due" => {
                let due = show_due(&liveness.due(now, &image));
                let next = liveness.next_deadline().map(|at| at.as_millis());
                format!("{due}; next {next:?}")
            }
            "wait" => {
                now += Duration::from_millis(number(1) as u64);
                String::new()
            }
            other => panic!("no such event: {other}"),
        };
        if !outcome.is_empty() {
            writeln!(seen, "{line}: {outcome}").unwrap();
        }
    }
    expected.assert_eq(&seen);
}

#[test]
fn a_node_decides_once_it_knows_what_is_committed_and_as_long_as_a_majority_accepts_it() {
    check(
        "
        broker 1 at 5
        broker 2 at 6 fenced
        follows
        leads 3
        begin 3
        leads 3 acked 999
        leads 3 acked 1000
        leads 3 acked 2000
        leads 3
        begin 3
        leads 3
        forget
        leads 3
        leads 4
        follows
        leads 4
        ",
        expect![[r#"
            follows: Follower
            leads 3: New(3), a lease of 0 ms
            begin 3: looks at 1 at 5
            leads 3 acked 999: Active, a lease of 501 ms
            leads 3 acked 1000: CutOff, a lease of 500 ms
            leads 3 acked 2000: CutOff, a lease of 0 ms
            leads 3: Back(3), a lease of 1500 ms
            begin 3: looks at 1 at 5
            leads 3: Active, a lease of 1500 ms
            leads 3: New(3), a lease of 0 ms
            leads 4: New(4), a lease of 0 ms
            follows: Follower
            leads 4: New(4), a lease of 0 ms
        "#]],
    );
}

#[test]
fn a_lease_lasts_from_the_last_beat_and_ends_by_fencing() {
    check(
        "
        broker 1 at 5
        broker 2 at 6
        leads 3
        begin 3
        wait 1000
        beat 1 at 5
        due
        wait 500
        due
        broker 2 at 6 fenced
        wait 100
        due
        wait 900
        due
        ",
        expect![[r#"
            leads 3: New(3), a lease of 0 ms
            begin 3: looks at 1 at 5, 2 at 6
            due: nothing; next Some(1500)
            due: fence 2 at 6; next Some(1600)
            due: nothing; next Some(2500)
            due: fence 1 at 5; next Some(2600)
        "#]],
    );
}

#[test]
fn a_fencing_that_was_not_committed_is_asked_for_again() {
    check(
        "
        broker 1 at 5
        leads 3
        begin 3
        wait 1500
        due
        wait 99
        due
        wait 1
        due
        broker 1 at 5 fenced
        wait 100
        due
        ",
        expect![[r#"
            leads 3: New(3), a lease of 0 ms
            begin 3: looks at 1 at 5
            due: fence 1 at 5; next Some(1600)
            due: nothing; next Some(1600)
            due: fence 1 at 5; next Some(1700)
            due: nothing; next None
        "#]],
    );
}

#[test]
fn a_lease_belongs_to_one_incarnation() {
    check(
        "
        broker 1 at 5
        leads 3
        begin 3
        broker 1 at 7 fenced
        beat 1 at 7
        due
        broker 1 at 7
        beat 1 at 5
        look 1
        wait 1500
        due
        ",
        expect![[r#"
            leads 3: New(3), a lease of 0 ms
            begin 3: looks at 1 at 5
            due: nothing; next Some(1500)
            look 1: looks at 1 at 7
            due: fence 1 at 7; next Some(1600)
        "#]],
    );
}

#[test]
fn an_unfenced_broker_has_a_lease_also_where_nobody_heard_it_beat() {
    check(
        "
        leads 3
        begin 3
        look 1
        broker 1 at 5
        due
        look 1
        wait 1500
        due
        ",
        expect![[r#"
            leads 3: New(3), a lease of 0 ms
            begin 3: looks at nobody
            look 1: looks at nobody
            due: nothing; next Some(1500)
            look 1: looks at 1 at 5
            due: fence 1 at 5; next Some(1600)
        "#]],
    );
}

#[test]
fn preferred_leaders_are_looked_at_from_time_to_time() {
    check(
        "
        leads 3
        begin 3
        wait 299999
        due
        wait 1
        due
        due
        wait 200000
        leads 3 acked 1000
        begin 3
        wait 100000
        due
        begin 4
        due
        ",
        expect![[r#"
            leads 3: New(3), a lease of 0 ms
            begin 3: looks at nobody
            due: nothing; next None
            due: rebalance; next None
            due: nothing; next None
            leads 3 acked 1000: CutOff, a lease of 500 ms
            begin 3: looks at nobody
            due: rebalance; next None
            begin 4: looks at nobody
            due: nothing; next None
        "#]],
    );
}

#[test]
fn a_process_is_gone_where_it_closed_its_connection_and_its_address_refuses() {
    let look = Look {
        node_id: NodeId(1),
        broker_epoch: BrokerEpoch(5),
        count: 0,
    };
    let mut seen = String::new();
    for (what, refuses, was_closed) in [
        ("a process that ended", true, true),
        ("ended, its listener not yet closed", false, true),
        (
            "a firewall that rejects, a Service without endpoints",
            true,
            false,
        ),
        ("a cable that was pulled", false, false),
    ] {
        let verdict = match look.conclude(Sight {
            refuses,
            was_closed,
        }) {
            Some(fence) => format!("fence {} at {}", fence.node_id, fence.broker_epoch),
            None => "its lease decides".to_owned(),
        };
        writeln!(seen, "{what}: {verdict}").unwrap();
    }
    expect![[r#"
        a process that ended: fence 1 at 5
        ended, its listener not yet closed: its lease decides
        a firewall that rejects, a Service without endpoints: its lease decides
        a cable that was pulled: its lease decides
    "#]]
    .assert_eq(&seen);
}

#[test]
fn looks_come_to_an_end() {
    let mut look = Look {
        node_id: NodeId(1),
        broker_epoch: BrokerEpoch(5),
        count: 0,
    };
    let waits: Vec<Duration> = std::iter::from_fn(|| look.next_wait()).collect();
    expect!["[0ns, 10ms, 40ms, 100ms, 200ms]"].assert_eq(&format!("{waits:?}"));
}

/// It is deposed between the beat and its answer: its successor waits for no lease that begins now.
#[test]
fn a_controller_gives_no_lease_but_in_the_term_that_it_began() {
    let mut liveness = Liveness::new(SETTINGS);
    let leads = |term_led| Quorum {
        term_led,
        since_acked: Duration::ZERO,
    };
    let mut image = MetadataImage::default();
    broker(&mut image, 1, 5, false);
    let lease = |liveness: &Liveness, term| liveness.lease(leads(term), NodeId(1), None);
    assert_eq!(
        lease(&liveness, Some(3)),
        Duration::ZERO,
        "it has not begun"
    );
    liveness.begin(Duration::ZERO, 3, (&image, 0));
    assert_eq!(lease(&liveness, Some(3)), SETTINGS.session_timeout);
    assert_eq!(lease(&liveness, Some(4)), Duration::ZERO);
    assert_eq!(lease(&liveness, None), Duration::ZERO);
}

/// A broker that was cut off beats again before it has heard of what it lost meanwhile.
#[test]
fn nobody_gets_a_lease_who_has_not_seen_its_losses() {
    let quorum = Quorum {
        term_led: Some(3),
        since_acked: Duration::ZERO,
    };
    let mut image = MetadataImage::default();
    broker(&mut image, 1, 5, false);
    broker(&mut image, 2, 6, false);
    let (topic_id, partition) = (TopicId::default(), PartitionIndex(0));
    let registration = PartitionRegistration {
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1), NodeId(2)],
        leader: Some(NodeId(1)),
        ..PartitionRegistration::default()
    };
    image.replay(
        &Record::Topic(TopicRecord {
            topic_id: topic_id.0,
            name: "orders".to_owned(),
        }),
        &mut MetadataDelta::default(),
    );
    let led_by = |leader: i32| {
        let registration = PartitionRegistration {
            leader: Some(NodeId(leader)),
            ..registration.clone()
        };
        Record::Partition(PartitionRecord::of(topic_id, partition, &registration))
    };
    image.replay(&led_by(1), &mut MetadataDelta::default());
    let mut liveness = Liveness::new(SETTINGS);
    liveness.begin(Duration::ZERO, 3, (&image, 40));
    let lease = |liveness: &Liveness, node: i32, applied| {
        let lease = liveness.lease(quorum, NodeId(node), applied);
        lease.as_millis()
    };
    assert_eq!(lease(&liveness, 1, Some(39)), 0, "not as new as the term");
    assert_eq!(lease(&liveness, 1, Some(40)), 1500);
    // the same leader again takes nothing from anybody
    liveness.committed(&image, &[led_by(1)], 41);
    assert_eq!(lease(&liveness, 1, Some(40)), 1500);
    assert!(liveness.hears(NodeId(1), Some(40)), "it beats in this term");
    liveness.committed(&image, &[led_by(2)], 42);
    assert!(liveness.unaware().contains(&NodeId(1)));
    assert!(!liveness.hears(NodeId(1), Some(41)));
    assert!(liveness.hears(NodeId(1), Some(42)));
    assert!(!liveness.hears(NodeId(1), Some(42)), "once is enough");
    assert!(!liveness.unaware().contains(&NodeId(1)));
    assert_eq!(lease(&liveness, 1, Some(41)), 0, "another leads");
    assert_eq!(lease(&liveness, 1, Some(42)), 1500);
    assert_eq!(lease(&liveness, 2, Some(40)), 1500, "who has lost nothing");
    assert_eq!(lease(&liveness, 1, None), 1500, "an older broker");
    let mut fenced = BrokerRecord::of(image.broker(NodeId(2)).unwrap());
    fenced.fenced = true;
    liveness.committed(&image, &[Record::Broker(fenced)], 43);
    assert!(!liveness.has_seen_losses(NodeId(2), Some(42)), "fenced");
    assert!(liveness.has_seen_losses(NodeId(2), Some(43)));
}

/// There and back in one entry: both have lost a leadership with it.
#[test]
fn who_led_within_an_entry_has_to_hear_of_it_too() {
    let (topic_id, partition) = (TopicId::default(), PartitionIndex(0));
    let led_by = |leader: i32| {
        let registration = PartitionRegistration {
            replicas: vec![NodeId(1), NodeId(2)],
            isr: vec![NodeId(1), NodeId(2)],
            leader: Some(NodeId(leader)),
            ..PartitionRegistration::default()
        };
        Record::Partition(PartitionRecord::of(topic_id, partition, &registration))
    };
    let mut image = MetadataImage::default();
    broker(&mut image, 1, 5, false);
    broker(&mut image, 2, 6, false);
    let name = "orders".to_owned();
    let topic_id = topic_id.0;
    for record in [Record::Topic(TopicRecord { topic_id, name }), led_by(1)] {
        image.replay(&record, &mut MetadataDelta::default());
    }
    let mut liveness = Liveness::new(SETTINGS);
    liveness.begin(Duration::ZERO, 3, (&image, 40));
    for node in [1, 2] {
        assert!(liveness.hears(NodeId(node), Some(40)), "it beats");
    }
    liveness.committed(&image, &[led_by(2), led_by(1)], 41);
    for node in [1, 2] {
        assert!(liveness.unaware().contains(&NodeId(node)), "{node}");
        assert!(!liveness.hears(NodeId(node), Some(40)), "{node}");
        assert!(liveness.hears(NodeId(node), Some(41)), "{node}");
    }
}
