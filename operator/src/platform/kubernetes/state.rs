//! What pods say about their brokers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStatus, Pod, PodCondition, Service,
};
use kube::ResourceExt;
use ottla_core::config::settings::EXIT_CODE_REFUSED;

use super::build::pods::{CONFIG_MAP, CONTAINER, LATE_RACK, TEMPLATE};
use super::pool::Pool;
use super::watched::Seen;
use crate::platform::{BrokerState, Failure, Properties};

/// The label of a pod that names the revision of the template it was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The nodes that the StatefulSets have or have pods of; those that one left behind where it is
/// gone. `heeds_all` is whether pods are restarted also for what others wrote into their template.
pub fn observe(
    seen: &Seen,
    settings: &BTreeMap<String, BTreeMap<i32, Properties>>,
    heeds_all: bool,
) -> BTreeMap<i32, BrokerState> {
    let pools = Pool::ALL.into_iter();
    pools
        .flat_map(|pool| observe_pool(pool, seen, settings, heeds_all))
        .collect()
}

fn observe_pool(
    pool: Pool,
    seen: &Seen,
    settings: &BTreeMap<String, BTreeMap<i32, Properties>>,
    heeds_all: bool,
) -> BTreeMap<i32, BrokerState> {
    let set = seen.sets.get(&pool);
    let first = pool.nodes().start;
    let last = seen.pods_of(pool).last();
    let last = last.map_or(first, |(last, _)| last + 1);
    let replicas = set.map_or(Some(last - first), |set| set.spec.as_ref()?.replicas);
    let replicas = first + replicas.unwrap_or(0);
    let template = set.and_then(template_config_map);
    let states = (first..replicas.max(last)).filter_map(|broker| {
        let pod = seen.pods.get(&broker);
        // One that stops comes back as the template says, and needs no other restart.
        let stays = pod.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let of = |pod: &Pod| pod.annotations().get(CONFIG_MAP).cloned();
        let named = stays.and_then(of).or_else(|| template.clone());
        // It is there until it has stopped, also where its StatefulSet is not.
        let named = named.or_else(|| pod.and_then(of))?;
        // Settings that are gone are unlike any: a broker that waits for them is made anew.
        let known = settings.get(&named).and_then(|all| all.get(&broker));
        let running_with = known.cloned().unwrap_or_default();
        let mut state = match pod {
            Some(pod) => pod_state(pod),
            None => BrokerState {
                message: "its pod is being created".to_owned(),
                ..BrokerState::default()
            },
        };
        if state.failure == Some(Failure::Storage)
            && let Some(class) = set.and_then(storage_class)
        {
            state.message += &format!("; the class is {class}");
        }
        state.restart = stays.and_then(|pod| {
            let is_late = pod.annotations().contains_key(LATE_RACK);
            let late = is_late.then(|| "its rack was not known when it started".to_owned());
            outdated(pod, set?, heeds_all).or(late)
        });
        state.running_with = running_with;
        state.is_removed = broker >= replicas;
        Some((broker, state))
    });
    states.collect()
}

/// Whether a pod is ready, as a PodDisruptionBudget counts.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == "True")
}

fn pod_state(pod: &Pod) -> BrokerState {
    let mut state = BrokerState::default();
    if pod.metadata.deletion_timestamp.is_some() {
        "stops".clone_into(&mut state.message);
        return state;
    }
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let container = containers.iter().find(|one| one.name == CONTAINER);
    state.runs = container.is_some_and(|one| {
        let state = one.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    });
    let conditions = status.conditions.unwrap_or_default();
    let condition = |name: &str| conditions.iter().find(|c| c.type_ == name);
    if condition("Ready").is_some_and(|ready| ready.status == "True") {
        state.ready = true;
        "serves".clone_into(&mut state.message);
        return state;
    }
    if let Some(scheduled) = condition("PodScheduled")
        && scheduled.status == "False"
    {
        return unscheduled(scheduled);
    }
    let init_containers = status.init_container_statuses.unwrap_or_default();
    if let Some(other) = holds_up(&init_containers, &containers) {
        return BrokerState {
            runs: state.runs,
            message: format!(
                "its container {} {}",
                other.name,
                container_state(other).message
            ),
            failure: container_state(other).failure,
            ..state
        };
    }
    match container {
        Some(container) => BrokerState {
            runs: state.runs,
            ..container_state(container)
        },
        None => {
            "its container is being created".clone_into(&mut state.message);
            state
        }
    }
}

