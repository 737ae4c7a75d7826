//! The pods, volumes and disruption budgets of brokers and of dedicated controllers.
//!
//! A StatefulSet only brings pods into being: its update strategy is OnDelete, so that which pod
//! goes when is the rolling restart's decision alone, and pods start in parallel, since brokers
//! need each other to become ready.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, DownwardAPIVolumeFile,
    DownwardAPIVolumeSource, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::pool::Pool;
use super::super::quantity::is_smaller;
use super::{COMPONENT, KnownSet, Surroundings, extend, labels, metadata, selector};
use crate::crd::cluster::{ReclaimPolicy, Resources, Storage};
use crate::fingerprint::fingerprint;
use crate::object::secret_name;
pub use crate::validated::template::CONTAINER;
use crate::validated::{
    BROKER_PORT, BROKERS, CERTIFICATES, HTTP_PORT, PEER_PORT, ValidatedCluster,
};

/// The annotation of a pod that names the ConfigMap it took its settings from.
pub const CONFIG_MAP: &str = "ottla.io/config-map";
/// The annotation of a pod that stands for everything of its template but the ConfigMap.
pub const TEMPLATE: &str = "ottla.io/template";
/// The annotation of a pod with the value of its node's rack label; the operator sets it.
pub const RACK: &str = "ottla.io/rack";
/// The annotation of a StatefulSet with the generation of the spec that its pods are made by.
pub const GENERATION: &str = "ottla.io/generation";
/// The annotation of a pod whose broker serves without the rack that it was told too late.
pub const LATE_RACK: &str = "ottla.io/rack-told-late";
/// The name of the volume with its data.
pub const DATA_VOLUME: &str = "data";
/// Where a broker finds its data.
pub const DATA_DIR: &str = "/var/lib/ottla";
/// Where a broker finds its certificates.
pub const CERTIFICATES_DIR: &str = "/etc/ottla/certificates";
const CONFIG_DIR: &str = "/etc/ottla/config";
const POD_DIR: &str = "/etc/ottla/pod";
/// The user that brokers run as, and the group that owns their volumes.
const USER: i64 = 65532;

/// The StatefulSet.
#[must_use]
pub fn build_stateful_set(
    cluster: &ValidatedCluster,
    pool: Pool,
    around: &Surroundings,
) -> StatefulSet {
    let name = &cluster.key.name;
    let KnownSet { held, placed, .. } = around.sets.get(&pool).cloned().unwrap_or_default();
    let storage = storage(cluster, pool);
    let reclaim = storage.map(|s| s.reclaim_policy).unwrap_or_default();
    // Not before the pods are placed: with Delete the StatefulSet controller writes into each new
    // claim, the scheduler's own write fails then, and by its next try the spread is another.
    let when_deleted = match reclaim {
        ReclaimPolicy::Delete if placed => "Delete",
        _ => "Retain",
    };
    let mut metadata = metadata(cluster, pool, pool.set(name));
    let generation = match held {
        Some(_) => around.generation,
        None => Some(cluster.generation),
    };
    let generation = generation.map(|number| (GENERATION.to_owned(), number.to_string()));
    metadata.annotations = generation.map(|annotation| BTreeMap::from([annotation]));
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(pool.size(cluster)),
            service_name: Some(pool.headless(name)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: storage.map(|_| {
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(when_deleted.to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                }
            }),
            selector: LabelSelector {
                match_labels: Some(selector(name, pool)),
                ..LabelSelector::default()
            },
            template: held.unwrap_or_else(|| build_template(cluster, pool, around)),
            volume_claim_templates: build_claim(cluster, pool, around).map(|claim| vec![claim]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// What pods are made from.
#[must_use]
pub fn build_template(
    cluster: &ValidatedCluster,
    pool: Pool,
    around: &Surroundings,
) -> PodTemplateSpec {
    let fingerprint = template_fingerprint(cluster, pool, around);
    let own = BTreeMap::from([
        (CONFIG_MAP.to_owned(), around.config_map.clone()),
        (TEMPLATE.to_owned(), fingerprint),
    ]);
    let (more_labels, annotations) = &extend::of(cluster, pool).metadata;
    let labels = labels(&cluster.key.name, pool).into_iter();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.chain(more_labels.clone()).collect()),
            annotations: Some(own.into_iter().chain(annotations.clone()).collect()),
            ..ObjectMeta::default()
        }),
        spec: Some(build_pod(cluster, pool, around)),
    }
}

