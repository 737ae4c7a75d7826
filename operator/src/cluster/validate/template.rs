//! `spec.template` → what pods, Services and claims are extended by, or the field that cannot be.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Affinity, Container, Volume, VolumeMount};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::invalid;
use crate::condition::Verdict;
use crate::crd::GROUP;
use crate::crd::cluster::ControllersTemplate;
use crate::crd::template::{ObjectTemplate, PodTemplate, Template};
use crate::validated::template::{
    CONTAINER, ENVIRONMENT, FOLDERS, LABELS, Metadata, PodExtension, TERMINATION_GRACE_SECONDS,
    VOLUMES, ValidatedTemplate,
};

/// What a broker needs to leave in order, where `spec.config` does not say.
const CONTROLLED_SHUTDOWN_MS: i64 = 20_000;
const CONTROLLED_SHUTDOWN: &str = "ottla.controlled.shutdown.timeout.ms";
/// From the end of a controlled shutdown to that of the process.
const AFTERWARDS_SECONDS: i64 = 5;

/// Checks what is added to the objects of a cluster.
///
/// # Errors
/// The verdict names the field.
pub fn check(
    template: Option<&Template>,
    config: &BTreeMap<String, String>,
) -> Result<ValidatedTemplate, Verdict> {
    let none = Template::default();
    let template = template.unwrap_or(&none);
    let pod = &template.pod;
    for (path, labels, annotations) in [
        ("pod", &pod.labels, &pod.annotations),
        (
            "service",
            &template.service.labels,
            &template.service.annotations,
        ),
        ("claim", &template.claim.labels, &template.claim.annotations),
    ] {
        let path = format!("spec.template.{path}");
        check_labels(&path, labels)?;
        check_annotations(&path, annotations)?;
    }
    Ok(ValidatedTemplate {
        pod: check_pod(pod, config)?,
        service: metadata(&template.service),
        claim: metadata(&template.claim),
    })
}

/// Checks what is added to the pods of dedicated controllers.
///
/// # Errors
/// The verdict names the field.
pub fn check_controllers(
    template: &ControllersTemplate,
    config: &BTreeMap<String, String>,
) -> Result<PodExtension, Verdict> {
    let template = Template {
        pod: template.pod.clone(),
        ..Template::default()
    };
    let checked = check(Some(&template), config).map_err(|mut verdict| {
        let place = "spec.dedicatedControllers.template";
        verdict.message = verdict.message.replace("spec.template", place);
        verdict
    });
    checked.map(|template| template.pod)
}

fn metadata(template: &ObjectTemplate) -> Metadata {
    (template.labels.clone(), template.annotations.clone())
}

/// Labels by which the cluster's objects are found are not the user's.
pub(super) fn check_labels(path: &str, labels: &BTreeMap<String, String>) -> Result<(), Verdict> {
    match labels.keys().find(|key| LABELS.contains(&key.as_str())) {
        Some(key) => Err(invalid(format!(
            "{path}.labels may not set {key}: the cluster's objects are found by it."
        ))),
        None => Ok(()),
    }
}

