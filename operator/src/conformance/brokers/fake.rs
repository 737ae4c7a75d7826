//! A platform whose brokers serve as soon as they are started.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Brokers;
use crate::platform::paper::lay_out;
use crate::platform::{BrokerState, Endpoints, Listener};
use crate::platform::{NotYet, Platform, Properties, Volume};

/// The platform.
pub struct Fake {
    pub(super) brokers: Brokers,
    pub(super) states: BTreeMap<i32, BrokerState>,
}

impl Platform for Fake {
    const BUSY_INTERVAL: Duration = Duration::from_millis(20);
    const QUIET_INTERVAL: Duration = Duration::from_millis(50);

    fn lay_out(&self, nodes: &BTreeSet<i32>, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        lay_out(nodes, listeners, &self.brokers.address())
    }

    fn bootstrap(&self, everywhere: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        let clients = everywhere.values().flat_map(|one| &one.clients);
        let addresses = clients.map(|client| (client.name.clone(), client.advertised.clone()));
        addresses.collect()
    }

    async fn prepare(
        &mut self,
        _: &BTreeMap<i32, Properties>,
        _: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>> {
        if self.brokers.kafka.is_refused.get() {
            return Err(vec![NotYet {
                is_stuck: true,
                message: "The platform refuses.".to_owned(),
            }]);
        }
        Ok(Vec::new())
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        let mut states = self.states.clone();
        for (id, state) in &mut states {
            state.ready = !self.brokers.kafka.down.borrow().contains(id);
        }
        states
    }

    async fn start(&mut self, broker: i32, settings: &Properties) {
        let state = BrokerState {
            ready: true,
            runs: true,
            message: "serves".to_owned(),
            running_with: settings.clone(),
            ..BrokerState::default()
        };
        self.brokers.start_with(settings.clone());
        self.states.insert(broker, state);
    }

    async fn restart(&mut self, broker: i32, settings: &Properties) -> Result<(), NotYet> {
        self.start(broker, settings).await;
        Ok(())
    }

    async fn volume(&mut self, node: i32) -> Result<Option<Volume>, NotYet> {
        Ok(self.brokers.volume(node))
    }

    async fn replace(
        &mut self,
        node: i32,
        volume: Option<&Volume>,
        _: &Properties,
    ) -> Result<bool, NotYet> {
        let is_there = volume.is_some() && self.brokers.volume(node).as_ref() == volume;
        Ok(is_there && self.brokers.give_up(node))
    }

    async fn keep(&mut self, broker: i32, settings: &Properties) {
        self.start(broker, settings).await;
    }

    async fn remove(&mut self, broker: i32) {
        self.states.remove(&broker);
        self.brokers.take_down(broker);
    }
}
