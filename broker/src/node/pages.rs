//! What a node tells scrapers and probes.

use std::sync::{Arc, OnceLock};

use ottla_core::restart_check::{Why, harms};
use ottla_protocol::ids::NodeId;
use ottla_telemetry::{Made, Pages, resident_bytes, serve};
use tokio::sync::watch;

use super::certificates::Certificates;
use crate::api::Context;
use crate::controller::{self, lifecycle::Life};
use crate::net::Net;
use crate::stream::Listener;
use crate::threads;

/// How many of the partitions that have to catch up are named.
const BEHIND_NAMED_MAX: usize = 3;

/// A voter that has not had everything for so long does not count.
const VOTER_LAG_MAX_MS: i64 = 3000;

/// How many partitions one check names.
const HARMS_MAX: usize = 100;

/// The pages of one node.
pub struct NodePages {
    context: Arc<Context>,
    /// None of a controller that is no broker.
    life: Option<Life>,
    net: Arc<Net>,
    certificates: Certificates,
}

impl NodePages {
    /// Numbers that are looked at rather than counted.
    fn look(&self) {
        let metrics = &self.context.metrics;
        let controller = &self.context.controller;
        let image = controller.image();
        let me = controller.node_id();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.ready.set(i64::from(self.ready().is_ok()));
        metrics
            .active_controller
            .set(i64::from(controller.is_active()));
        metrics
            .metadata_applied
            .set(i64::try_from(controller.applied()).unwrap_or(i64::MAX));
        metrics.brokers.set(count(image.brokers.len()));
        metrics
            .brokers_fenced
            .set(count(image.brokers.values().filter(|b| b.fenced).count()));
        metrics.topics.set(count(image.topics.len()));
        let mut here = 0;
        let mut led = 0;
        let mut under_replicated = 0;
        let mut offline = 0;
        for partition in image.topics.values().flat_map(|topic| &topic.partitions) {
            here += i64::from(partition.replicas.contains(&me));
            offline += i64::from(partition.leader.is_none());
            if partition.leader == Some(me) {
                led += 1;
                under_replicated += i64::from(partition.is_under_replicated());
            }
        }
        metrics.partitions.set(here);
        metrics.partitions_led.set(led);
        metrics.partitions_under_replicated.set(under_replicated);
        metrics.partitions_offline.set(offline);
        metrics.connections.set(count(self.net.open()));
        metrics.queued_bytes.set(count(self.net.queued_bytes()));
        metrics.set_follower_lag(self.context.replicas.follower_lag());
        metrics.resident_bytes.set(resident_bytes());
        self.certificates.tell(metrics);
        self.context.quotas.tell(metrics);
    }
}

impl Pages for NodePages {
    fn metrics(&self) -> String {
        self.look();
        self.context.metrics.page()
    }

    fn ready(&self) -> Result<(), String> {
        let Some(life) = &self.life else {
            return self.context.controller.presence().borrow().clone();
        };
        let standing = *life.standing().borrow();
        if !standing.is_registered {
            return Err("waiting for registration; a majority of the voters must be up".into());
        }
        if !standing.is_unfenced {
            return Err("waiting to be unfenced by the active controller".into());
        }
        if !self.context.controller.has_lease() {
            return Err("waiting for the active controller: the lease has run out".into());
        }
        if let Some(reason) = self.context.replicas.full_disk() {
            return Err(reason);
        }
        if let Some(listener) = self.context.issuers.without_keys().next() {
            return Err(format!(
                "waiting for the keys that tokens of the listener {listener} are signed by; the \
                 log says why they cannot be had"
            ));
        }
        let image = self.context.controller.image();
        let me = self.context.controller.node_id();
        let mut behind = Vec::new();
        for topic in image.topics.values() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                let is_new = partition.adding_replicas.contains(&me);
                let is_here = partition.replicas.contains(&me) && !is_new;
                if is_here && !partition.isr.contains(&me) {
                    behind.push(format!("{}-{index}", topic.name));
                }
            }
        }
        catching_up(&behind)
    }

    fn restart_check(&self, broker: Option<i32>) -> Made<'_> {
        let controller = &self.context.controller;
        let broker = broker.map_or(controller.node_id(), NodeId);
        Box::pin(async move { Some(restart_check(&self.context, broker).await) })
    }
}

