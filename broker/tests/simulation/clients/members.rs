//! A classic group whose members come, fall silent and go: in one generation no partition has two
//! owners. A generation of which nobody was told what it owns may come again: as in Kafka the log
//! has it once its leader has assigned.

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
    LeaveGroupRequest, MemberIdentity, SyncGroupRequest, SyncGroupRequestAssignment,
};
use ottla_storage::sim::Random;

use super::PAUSE;
use crate::cluster::brokers;
use crate::connection::Connection;
use crate::world::Shared;

/// The group.
const GROUP: &str = "readers";

/// How many members it has.
pub const COUNT: usize = 3;

/// What the members share: partitions of some topic, by number.
const PARTITIONS: u8 = 4;

/// How long a member may be silent.
const SESSION_MS: i32 = 1500;

/// One member.
pub struct Member {
    shared: Shared,
    number: usize,
    random: Random,
    connection: Connection,
    is_found: bool,
    member_id: String,
    generation: i32,
}

impl Member {
    pub fn new(shared: &Shared, number: usize) -> Self {
        let member = Self {
            shared: shared.clone(),
            number,
            random: shared.random(400 + number as u64),
            connection: Connection::new(shared, number % brokers()),
            is_found: false,
            member_id: String::new(),
            generation: -1,
        };
        shared.join(&member.name());
        member
    }

    fn name(&self) -> String {
        format!("{GROUP} {}", self.number)
    }

    /// Is a member until the run ends, and then until it was once more part of a generation.
    pub async fn run(mut self) {
        loop {
            let is_ending = self.shared.with(|world| world.is_ending);
            let has_joined = (self.is_found || self.find().await) && self.take_part().await;
            if !has_joined {
                self.is_found = false;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            self.stay(is_ending).await;
            if is_ending {
                break;
            }
        }
        self.shared.leave(&self.name());
    }

    async fn find(&mut self) -> bool {
        self.is_found = self.connection.find_coordinator(GROUP).await;
        self.is_found
    }

    /// Joins the next generation and gets its assignment; says whether it did.
    async fn take_part(&mut self) -> bool {
        let request = JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            member_id: self.member_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "any".to_owned(),
                metadata: Bytes::new(),
            }],
            ..JoinGroupRequest::default()
        };
        let Some(joined) = self.connection.ask(5, &request).await else {
            return false;
        };
        match ErrorCode::from(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.member_id = joined.member_id;
                return false;
            }
            ErrorCode::UnknownMemberId => {
                self.member_id.clear();
                return false;
            }
            _ => return false,
        }
        self.member_id.clone_from(&joined.member_id);
        self.generation = joined.generation_id;
        self.sync(&joined).await
    }

    async fn sync(&mut self, joined: &JoinGroupResponse) -> bool {
        let assignments = match joined.leader == self.member_id {
            true => assign(joined),
            false => Vec::new(),
        };
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            assignments,
            ..SyncGroupRequest::default()
        };
        let synced = self.connection.ask(3, &request).await;
        let Some(synced) = synced.filter(|synced| synced.error_code == 0) else {
            return false;
        };
        let (generation, owner) = (self.generation, self.member_id.clone());
        let owned = synced.assignment;
        let who = self.name();
        self.shared.trace(format_args!(
            "{who} owns {owned:?} in generation {generation}"
        ));
        self.shared
            .with(|world| world.members.owns(generation, &owner, &owned))
            .unwrap_or_else(|wrong| self.shared.violate(wrong));
        true
    }

    /// Beats until it is told to join again, falls silent or goes.
    async fn stay(&mut self, is_ending: bool) {
        let mut beats = if is_ending {
            1
        } else {
            1 + self.random.below(20)
        };
        while beats > 0 {
            beats -= 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let request = HeartbeatRequest {
                group_id: GROUP.to_owned(),
                generation_id: self.generation,
                member_id: self.member_id.clone(),
                group_instance_id: None,
            };
            let answer = self.connection.ask(3, &request).await;
            match answer.map(|answer| ErrorCode::from(answer.error_code)) {
                Some(ErrorCode::None) => {}
                Some(ErrorCode::UnknownMemberId) => {
                    self.member_id.clear();
                    return;
                }
                Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => return,
                _ => {
                    self.is_found = false;
                    return;
                }
            }
        }
        match self.random.below(3) {
            0 => self.leave().await,
            1 if !is_ending => {
                // silent for longer than it may be: the others go on without it
                let silent = Duration::from_millis(SESSION_MS as u64 + 500);
                tokio::time::sleep(silent).await;
            }
            _ => {}
        }
    }

    async fn leave(&mut self) {
        let request = LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            members: vec![MemberIdentity {
                member_id: std::mem::take(&mut self.member_id),
                group_instance_id: None,
                reason: None,
            }],
            ..LeaveGroupRequest::default()
        };
        let _ = self.connection.ask(4, &request).await;
    }
}

/// What a leader makes of the members: each partition goes to the next of them.
fn assign(joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    let count = joined.members.len();
    let owned = |place: usize| {
        let mine = (0..PARTITIONS).filter(move |partition| *partition as usize % count == place);
        Bytes::from_iter(mine)
    };
    let members = joined.members.iter().enumerate();
    members
        .map(|(place, member)| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: owned(place),
        })
        .collect()
}