/// Nor are annotations of our group.
pub(super) fn check_annotations(
    path: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<(), Verdict> {
    let own = |key: &&String| key.split('/').next().is_some_and(|domain| domain == GROUP);
    match annotations.keys().find(own) {
        Some(key) => Err(invalid(format!(
            "{path}.annotations may not set {key}: what begins with {GROUP}/ is the \
             operator's."
        ))),
        None => Ok(()),
    }
}

fn check_pod(
    pod: &PodTemplate,
    config: &BTreeMap<String, String>,
) -> Result<PodExtension, Verdict> {
    let grace_seconds = grace(pod.termination_grace_period_seconds, config)?;
    let volumes: Vec<Volume> = typed_list("volumes", &pod.volumes)?;
    let containers: Vec<Container> = typed_list("containers", &pod.containers)?;
    let init_containers: Vec<Container> = typed_list("initContainers", &pod.init_containers)?;
    let variables = pod.env.iter().map(|one| one.name.as_str());
    check_names("env", variables, &ENVIRONMENT)?;
    let names = volumes.iter().map(|one| one.name.as_str());
    check_names("volumes", names, &VOLUMES)?;
    let all = containers.iter().chain(&init_containers);
    check_names("containers", all.map(|one| one.name.as_str()), &[CONTAINER])?;
    check_mounts(&pod.volume_mounts, &volumes)?;
    let affinity = pod
        .affinity
        .as_ref()
        .map(|value| typed::<Affinity>("affinity", value));
    Ok(PodExtension {
        metadata: (pod.labels.clone(), pod.annotations.clone()),
        image_pull_secrets: pod.image_pull_secrets.clone(),
        tolerations: pod.tolerations.clone(),
        node_selector: pod.node_selector.clone(),
        affinity: affinity.transpose()?,
        topology_spread_constraints: pod.topology_spread_constraints.clone(),
        priority_class_name: pod.priority_class_name.clone(),
        service_account_name: pod.service_account_name.clone(),
        security_context: pod.security_context.clone(),
        termination_grace_seconds: grace_seconds,
        env: pod.env.clone(),
        volumes,
        volume_mounts: pod.volume_mounts.clone(),
        containers,
        init_containers,
    })
}

fn check_mounts(mounts: &[VolumeMount], volumes: &[Volume]) -> Result<(), Verdict> {
    for (place, mount) in mounts.iter().enumerate() {
        let path = format!("spec.template.pod.volumeMounts[{place}]");
        if !volumes.iter().any(|volume| volume.name == mount.name) {
            return Err(invalid(format!(
                "{path}.name is {}, which is none of spec.template.pod.volumes.",
                mount.name
            )));
        }
        let at = format!("{}/", mount.mount_path.trim_end_matches('/'));
        // A mount that holds one of the broker's own folders would hide it as well.
        let hides = |folder: &&&str| {
            let own = format!("{folder}/");
            at.starts_with(&own) || own.starts_with(&at)
        };
        if let Some(folder) = FOLDERS.iter().find(hides) {
            return Err(invalid(format!(
                "{path}.mountPath is {}, but {folder} is the broker's own; choose another.",
                mount.mount_path
            )));
        }
    }
    Ok(())
}

/// How long a broker may take to end; where nobody says, as long as it needs.
fn grace(given: Option<i64>, config: &BTreeMap<String, String>) -> Result<i64, Verdict> {
    // What cannot be read as a number is refused where settings are.
    let shutdown_ms = config.get(CONTROLLED_SHUTDOWN);
    let shutdown_ms = shutdown_ms.and_then(|text| text.parse().ok());
    let shutdown_ms: i64 = shutdown_ms.unwrap_or(CONTROLLED_SHUTDOWN_MS);
    let needed = shutdown_ms.saturating_add(999) / 1000 + AFTERWARDS_SECONDS;
    match given {
        None => Ok(needed.max(TERMINATION_GRACE_SECONDS)),
        Some(seconds) if seconds >= needed => Ok(seconds),
        Some(seconds) => Err(invalid(format!(
            "a broker is killed after {seconds} s, but leaving in order may take it {shutdown_ms} \
             ms; set spec.template.pod.terminationGracePeriodSeconds to at least {needed}, or \
             lower {CONTROLLED_SHUTDOWN} in spec.config."
        ))),
    }
}

fn check_names<'a>(
    field: &str,
    names: impl Iterator<Item = &'a str>,
    reserved: &[&str],
) -> Result<(), Verdict> {
    let mut seen = BTreeSet::new();
    for name in names {
        let why = if reserved.contains(&name) {
            "which is the operator's own"
        } else if !seen.insert(name) {
            "twice"
        } else {
            continue;
        };
        return Err(invalid(format!(
            "spec.template.pod.{field} has the name {name}, {why}; choose another."
        )));
    }
    Ok(())
}

fn typed_list<T: Serialize + DeserializeOwned>(
    field: &str,
    values: &[Value],
) -> Result<Vec<T>, Verdict> {
    let typed = |(place, value)| typed(&format!("{field}[{place}]"), value);
    values.iter().enumerate().map(typed).collect()
}

/// Reads a value as a type of Kubernetes'. A field that the type has not is told, where an API
/// server would drop it in silence.
fn typed<T: Serialize + DeserializeOwned>(field: &str, value: &Value) -> Result<T, Verdict> {
    let path = format!("spec.template.pod.{field}");
    let read = T::deserialize(value).map_err(|error| invalid(format!("{path}: {error}.")))?;
    let back = serde_json::to_value(&read).unwrap_or_default();
    match lost(&path, value, &back) {
        Some(field) => Err(invalid(format!("{field} is not a field of a pod."))),
        None => Ok(read),
    }
}

/// The path of the first field of `given` that `read` does not have.
fn lost(path: &str, given: &Value, read: &Value) -> Option<String> {
    match (given, read) {
        (Value::Object(given), _) => given.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match read.get(key) {
                Some(read) => lost(&path, value, read),
                // No value is left out when it is written.
                None if value.is_null() => None,
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(read)) => {
            let pairs = given.iter().zip(read).enumerate();
            pairs
                .into_iter()
                .find_map(|(place, (given, read))| lost(&format!("{path}[{place}]"), given, read))
        }
        _ => None,
    }
}
