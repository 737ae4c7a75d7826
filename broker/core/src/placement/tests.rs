use super::fill::fill;
use super::*;

fn brokers(racks: &[&str]) -> Vec<Candidate> {
    let rack = |name: &&str| (!name.is_empty()).then(|| Arc::from(*name));
    racks
        .iter()
        .enumerate()
        .map(|(i, name)| Candidate {
            node: NodeId(i as i32),
            rack: rack(name),
            is_active: true,
            is_cordoned: false,
            replica_count: 0,
            leader_count: 0,
        })
        .collect()
}

fn spread(counts: impl IntoIterator<Item = usize>) -> (usize, usize) {
    let counts: Vec<usize> = counts.into_iter().collect();
    let (min, max) = (counts.iter().min(), counts.iter().max());
    (*min.unwrap(), *max.unwrap())
}

fn leaders_and_replicas(
    placed: &[Vec<NodeId>],
    brokers: usize,
) -> ((usize, usize), (usize, usize)) {
    let node = |i: usize| NodeId(i as i32);
    let leads = |i| placed.iter().filter(|r| r[0] == node(i)).count();
    let holds = |i| placed.iter().filter(|r| r.contains(&node(i))).count();
    (
        spread((0..brokers).map(leads)),
        spread((0..brokers).map(holds)),
    )
}

#[test]
fn leaders_and_replicas_are_even_whatever_the_seed() {
    for (racks, partitions, rf) in [
        (vec![""; 3], 6, 3),
        (vec![""; 5], 10, 3),
        (vec!["a", "b", "c"], 12, 2),
        (vec!["a", "a", "b", "b", "c", "c"], 24, 3),
        (vec![""; 4], 7, 2),
    ] {
        for seed in 0..50 {
            let placed = place(&brokers(&racks), &[], partitions, rf, seed).unwrap();
            let (leads, holds) = leaders_and_replicas(&placed, racks.len());
            assert!(
                leads.1 - leads.0 <= 1,
                "{racks:?} {seed}: leads {leads:?} {placed:?}"
            );
            assert!(
                holds.1 - holds.0 <= 1,
                "{racks:?} {seed}: holds {holds:?} {placed:?}"
            );
        }
    }
}

#[test]
fn racks_are_distinct_where_there_are_enough() {
    let brokers = brokers(&["a", "a", "a", "b", "c"]);
    for seed in 0..50 {
        for replicas in place(&brokers, &[], 9, 3, seed).unwrap() {
            let mut racks: Vec<_> = replicas
                .iter()
                .map(|n| brokers[n.0 as usize].rack.clone())
                .collect();
            racks.sort();
            racks.dedup();
            assert_eq!(racks.len(), 3, "{replicas:?}");
        }
    }
}

#[test]
fn the_load_of_a_failed_broker_falls_on_all_others() {
    let placed = place(&brokers(&[""; 4]), &[], 24, 3, 7).unwrap();
    let heirs = placed.iter().filter(|r| r[0] == NodeId(0)).map(|r| r[1]);
    let mut counts = BTreeMap::new();
    for heir in heirs {
        *counts.entry(heir).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3, "{placed:?}");
}

#[test]
fn fenced_brokers_are_the_last_resort_and_never_lead() {
    let mut brokers = brokers(&[""; 4]);
    brokers[1].is_active = false;
    for replicas in place(&brokers, &[], 8, 3, 1).unwrap() {
        assert!(!replicas.contains(&NodeId(1)));
    }
    for replicas in place(&brokers, &[], 8, 4, 1).unwrap() {
        assert_eq!(replicas[3], NodeId(1));
    }
    for broker in &mut brokers {
        broker.is_active = false;
    }
    assert_eq!(
        place(&brokers, &[], 1, 2, 1),
        Err(Error::NoneActive { wanted: 2 })
    );
    let (wanted, registered) = (5, 4);
    let refused = Err(Error::TooFewBrokers { wanted, registered });
    assert_eq!(place(&brokers, &[], 1, 5, 1), refused);
}

#[test]
fn many_small_topics_spread_over_the_cluster() {
    let mut brokers = brokers(&[""; 3]);
    for seed in 0..30 {
        let placed = place(&brokers, &[], 1, 1, seed).unwrap();
        let node = placed[0][0].0 as usize;
        brokers[node].leader_count += 1;
        brokers[node].replica_count += 1;
    }
    assert!(brokers.iter().all(|b| b.leader_count == 10), "{brokers:?}");
}

#[test]
fn added_partitions_go_on_where_the_topic_left_off() {
    let all = brokers(&[""; 3]);
    let first = place(&all, &[], 4, 2, 3).unwrap();
    let more = place(&all, &first, 2, 2, 3).unwrap();
    let placed: Vec<_> = first.into_iter().chain(more).collect();
    assert_eq!(leaders_and_replicas(&placed, 3), ((2, 2), (4, 4)));
    let all = brokers(&["a", "b", "b", "a", "c", "c"]);
    for seed in 0..200 {
        let mut placed = place(&all, &[], 18, 3, seed).unwrap();
        let more = place(&all, &placed, 18, 3, seed + 1).unwrap();
        placed.extend(more);
        let even = ((6, 6), (18, 18));
        assert_eq!(leaders_and_replicas(&placed, 6), even, "{seed}: {placed:?}");
    }
}

