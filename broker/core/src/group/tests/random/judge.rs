//! What the answers must be, and what a client makes of them.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups as wire;

use super::{Doing, MEMBERS, World};
use crate::group::Response;
use crate::shard::Token;

impl World {
    pub(super) fn answer(&mut self, token: Token, response: Response) {
        let Some((number, offset)) = self.asked.remove(&token) else {
            panic!("answered twice, or never asked: {response:?}");
        };
        let is_waited_for = self.members[number].waits_for == Some(token);
        if let Response::SyncGroup(response) = &response {
            self.check_assignment(number, is_waited_for, response);
        }
        match (&response, offset) {
            (Response::OffsetCommit(response), Some(offset))
                if response.topics[0].partitions[0].error_code == 0 =>
            {
                self.acknowledged = self.acknowledged.max(offset);
            }
            (Response::OffsetFetch(response), _) => {
                let fetched = response.topics[0].partitions[0].committed_offset;
                assert!(
                    fetched >= self.acknowledged,
                    "{fetched} < {}",
                    self.acknowledged
                );
            }
            _ => {}
        }
        if is_waited_for || matches!(response, Response::Heartbeat(_)) {
            self.learn(number, &response);
        }
    }

    fn check_assignment(
        &mut self,
        number: usize,
        is_waited_for: bool,
        response: &wire::SyncGroupResponse,
    ) {
        if response.error_code != 0 || !is_waited_for {
            return;
        }
        let member = &self.members[number];
        assert!(
            member.generation >= self.generation_max - 1,
            "the generation went far back"
        );
        self.generation_max = self.generation_max.max(member.generation);
        // a static member keeps what it owns under a new member id
        let owner = member
            .instance_id
            .clone()
            .unwrap_or_else(|| member.member_id.clone());
        for partition in &response.assignment {
            let before = self
                .owners
                .insert((member.generation, *partition), owner.clone());
            assert!(
                before.is_none_or(|before| before == owner),
                "partition {partition} has two owners in generation {}",
                member.generation
            );
        }
    }

    fn learn(&mut self, number: usize, response: &Response) {
        let member = &mut self.members[number];
        let (code, is_heartbeat) = match response {
            Response::JoinGroup(response) => (response.error_code, false),
            Response::SyncGroup(response) => (response.error_code, false),
            Response::Heartbeat(response) => (response.error_code, true),
            _ => return,
        };
        if is_heartbeat && member.doing != Doing::Working {
            return;
        }
        if !is_heartbeat {
            member.waits_for = None;
        }
        match (ErrorCode::from(code), response) {
            (ErrorCode::None, Response::JoinGroup(response)) => {
                self.rebalances += 1;
                member.doing = Doing::Syncing;
                member.generation = response.generation_id;
                member.member_id = response.member_id.clone();
                let members = response.members.iter().map(|peer| peer.member_id.clone());
                member.peers = members.collect();
            }
            (ErrorCode::None, Response::SyncGroup(_)) => member.doing = Doing::Working,
            (ErrorCode::None, _) => {}
            (ErrorCode::MemberIdRequired, Response::JoinGroup(response)) => {
                member.member_id = response.member_id.clone();
            }
            (ErrorCode::RebalanceInProgress, _) => member.doing = Doing::Joining,
            (
                ErrorCode::UnknownMemberId
                | ErrorCode::FencedInstanceId
                | ErrorCode::IllegalGeneration,
                _,
            ) => self.forget(number),
            (error, _) => panic!("unexpected {error:?}"),
        }
    }

    /// Nothing fails any more: all come to work in one generation, and nobody is left waiting.
    pub(super) fn settle(&mut self) {
        self.is_calm = true;
        for _ in 0..400 {
            for number in 0..MEMBERS {
                self.go_on(number);
            }
            self.committed = self.log.len();
            self.answer_committed();
            self.pass(500);
        }
        let generation = self.members[0].generation;
        for member in &self.members {
            assert_eq!(member.doing, Doing::Working, "{member:?}");
            assert_eq!(member.generation, generation);
        }
        assert!(
            self.asked.is_empty(),
            "every request is answered: {:?}",
            self.asked
        );
        assert_eq!(self.soft.parked_count(), 0);
        self.fetch();
    }
}
