//! Brokers that seem to be gone, and those that are since a moment ago.
//!
//! A client whose connection breaks asks for the new leader at once, which is sooner than any
//! failover; told the old one, it comes again a second later. So an answer that would name a
//! suspect waits until the active controller has decided, but no longer than [`WAIT_MAX`]. A broker
//! is suspected by who had a connection to it that broke.
//!
//! A broker that was fenced stays listed for [`LISTED`]: librdkafka drops one that is no longer
//! listed together with the queues of the partitions that are just moving away from it, and these
//! then wait for its next look at the metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_core::image::{BrokerRegistration, MetadataImage};
use ottla_protocol::ids::{BrokerEpoch, NodeId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Handle;

/// How long an answer waits in any case: the connections of a process that ends break one after
/// another, a client's perhaps before ours.
const NOTICE: Duration = Duration::from_millis(5);

/// How long an answer waits for a failover: an election of the active controller, a look at the
/// broker and a commit.
const WAIT_MAX: Duration = Duration::from_millis(700);

/// How long a broker that was fenced stays in the lists that clients get.
const LISTED: Duration = Duration::from_secs(5);

/// What this node believes of others. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub struct Suspects {
    known: watch::Sender<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Since when a connection to this incarnation is broken.
    suspected: BTreeMap<NodeId, (BrokerEpoch, Instant)>,
    /// When this incarnation was fenced.
    fenced: BTreeMap<NodeId, (BrokerEpoch, Instant)>,
}

impl Suspects {
    /// Nobody is suspected.
    #[must_use]
    pub fn new() -> Self {
        Self {
            known: watch::Sender::default(),
        }
    }

    /// A connection to this broker broke.
    pub fn suspect(&self, image: &MetadataImage, node: NodeId, now: Instant) {
        let unfenced = image.broker(node).filter(|broker| !broker.fenced);
        let Some(epoch) = unfenced.map(|broker| broker.broker_epoch) else {
            return;
        };
        self.known.send_if_modified(|known| {
            // the first break counts, or one that is cut off would be waited for over and over
            let is_new = known.suspected.get(&node).is_none_or(|(e, _)| *e != epoch);
            if is_new {
                known.suspected.insert(node, (epoch, now));
            }
            is_new
        });
    }

    /// This broker answers.
    pub fn trust(&self, node: NodeId) {
        self.known
            .send_if_modified(|known| known.suspected.remove(&node).is_some());
    }

    /// The image becomes `after`, in which these brokers changed.
    pub fn follow(
        &self,
        before: &MetadataImage,
        after: &MetadataImage,
        changed: &BTreeSet<NodeId>,
        now: Instant,
    ) {
        for &node in changed {
            let was_unfenced = before.is_unfenced(node);
            let broker = after.broker(node);
            self.known.send_if_modified(|known| {
                match broker {
                    Some(broker) if broker.fenced && was_unfenced => {
                        known.fenced.insert(node, (broker.broker_epoch, now));
                    }
                    Some(broker) if broker.fenced => {}
                    Some(_) | None => {
                        known.fenced.remove(&node);
                    }
                }
                let stands = |epoch| {
                    broker.is_some_and(|broker| !broker.fenced && broker.broker_epoch == epoch)
                };
                known
                    .suspected
                    .retain(|suspect, (epoch, _)| *suspect != node || stands(*epoch));
                false // the image itself wakes who waits
            });
        }
    }

    /// Until when an answer has to wait that names one of the leaders for which `is_named` holds.
    #[must_use]
    pub fn wait_until(&self, now: Instant, is_named: impl Fn(NodeId) -> bool) -> Option<Instant> {
        let known = self.known.borrow();
        let named = known.suspected.iter().filter(|(node, _)| is_named(**node));
        let ends = named.map(|(_, (_, since))| *since + WAIT_MAX);
        ends.filter(|end| *end > now).max()
    }

    /// Whether a fenced broker is still listed.
    #[must_use]
    pub fn is_listed(&self, node: NodeId, epoch: BrokerEpoch, now: Instant) -> bool {
        let known = self.known.borrow();
        let fenced = known.fenced.get(&node);
        fenced.is_some_and(|(e, at)| *e == epoch && now < *at + LISTED)
    }
}