/// The container beside the broker's that keeps its pod from being ready: one that fails before it
/// starts, or one that is not ready where the broker is.
fn holds_up<'a>(
    before: &'a [ContainerStatus],
    beside: &'a [ContainerStatus],
) -> Option<&'a ContainerStatus> {
    let fails = |one: &&ContainerStatus| container_state(one).failure.is_some();
    let broker_is_ready = beside.iter().any(|one| one.name == CONTAINER && one.ready);
    let not_ready = |one: &&ContainerStatus| one.name != CONTAINER && !one.ready;
    let mut others = beside
        .iter()
        .filter(|one| broker_is_ready && not_ready(one));
    before.iter().find(fails).or_else(|| others.next())
}

fn unscheduled(condition: &PodCondition) -> BrokerState {
    let why = condition.message.clone().unwrap_or_default();
    if why.contains("the object has been modified") {
        // The scheduler and others wrote at the same time; it tries again by itself.
        return BrokerState {
            message: "its pod is being placed".to_owned(),
            ..BrokerState::default()
        };
    }
    let lower = why.to_lowercase();
    let storage = [
        "persistentvolumeclaim",
        "storageclass",
        "volume node affinity",
    ];
    let storage = storage.iter().any(|word| lower.contains(word));
    let (failure, what, mend) = if storage {
        let mend = "see that the storage class of spec.storage exists and has room, or make the \
                    cluster anew with another one";
        (Failure::Storage, "its volume cannot be had", mend)
    } else {
        let mend = if lower.contains("were unschedulable") {
            "uncordon its node, make room on the others or lower spec.resources"
        } else {
            "make room on the nodes or lower spec.resources"
        };
        (Failure::Unschedulable, "no node takes its pod", mend)
    };
    BrokerState {
        message: format!("{what}: {}; {mend}", why.trim_end_matches('.')),
        failure: Some(failure),
        ..BrokerState::default()
    }
}

fn container_state(container: &ContainerStatus) -> BrokerState {
    let mut state = BrokerState::default();
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    let reason = waiting
        .and_then(|w| w.reason.as_deref())
        .unwrap_or_default();
    let detail = waiting.and_then(|w| w.message.clone()).unwrap_or_default();
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            state.failure = Some(Failure::ImagePull);
            let image = &container.image;
            let why = if detail.is_empty() { reason } else { &detail };
            state.message = format!(
                "its image {image} cannot be pulled: {}; correct spec.image, or give the nodes \
                 access to it",
                why.trim_end_matches('.')
            );
        }
        "CrashLoopBackOff" => {
            state.failure = Some(Failure::CrashLooping);
            state.message = format!("exits again and again{}", last_words(container));
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            state.failure = Some(Failure::CrashLooping);
            state.message = format!("its container cannot be created: {detail}");
        }
        _ if waiting.is_some() => {
            "its container is being created".clone_into(&mut state.message);
        }
        _ => match last_exit(container) {
            // It will refuse them again: nobody needs to see that.
            Some(exit) if exit.exit_code == i32::from(EXIT_CODE_REFUSED) => {
                state.failure = Some(Failure::CrashLooping);
                state.message = format!("refuses its settings{}", last_words(container));
            }
            Some(_) => {
                state.message = format!("starts again after an exit{}", last_words(container))
            }
            None => "starts".clone_into(&mut state.message),
        },
    }
    state.message = state.message.trim_end_matches(['.', ' ', ':']).to_owned();
    state
}

/// How the container ended last, where it did.
fn last_exit(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let mut states = states.into_iter().flatten();
    states.find_map(|state| state.terminated.as_ref())
}

/// The end of the log at the last exit, as the end of a sentence.
fn last_words(container: &ContainerStatus) -> String {
    let Some(last) = last_exit(container) else {
        return String::new();
    };
    let log = last.message.as_deref().unwrap_or_default();
    match log.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => {
            let line: String = line.chars().take(300).collect();
            format!(" ({})", line.trim_end_matches('.'))
        }
        None => format!(" (exit code {})", last.exit_code),
    }
}

