//! Which partitions a broker holds: what it lets go of and takes on when the metadata change.

use ottla_protocol::ids::{NodeId, PartitionIndex, TopicId, TopicIdPartition};

use crate::image::MetadataImage;
use crate::image::delta::MetadataDelta;
use crate::planted::{self, Planted};

/// What becomes of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is this broker's no more: its log goes, and with it the claim to its name.
    Release(TopicIdPartition),
    /// It is this broker's, new or changed.
    Hold(TopicIdPartition),
}

/// The steps of broker `node` from what it held to the image, for all that the delta names.
///
/// All releases come first. A delta may span a topic's deletion and the creation of its namesake;
/// their ids say nothing of which was first, but only one log of a name can exist.
pub fn steps(
    node: NodeId,
    image: &MetadataImage,
    delta: &MetadataDelta,
    held: impl Fn(TopicId) -> Vec<PartitionIndex>,
) -> Vec<Step> {
    let (mut releases, mut holds) = (Vec::new(), Vec::new());
    for (&topic_id, change) in &delta.topics {
        let id = |partition| TopicIdPartition {
            topic_id,
            partition,
        };
        if image.topic_by_id(topic_id).is_none() {
            releases.extend(held(topic_id).into_iter().map(id).map(Step::Release));
            continue;
        }
        for &partition in &change.partitions {
            let registration = image.partition(id(partition));
            match registration.is_some_and(|r| r.replicas.contains(&node)) {
                true => holds.push(Step::Hold(id(partition))),
                false => releases.push(Step::Release(id(partition))),
            }
        }
    }
    if planted::is(Planted::HoldsFirst) {
        holds.extend(releases);
        return holds;
    }
    releases.extend(holds);
    releases
}

#[cfg(test)]
mod tests;
