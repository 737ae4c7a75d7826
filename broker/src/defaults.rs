//! What openraft, tonic and tokio would do if nobody said anything, decided: each setting that
//! matters, with its reason.
//!
//! openraft's are listed without an exception, so that a new version's new setting does not
//! compile before somebody has thought about it.

use std::time::Duration;

use openraft::{ConfigError, SnapshotPolicy};
use ottla_core::planted::{self, Planted};
use ottla_storage::serving;
use tonic::transport::{Endpoint, Server};

use crate::config::Settings;

/// How long connecting to a peer may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a peer may not answer before its connection is closed.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How long a snapshot of the metadata may stand still on its way: between two of its parts, and
/// from the last part to the answer, while it is written and synced. A deadline for the whole
/// would end every attempt on a link that is too slow for it, for ever.
pub const SNAPSHOT_PROGRESS: Duration = Duration::from_secs(10);

/// How long entries of the metadata log may be under way to a node. Sending them again sooner
/// helps nobody: they would queue behind themselves on the same connection.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(5);

/// After how many entries of the metadata log a snapshot is made.
pub const SNAPSHOT_ENTRIES: u64 = 5000;

/// Calls that one peer may have at work on one connection: appends, heartbeats, a session, and
/// requests of that broker's clients.
const CALLS_MAX: u32 = 256;

/// Threads for what blocks: reads from disk, and work in the background. A disk does no more at a
/// time; what comes beyond waits in line without a buffer.
const BLOCKING_THREADS_MAX: usize = 64;

/// openraft's: `controller.quorum.election.timeout.ms` is the worst case from the last sign of a
/// leader to the next candidate, of which the followers' lease is five eighths. A round trip must
/// be below a fifth of it, or no heartbeat is answered in time.
///
/// # Errors
/// They do not fit each other.
#[allow(deprecated, reason = "listed like all others, and off")]
pub fn openraft(
    settings: &Settings,
    snapshot_entries: u64,
) -> Result<openraft::Config, ConfigError> {
    let timeout = settings.election_timeout.as_millis() as u64;
    openraft::Config {
        cluster_name: "ottla".into(), // in its logs only
        heartbeat_interval: timeout / 5,
        // also under load: leases go by when a majority last answered
        heartbeat_min_interval: Some(0),
        election_timeout_min: timeout * 3 / 10,
        election_timeout_max: timeout * 5 / 8,
        // a node that comes back must not depose a leader that all others hear
        enable_pre_vote: Some(true),
        enable_tick: true,
        enable_heartbeat: true,
        enable_elect: true, // until it is switched off for a voter that lost its disk
        // the active controller itself watches when a majority last answered
        quorum_loss_probe_interval: None,
        // a voter that leads has another lead before it is removed; the type has no name out here
        removed_leader_step_down: openraft::Config::default().removed_leader_step_down,
        // A leader counts the others' disks and its own apart: what two others hold is committed
        // though its own disk lacks it still. Back after a power cut it would lead on, in the same
        // term and without that; so it stands for election like anyone.
        enable_leader_restore: Some(planted::is(Planted::LeaderRestored)),
        // a voter that lost its disk follows from nothing, and does not vote meanwhile
        allow_log_reversion: Some(true),
        // 200 ms, and the deadline of the whole
        install_snapshot_timeout: SNAPSHOT_PROGRESS.as_millis() as u64,
        send_snapshot_timeout: 0,
        snapshot_max_chunk_size: 0, // the connection cuts its own parts
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_entries),
        // whatever a node lacks beyond a snapshot's distance is less as a snapshot
        replication_lag_threshold: snapshot_entries,
        // so that a node that was away for a moment needs no snapshot
        max_in_snapshot_log_to_keep: snapshot_entries / 5,
        purge_batch_size: 1,
        // bytes bound a call: see `controller::network`
        max_payload_entries: 300,
        max_append_entries: Some(4096),
        // one task writes, one entry at a time: nothing queues in there
        api_channel_size: Some(65_536),
        api_batch_capacity: 4096,
        api_batch_linger_ms: 0,
        notification_channel_size: Some(65_536),
        state_machine_channel_size: Some(1024),
        broadcast_submitted_on_append: Some(false),
        log_stage_capacity: None, // nobody looks at its figures
        // `controller::network` says how long a node is left alone that was not reached
        backoff: "200ms".into(),
        reset_backoff_on_transfer_leader: Some(true),
    }
    .validate()
}

/// tonic's, as a client. Calls have deadlines of their own, so there is none for all of them.
#[must_use]
pub fn channel() -> Endpoint {
    // the connector goes by an address; the URI only has to be one
    Endpoint::from_static("http://peer.ottla")
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        // a connection that nobody uses tells by its end that the peer's process is gone
        .keep_alive_while_idle(true)
}

/// tonic's, as a server: it pings none of its clients by itself, and so would keep for ever the
/// sessions of brokers whose machines are gone.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(Some(CALLS_MAX))
        // a peer that gives up calls which this broker is too busy to take is no attacker: 20, and
        // the connection would end, and with it all that the quorum has under way
        .http2_max_pending_accept_reset_streams(Some(CALLS_MAX as usize))
}

/// tokio's: it would take a worker for each CPU and up to 512 threads for what blocks.
///
/// # Errors
/// The system's.
pub fn runtime(settings: &Settings) -> std::io::Result<tokio::runtime::Runtime> {
    let threads = match settings.network_threads {
        // the other half is for the disk, and for who shares the machine
        0 => std::thread::available_parallelism().map_or(1, |cpus| cpus.get().div_ceil(2)),
        threads => threads,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("ottla")
        // those for what blocks say so with each work
        .on_thread_start(serving::serve_on_this_thread)
        .enable_all()
        .build()
}
