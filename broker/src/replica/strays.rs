//! Logs that a start found, and that no metadata speak of: deleted topics, mostly, or replicas that
//! moved away while this broker was down. But so it looks too where the quorum lost its metadata or
//! was put back to an older state, and then they are all there is. So they are kept a while.

use std::sync::Mutex;
use std::time::Duration;

use ottla_protocol::ids::TopicIdPartition;
use ottla_storage::Log;
use tracing::warn;

use super::lock;

/// How long they are kept, counted from the start that found them.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Logs that are kept for whoever claims them.
#[derive(Debug, Default)]
pub(super) struct Strays(Mutex<Vec<(Log, Duration)>>);

impl Strays {
    /// Keeps the logs that were found at `now`.
    pub(super) fn keep(&self, logs: Vec<Log>, now: Duration) {
        let hours = KEPT.as_secs() / 3600;
        for log in &logs {
            warn!(
                partition = %log.topic_partition(),
                topic_id = %log.id().topic_id,
                bytes = log.size_bytes(),
                "the metadata know no such log of this broker: it is kept for {hours} hours, in \
                 case that they are put right"
            );
        }
        lock(&self.0).extend(logs.into_iter().map(|log| (log, now)));
    }

    /// The log of a partition that is this broker's after all.
    pub(super) fn reclaim(&self, id: TopicIdPartition) -> Option<Log> {
        self.take(|log| log.id() == id)
    }

    /// The log that has the name of another partition, which needs it.
    pub(super) fn namesake(&self, topic: &str, id: TopicIdPartition) -> Option<Log> {
        self.take(|log| {
            let name = log.topic_partition();
            &*name.topic == topic && name.partition == id.partition
        })
    }

    fn take(&self, is_it: impl Fn(&Log) -> bool) -> Option<Log> {
        let mut logs = lock(&self.0);
        let place = logs.iter().position(|(log, _)| is_it(log))?;
        Some(logs.swap_remove(place).0)
    }

    /// The logs that were kept for long enough.
    pub(super) fn unclaimed(&self, now: Duration) -> Vec<Log> {
        let is_over = |(_, since): &mut (Log, Duration)| now.saturating_sub(*since) >= KEPT;
        let mut logs = lock(&self.0);
        logs.extract_if(.., is_over).map(|(log, _)| log).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use ottla_protocol::ids::{NodeId, PartitionIndex, TopicId, Uuid};
    use ottla_storage::sim::SimDisk;
    use ottla_storage::{Identity, LogSettings, Settings, Store};

    use super::*;

    fn id(topic: u8) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: TopicId(Uuid([topic; 16])),
            partition: PartitionIndex(0),
        }
    }

    #[test]
    fn a_log_that_no_metadata_speak_of_is_kept_for_a_day() {
        let identity = Identity {
            cluster_id: "c".to_owned(),
            node_id: NodeId(1),
            directory_id: Uuid([1; 16]),
        };
        let disk = Arc::new(SimDisk::new(1));
        let opened = Store::open(disk, Path::new("/data"), identity, Settings::default());
        let store = opened.expect("an empty directory").store;
        let log = |topic: u8, name: &str| {
            let made = store.create(id(topic), name.into(), LogSettings::default());
            made.expect("a new log")
        };
        let strays = Strays::default();
        let found = Duration::from_secs(5);
        strays.keep(vec![log(1, "a"), log(2, "b"), log(3, "c")], found);

        // metadata that are put right find theirs, and who needs a name has it
        assert_eq!(strays.reclaim(id(1)).map(|log| log.id()), Some(id(1)));
        assert!(strays.reclaim(id(1)).is_none(), "it is taken");
        assert!(strays.namesake("b", id(2)).is_some());
        assert!(strays.namesake("d", id(4)).is_none());

        let just_before = found + KEPT - Duration::from_millis(1);
        assert!(strays.unclaimed(just_before).is_empty());
        let over: Vec<_> = strays
            .unclaimed(found + KEPT)
            .iter()
            .map(|log| log.id())
            .collect();
        assert_eq!(over, [id(3)]);
        assert!(
            strays.unclaimed(found + KEPT).is_empty(),
            "each is given once"
        );
    }
}
