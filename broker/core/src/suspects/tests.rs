//! Scripts: one line an event, and below what it comes to.
//!
//! ```text
//! broker 1 at 5 [fenced] | no broker 1     the image changes
//! suspect 1 | trust 1                      a connection to it breaks, it answers
//! ask 1 [since 5]                          until when an answer that names it waits, asked for now
//!                                          or in that millisecond
//! listed 1 at 5                            whether clients are told of it
//! wait 100                                 milliseconds pass
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::image::BrokerRegistration;

fn check(script: &str, expected: Expect) {
    let mut suspects = Suspects::default();
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
        let node = |place: usize| NodeId(number(place) as i32);
        let outcome = match words[0] {
            "broker" | "no" => {
                let before = image.clone();
                let brokers = Arc::make_mut(&mut image.brokers);
                let node_id = if words[0] == "no" { node(2) } else { node(1) };
                if words[0] == "no" {
                    brokers.remove(&node_id);
                } else {
                    let broker = BrokerRegistration {
                        node_id,
                        broker_epoch: BrokerEpoch(number(3)),
                        fenced: words.contains(&"fenced"),
                        ..BrokerRegistration::default()
                    };
                    brokers.insert(node_id, Arc::new(broker));
                }
                suspects.follow(&before, &image, &BTreeSet::from([node_id]), now);
                String::new()
            }
            "suspect" => format!("news: {}", suspects.suspect(&image, node(1), now)),
            "trust" => format!("news: {}", suspects.trust(node(1))),
            "ask" => {
                let asked = words
                    .get(3)
                    .map(|_| Duration::from_millis(number(3) as u64));
                let is_named = |named| named == node(1);
                match suspects.wait_until(asked.unwrap_or(now), now, is_named) {
                    Some(until) => format!("waits until {}", until.as_millis()),
                    None => "waits for nothing".to_owned(),
                }
            }
            "listed" => {
                let is_listed = suspects.is_listed(node(1), BrokerEpoch(number(3)), now);
                format!("{is_listed}")
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
fn an_answer_waits_for_the_failover_but_not_long() {
    check(
        "
        broker 1 at 5
        suspect 1
        ask 1
        ask 2
        wait 350
        suspect 1
        ask 1
        wait 350
        ask 1
        ",
        expect![[r#"
            suspect 1: news: true
            ask 1: waits until 700
            ask 2: waits for nothing
            suspect 1: news: false
            ask 1: waits until 700
            ask 1: waits for nothing
        "#]],
    );
}

#[test]
fn fenced_gone_started_again_or_trusted_it_is_waited_for_no_more() {
    for (what, change) in [
        ("fenced", "broker 1 at 5 fenced"),
        ("started again", "broker 1 at 6"),
        ("unregistered", "no broker 1"),
    ] {
        let script = format!("broker 1 at 5\nsuspect 1\n{change}\nask 1");
        let mut seen = expect![[r#"
            suspect 1: news: true
            ask 1: waits for nothing
        "#]];
        seen.indent(true);
        println!("{what}:");
        check(&script, seen);
    }
    check(
        "
        broker 1 at 5
        suspect 1
        trust 1
        trust 1
        ask 1
        suspect 1
        ask 1
        ",
        expect![[r#"
            suspect 1: news: true
            trust 1: news: true
            trust 1: news: false
            ask 1: waits for nothing
            suspect 1: news: true
            ask 1: waits until 700
        "#]],
    );
}

#[test]
fn what_is_fenced_or_unknown_leads_nothing_and_is_not_suspected() {
    check(
        "
        suspect 1
        broker 1 at 5 fenced
        suspect 1
        ask 1
        ",
        expect![[r#"
            suspect 1: news: false
            suspect 1: news: false
            ask 1: waits for nothing
        "#]],
    );
}

#[test]
fn a_fenced_broker_stays_listed_a_while() {
    check(
        "
        broker 1 at 5 fenced
        listed 1 at 5
        broker 1 at 5
        broker 1 at 5 fenced
        listed 1 at 5
        listed 1 at 6
        wait 4999
        broker 1 at 5 fenced
        listed 1 at 5
        wait 1
        listed 1 at 5
        ",
        expect![[r#"
            listed 1 at 5: false
            listed 1 at 5: true
            listed 1 at 6: false
            listed 1 at 5: true
            listed 1 at 5: false
        "#]],
    );
}

#[test]
fn an_answer_that_names_one_suspect_after_another_waits_no_longer_than_for_one() {
    check(
        "
        broker 1 at 5
        broker 2 at 6
        suspect 1
        ask 1
        wait 600
        suspect 2
        ask 2 since 0
        ask 2
        wait 100
        ask 2 since 0
        ",
        expect![[r#"
            suspect 1: news: true
            ask 1: waits until 700
            suspect 2: news: true
            ask 2 since 0: waits until 700
            ask 2: waits until 1300
            ask 2 since 0: waits for nothing
        "#]],
    );
}
