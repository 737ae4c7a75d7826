//! A broker that keeps one log a name, and deltas of any size.

use std::collections::BTreeMap;

use ottla_protocol::ids::Uuid;

use super::*;
use crate::image::record::{PartitionRecord, Record, RemoveTopicRecord, TopicRecord};
use crate::metadata::Metadata;

const NODE: NodeId = NodeId(1);

/// The logs of a broker, by name: a second one of a name is refused.
#[derive(Debug, Default)]
struct Broker {
    logs: BTreeMap<(String, PartitionIndex), TopicId>,
    metadata: Metadata,
}

impl Broker {
    /// Takes one delta that spans all of these records.
    fn follow(&mut self, records: &[Record]) {
        for record in records {
            self.metadata.replay(record);
        }
        let delta = self.metadata.take_delta();
        let image = self.metadata.image();
        let held = |topic: TopicId| {
            let found = self.logs.iter().filter(|(_, id)| **id == topic);
            found.map(|((_, partition), _)| *partition).collect()
        };
        for step in steps(NODE, image, &delta, held) {
            match step {
                Step::Release(id) => self.logs.retain(|(_, partition), topic| {
                    (*topic, *partition) != (id.topic_id, id.partition)
                }),
                Step::Hold(id) => {
                    let topic = image.topic_by_id(id.topic_id).expect("in the image");
                    let name = (topic.name.to_string(), id.partition);
                    self.logs.entry(name).or_insert(id.topic_id);
                }
            }
        }
    }
}

/// A stream of records: topics of two names come and go, and partitions move.
fn records(mut next: impl FnMut(u64) -> u64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut topics: [Option<Uuid>; 2] = [None, None];
    for number in 0..12_u8 {
        let place = next(2) as usize;
        let partition = |topic_id, partition, replica| {
            Record::Partition(PartitionRecord {
                topic_id,
                partition,
                replicas: vec![replica],
                isr: vec![replica],
                adding_replicas: vec![],
                removing_replicas: vec![],
                elr: vec![],
                last_known_elr: vec![],
                leader: replica,
                leader_epoch: i32::from(number),
                partition_epoch: i32::from(number),
                successor: -1,
            })
        };
        match topics[place] {
            None => {
                let mut topic_id = [number; 16];
                topic_id[0] = next(256) as u8;
                let topic_id = Uuid(topic_id);
                topics[place] = Some(topic_id);
                let name = format!("t{place}");
                records.push(Record::Topic(TopicRecord { topic_id, name }));
                records.push(partition(topic_id, 0, 1));
                records.push(partition(topic_id, 1, 2));
            }
            Some(topic_id) if next(2) == 0 => {
                topics[place] = None;
                records.push(Record::RemoveTopic(RemoveTopicRecord { topic_id }));
            }
            Some(topic_id) => {
                let (index, replica) = (next(2) as i32, 1 + next(2) as i32);
                records.push(partition(topic_id, index, replica));
            }
        }
    }
    records
}

#[test]
fn however_records_come_in_deltas_the_broker_holds_the_same() {
    for seed in 0..500_u64 {
        let mut state = seed;
        let mut next = |end: u64| {
            state = crate::placement::mix(state);
            state % end
        };
        let records = records(&mut next);
        let mut one_by_one = Broker::default();
        for record in &records {
            one_by_one.follow(std::slice::from_ref(record));
        }
        let mut grouped = Broker::default();
        let mut rest = &records[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + next(rest.len() as u64) as usize);
            grouped.follow(now);
            rest = later;
        }
        assert_eq!(grouped.logs, one_by_one.logs, "seed {seed}");
    }
}
