//! The objects of all clusters, as the watches last told: kube's own stores, which the watches
//! fill and the platform reads.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};

use super::apply::{INSTANCE, version};
use super::build::pods::TEMPLATE;
use super::pool::{Pool, node};

/// The objects of one cluster as the watches last told.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its pods by node.
    pub pods: BTreeMap<i32, Pod>,
    /// Its StatefulSets.
    pub sets: BTreeMap<Pool, StatefulSet>,
    /// Its ConfigMaps by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Its Services by name.
    pub services: BTreeMap<String, Service>,
    /// Its Ingresses by name.
    pub ingresses: BTreeMap<String, Ingress>,
    /// What version each of its objects has, by kind and name, for what others change in them.
    pub versions: BTreeMap<(String, String), String>,
}

/// The objects of all clusters. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Pods.
    pub pods: Stores<Pod>,
    /// StatefulSets.
    pub stateful_sets: Stores<StatefulSet>,
    /// ConfigMaps.
    pub config_maps: Stores<ConfigMap>,
    /// Services.
    pub services: Stores<Service>,
    /// PodDisruptionBudgets.
    pub budgets: Stores<PodDisruptionBudget>,
    /// NetworkPolicies.
    pub network_policies: Stores<NetworkPolicy>,
    /// Ingresses.
    pub ingresses: Stores<Ingress>,
}

/// The objects of one kind: a store for all namespaces, or one for each that is watched.
pub type Stores<K> = Vec<Store<K>>;

impl Seen {
    /// The pods of one pool, by node.
    pub fn pods_of(&self, pool: Pool) -> impl Iterator<Item = (&i32, &Pod)> {
        self.pods.range(pool.nodes())
    }
}

impl Watched {
    /// The objects of one cluster.
    #[must_use]
    pub fn of(&self, namespace: &str, cluster: &str) -> Seen {
        let mut seen = Seen::default();
        for config_map in of(&self.config_maps, namespace, cluster) {
            let name = config_map.name_any();
            seen.config_maps.insert(name, ConfigMap::clone(&config_map));
        }
        let sets = of(&self.stateful_sets, namespace, cluster);
        for pool in Pool::ALL {
            let mut named = sets
                .iter()
                .filter(|set| set.name_any() == pool.set(cluster));
            if let Some(set) = named.next() {
                seen.sets.insert(pool, StatefulSet::clone(set));
            }
        }
        for pod in of(&self.pods, namespace, cluster) {
            if let Some(node) = node_of(&pod, cluster) {
                seen.pods.insert(node, Pod::clone(&pod));
            }
        }
        let services = of(&self.services, namespace, cluster);
        note(&mut seen.versions, &services);
        note(&mut seen.versions, &sets);
        note(&mut seen.versions, &of(&self.budgets, namespace, cluster));
        let policies = of(&self.network_policies, namespace, cluster);
        note(&mut seen.versions, &policies);
        let ingresses = of(&self.ingresses, namespace, cluster);
        note(&mut seen.versions, &ingresses);
        for ingress in ingresses {
            let name = ingress.name_any();
            seen.ingresses.insert(name, Ingress::clone(&ingress));
        }
        for service in services {
            let name = service.name_any();
            seen.services.insert(name, Service::clone(&service));
        }
        seen
    }
}

/// Which node a pod is. One that the StatefulSet did not make is none, whatever its labels say. One
/// that it made and left behind has no owner any more.
fn node_of(pod: &Pod, cluster: &str) -> Option<i32> {
    let node = node(cluster, &pod.name_any())?;
    let set = Pool::of(node).set(cluster);
    let mut owners = pod.owner_references().iter();
    let is_made = owners.any(|owner| {
        owner.controller == Some(true) && owner.kind == "StatefulSet" && owner.name == set
    });
    let is_left = pod.owner_references().is_empty() && pod.annotations().contains_key(TEMPLATE);
    (is_made || is_left).then_some(node)
}

/// The objects that belong to a cluster, by their label.
fn of<K>(stores: &[Store<K>], namespace: &str, cluster: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let is_of = |object: &K| {
        object.namespace().as_deref() == Some(namespace)
            && object
                .labels()
                .get(INSTANCE)
                .is_some_and(|name| name == cluster)
    };
    let stores = stores.iter();
    stores.flat_map(|one| one.state_filter(is_of)).collect()
}

fn note<K: Resource<DynamicType = ()>>(
    versions: &mut BTreeMap<(String, String), String>,
    objects: &[Arc<K>],
) {
    for object in objects {
        let key = (K::kind(&()).into_owned(), object.name_any());
        versions.insert(key, version(&**object));
    }
}

#[cfg(test)]
mod tests;