impl Handle {
    /// A connection to this broker broke.
    pub fn suspect(&self, node: NodeId) {
        self.shared
            .suspects
            .suspect(&self.image(), node, Instant::now());
    }

    /// This broker answers.
    pub fn trust(&self, node: NodeId) {
        self.shared.suspects.trust(node);
    }

    /// The newest image, for an answer that names the leaders for which `is_named` holds: the one
    /// after the failover, where one of them seems to be gone.
    pub async fn settled(
        &self,
        is_named: impl Fn(&MetadataImage, NodeId) -> bool,
    ) -> Arc<MetadataImage> {
        tokio::time::sleep(NOTICE).await;
        let mut images = self.subscribe();
        let mut changes = self.shared.suspects.known.subscribe();
        loop {
            let image = Arc::clone(&images.borrow_and_update());
            let named = |node| is_named(&image, node);
            let until = self.shared.suspects.wait_until(Instant::now(), named);
            let Some(until) = until else {
                return image;
            };
            tokio::select! {
                _ = images.changed() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Whether clients are told of this broker: as long as it is unfenced, and a moment longer.
    #[must_use]
    pub fn is_listed(&self, broker: &BrokerRegistration) -> bool {
        let (node, epoch) = (broker.node_id, broker.broker_epoch);
        !broker.fenced || self.shared.suspects.is_listed(node, epoch, Instant::now())
    }
}

impl Default for Suspects {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use ottla_core::image::Endpoint;
    use ottla_protocol::ids::Uuid;

    use super::*;

    const NODE: NodeId = NodeId(1);

    fn image(epoch: i64, fenced: bool) -> MetadataImage {
        let broker = BrokerRegistration {
            node_id: NODE,
            incarnation_id: Uuid::ZERO,
            broker_epoch: BrokerEpoch(epoch),
            storage_id: Uuid::ZERO,
            listeners: Vec::new(),
            peer: Endpoint {
                name: "CONTROLLER".to_owned(),
                host: "localhost".to_owned(),
                port: 9093,
                security_protocol: 0,
            },
            rack: None,
            features: BTreeMap::new(),
            fenced,
            in_controlled_shutdown: false,
            configs: BTreeMap::new(),
        };
        MetadataImage {
            brokers: Arc::new(BTreeMap::from([(NODE, Arc::new(broker))])),
            ..MetadataImage::default()
        }
    }

    fn waits(suspects: &Suspects, now: Instant) -> bool {
        suspects.wait_until(now, |node| node == NODE).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_the_failover_but_not_long() {
        let (suspects, now) = (Suspects::new(), Instant::now());
        suspects.suspect(&image(5, false), NODE, now);
        assert!(waits(&suspects, now));
        assert!(
            suspects.wait_until(now, |_| false).is_none(),
            "nobody named leads"
        );
        // another connection that breaks later makes it no longer
        suspects.suspect(&image(5, false), NODE, now + WAIT_MAX / 2);
        assert!(!waits(&suspects, now + WAIT_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn fenced_trusted_or_started_again_it_is_waited_for_no_more() {
        let now = Instant::now();
        let changed = BTreeSet::from([NODE]);
        for after in [image(5, true), image(6, false), MetadataImage::default()] {
            let suspects = Suspects::new();
            suspects.suspect(&image(5, false), NODE, now);
            suspects.follow(&image(5, false), &after, &changed, now);
            assert!(!waits(&suspects, now));
        }
        let suspects = Suspects::new();
        suspects.suspect(&image(5, false), NODE, now);
        suspects.trust(NODE);
        assert!(!waits(&suspects, now));
        suspects.suspect(&image(5, true), NODE, now);
        assert!(!waits(&suspects, now), "who is fenced leads nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fenced_broker_stays_listed_a_while() {
        let (suspects, now) = (Suspects::new(), Instant::now());
        let changed = BTreeSet::from([NODE]);
        let epoch = BrokerEpoch(5);
        suspects.follow(&MetadataImage::default(), &image(5, true), &changed, now);
        assert!(!suspects.is_listed(NODE, epoch, now), "it was never there");
        suspects.follow(&image(5, false), &image(5, true), &changed, now);
        assert!(suspects.is_listed(NODE, epoch, now));
        assert!(!suspects.is_listed(NODE, BrokerEpoch(6), now));
        assert!(!suspects.is_listed(NODE, epoch, now + LISTED));
    }
}
