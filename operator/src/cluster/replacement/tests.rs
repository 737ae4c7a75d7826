//! Brokers as a row of letters in, what is in the way out.

use super::super::rolling_restart::tests::{brokers, health};
use super::*;
use crate::cluster::validate::{Observed, validate};
use crate::crd::KafkaCluster;
use crate::platform::is_same_volume;

/// Each line: a case, the brokers (as in a rolling restart: `.` serves, `b` is behind, `x` and `f`
/// have no process), the voters, the partitions, and why broker 2 keeps its volume.
const CASES: &str = "
    its disk is lost      : ..f  : 0* 1 2- : a:0,1,2/0,1 b:0,1/0,1 => goes
    it is to be another   : ...  : 0* 1 2 : a:0,1,2/0,1,2 => goes
    it votes no more      : ..f  : 0* 1 3 : a:0,1,2/0,1 => goes
    another is away       : .xf  : 0* 1- 2- : a:0,1,2/0 \
        => waits: broker 1 does not serve (its pod is being created)
    another is behind     : .bf  : 0* 1 2- : a:0,1,2/0,1 \
        => waits: broker 1 does not serve (is behind)
    a controller is away  : ..f  : 0* 1 2- 3- 4- : \
        => waits: only 2 of 5 voters would be left
    another copies        : ..f  : 0* 1 2- : a:0,1,2/0 \
        => waits: a-0 is not in sync on broker 1
    two copy              : ..f. : 0* 1 2- : a:0,1,2/0 b:3,1,2/3 \
        => waits: a-0 is not in sync on broker 1, and 1 more partitions
    of others is no matter : ..f. : 0* 1 2- : a:0,1,3/0 b:0,1,2/0,1 => goes
    one is being added    : ..f. : 0* 1 2- : a:0,3+,2/0 => waits: a-0 is being copied to broker 3
    one is kept a while   : ..f. : 0* 1 2- : a:0,3+-,2/0 => waits: a-0 is not in sync on broker 3
    its only replica      : ...  : 0* 1 2 : a:2/2 => refused: the records of a-0 would be gone
    only it has all       : ..f  : 0* 1 2- : a:0,1,2/2 => refused: the records of a-0 would be gone
    nobody is in sync     : ..f  : 0* 1 2- : a:1,2/2 b:2/2 \
        => refused: the records of a-0, and of 1 more partitions would be gone
    it alone, and it runs : ..b  : 0* 1 2 : a:0,1,2/2 \
        => waits: a-0 is not in sync on brokers 0, 1
    all are away          : xxf  : 0* 1- 2- : a:0,1,2/2 => refused: the records of a-0 would be gone
    it alone votes        : ..f  : 2* : => refused: it is the only voter
    another alone votes   : ..f  : 0* : => goes
    two vote              : ..f  : 0* 2- : => waits: only 1 of 2 voters would be left
    no quorum             : ..f  : : \
        => waits: the metadata quorum is not there: no active controller";

fn shown(hindrance: Option<&Hindrance>) -> String {
    match hindrance {
        None => "goes".to_owned(),
        Some(Hindrance::Refused(why)) => format!("refused: {why}"),
        Some(Hindrance::Waits(why)) => format!("waits: {why}"),
    }
}

#[test]
fn a_volume_goes_only_where_the_others_hold_all_that_it_does() {
    for case in CASES.trim().lines() {
        let (told, outcome) = case.split_once("=>").unwrap();
        let mut parts = told.splitn(4, ':').map(str::trim);
        let mut part = || parts.next().unwrap_or_default();
        let (name, letters, voters, partitions) = (part(), part(), part(), part());
        let nobody = (&Ok(RestartCheck::default()), false);
        let health = health(voters, partitions);
        let shown = shown(hindrance(2, &brokers(letters), &health, nobody).as_ref());
        let is_as_told = match outcome.trim().strip_prefix("refused") {
            Some(_) => shown.starts_with(outcome.trim()),
            None => shown == outcome.trim(),
        };
        assert!(is_as_told, "{name}: {shown}");
    }
}

