//! Pods whose names lead to the brokers of a test, as they do in a Kubernetes cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::brokers::Brokers;
use crate::crd::cluster as crd;
use crate::observed::RestartCheck;
use crate::platform::kubernetes::Pods;
use crate::platform::{
    AllowedFrom, BrokerState, Endpoints, Listener, NotYet, Platform, Properties, Remake, Volume,
};
use crate::validated::ValidatedCluster;

/// The platform.
pub struct Reached {
    pub pods: Pods,
    pub brokers: Brokers,
}

impl Platform for Reached {
    fn follow(&mut self, cluster: &ValidatedCluster) {
        self.pods.follow(cluster);
    }

    fn in_force(&self, states: &BTreeMap<i32, BrokerState>) -> BTreeMap<i32, Properties> {
        self.pods.in_force(states)
    }

    fn remake(&self) -> Vec<Remake> {
        self.pods.remake()
    }

    fn hold(&mut self, is_held: bool) {
        self.pods.hold(is_held);
    }

    fn has_older_brokers(&self) -> bool {
        self.pods.has_older_brokers()
    }

    fn version(&self) -> String {
        self.pods.version()
    }

    fn generation_in_force(&self) -> Option<i64> {
        self.pods.generation_in_force()
    }

    fn unassigned(
        &self,
        listeners: &[crd::Listener],
        brokers: Range<i32>,
    ) -> BTreeMap<String, String> {
        self.pods.unassigned(listeners, brokers)
    }

    fn listeners_laid_out(&self) -> BTreeMap<String, crd::Listener> {
        self.pods.listeners_laid_out()
    }

    fn lay_out(&self, nodes: &BTreeSet<i32>, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        let mut everywhere = self.pods.lay_out(nodes, listeners);
        for endpoints in everywhere.values_mut() {
            for client in &mut endpoints.clients {
                if client.advertised.contains("-brokers.") {
                    client.advertised = self.brokers.address();
                }
            }
        }
        everywhere
    }

    fn allowed_from(&self) -> AllowedFrom {
        self.pods.allowed_from()
    }

    fn hosts(&self) -> Vec<String> {
        let mut hosts = self.pods.hosts();
        hosts.push("127.0.0.1".to_owned());
        hosts
    }

    fn bootstrap(&self, everywhere: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        self.pods.bootstrap(everywhere)
    }

    async fn prepare(
        &mut self,
        desired: &BTreeMap<i32, Properties>,
        is_dynamic: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>> {
        self.brokers.prepare();
        self.pods.prepare(desired, is_dynamic).await
    }

    fn pending(&self) -> Vec<String> {
        self.pods.pending()
    }

    async fn left_behind(&mut self) -> Result<BTreeSet<i32>, NotYet> {
        self.pods.left_behind().await
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        self.pods.observe().await
    }

    async fn start(&mut self, broker: i32, settings: &Properties) {
        self.pods.start(broker, settings).await;
    }

    async fn restart(&mut self, broker: i32, settings: &Properties) -> Result<(), NotYet> {
        self.brokers.restart();
        self.pods.restart(broker, settings).await
    }

    async fn restart_beside(&mut self, broker: i32, settings: &Properties) -> Result<(), NotYet> {
        self.pods.restart_beside(broker, settings).await
    }

    async fn restart_check(&mut self, _: i32, _: i32) -> Result<RestartCheck, String> {
        self.brokers.check();
        Ok(RestartCheck::default())
    }

    async fn volume(&mut self, node: i32) -> Result<Option<Volume>, NotYet> {
        self.pods.volume(node).await
    }

    async fn replace(
        &mut self,
        node: i32,
        volume: Option<&Volume>,
        settings: &Properties,
    ) -> Result<bool, NotYet> {
        self.pods.replace(node, volume, settings).await
    }

    async fn keep(&mut self, broker: i32, settings: &Properties) {
        self.pods.keep(broker, settings).await;
    }

    fn take_news(&mut self) -> bool {
        self.pods.take_news()
    }
}
