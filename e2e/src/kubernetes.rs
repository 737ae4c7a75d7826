//! A Kubernetes cluster as its users drive it: kubectl, helm, clients in pods.
//!
//! It is the cluster that `KUBECONFIG` names. What is only looked at is read through one
//! `kubectl proxy`, so that a look costs milliseconds and can be repeated often.
//!
//! Invariant: nothing here knows what the operator promises; that is for the tests.

mod api;
mod pod;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use self::api::{get, list, text};
pub use self::pod::{Pod, node_of, resident_mib};
use crate::client::{Output, run};
use crate::process::bound_to_us;
use crate::setup::checkout;

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(180);
/// How often something is looked at that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The kinds that tests look at, by the names that kubectl has for them.
const KINDS: &[(&str, &str)] = &[
    ("namespaces", "/api/v1"),
    ("nodes", "/api/v1"),
    ("pods", "/api/v1"),
    ("services", "/api/v1"),
    ("configmaps", "/api/v1"),
    ("secrets", "/api/v1"),
    ("persistentvolumeclaims", "/api/v1"),
    ("statefulsets", "/apis/apps/v1"),
    ("deployments", "/apis/apps/v1"),
    ("poddisruptionbudgets", "/apis/policy/v1"),
    ("networkpolicies", "/apis/networking.k8s.io/v1"),
    ("ingresses", "/apis/networking.k8s.io/v1"),
    ("events", "/apis/events.k8s.io/v1"),
    ("kafkaclusters", "/apis/ottla.io/v1alpha1"),
    ("kafkatopics", "/apis/ottla.io/v1alpha1"),
    ("kafkausers", "/apis/ottla.io/v1alpha1"),
];

/// Where the API server has objects of a kind: all of a namespace, or one.
///
/// # Panics
/// If the kind is not one that tests look at.
#[must_use]
pub fn path(kind: &str, namespace: &str, name: &str) -> String {
    let known = KINDS.iter().find(|(known, _)| *known == kind);
    let (_, group) = known.unwrap_or_else(|| panic!("no kind {kind}"));
    let mut path = (*group).to_owned();
    if !namespace.is_empty() {
        path += &format!("/namespaces/{namespace}");
    }
    path += &format!("/{kind}");
    if !name.is_empty() {
        path += &format!("/{name}");
    }
    path
}

/// Whether `KUBECONFIG` names a cluster to run on.
#[must_use]
pub fn is_given() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty())
}

/// Runs a program with these arguments and this on its stdin, in the checkout.
///
/// # Errors
/// It cannot be started or takes too long.
pub fn command(program: &str, args: &[&str], input: &str) -> Result<Output> {
    let mut command = bound_to_us(Path::new(program));
    command.args(args).current_dir(checkout());
    run(command, input.as_bytes(), COMMAND_TIMEOUT)
}

/// Runs kubectl.
///
/// # Errors
/// It fails; its own words are in the error.
pub fn kubectl(args: &[&str]) -> Result<String> {
    let output = command("kubectl", args, "")?;
    let output = output.success();
    Ok(output
        .with_context(|| format!("kubectl {}", args.join(" ")))?
        .stdout)
}

/// `kubectl apply` of these manifests in a namespace.
///
/// # Errors
/// They are refused.
pub fn apply(namespace: &str, yaml: &str) -> Result<String> {
    let output = command("kubectl", &["apply", "-n", namespace, "-f", "-"], yaml)?;
    let output = output.success();
    Ok(output.with_context(|| format!("applying {yaml}"))?.stdout)
}

/// Applies many manifests on the server's side: one request for each, where [`apply`] takes two.
///
/// # Errors
/// They are refused.
pub fn apply_many(namespace: &str, yaml: &str) -> Result<String> {
    let arguments = ["apply", "--server-side", "-n", namespace, "-f", "-"];
    Ok(command("kubectl", &arguments, yaml)?.success()?.stdout)
}

/// What the API server says when it refuses these manifests.
///
/// # Errors
/// It takes them.
pub fn refusal(namespace: &str, yaml: &str) -> Result<String> {
    let output = command("kubectl", &["apply", "-n", namespace, "-f", "-"], yaml)?;
    ensure!(output.code != 0, "taken, not refused: {}", output.stdout);
    Ok(output.stderr)
}

/// Runs helm.
///
/// # Errors
/// It fails; its own words are in the error.
pub fn helm(args: &[&str]) -> Result<String> {
    let output = command("helm", args, "")?.success();
    Ok(output
        .with_context(|| format!("helm {}", args.join(" ")))?
        .stdout)
}

/// Tries until it succeeds, and says how long that took.
///
/// # Errors
/// It does not within `timeout`; the last refusal says why.
pub fn wait<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(answer) => return Ok((answer, begun.elapsed())),
            Err(error) if begun.elapsed() >= timeout => {
                return Err(error).with_context(|| format!("not within {timeout:?}"));
            }
            Err(_) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

/// A condition of an object, by its type, where it speaks of the object's present generation.
///
/// # Errors
/// The object or the condition is not there, or it speaks of an older generation.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Result<&'a Value> {
    let conditions = object.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array);
    let found = conditions.and_then(|all| all.iter().find(|c| c["type"] == type_));
    let found = found.with_context(|| format!("no condition {type_}: {}", object["status"]))?;
    ensure!(
        found["observedGeneration"] == object["metadata"]["generation"],
        "{type_} speaks of generation {}, the object has {}",
        found["observedGeneration"],
        object["metadata"]["generation"]
    );
    Ok(found)
}

/// The object where it is Ready.
///
/// # Errors
/// It is not; its own sentence is in the error.
pub fn ready(kind: &str, namespace: &str, name: &str) -> Result<Value> {
    says(kind, namespace, name, "Ready", "True", "")
}

/// The object where a condition has this status and, unless it is empty, this reason.
///
/// # Errors
/// It has not; its own sentence is in the error.
pub fn says(
    kind: &str,
    namespace: &str,
    name: &str,
    type_: &str,
    status: &str,
    reason: &str,
) -> Result<Value> {
    let object = get(&path(kind, namespace, name))?;
    let found = condition(&object, type_)?;
    ensure!(
        found["status"] == status && (reason.is_empty() || found["reason"] == reason),
        "{kind} {namespace}/{name}: {type_} is {}, {}: {}",
        found["status"],
        found["reason"],
        found["message"]
    );
    Ok(object)
}

/// A pod's address of the node it runs on, as the API server knows it.
///
/// # Errors
/// There is none.
pub fn node_address(node: &str) -> Result<String> {
    let node = get(&path("nodes", "", node))?;
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
    let internal =
        addresses.and_then(|all| all.iter().find(|address| address["type"] == "InternalIP"));
    let address = internal.and_then(|address| address["address"].as_str());
    Ok(address.context("a node has an address")?.to_owned())
}