/// Says which partitions have to catch up, the first few by name.
fn catching_up(behind: &[String]) -> Result<(), String> {
    let named = behind[..behind.len().min(BEHIND_NAMED_MAX)].join(", ");
    match behind.len() {
        0 => Ok(()),
        1 => Err(format!("waiting for 1 partition to catch up: {named}")),
        n => {
            let more = if n > BEHIND_NAMED_MAX { ", …" } else { "" };
            Err(format!(
                "waiting for {n} partitions to catch up: {named}{more}"
            ))
        }
    }
}

/// `{"broker":1,"votersLeft":2,"voters":3,"harmed":[{"partition":"t-0","why":"OnlyReplica"}],
/// "more":0}`: the voters that follow closely without that broker, of all there are, or null where
/// no active controller is known; and the partitions that a restart of it would harm.
async fn restart_check(context: &Context, broker: NodeId) -> String {
    let quorum = match context.controller.quorum().await {
        Ok(quorum) => {
            let oldest_ms = context.env.unix_ms() - VOTER_LAG_MAX_MS;
            let others = quorum.voters.iter().filter(|voter| voter.node_id != broker);
            let left = others
                .filter(|voter| voter.last_caught_up_ms >= oldest_ms)
                .count();
            format!(r#""votersLeft":{left},"voters":{}"#, quorum.voters.len())
        }
        Err(_) => r#""votersLeft":null,"voters":null"#.to_owned(),
    };
    let image = context.controller.image();
    let mut harms = harms(&image, &context.settings.statics, broker);
    // what no permission helps against is not to be left out
    harms.sort_by_key(|harm| harm.why != Why::Reassigning);
    let named = harms.iter().take(HARMS_MAX);
    // a topic's name needs no escapes
    let named =
        named.map(|harm| format!(r#"{{"partition":"{harm}","why":"{}"}}"#, harm.why.name()));
    let named: Vec<String> = named.collect();
    let more = harms.len() - named.len();
    let named = named.join(",");
    format!("{{\"broker\":{broker},{quorum},\"harmed\":[{named}],\"more\":{more}}}\n")
}

/// Pages that are there before the node is: until then it lives and is not ready.
pub struct LatePages {
    node: OnceLock<NodePages>,
    controller: controller::Handle,
}

impl LatePages {
    /// Answers from now on. A broker that waits for a quorum lives: nobody helps it by starting it
    /// again.
    pub fn serve(
        listener: Option<Listener>,
        controller: controller::Handle,
        mut stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let pages = Arc::new(Self {
            node: OnceLock::new(),
            controller,
        });
        if let Some(listener) = listener {
            let pages = Arc::clone(&pages) as Arc<dyn Pages>;
            threads::spawn(async move {
                tokio::select! {
                    () = serve(listener, pages) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            });
        }
        pages
    }

    /// Has the pages speak of a node from now on.
    pub(super) fn tell(
        &self,
        context: &Arc<Context>,
        life: Option<&Life>,
        net: &Arc<Net>,
        certificates: &Certificates,
    ) {
        let pages = NodePages {
            context: Arc::clone(context),
            life: life.cloned(),
            net: Arc::clone(net),
            certificates: certificates.clone(),
        };
        assert!(self.node.set(pages).is_ok(), "a node starts once");
    }
}

impl Pages for LatePages {
    fn metrics(&self) -> String {
        self.node.get().map_or_else(String::new, NodePages::metrics)
    }

    fn ready(&self) -> Result<(), String> {
        let waiting = "waiting for the metadata quorum; a majority of its voters must be up";
        let node = self.node.get();
        let ready = node.map_or_else(|| Err(waiting.to_owned()), NodePages::ready);
        let standstill = self.controller.standstill();
        ready.map_err(|waits| standstill.map_or(waits, |why| why.to_string()))
    }

    fn restart_check(&self, broker: Option<i32>) -> Made<'_> {
        match self.node.get() {
            Some(pages) => pages.restart_check(broker),
            // a broker that has not started gives nothing, and knows nothing of others
            None => Box::pin(std::future::ready(Some("{}\n".to_owned()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::catching_up;

    #[test]
    fn a_broker_that_is_behind_says_in_what() {
        let behind = |count: i32| {
            let names: Vec<_> = (0..count).map(|index| format!("orders-{index}")).collect();
            catching_up(&names).err().unwrap_or_default()
        };
        assert_eq!(behind(0), "");
        assert_eq!(behind(1), "waiting for 1 partition to catch up: orders-0");
        let three = "waiting for 3 partitions to catch up: orders-0, orders-1, orders-2";
        assert_eq!(behind(3), three);
        let many = "waiting for 400 partitions to catch up: orders-0, orders-1, orders-2, …";
        assert_eq!(behind(400), many);
    }
}
