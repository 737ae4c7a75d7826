//! An administrator who has other nodes vote in the metadata quorum: one more gets a vote, then
//! another loses its own, while nodes die and links break. Nothing more may come of it than that.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::cluster::{AddRaftVoterRequest, RemoveRaftVoterRequest};

use super::PAUSE;
use crate::cluster::{brokers, roles, voters};
use crate::connection::Connection;
use crate::world::Shared;

/// Who it is.
const NAME: &str = "voters";

/// In one run of so many with enough nodes that may vote.
const ONE_IN: usize = 3;

/// Which stream of chance says so: none of the kept seeds is among them, each of which has to stay
/// the run that it was.
const PART: u64 = 821;

/// How long it rests at most between two changes, of which a seed draws one.
const PAUSES_MS: [usize; 2] = [300, 2000];

/// How long the active controller may look whether a change can be.
const PATIENCE_MS: i32 = 1000;

/// Changes voters until the run ends.
pub async fn run(shared: &Shared) {
    let mut random = shared.random(PART);
    let able: Vec<i32> = (0..brokers())
        .filter(|node| roles(*node).contains("controller"))
        .map(|node| node as i32)
        .collect();
    let mut voting: BTreeSet<i32> = voters().map(|node| node as i32).collect();
    if !random.one_in(ONE_IN) || able.len() <= voting.len() {
        return;
    }
    shared.join(NAME);
    let pause_ms = PAUSES_MS[random.below(PAUSES_MS.len())];
    let mut connection = Connection::new(shared, 0);
    while !shared.with(|world| world.is_ending) {
        let pause = random.below(pause_ms) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let idle: Vec<i32> = able
            .iter()
            .copied()
            .filter(|n| !voting.contains(n))
            .collect();
        let new = idle[random.below(idle.len())];
        // who is asked to may be away for long: then another one is
        if !add(shared, &mut connection, new).await {
            continue;
        }
        voting.insert(new);
        let old: Vec<i32> = voting.iter().copied().filter(|old| *old != new).collect();
        let old = old[random.below(old.len())];
        while !remove(shared, &mut connection, old).await {
            if shared.with(|world| world.is_ending) {
                return shared.leave(NAME);
            }
        }
        voting.remove(&old);
    }
    shared.leave(NAME);
}

/// Says whether it votes now: of what was not answered nothing is known until it is asked again, so
/// that is done until it is.
async fn add(shared: &Shared, connection: &mut Connection, node: i32) -> bool {
    loop {
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: PATIENCE_MS,
            voter_id: node,
            ..AddRaftVoterRequest::default()
        };
        let answer = connection.ask(0, &request).await;
        let error = answer.map(|answer| ErrorCode::from(answer.error_code));
        shared.trace(format_args!("{node} is to vote: {error:?}"));
        match error {
            Some(ErrorCode::None | ErrorCode::DuplicateVoter) => return true,
            Some(ErrorCode::InvalidRequest) => return false,
            // it may yet be carried out
            _ => retry(connection).await,
        }
        if shared.with(|world| world.is_ending) {
            return false;
        }
    }
}

/// Says whether it votes no more.
async fn remove(shared: &Shared, connection: &mut Connection, node: i32) -> bool {
    let request = RemoveRaftVoterRequest {
        cluster_id: None,
        voter_id: node,
        ..RemoveRaftVoterRequest::default()
    };
    let answer = connection.ask(0, &request).await;
    let error = answer.map(|answer| ErrorCode::from(answer.error_code));
    shared.trace(format_args!("{node} is to vote no more: {error:?}"));
    let is_done = matches!(error, Some(ErrorCode::None | ErrorCode::VoterNotFound));
    if !is_done {
        retry(connection).await;
    }
    is_done
}

async fn retry(connection: &mut Connection) {
    tokio::time::sleep(PAUSE).await;
    connection.turn();
}
