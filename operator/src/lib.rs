//! Reconciles `KafkaCluster`, `KafkaTopic` and `KafkaUser` into brokers, topics and users.
//!
//! # Layout, in reading order
//! - [`crd`]: the kinds, as a user writes them.
//! - [`spoken`], [`condition`], [`object`], [`observed`]: how numbers are said, what a status says,
//!   how objects refer to each other, what brokers report.
//! - [`approval`]: changes that wait for consent.
//! - [`manifest`]: files of YAML → objects.
//! - [`metrics`]: what is counted, for `/metrics`.
//! - [`certificates`]: what the operator signs, and whether what others made can be used.
//! - [`admin`], [`platform`], [`secrets`]: the Kafka admin client; where brokers run; where keys
//!   and passwords are.
//! - [`cluster`], [`topic`], [`user`]: for each kind, validate → plan and build → perform → status.
//! - [`world`]: where objects are, a Kubernetes cluster or a folder.
//! - [`session`]: the loop between a world and platforms.
//! - [`signals`]: how the process is told to end.
//! - [`local`], [`run`]: the process, with a folder and child processes, or in Kubernetes.
//!
//! Invariant: a module imports only from those named before it.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod admin;
pub mod approval;
pub mod certificates;
pub mod cluster;
pub mod condition;
pub mod crd;
pub mod fingerprint;
pub mod local;
pub mod manifest;
pub mod metrics;
pub mod object;
pub mod observed;
pub mod platform;
pub mod rebalance;
pub mod run;
pub mod secrets;
pub mod session;
pub mod signals;
pub mod spoken;
pub mod topic;
pub mod user;
pub mod validated;
pub mod world;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;

use std::process::ExitCode;

/// Brings up and looks after Kafka clusters and topics that are described in YAML.
#[derive(clap::Parser)]
#[command(name = "ottla-operator", version)]
pub enum Command {
    /// Run the clusters and topics of a folder of manifests as processes of this machine
    Local(local::Options),
    /// Look after the clusters and topics of a Kubernetes cluster
    Run(run::Options),
    /// Print the CustomResourceDefinitions
    Crds,
}

/// Does what the command says; the exit code is the process's.
#[must_use]
pub fn main(command: Command) -> ExitCode {
    match command {
        Command::Local(options) => local::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Crds => {
            for (_, yaml) in crd::all() {
                print!("{yaml}");
            }
            ExitCode::SUCCESS
        }
    }
}
