use ottla_protocol::ids::{PartitionIndex, TopicId};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_oldest_request_is_waited_for_whatever_is_asked_after() {
    let settings = "node.id=1\nprocess.roles=broker,controller\n\
        listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9091\n\
        controller.quorum.voters=1@localhost:9091\nlog.dirs=/data\n";
    let settings = Settings::from_properties("a test", settings).unwrap();
    let mut partitions = Partitions::default();
    let ask = |partitions: &mut Partitions| {
        let request = partitions.request(&settings, BrokerEpoch(1), NodeId(2), |_| None);
        assert!(request.is_some());
    };
    assert_eq!(partitions.waits_since(), None);
    let first = Instant::now();
    ask(&mut partitions);
    partitions.answered();
    partitions.continue_session(7);
    for _ in 0..3 {
        let topic_id = TopicId(Uuid([1; 16]));
        let partition = PartitionIndex(0);
        partitions.forgotten.push(TopicIdPartition {
            topic_id,
            partition,
        });
        ask(&mut partitions);
        assert_eq!(partitions.waits_since(), Some(first));
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    partitions.answered();
    assert_eq!(
        partitions.waits_since(),
        Some(first + Duration::from_secs(2))
    );
}
