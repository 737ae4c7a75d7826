//! A process of a broker or a controller on a simulated machine.

use std::sync::Arc;
use std::time::Duration;

use ottla_broker::api::Context;
use ottla_broker::config::Settings;
use ottla_broker::env::Env;
use ottla_broker::node::{Node, Surroundings};
use ottla_broker::stream::Network;

use crate::clients::assigned;
use crate::cluster::{brokers, host, roles, voters};
use crate::world::{Bug, Shared};

/// How long a follower may be behind before it leaves the ISR.
pub const LAG_MAX: Duration = Duration::from_secs(3);

/// Small enough that runs of seconds come to new segments, new WAL files and checkpoints.
fn store() -> ottla_storage::Settings {
    ottla_storage::Settings {
        wal_segment_bytes: 128 << 10,
        wal_segments_max: 4,
        memory_bytes_max: 128 << 10,
        flush_bytes: 32 << 10,
        disk_reserve_bytes: 0,
        ..ottla_storage::Settings::default()
    }
}

/// Where a broker stands: in one of two racks.
pub fn rack(node: usize) -> String {
    format!("rack-{}", node % 2)
}

fn settings(node: usize, has_retention: bool) -> Settings {
    let voters: Vec<String> = voters().map(|n| format!("{n}@{}:9091", host(n))).collect();
    let retention = match has_retention {
        true => "log.retention.check.interval.ms=400\n",
        false => "",
    };
    let listeners = match node < brokers() {
        true => format!(
            "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9091\n\
             advertised.listeners=PLAINTEXT://{}:9092",
            host(node)
        ),
        false => "listeners=CONTROLLER://0.0.0.0:9091".to_owned(),
    };
    let text = format!(
        "node.id={node}\nprocess.roles={}\n{listeners}\n\
         controller.quorum.voters={}\n\
         default.replication.factor=3\nmin.insync.replicas=2\n\
         offsets.topic.replication.factor=3\noffsets.topic.num.partitions=2\n\
         transaction.state.log.num.partitions=2\n\
         group.initial.rebalance.delay.ms=100\ngroup.min.session.timeout.ms=500\n\
         group.consumer.session.timeout.ms={}\n\
         broker.rack={}\n\
         replica.lag.time.max.ms={}\n\
         ottla.controlled.shutdown.timeout.ms=3000\n\
         log.cleaner.backoff.ms=400\nottla.scrub.interval.ms=1500\n\
         ottla.http.listener=\nlog.dirs=/data\n{retention}",
        roles(node),
        voters.join(","),
        assigned::SESSION_MS,
        rack(node),
        LAG_MAX.as_millis(),
    );
    Settings::from_properties("simulation", &text).expect("the simulation's settings are valid")
}

/// Runs one process until its directory fails or it is asked to stop, then waits to be cleared
/// away with all its tasks, as the system does with a process that ends.
pub async fn run(shared: Shared, node: usize) {
    // kept until then: what it did in its last step is looked at once the step is over
    let _context = run_process(&shared, node).await;
    shared.with(|world| world.machines[node].has_ended = true);
    std::future::pending().await
}

/// What API handlers worked with, where it served.
async fn run_process(shared: &Shared, node: usize) -> Option<Arc<Context>> {
    let (seed, disk, clock_ms, bug, mut stop) = shared.with(|world| {
        let machine = &mut world.machines[node];
        machine.life += 1;
        machine.is_serving = false;
        machine.stop.send_replace(false);
        let seed = world.seed ^ (node as u64) << 32 ^ machine.life << 40;
        let stop = machine.stop.subscribe();
        let clock_ms = Arc::clone(&machine.clock_ms);
        (seed, machine.disk.clone(), clock_ms, world.bug, stop)
    });
    let name = host(node);
    shared.trace(format_args!("{name} starts"));
    let mut env = Env::simulated(seed, shared.unix_ms()).ahead(clock_ms);
    if bug == Some(Bug::EndlessLease) {
        env = env.ignoring_leases();
    }
    let around = Surroundings {
        env,
        network: Network::Simulated,
        disk: Arc::new(disk.clone()),
        inline: true,
        // small, so that nodes that come back need one
        snapshot_entries: 20,
        connections_max: 1000,
        store: store(),
        memory_bytes_max: None,
    };
    let started = Node::start(settings(node, shared.has_retention()), around).await;
    let running = match started {
        Ok(running) => running,
        Err(error) if disk.has_failed() || disk.is_full() => {
            shared.trace(format_args!("{name} cannot start: {error}"));
            return None;
        }
        Err(error) => {
            shared.violate(format!("CannotStart: {name}: {error}"));
            return None;
        }
    };
    shared.trace(format_args!("{name} serves"));
    let context = Arc::clone(running.context());
    shared.with(|world| {
        world.machines[node].context = Arc::downgrade(&context);
        world.machines[node].is_serving = true;
    });
    tokio::select! {
        biased;
        why = running.failed() => shared.trace(format_args!("{name} has failed: {why}")),
        () = asked(&mut stop) => {
            running.stop().await;
            shared.trace(format_args!("{name} has stopped"));
        }
    }
    Some(context)
}

/// Waits until the process is asked to stop. What the channel lends is given back: whoever asks
/// again would wait for it.
async fn asked(stop: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
