//! Brokers that seem to be gone, and those that are since a moment ago.
//!
//! A client whose connection breaks asks for the new leader at once, which is sooner than any
//! failover; told the old one, it comes again a second later. So an answer that would name a
//! suspect waits until the active controller has decided, but no longer than [`WAIT_MAX`]. A broker
//! is suspected by a node that had a connection to it which broke.
//!
//! A broker that was fenced stays listed for [`LISTED`]: librdkafka drops one that is no longer
//! listed together with the queues of the partitions that are just moving away from it, and these
//! then wait for its next look at the metadata.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_protocol::ids::{BrokerEpoch, NodeId};

use crate::image::MetadataImage;

/// How long an answer waits in any case: the connections of a process that ends break one after
/// another, a client's perhaps before ours.
pub const NOTICE: Duration = Duration::from_millis(5);

/// How long an answer waits for a failover: an election of the active controller, a look at the
/// broker and a commit.
pub const WAIT_MAX: Duration = Duration::from_millis(700);

/// How long a broker that was fenced stays in the lists that clients get.
pub const LISTED: Duration = Duration::from_secs(5);

/// What one node believes of others.
#[derive(Clone, Debug, Default)]
pub struct Suspects {
    /// Since when a connection to this incarnation is broken.
    suspected: BTreeMap<NodeId, (BrokerEpoch, Duration)>,
    /// When this incarnation was fenced.
    fenced: BTreeMap<NodeId, (BrokerEpoch, Duration)>,
}

impl Suspects {
    /// A connection to this broker broke; says whether that is news.
    pub fn suspect(&mut self, image: &MetadataImage, node: NodeId, now: Duration) -> bool {
        let unfenced = image.broker(node).filter(|broker| !broker.fenced);
        let Some(epoch) = unfenced.map(|broker| broker.broker_epoch) else {
            return false;
        };
        // the first break counts, or one that is cut off would be waited for over and over
        let known = self.suspected.get(&node);
        let is_new = known.is_none_or(|(known, _)| *known != epoch);
        if is_new {
            self.suspected.insert(node, (epoch, now));
        }
        is_new
    }

    /// This broker answers; says whether that is news.
    pub fn trust(&mut self, node: NodeId) -> bool {
        self.suspected.remove(&node).is_some()
    }

    /// The image becomes `after`, in which these brokers changed.
    pub fn follow(
        &mut self,
        before: &MetadataImage,
        after: &MetadataImage,
        changed: &BTreeSet<NodeId>,
        now: Duration,
    ) {
        for &node in changed {
            let broker = after.broker(node);
            match broker {
                Some(broker) if broker.fenced && before.is_unfenced(node) => {
                    self.fenced.insert(node, (broker.broker_epoch, now));
                }
                Some(broker) if broker.fenced => {}
                Some(_) | None => {
                    self.fenced.remove(&node);
                }
            }
            let stands =
                |epoch| broker.is_some_and(|broker| !broker.fenced && broker.broker_epoch == epoch);
            self.suspected
                .retain(|suspect, (epoch, _)| *suspect != node || stands(*epoch));
        }
    }

    /// Until when an answer that was `asked` for then has to wait, where it names one of the
    /// leaders for which `is_named` holds: one after another may become suspect meanwhile.
    pub fn wait_until(
        &self,
        asked: Duration,
        now: Duration,
        is_named: impl Fn(NodeId) -> bool,
    ) -> Option<Duration> {
        let named = self.suspected.iter().filter(|(node, _)| is_named(**node));
        let ends = named.map(|(_, (_, since))| *since.min(&asked) + WAIT_MAX);
        ends.filter(|end| *end > now).max()
    }

    /// Whether a fenced broker is still listed.
    pub fn is_listed(&self, node: NodeId, epoch: BrokerEpoch, now: Duration) -> bool {
        let fenced = self.fenced.get(&node);
        fenced.is_some_and(|(known, at)| *known == epoch && now < *at + LISTED)
    }
}