/// Whatever is there, what goes can be had of others.
#[test]
fn nothing_that_goes_is_lost() {
    let letters = ['.', 'b', 'x', 'f'];
    let mut gone = 0;
    for number in 0..4_usize.pow(3) * 8 * 8 {
        let letter = |place: u32| letters[number / 4_usize.pow(place) % 4];
        let row: String = (0..3).map(letter).collect();
        let isr: Vec<&str> = ["0", "1", "2"]
            .into_iter()
            .zip(0..)
            .filter_map(|(id, bit)| (number >> (6 + bit) & 1 == 1).then_some(id))
            .collect();
        let votes: String = (0..3)
            .map(|id| {
                let is_close = number >> (9 + id) & 1 == 1;
                format!("{id}{} ", if is_close { "" } else { "-" })
            })
            .collect();
        let votes = votes.replacen("0 ", "0* ", 1);
        let mut health = health(&votes, "a:0,1,2/0");
        if let Health::Known { cluster, .. } = &mut health {
            let isr = isr.iter().map(|id| id.parse().unwrap());
            cluster.topics.get_mut("a").unwrap().partitions[0].isr = isr.collect();
        }
        let nobody = (&Ok(RestartCheck::default()), true);
        if hindrance(2, &brokers(&row), &health, nobody).is_none() {
            gone += 1;
            assert!(row.starts_with(".."), "{row}");
            assert!(isr.contains(&"0") && isr.contains(&"1"), "{row} {isr:?}");
            assert!(votes.starts_with("0* 1 "), "{row} {votes}");
        }
    }
    assert_eq!(
        gone, 16,
        "four states of broker 2, in the ISR or not, close or not"
    );
}

#[test]
fn what_the_brokers_say_of_it_counts() {
    let health = health("0* 1 2", "a:0,1,2/0,1,2");
    let said = |page: &str, allow_unavailable: bool| {
        let check = serde_json::from_str(page).map_err(|error| error.to_string());
        let asked = (&check, allow_unavailable);
        shown(hindrance(2, &brokers("..."), &health, asked).as_ref())
    };
    let hidden = r#"{"harmed":[{"partition":"hidden-0","why":"OnlyReplica"}]}"#;
    for allows in [false, true] {
        let told = said(hidden, allows);
        let refused = "refused: the records of hidden-0 would be gone";
        assert!(told.starts_with(refused), "{told}");
    }
    let strict = r#"{"harmed":[{"partition":"pair-0","why":"UnderMinIsr"}]}"#;
    assert!(said(strict, false).starts_with("waits: pair-0 would have fewer replicas in sync"));
    assert_eq!(said(strict, true), "goes");
    assert!(said("nothing", false).starts_with("waits: the cluster cannot be asked: "));
}

#[test]
fn it_has_what_the_others_have_once_it_is_in_sync_and_follows() {
    for (letters, voters, partitions, expected) in [
        ("...", "0* 1 2", "a:0,1,2/0,1,2 b:0,1/0", None),
        ("...", "0* 1", "a:0,1/0,1", None),
        (
            "..x",
            "0* 1 2-",
            "",
            Some("it does not serve yet (its pod is being created)"),
        ),
        ("..", "0* 1 2-", "", Some("it is not there yet")),
        (
            "...",
            "0* 1 2",
            "a:0,1,2/0,1 b:0,1,2/0,1",
            Some("a-0 is not in sync on broker 2, and 1 more partitions"),
        ),
        // What is moved to it or away from it is no part of what it lost.
        ("...", "0* 1 2", "a:0,1,2+/0,1", None),
        (
            "...",
            "0* 1 2-",
            "a:0,1,2/0,1,2",
            Some("it votes, and does not follow the active controller closely yet"),
        ),
        (
            "...",
            "",
            "",
            Some("the metadata quorum is not there: no active controller"),
        ),
    ] {
        let lacks = lacks(2, &brokers(letters), &health(voters, partitions));
        assert_eq!(lacks.as_deref(), expected);
    }
}

fn cluster(spec: &str) -> ValidatedCluster {
    let cluster = format!("metadata: {{ name: c }}\nspec: {{ {spec} }}");
    let cluster: KafkaCluster = serde_yaml::from_str(&cluster).unwrap();
    let brokers = Observed {
        brokers: 4,
        ..Observed::default()
    };
    validate(&cluster, brokers).unwrap()
}