fn template_fingerprint(cluster: &ValidatedCluster, pool: Pool, around: &Surroundings) -> String {
    let anywhere = Surroundings {
        config_map: String::new(),
        ..around.clone()
    };
    let mut pod = serde_json::to_string(&build_pod(cluster, pool, &anywhere)).unwrap_or_default();
    let (labels, annotations) = &extend::of(cluster, pool).metadata;
    for (key, value) in labels {
        pod += &format!("{key}={value},");
    }
    for (key, value) in annotations {
        pod += &format!("{key}:{value},");
    }
    format!("{:016x}", fingerprint(&pod))
}

/// Whether a pool has a PodDisruptionBudget of its own. While votes move between brokers and
/// controllers, both are under that of the brokers: they are one quorum.
#[must_use]
pub fn has_budget(cluster: &ValidatedCluster, pool: Pool) -> bool {
    pool == Pool::Brokers || !cluster.controllers.vote_beside_brokers
}

/// The PodDisruptionBudget: one broker at a time, or one controller.
#[must_use]
pub fn build_disruption_budget(cluster: &ValidatedCluster, pool: Pool) -> PodDisruptionBudget {
    let name = &cluster.key.name;
    let mut selector = selector(name, pool);
    if cluster.controllers.vote_beside_brokers {
        selector.remove(COMPONENT);
    }
    PodDisruptionBudget {
        metadata: metadata(cluster, pool, pool.set(name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// The disk of each node of a pool.
#[must_use]
pub fn storage(cluster: &ValidatedCluster, pool: Pool) -> Option<&Storage> {
    match pool {
        Pool::Brokers => cluster.storage.as_ref(),
        Pool::Controllers => cluster.controllers.storage.as_ref(),
    }
}

fn build_pod(cluster: &ValidatedCluster, pool: Pool, around: &Surroundings) -> PodSpec {
    let mut pod = PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(build_spread(cluster, pool)),
        containers: vec![build_container(cluster, pool, around)],
        volumes: Some(build_volumes(cluster, pool, around)),
        ..PodSpec::default()
    };
    add_certificates(&mut pod, cluster);
    extend::pod(&mut pod, cluster, pool);
    pod
}

fn build_container(cluster: &ValidatedCluster, pool: Pool, around: &Surroundings) -> Container {
    let image = cluster.image.clone();
    let mut args = vec![
        "--config".to_owned(),
        format!("{CONFIG_DIR}/$(POD_NAME).properties"),
    ];
    let is_broker = pool == Pool::Brokers;
    if cluster.rack.is_some() && is_broker {
        args.extend(["--rack-file".to_owned(), format!("{POD_DIR}/rack")]);
    }
    let listeners = cluster.listeners.iter().filter(|_| is_broker);
    let ports = listeners.map(|listener| container_port(&listener.name, listener.port));
    let mut ports: Vec<ContainerPort> = ports.collect();
    if cluster.mutual_tls && is_broker {
        ports.push(container_port(BROKERS, BROKER_PORT));
    }
    ports.push(container_port("peer", PEER_PORT));
    ports.push(container_port("http", HTTP_PORT));
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image.unwrap_or_else(|| around.image.clone())),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(args),
        env: Some(vec![
            from_field("POD_NAME", "metadata.name"),
            from_field("HOST_IP", "status.hostIP"),
        ]),
        ports: Some(ports),
        readiness_probe: Some(probe("/readyz", 1, 2)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        resources: Some(build_resources(match pool {
            Pool::Brokers => &cluster.resources,
            Pool::Controllers => &cluster.controllers.resources,
        })),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        // The end of its log says why a broker exited.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            mount(DATA_VOLUME, DATA_DIR, false),
            mount("config", CONFIG_DIR, true),
            mount("pod", POD_DIR, true),
        ]),
        ..Container::default()
    }
}