/// Why a pod is not what the StatefulSet would make now. Where only the ConfigMap is another one,
/// its settings say whether it must be restarted. One annotation stands for all of the template but
/// for what others wrote there.
fn outdated(pod: &Pod, set: &StatefulSet, heeds_all: bool) -> Option<String> {
    let status = set.status.as_ref()?;
    if status.observed_generation != set.metadata.generation {
        return None;
    }
    let revision = pod.labels().get(REVISION_LABEL)?;
    if Some(revision) == status.update_revision.as_ref() {
        return None;
    }
    let template = &set.spec.as_ref()?.template;
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    let counts = |key: &String| key == TEMPLATE || heeds_all && key != CONFIG_MAP;
    let mut others = annotations.iter().filter(|(key, _)| counts(key));
    let is_marked = annotations.contains_key(TEMPLATE);
    if is_marked && others.all(|(key, value)| pod.annotations().get(key) == Some(value)) {
        return None;
    }
    let wanted = template.spec.as_ref()?;
    let image = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        // Others may stand before it: what an admission webhook adds, or spec.template.
        let broker = spec.containers.iter().find(|one| one.name == CONTAINER);
        broker.and_then(|container| container.image.clone())
    };
    let (runs, wanted) = (image(pod.spec.as_ref()?), image(wanted));
    if runs == wanted {
        return Some("the pod's template changed".to_owned());
    }
    let shown = |image: Option<String>| image.unwrap_or_default();
    Some(format!(
        "image changed from {} to {}",
        shown(runs),
        shown(wanted)
    ))
}

/// The ConfigMap that a StatefulSet gives to new pods.
pub fn template_config_map(set: &StatefulSet) -> Option<String> {
    let template = set.spec.as_ref()?.template.metadata.as_ref()?;
    template.annotations.as_ref()?.get(CONFIG_MAP).cloned()
}

/// The storage class that a StatefulSet names for its volumes.
fn storage_class(set: &StatefulSet) -> Option<&str> {
    let claims = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
    claims.first()?.spec.as_ref()?.storage_class_name.as_deref()
}

/// The size that a StatefulSet asks for its volumes.
pub fn volume_size(set: &StatefulSet) -> Option<String> {
    let claims = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let requests = claims.first()?.spec.as_ref()?.resources.as_ref()?;
    let size = requests.requests.as_ref()?.get("storage")?;
    Some(size.0.clone())
}

/// Whether all pods of a pool have been placed on nodes once: they are now, or the StatefulSet has
/// been told of it.
pub fn is_placed(seen: &Seen, pool: Pool) -> bool {
    let Some(spec) = seen.sets.get(&pool).and_then(|set| set.spec.as_ref()) else {
        return false;
    };
    let retention = spec.persistent_volume_claim_retention_policy.as_ref();
    if retention.is_some_and(|policy| policy.when_deleted.as_deref() == Some("Delete")) {
        return true;
    }
    let has_node = |(_, pod): &(&i32, &Pod)| {
        let spec = pod.spec.as_ref();
        spec.is_some_and(|spec| spec.node_name.is_some())
    };
    let placed = seen.pods_of(pool).filter(has_node).count();
    i32::try_from(placed).is_ok_and(|placed| Some(placed) >= spec.replicas)
}

/// The addresses of the nodes that brokers run on, each once.
pub fn hosts(seen: &Seen) -> BTreeSet<String> {
    let hosts = seen.pods_of(Pool::Brokers).filter_map(|(_, pod)| {
        let status = pod.status.as_ref()?;
        status.host_ip.clone().filter(|host| !host.is_empty())
    });
    hosts.collect()
}

/// The port that the nodes have for a Service.
pub fn node_port(service: &Service) -> Option<i32> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    ports.first()?.node_port
}

/// The addresses that a load balancer has for a Service.
pub fn balancers(service: &Service) -> Vec<String> {
    let status = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let all = status.and_then(|balancer| balancer.ingress.as_ref());
    let hosts = all.into_iter().flatten().filter_map(|one| {
        let host = one.hostname.clone().filter(|host| !host.is_empty());
        host.or_else(|| one.ip.clone())
    });
    hosts.collect()
}

#[cfg(test)]
mod tests;
