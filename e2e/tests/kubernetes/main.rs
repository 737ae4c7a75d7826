//! What users do on Kubernetes, by helm, kubectl and stock clients, on the cluster that
//! `KUBECONFIG` names: the steps share that cluster and one KafkaCluster in it, and run in this
//! order.
//!
//! `make e2e` makes a kind cluster, loads the images and runs this; `make e2e LONG=1` runs the
//! other group of steps, which takes half an hour or more. Arguments choose steps of both by the
//! beginning of their names. A step that fails does not keep the others from running. Times are
//! asserted generously, since machines differ, and printed exactly.

mod bad_input;
mod brokers;
mod certificates;
mod figures;
mod gitops;
mod growth;
mod install;
mod long;
mod many;
mod operator;
mod plans;
mod publish;
mod shop;
mod stolen_pod;
mod topics;
mod users;
mod ways;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow};
use ottla_e2e::kubernetes::is_given;

/// A step by its name.
type Step = (&'static str, fn() -> Result<()>);

/// In order: first what most depends on.
const STEPS: &[Step] = &[
    ("install", install::ready_after_helm_install),
    ("clients", install::clients_inside_and_outside),
    ("zones", install::spread_over_zones),
    ("topics", topics::from_creation_to_deletion),
    ("topics_refused", topics::what_cannot_be_done_is_said),
    ("topics_drift", topics::drift_is_put_back),
    ("topics_namespaces", topics::other_namespaces_with_consent),
    ("users", users::the_example_as_it_stands),
    ("users_teams", users::two_teams_keep_to_their_own_topics),
    ("ways", ways::services_balancers_and_names),
    ("stolen_pod", stolen_pod::gets_nowhere_without_a_certificate),
    ("many_topics", many::two_hundred_topics_then_quiet),
    ("memory", many::memory),
    ("pod_deleted", brokers::a_pod_deleted_under_load),
    ("node_off", brokers::a_node_off_and_on_under_load),
    ("drain", brokers::a_node_drained_under_load),
    ("roll_config", brokers::a_config_change_rolls),
    ("roll_image", brokers::an_image_rolls),
    ("plan", plans::a_plan_waits_for_its_hash),
    ("bad_input", bad_input::each_is_named_and_harms_nobody),
    ("growth", growth::volumes_and_brokers_are_added),
    ("explain", gitops::fields_are_explained),
    ("policies", gitops::policies_are_kept),
    ("diff", gitops::nothing_differs_after_apply),
    ("upgrade", gitops::a_second_upgrade_changes_nothing),
    ("operator_killed", operator::killed_in_the_middle),
    ("publish", publish::installed_from_a_registry),
    ("uninstall", operator::uninstall_keeps_clusters_and_data),
];

/// What takes too long for every change.
const LONG_STEPS: &[Step] = &[
    ("long_java", long::java_beside_librdkafka),
    ("long_pod", long::load_from_a_pod),
    ("long_drain", long::every_node_drained),
    ("long_node_off", long::roll_begun_while_a_node_is_off),
    ("long_image", brokers::an_image_rolls),
    ("long_replicas", long::one_to_three_to_two),
    ("long_scale", long::three_to_five_and_back),
    ("long_six", long::six_brokers_roll),
    ("long_certificates", certificates::renewed_under_load),
    ("long_lost", long::a_volume_given_up_and_one_lost),
];

/// The steps whose names begin as an argument does; without arguments one of the two groups.
fn chosen() -> Vec<Step> {
    let arguments = std::env::args().skip(1);
    let names: Vec<String> = arguments.filter(|name| !name.starts_with('-')).collect();
    if names.is_empty() {
        let is_long = std::env::var_os("LONG").is_some_and(|long| !long.is_empty());
        return if is_long { LONG_STEPS } else { STEPS }.to_vec();
    }
    let all = STEPS.iter().chain(LONG_STEPS).copied();
    let is_named = |step: &Step| names.iter().any(|name| step.0.starts_with(name.as_str()));
    all.filter(is_named).collect()
}

fn main() -> ExitCode {
    if !is_given() {
        println!("skipped: KUBECONFIG names no cluster; `make e2e` makes one");
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    let all_begun = Instant::now();
    for (name, step) in chosen() {
        println!("---- {name}");
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(step));
        let outcome = outcome.unwrap_or_else(|panic| Err(anyhow!("panic: {}", words(&*panic))));
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("---- {name}: passed in {seconds:.1} s"),
            Err(error) => {
                println!("---- {name}: FAILED after {seconds:.1} s: {error:#}");
                failed.push(name);
            }
        }
    }
    println!("all steps: {:.1} s", all_begun.elapsed().as_secs_f64());
    println!("\n{}", figures::table());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without words").to_owned()
}