/// The certificates of a cluster that has some: a volume, and where it is mounted.
fn add_certificates(pod: &mut PodSpec, cluster: &ValidatedCluster) {
    if !cluster.has_certificates() {
        return;
    }
    let secret = SecretVolumeSource {
        secret_name: Some(secret_name(&cluster.key.name, CERTIFICATES)),
        // The broker's group, to which the files belong, and nobody else.
        default_mode: Some(0o440),
        ..SecretVolumeSource::default()
    };
    pod.volumes.get_or_insert_default().push(Volume {
        name: "certificates".to_owned(),
        secret: Some(secret),
        ..Volume::default()
    });
    if let Some(broker) = pod.containers.first_mut() {
        let mounts = broker.volume_mounts.get_or_insert_default();
        mounts.push(mount("certificates", CERTIFICATES_DIR, true));
    }
}

/// What nodes get where the spec does not say: enough for a small cluster, and a bound.
fn build_resources(given: &Resources) -> ResourceRequirements {
    let quantities = |given: &BTreeMap<String, String>, default: &[(&str, &str)]| {
        let default = default
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut all: BTreeMap<String, String> = default.collect();
        all.extend(given.clone());
        all.into_iter().map(|(k, v)| (k, Quantity(v))).collect()
    };
    // No more than a limit that is given.
    let is_above = |(key, default): &(&str, &str)| {
        let limit = given.limits.get(*key);
        limit.is_some_and(|limit| is_smaller(limit, default))
    };
    let mut requests = vec![("cpu", "100m"), ("memory", "256Mi")];
    requests.retain(|default| !is_above(default));
    // A limit above the request where the request is raised and no limit is given.
    let limits: &[(&str, &str)] = if given.requests.contains_key("memory") {
        &[]
    } else {
        &[("memory", "1Gi")]
    };
    ResourceRequirements {
        requests: Some(quantities(&given.requests, &requests)),
        limits: Some(quantities(&given.limits, limits)),
        ..ResourceRequirements::default()
    }
}

fn build_spread(cluster: &ValidatedCluster, pool: Pool) -> Vec<TopologySpreadConstraint> {
    let spread = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        // A broker on a full rack is better than no broker, and a volume may hold it there.
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(selector(&cluster.key.name, pool)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    };
    let rack = cluster.rack.iter().map(|rack| rack.topology_key.as_str());
    rack.chain(["kubernetes.io/hostname"]).map(spread).collect()
}

fn build_volumes(cluster: &ValidatedCluster, pool: Pool, around: &Surroundings) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: around.config_map.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "pod".to_owned(),
            downward_api: Some(DownwardAPIVolumeSource {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: "rack".to_owned(),
                    field_ref: Some(field(&format!("metadata.annotations['{RACK}']"))),
                    ..DownwardAPIVolumeFile::default()
                }]),
                ..DownwardAPIVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    if storage(cluster, pool).is_none() {
        volumes.push(Volume {
            name: DATA_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
    }
    volumes
}

fn build_claim(
    cluster: &ValidatedCluster,
    pool: Pool,
    around: &Surroundings,
) -> Option<PersistentVolumeClaim> {
    let storage = storage(cluster, pool)?;
    let known = around.sets.get(&pool);
    let size = known.and_then(|known| known.volume_size.clone());
    let size = size.unwrap_or(storage.size.clone());
    let (labels, annotations) = &cluster.template.claim;
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(claim_labels(&cluster.key.name, pool, labels)),
            annotations: Some(annotations.clone()).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}

/// The labels of a claim. Not those of other objects, which may get more one day: a StatefulSet's
/// claims can never be changed, so another label here would have Kubernetes refuse every cluster
/// that exists.
fn claim_labels(
    cluster: &str,
    pool: Pool,
    more: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let own = [
        ("app.kubernetes.io/name", "ottla"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/component", pool.component()),
        ("app.kubernetes.io/managed-by", "ottla-operator"),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.into_iter().chain(more.clone()).collect()
}

fn container_port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn field(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector {
        api_version: Some("v1".to_owned()),
        field_path: path.to_owned(),
    }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(field(path)),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
