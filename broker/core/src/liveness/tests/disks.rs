//! Brokers whose disks have no room for records.

use super::*;

/// What an incarnation of before says of its disk counts no more, nor what was said in an earlier
/// term: whoever decides hears it anew with the next beats.
#[test]
fn whose_disk_is_full_goes_by_the_last_beat_of_the_living() {
    let mut image = MetadataImage::default();
    broker(&mut image, 1, 5, false);
    let mut liveness = Liveness::new(SETTINGS);
    liveness.begin(Duration::ZERO, 1, (&image, 0));
    let full = |liveness: &Liveness| {
        let disks = liveness.full_disks(Duration::ZERO);
        disks.brokers.contains(&NodeId(1))
    };
    let says = |liveness: &mut Liveness, epoch: i64, is_full: bool| {
        let broker = (NodeId(1), BrokerEpoch(epoch));
        liveness.disk(Duration::ZERO, broker, is_full, &MetadataImage::default());
    };
    says(&mut liveness, 5, true);
    assert!(full(&liveness));
    says(&mut liveness, 4, false);
    assert!(full(&liveness), "the word of a dead incarnation");
    says(&mut liveness, 5, false);
    assert!(!full(&liveness));
    says(&mut liveness, 5, true);
    liveness.begin(Duration::ZERO, 2, (&image, 0));
    assert!(!full(&liveness), "another term");
}

/// What it has stuck on its disk ends no hand-over: another leads once no lease of it stands.
#[test]
fn who_is_full_and_is_to_hand_over_gets_no_lease() {
    let mut image = MetadataImage::default();
    broker(&mut image, 1, 5, false);
    let mut handing_over = image.clone();
    let registration = PartitionRegistration {
        leader: Some(NodeId(1)),
        successor: Some(NodeId(2)),
        ..PartitionRegistration::default()
    };
    let topic = TopicRecord {
        topic_id: TopicId::default().0,
        name: "orders".to_owned(),
    };
    let partition = PartitionRecord::of(TopicId::default(), PartitionIndex(0), &registration);
    for record in [Record::Topic(topic), Record::Partition(partition)] {
        handing_over.replay(&record, &mut MetadataDelta::default());
    }
    let mut liveness = Liveness::new(SETTINGS);
    liveness.begin(Duration::ZERO, 1, (&image, 0));
    let timeout = SETTINGS.session_timeout;
    let (at, broker) = (Duration::from_secs(1), (NodeId(1), BrokerEpoch(5)));
    let quorum = Quorum {
        term_led: Some(1),
        since_acked: Duration::ZERO,
    };
    let lease = |liveness: &Liveness| liveness.lease(quorum, NodeId(1), Some(0));
    let ended = |liveness: &Liveness, now| {
        let disks = liveness.full_disks(now);
        disks.without_lease.contains(&NodeId(1))
    };
    liveness.disk(at, broker, true, &image);
    assert_eq!(lease(&liveness), timeout, "it leads what nobody else can");
    liveness.disk(at, broker, true, &handing_over);
    liveness.disk(at * 2, broker, true, &handing_over);
    assert_eq!(lease(&liveness), Duration::ZERO);
    assert!(!ended(&liveness, at + timeout - Duration::from_millis(1)));
    assert!(ended(&liveness, at + timeout));
    liveness.disk(at * 3, broker, true, &image);
    assert_eq!(lease(&liveness), timeout, "it has handed over");
    liveness.disk(at * 3, broker, true, &handing_over);
    assert!(!ended(&liveness, at + timeout), "it counts anew");
    liveness.disk(at * 4, broker, false, &handing_over);
    assert_eq!(lease(&liveness), timeout, "there is room again");
}
