//! Reasons that a step gives, of a cluster that is not as it should be.

use super::*;
use crate::cluster::status::deleting;
use crate::platform::Failure;

#[tokio::test]
async fn each_failure_of_a_broker_has_its_reason() {
    for (failure, reason) in [
        (Failure::CrashLooping, "BrokerCrashLooping"),
        (Failure::PortInUse, "PortInUse"),
        (Failure::Unschedulable, "BrokerUnschedulable"),
        (Failure::ImagePull, "ImagePullFailed"),
        (Failure::Storage, "StorageUnavailable"),
        (Failure::Growth, "VolumeCannotGrow"),
        (Failure::Refused, "PodRefused"),
    ] {
        let (cluster, mut states) = serving().await;
        let state = states.get_mut(&0).unwrap();
        state.failure = Some(failure);
        state.message = "has its trouble".to_owned();
        let (step, _) = step(&cluster, states).await;
        assert_eq!(says(&step), format!("{reason}: Broker 0: has its trouble."));
    }
}

#[tokio::test]
async fn brokers_that_have_not_served_yet_are_being_started() {
    let (cluster, mut states) = serving().await;
    let state = states.get_mut(&0).unwrap();
    state.ready = false;
    state.message = "starts".to_owned();
    let (step, _) = step(&cluster, states).await;
    let told = "BrokersStarting: 0 of 1 brokers serve; broker 0 starts.";
    assert_eq!(says(&step), told);
}

#[tokio::test]
async fn controllers_that_are_not_ready_are_told() {
    let (mut cluster, mut states) = serving().await;
    cluster.spec.dedicated_controllers = serde_yaml::from_str("{ replicas: 1 }").unwrap();
    let (told, asked) = step(&cluster, states.clone()).await;
    let sentence = "ControllerNotReady: 0 of 1 controllers are ready; controller 1000 is being \
                    started.";
    assert_eq!(says(&told), sentence);
    assert!(asked.contains(&"start 1000".to_owned()), "{asked:?}");
    states.insert(1000, BrokerState::default());
    let (told, _) = step(&cluster, states).await;
    assert_eq!(told.status.controllers_ready, "0/1");
    assert_eq!((told.status.replicas, told.status.brokers.len()), (1, 1));
}

/// Nobody listens where the brokers are to be asked.
#[tokio::test]
async fn a_change_that_brokers_do_not_answer_is_on_its_way() {
    let (mut cluster, states) = serving().await;
    let setting = ("log.retention.ms".to_owned(), Some("5000".to_owned()));
    cluster.spec.config = [setting].into();
    let (step, _) = step(&cluster, states).await;
    let says = says(&step);
    let told = "ConfigChanging: A change of log.retention.ms waits: ";
    assert!(says.starts_with(told), "{says}");
}

#[tokio::test]
async fn one_that_is_deleted_says_so_and_keeps_its_addresses() {
    let (cluster, _) = serving().await;
    let status = deleting(&cluster, "now");
    assert_eq!(spoken(&status.conditions).unwrap().0, "Deleting");
    assert_eq!(status.bootstrap_servers, "internal.svc:9092");
}

#[tokio::test]
async fn what_becomes_of_who_may_connect_is_said() {
    let said = async |apps: &str, allowed_from: AllowedFrom| {
        let internal = "{ name: internal, port: 9092 }";
        let listeners = format!("listeners: [{internal}, {{ name: apps, port: 9093{apps} }}]");
        let (cluster, states) = serving_with(&listeners).await;
        let paper = Paper {
            allowed_from,
            ..on(states)
        };
        says(&step_on(&cluster, paper).await.0)
    };
    let all = "BrokersReady: All 1 brokers serve.";
    for any in [
        AllowedFrom::Held,
        AllowedFrom::Open,
        AllowedFrom::ThisMachine,
    ] {
        assert_eq!(said("", any).await, all);
    }
    let narrow = ", allowedFrom: [{ podSelector: {} }]";
    assert_eq!(said(narrow, AllowedFrom::Held).await, all);
    let open = said(narrow, AllowedFrom::Open).await;
    let why = "ApplyFailed: spec.listeners (apps) has allowedFrom, and this operator makes no";
    assert!(open.starts_with(why), "{open}");
    let local = said(narrow, AllowedFrom::ThisMachine).await;
    let why = format!("{all} spec.listeners (apps) has allowedFrom: in local mode whoever is");
    assert!(local.starts_with(&why), "{local}");
}