fn placed(replicas: &[&[i32]], isr: &[i32]) -> Vec<Placed> {
    let nodes = |list: &[i32]| list.iter().copied().map(NodeId).collect::<Vec<_>>();
    let partition = |r: &&[i32]| Placed {
        isr: nodes(isr),
        replicas: nodes(r),
    };
    replicas.iter().map(partition).collect()
}

#[test]
fn a_replication_factor_grows_by_adding_and_shrinks_by_dropping() {
    let all = brokers(&["a", "b", "c"]);
    let two = placed(&[&[0, 1], &[1, 2], &[2, 0]], &[0, 1, 2]);
    let grown = rearrange(&all, &two, Some(3), 0).unwrap();
    let shown: Vec<_> = grown.iter().flatten().map(|r| r[..2].to_vec()).collect();
    let before: Vec<_> = two.iter().map(|p| p.replicas.clone()).collect();
    assert_eq!(shown, before);
    assert!(grown.iter().flatten().all(|r| r.len() == 3));
    let same = rearrange(&all, &two, Some(2), 0).unwrap();
    assert_eq!(same, [None, None, None]);
    // the preferred leader stays, and where it is not in sync, so does the last that is
    let behind = placed(&[&[0, 1, 2]], &[2]);
    let shrunk = rearrange(&all, &behind, Some(2), 0).unwrap();
    assert_eq!(shrunk, [Some(vec![NodeId(0), NodeId(2)])]);
    // of one that is to be left, that it has the records comes first
    let shrunk = rearrange(&all, &behind, Some(1), 0).unwrap();
    assert_eq!(shrunk, [Some(vec![NodeId(2)])]);
    let caught_up = placed(&[&[0, 1, 2]], &[0, 1, 2]);
    let shrunk = rearrange(&all, &caught_up, Some(1), 0).unwrap();
    assert_eq!(shrunk, [Some(vec![NodeId(0)])]);
}

/// As one with an empty volume that is to be copied to: none in sync goes before it.
#[test]
fn a_preferred_leader_that_is_behind_or_away_goes_before_one_in_sync() {
    let shrunk = |all: &[Candidate], replicas: &[i32], isr: &[i32], size: usize| {
        let plan = rearrange(all, &placed(&[replicas], isr), Some(size), 0).unwrap();
        let ids = |kept: &Vec<NodeId>| kept.iter().map(|node| node.0).collect::<Vec<_>>();
        plan[0].as_ref().map(ids)
    };
    let mut all = brokers(&["", "", "", ""]);
    assert_eq!(shrunk(&all, &[2, 0, 1], &[0, 1], 2), Some(vec![0, 1]));
    assert_eq!(shrunk(&all, &[2, 0, 1], &[1, 0], 1), Some(vec![0]));
    assert_eq!(
        shrunk(&all, &[2, 0, 1, 3], &[0, 1, 3], 3),
        Some(vec![0, 1, 3])
    );
    // another one is behind as well
    assert_eq!(shrunk(&all, &[2, 0, 1], &[1], 2), Some(vec![2, 1]));
    assert_eq!(shrunk(&all, &[2, 0, 1], &[2, 1], 2), Some(vec![2, 1]));
    all[2].is_active = false;
    assert_eq!(shrunk(&all, &[2, 0, 1], &[0, 1, 2], 2), Some(vec![0, 1]));
    assert_eq!(shrunk(&all, &[2, 0, 1], &[0], 2), Some(vec![0, 1]));
    assert_eq!(shrunk(&all, &[2, 0, 1], &[2], 2), Some(vec![2, 0]));
}

#[test]
fn brokers_that_are_no_candidates_are_left_and_nothing_else_moves() {
    let all = brokers(&["a", "b", "c", "a"]);
    let topic = placed(&[&[0, 1, 2], &[1, 3], &[3, 2], &[3]], &[0, 1, 2, 3]);
    let moved = rearrange(&all[..3], &topic, None, 0).unwrap();
    let ids: Vec<Option<Vec<i32>>> = moved
        .into_iter()
        .map(|r| r.map(|r| r.iter().map(|n| n.0).collect()))
        .collect();
    assert_eq!(
        ids[..3],
        [None, Some(vec![1, 0]), Some(vec![2, 1])],
        "what stays keeps its place"
    );
    assert_eq!(ids[3].as_ref().map(Vec::len), Some(1));
    let too_many = rearrange(&all[..2], &topic, None, 0);
    assert!(matches!(too_many, Err(Error::TooFewBrokers { .. })));
}