fn status(asked: &str, phase: ReplacementPhase) -> ReplacementStatus {
    ReplacementStatus {
        asked: asked.to_owned(),
        id: 2,
        volume: "one".to_owned(),
        phase,
        done: String::new(),
    }
}

#[test]
fn an_annotation_that_stays_asks_for_nothing_anew() {
    let valid = cluster("replicas: 4, storage: { size: 1Gi }");
    let of =
        |annotation, before: Option<&ReplacementStatus>| order(annotation, before, &valid, false);
    let done = status("2", ReplacementPhase::Replaced);
    assert_eq!(of(None, None), Order::Nothing);
    assert_eq!(of(Some("2"), None), Order::Begin(2));
    assert_eq!(of(Some("2"), Some(&done)), Order::Done(done.clone()));
    assert_eq!(of(None, Some(&done)), Order::Nothing);
    assert_eq!(of(Some("3"), Some(&done)), Order::Begin(3));
    // What was begun goes on, whatever else is asked for meanwhile.
    for phase in [ReplacementPhase::Replacing, ReplacementPhase::CatchingUp] {
        let under_way = status("2", phase);
        for (annotation, is_wanted) in [(Some("2"), true), (Some("3"), false), (None, false)] {
            let goes_on = Order::GoOn(under_way.clone(), is_wanted);
            assert_eq!(of(annotation, Some(&under_way)), goes_on);
        }
    }
}

/// One that is not there for a moment, as while a plan is held without a StatefulSet.
#[test]
fn what_is_under_way_is_remembered_for_as_long_as_the_spec_has_the_node() {
    let mut valid = cluster("replicas: 4, storage: { size: 1Gi }");
    let under_way = status("2", ReplacementPhase::CatchingUp);
    valid.replicas = 2;
    let of = |valid: &_| order(Some("2"), Some(&under_way), valid, false);
    assert_eq!(of(&valid), Order::Done(under_way.clone()));
    // Scaled away it is done, and stays so when it is scaled out again.
    valid.ways = 2;
    let done = status("2", ReplacementPhase::Replaced);
    assert_eq!(of(&valid), Order::Done(done.clone()));
    let order = |asked| order(Some(asked), Some(&under_way), &valid, false);
    assert_eq!(order("1"), Order::Begin(1));
}

#[test]
fn a_volume_is_known_by_its_id_or_else_by_its_place() {
    for (noted, has, is_same) in [
        ("", "", true),
        ("", "a", false),
        ("uid-1", "uid-1", true),
        ("uid-1", "uid-2", false),
        ("a@5", "a@5", true),
        ("a@5", "a@6", true),
        ("a@5", "b@5", false),
        ("a@5", "?@5", true),
        ("?@5", "a@5", true),
        ("?@5", "b@6", false),
        ("?@5", "?@6", false),
        ("?@5", "", false),
        ("a", "a@5", true),
    ] {
        assert_eq!(is_same_volume(noted, has), is_same, "{noted} {has}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let told = |asked: &str, spec: &str| match order(Some(asked), None, &cluster(spec), false) {
        Order::Refused(why) => why,
        other => panic!("{asked}: {other:?}"),
    };
    let spec = "replicas: 3, storage: { size: 1Gi }";
    for asked in ["", "two", "-1", "7", "1000", "0,1", "true"] {
        let why = told(asked, spec);
        assert!(
            why.starts_with("there is no broker or dedicated controller"),
            "{why}"
        );
    }
    assert_eq!(told("3", spec), "broker 3 is to go anyway");
    let why = "without spec.storage broker 2 has no volume: delete its pod";
    assert_eq!(told("2", "replicas: 4"), why);
    let local = order(Some("2"), None, &cluster("replicas: 4"), true);
    assert_eq!(local, Order::Begin(2));
    let dedicated = cluster("storage: { size: 1Gi }, dedicatedControllers: {}");
    assert_eq!(
        order(Some("1001"), None, &dedicated, false),
        Order::Begin(1001)
    );
}
