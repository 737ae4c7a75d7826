use ottla_protocol::ids::{Offset, ProducerEpoch};
use ottla_protocol::messages::transactions::TopicData;

use super::*;

const QUIET: Duration = Duration::from_secs(60);
const TIMEOUT_MAX: Duration = Duration::from_secs(900);

/// Each line: a case, then rounds: a second, what is open as `producer@first-last`, `|`, whose
/// transactions the coordinators know (`?` where one of them did not answer), then after `>` whose
/// are aborted, and after `,` how many hang.
const CASES: &str = "
    what goes on stays     : 0 1@5-9 | 1 >,0; 60 1@5-9 | 1 >,0; 120 1@5-9 | 1 >,0
    twice not known, it goes : 0 1@5-9 | >,0; 60 1@5-9 | >,0; 120 1@5-9 | > 1,1; 180 | >,0
    new ones are not asked about : 0 1@5-9 | >,0; 59 1@5-9 | >,0; 61 1@5-9 | >,0; 90 1@5-9 | > 1,1
    once is not enough     : 0 1@5-9 | >,0; 60 1@5-9 | >,0; 120 1@5-9 | 1 >,0; 180 1@5-9 | >,0
    nor is half an answer  : 0 1@5-9 | >,0; 60 1@5-9 | ? >,0; 120 1@5-9 | >,0; 180 1@5-9 | ? >,0
    what grows is alive    : 0 1@5-9 | >,0; 60 1@5-9 | >,0; 119 1@5-20 | >,0; 178 1@5-20 | >,0
    another begins anew    : 0 1@5-9 | >,0; 60 1@5-9 | >,0; 119 1@30-31 | >,0; 178 1@30-31 | >,0
    each for itself        : 0 1@5-9 2@6-8 | >,0; 60 1@5-9 2@6-8 | 1 >,0; 120 1@5-9 2@6-8 | 1 > 2,1
    what is late is told   : 0 1@5-9 | 1 >,0; 1200 1@5-9 | 1 >,0; 1201 1@5-9 | 1 >,1; 1202 | >,0
    also without an answer : 0 1@5-9 | ? >,0; 1201 1@5-9 | ? >,1";

fn place(producer: &str) -> Place {
    Place {
        topic: TopicName::from("t"),
        partition: 3,
        producer_id: ProducerId(producer.parse().unwrap()),
    }
}

fn open(word: &str) -> (Place, Open) {
    let (producer, range) = word.split_once('@').unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let place = place(producer);
    let open = Open {
        producer_id: place.producer_id,
        producer_epoch: ProducerEpoch(0),
        first_offset: Offset(first.parse().unwrap()),
        last_offset: Offset(last.parse().unwrap()),
        coordinator_epoch: -1,
    };
    (place, open)
}

fn known(producers: &str) -> Known {
    let mut known = Known::default();
    for producer in producers.split_whitespace() {
        known.add(&DescribedTransaction {
            producer_id: producer.parse().unwrap(),
            topics: vec![TopicData {
                topic: "t".into(),
                partitions: vec![2, 3],
            }],
            ..DescribedTransaction::default()
        });
    }
    known
}

#[test]
fn cases() {
    for line in CASES.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (_, rounds) = line.split_once(':').unwrap();
        let mut watch = Watch::new(QUIET, TIMEOUT_MAX);
        for round in rounds.split(';') {
            let (given, expected) = round.split_once('>').unwrap();
            let (open_now, told) = given.split_once('|').unwrap();
            let mut words = open_now.split_whitespace();
            let now = Duration::from_secs(words.next().unwrap().parse().unwrap());
            let asked = watch.look(now, words.map(open).collect());
            let lost = match told.trim() {
                "?" => Vec::new(),
                told => watch.told(&asked, &known(told)),
            };
            let lost: Vec<_> = lost
                .iter()
                .map(|(place, _)| place.producer_id.0.to_string())
                .collect();
            let said = format!("{},{}", lost.join(" "), watch.hanging(now));
            assert_eq!(said.trim(), expected.trim(), "{line}\nat {round}");
        }
    }
}

#[test]
fn who_waited_longest_is_asked_about_first() {
    let all: Vec<_> = (0..2_500).map(|id| open(&format!("{id}@5-9"))).collect();
    let mut watch = Watch::new(QUIET, TIMEOUT_MAX);
    assert!(watch.look(Duration::ZERO, all.clone()).is_empty());
    let mut asked = BTreeSet::new();
    for round in 1..=3 {
        let now = QUIET * round;
        let places = watch.look(now, all.clone());
        assert!(places.len() <= ASKED_MAX);
        watch.told(&places, &Known::default());
        asked.extend(places);
    }
    assert_eq!(asked.len(), all.len());
}

#[test]
fn each_partition_has_its_probe() {
    for count in [0, 1, 50, 1_000] {
        let probes = probes(count);
        let partitions: Vec<_> = probes.iter().map(|id| partition_for(id, count)).collect();
        assert_eq!(partitions, (0..count).collect::<Vec<_>>());
    }
}
