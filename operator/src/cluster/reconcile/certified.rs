//! Where brokers are reached, and with which certificates.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::certificates::Held;
use super::super::certificates::plan::Planned;
use super::super::desired::keep_who_exists;
use super::super::gate;
use super::super::settings::security::BROKER_LISTENER;
use super::{Reconciler, Step};
use crate::admin::Identity;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::cluster::{self, ListenerType};
use crate::crd::reach::Advertised;
use crate::platform::{BrokerState, Endpoints, Listener, Platform, brokers};
use crate::secrets::Secrets;
use crate::validated::{BROKER_PORT, ValidatedCluster};

/// How brokers are reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Who the operator is for them; none: they do not ask.
    pub identity: Option<Identity>,
    /// The certificates there are, where there are any.
    pub certificates: Option<Arc<Planned>>,
}

/// What a step found of certificates; none where it did not look, or could not.
pub(super) struct Certified(Option<Option<Held>>);

impl Certified {
    /// Adds it to what the step tells.
    pub(super) fn told(self, mut step: Step) -> Step {
        if let Some(held) = self.0 {
            let planned = held.as_ref().map(|held| &held.planned);
            let certificates = planned.map_or_else(Vec::new, |planned| planned.told.clone());
            step.status.certificates = certificates;
            step.reach = Some(Reach {
                certificates: planned.map(Arc::clone),
                identity: held.and_then(|held| held.identity),
            });
        }
        step
    }
}

impl<P: Platform> Reconciler<P> {
    /// Sees to the certificates that the spec wants, and takes the listeners out of it that cannot
    /// be had without one. A verdict says why nothing can be carried out yet.
    pub(super) async fn certify(
        &mut self,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        now: &str,
    ) -> (Certified, Option<Verdict>) {
        let held = match self.look(valid, states, now).await {
            Ok(held) => held,
            Err(verdict) => return (Certified(None), Some(verdict)),
        };
        let mut wait = None;
        if let Some(held) = &held {
            let Planned {
                without, verdicts, ..
            } = &*held.planned;
            let is_lost = |one: &cluster::Listener| without.contains(&one.name);
            // Brokers that are yet to be started wait for it: else they would start again for it.
            let must_wait = states.is_empty() || valid.listeners.iter().all(is_lost);
            if !without.is_empty() && must_wait {
                wait = Verdict::worst(verdicts.clone());
            } else {
                valid.listeners.retain(|one| !is_lost(one));
                valid.refused.extend(verdicts.iter().cloned());
                self.platform.follow(valid);
            }
        }
        (Certified(Some(held)), wait)
    }

    /// Takes listeners out that running brokers do not have and whose addresses nobody has assigned
    /// yet, and brokers that have none for a listener of the others. Brokers of a new cluster wait
    /// for them: else they would start again. A listener that brokers have keeps its type.
    pub(super) fn await_addresses(
        &self,
        valid: &mut ValidatedCluster,
        nodes: &BTreeMap<i32, BrokerState>,
    ) {
        let laid_out = self.platform.listeners_laid_out();
        gate::keep_classes(valid, &laid_out);
        let runs = gate::listeners(&self.in_force(nodes), &valid.listeners, &laid_out);
        let Some(runs) = runs else {
            return;
        };
        gate::keep_types(valid, &runs);
        let exist = brokers(nodes)
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        let new = self.platform.unassigned(&valid.listeners, 0..exist);
        // clients of the others are told what they were told
        let has = |name: &String| runs.iter().any(|one| one.name == *name);
        let new: BTreeMap<_, _> = new.into_iter().filter(|(name, _)| !has(name)).collect();
        let is_new = |one: &mut cluster::Listener| new.contains_key(&one.name);
        let awaited = valid.listeners.extract_if(.., is_new).collect();
        valid.awaited = awaited;
        let later = self
            .platform
            .unassigned(&valid.listeners, exist..valid.replicas);
        if !later.is_empty() {
            keep_who_exists(valid, nodes);
        }
        let why = new.into_values().chain(later.into_values());
        let verdicts = why.map(|why| Verdict::new(ClusterReason::Applying, why));
        valid.refused.extend(verdicts);
    }

    /// Renews the certificates of brokers that run while nothing else is carried out: a pause and a
    /// mistake in a spec may last longer than they do. What is wrong with them is told once the
    /// rest is carried out again.
    pub(super) async fn renew(
        &mut self,
        valid: Option<&ValidatedCluster>,
        states: &BTreeMap<i32, BrokerState>,
        now: &str,
    ) -> Certified {
        let valid = valid.or(self.last.as_ref()).cloned();
        let Some(valid) = valid.filter(|_| !states.is_empty()) else {
            return Certified(None);
        };
        Certified(self.look(&valid, states, now).await.ok())
    }

    async fn look(
        &mut self,
        valid: &ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        now: &str,
    ) -> Result<Option<Held>, Verdict> {
        let seconds = now.parse::<jiff::Timestamp>();
        let seconds = seconds.map_or(0, jiff::Timestamp::as_second);
        let hosts = self.platform.hosts();
        let held = self
            .certificates
            .look(valid, states, hosts, seconds)
            .await?;
        let identity = held.as_ref().and_then(|held| held.identity.clone());
        self.admin.set_identity(identity);
        Ok(held)
    }

    /// Where Secrets are.
    pub fn secrets(&self) -> &Secrets {
        self.certificates.secrets()
    }

    /// Has the admin client find the brokers where they live, those first that serve.
    pub(super) fn reach(
        &mut self,
        everywhere: &BTreeMap<i32, Endpoints>,
        states: &BTreeMap<i32, BrokerState>,
    ) {
        let serves = |id: &i32| states.get(id).is_some_and(|state| state.ready);
        let (serving, others): (Vec<_>, Vec<_>) = everywhere.iter().partition(|(id, _)| serves(id));
        let all = serving.into_iter().chain(others);
        self.addresses = all.filter_map(|(_, one)| address(one)).collect();
        self.admin.set_addresses(self.addresses.clone());
    }
}

/// Where a broker meets the operator: where it meets the others.
fn address(endpoints: &Endpoints) -> Option<String> {
    let mut clients = endpoints.clients.iter();
    let own = clients.find(|one| one.name == BROKER_LISTENER);
    let own = own.or_else(|| endpoints.clients.first())?;
    Some(own.advertised.clone())
}

/// The listeners of a spec as a platform takes them, with that over which brokers meet which know
/// one another by certificates.
#[must_use]
pub fn listeners(listeners: &[cluster::Listener], mutual_tls: bool) -> Vec<Listener> {
    let listeners = listeners.iter().map(Listener::from);
    let own = mutual_tls.then(|| Listener {
        name: BROKER_LISTENER.to_owned(),
        port: u16::try_from(BROKER_PORT).unwrap_or(u16::MAX),
        type_: ListenerType::Internal,
        advertised: Advertised::default(),
        first_node_port: None,
        is_for_brokers: true,
    });
    listeners.chain(own).collect()
}
