//! What a node tells scrapers and probes.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::api::Context;
use crate::controller::lifecycle::Life;
use crate::metrics::http::{self, Pages};
use crate::net::Net;
use crate::stream::Listener;

/// The pages of one node.
pub struct NodePages {
    context: Arc<Context>,
    life: Life,
    net: Arc<Net>,
}

impl NodePages {
    /// Pages that look at these when they are asked for.
    #[must_use]
    pub fn new(context: Arc<Context>, life: Life, net: Arc<Net>) -> Self {
        Self { context, life, net }
    }

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
                under_replicated += i64::from(partition.isr.len() < partition.replicas.len());
            }
        }
        metrics.partitions.set(here);
        metrics.partitions_led.set(led);
        metrics.partitions_under_replicated.set(under_replicated);
        metrics.partitions_offline.set(offline);
        metrics.connections.set(count(self.net.open()));
        metrics.queued_bytes.set(count(self.net.queued_bytes()));
        metrics.resident_bytes.set(resident_bytes());
    }
}

impl Pages for NodePages {
    fn metrics(&self) -> String {
        self.look();
        self.context.metrics.page()
    }

    fn ready(&self) -> Result<(), String> {
        let standing = *self.life.standing().borrow();
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
        let image = self.context.controller.image();
        let me = self.context.controller.node_id();
        let mut behind = 0;
        for partition in image.topics.values().flat_map(|topic| &topic.partitions) {
            let here = partition.replicas.contains(&me) && !partition.adding_replicas.contains(&me);
            behind += usize::from(here && !partition.isr.contains(&me));
        }
        match behind {
            0 => Ok(()),
            1 => Err("waiting for 1 partition to catch up".into()),
            n => Err(format!("waiting for {n} partitions to catch up")),
        }
    }
}

/// Pages that are there before the node is: until then it lives and is not ready.
#[derive(Default)]
pub struct LatePages(OnceLock<NodePages>);

impl LatePages {
    /// Answers from now on. A broker that waits for a quorum lives: nobody helps it by starting it
    /// again.
    pub fn serve(listener: Option<Listener>, stop: watch::Receiver<bool>) -> Arc<Self> {
        let pages = Arc::new(Self::default());
        if let Some(listener) = listener {
            let pages = Arc::clone(&pages) as Arc<dyn Pages>;
            tokio::spawn(http::serve(listener, pages, stop));
        }
        pages
    }

    /// Has the pages speak of a node from now on.
    pub fn tell(&self, context: &Arc<Context>, life: &Life, net: &Arc<Net>) {
        let pages = NodePages::new(Arc::clone(context), life.clone(), Arc::clone(net));
        assert!(self.0.set(pages).is_ok(), "a node starts once");
    }
}

impl Pages for LatePages {
    fn metrics(&self) -> String {
        self.0.get().map_or_else(String::new, NodePages::metrics)
    }

    fn ready(&self) -> Result<(), String> {
        let waiting = "waiting for the metadata quorum; a majority of its voters must be up";
        self.0
            .get()
            .map_or_else(|| Err(waiting.to_owned()), NodePages::ready)
    }
}

/// The process's resident memory, from the kernel.
fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