fn filled(
    before: &[Vec<NodeId>],
    racks: &[&str],
    newcomers: &[i32],
    max: usize,
) -> Vec<Vec<NodeId>> {
    let mut all = brokers(racks);
    for candidate in &mut all {
        let replicas = before.iter().flatten().filter(|n| **n == candidate.node);
        let leaders = before.iter().filter(|r| r[0] == candidate.node);
        candidate.replica_count = replicas.count();
        candidate.leader_count = leaders.count();
    }
    let placed = |replicas: &Vec<NodeId>| {
        let replicas = replicas.clone();
        let isr = replicas.clone();
        Some(Placed { replicas, isr })
    };
    let topics = vec![before.iter().map(placed).collect::<Vec<_>>()];
    let newcomers = newcomers.iter().copied().map(NodeId).collect();
    let mut after = before.to_vec();
    for ((_, index), replicas) in fill(&all, &topics, &newcomers, max) {
        after[index] = replicas;
    }
    after
}

#[test]
fn brokers_that_come_get_their_share_and_no_more_is_moved() {
    let before = place(&brokers(&[""; 3]), &[], 12, 3, 7).unwrap();
    let after = filled(&before, &[""; 4], &[3], 100);
    let (leaders, replicas) = leaders_and_replicas(&after, 4);
    assert_eq!((leaders, replicas), ((3, 3), (9, 9)));
    let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
    assert_eq!(moved, 9, "each takes one replica of a partition");
    assert_eq!(
        filled(&after, &[""; 4], &[3], 100),
        after,
        "nothing is left to do"
    );
    // in parts it comes to the same
    let mut parts = before.clone();
    for _ in 0..9 {
        parts = filled(&parts, &[""; 4], &[3], 1);
    }
    assert_eq!(leaders_and_replicas(&parts, 4), ((3, 3), (9, 9)));
}

#[test]
fn brokers_that_come_take_no_partition_out_of_a_rack() {
    let before = place(&brokers(&["a", "b", "c"]), &[], 9, 3, 7).unwrap();
    let after = filled(&before, &["a", "b", "c", "a"], &[3], 100);
    for (before, after) in before.iter().zip(&after).filter(|(b, a)| b != a) {
        let place = before.iter().position(|node| *node == NodeId(0));
        assert_eq!(after[place.unwrap()], NodeId(3), "only broker 0 may give");
    }
    assert_ne!(before, after);
}

#[test]
fn brokers_that_come_get_of_each_topic_the_same_part() {
    let all = brokers(&[""; 3]);
    let (small, large) = (place(&all, &[], 12, 3, 7), place(&all, &[], 48, 3, 8));
    let topics = [small.unwrap(), large.unwrap()];
    let mut all = brokers(&[""; 4]);
    for candidate in &mut all[..3] {
        candidate.replica_count = 60;
        candidate.leader_count = 20;
    }
    let placed = |replicas: &Vec<NodeId>| {
        let replicas = replicas.clone();
        let isr = replicas.clone();
        Some(Placed { replicas, isr })
    };
    let placed = topics.each_ref().map(|t| t.iter().map(placed).collect());
    let newcomers = [NodeId(3)].into_iter().collect();
    let moves = fill(&all, &placed, &newcomers, 100);
    let of = |topic: usize| moves.iter().filter(move |((t, _), _)| *t == topic);
    assert_eq!((of(0).count(), of(1).count()), (9, 36));
    let leads = |topic: usize| of(topic).filter(|(_, r)| r[0] == NodeId(3)).count();
    assert_eq!((leads(0), leads(1)), (3, 12));
}

#[test]
fn a_cordoned_broker_keeps_what_it_holds_and_gets_nothing() {
    let mut all = brokers(&[""; 4]);
    all[3].is_cordoned = true;
    let on = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    let placed = |ids: &[i32]| Placed {
        replicas: on(ids),
        isr: on(ids),
    };
    let topic = [placed(&[0]), placed(&[3])];
    let grown = rearrange(&all, &topic, Some(3), 0).unwrap();
    assert!(
        !grown[0].as_ref().unwrap().contains(&NodeId(3)),
        "{grown:?}"
    );
    assert_eq!(grown[1].as_ref().unwrap()[0], NodeId(3), "{grown:?}");
    let registered = |error| match error {
        Err(Error::TooFewBrokers { registered, .. }) => registered,
        other => panic!("{other:?}"),
    };
    assert_eq!(registered(rearrange(&all, &topic, Some(4), 0)), 3);
    assert_eq!(registered(rearrange(&all, &topic[1..], Some(5), 0)), 4);
    let newcomer = [NodeId(3)].into_iter().collect();
    all[0].replica_count = 4;
    let topics = [vec![Some(placed(&[0])); 4]];
    assert_eq!(fill(&all, &topics, &newcomer, 9), []);
    all[3].is_cordoned = false;
    assert_eq!(fill(&all, &topics, &newcomer, 9).len(), 1);
}
