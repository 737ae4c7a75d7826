//! A group with the consumer protocol whose members come, fall silent and go: whatever becomes of
//! its coordinators, no partition is two members', as long as both are heard of.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, OwnedTopicPartitions,
};
use ottla_storage::sim::Random;

use super::PAUSE;
use crate::cluster::brokers;
use crate::connection::Connection;
use crate::members::Partition;
use crate::world::{BUSY, IDLE, Shared};

/// The group.
const GROUP: &str = "assigned";

/// How many members it has.
pub const COUNT: usize = 3;

/// How long a member may be silent, as the brokers' settings say.
pub const SESSION_MS: u64 = 1500;

/// How often a member is heard of that works.
const BEAT: Duration = Duration::from_millis(200);

/// One member.
pub struct Member {
    shared: Shared,
    number: usize,
    random: Random,
    connection: Connection,
    is_found: bool,
    epoch: i32,
    /// How often it has joined anew: each time as another member.
    life: usize,
    has: BTreeSet<Partition>,
}

impl Member {
    pub fn new(shared: &Shared, number: usize) -> Self {
        let member = Self {
            shared: shared.clone(),
            number,
            random: shared.random(500 + number as u64),
            connection: Connection::new(shared, number % brokers()),
            is_found: false,
            epoch: 0,
            life: 0,
            has: BTreeSet::new(),
        };
        shared.join(&member.name());
        member
    }

    fn name(&self) -> String {
        format!("{GROUP} {}", self.number)
    }

    fn id(&self) -> String {
        format!("{}-{}", self.number, self.life)
    }

    /// Is a member until the run ends, and then until it was heard of once more.
    pub async fn run(mut self) {
        loop {
            let is_ending = self.shared.with(|world| world.is_ending);
            let is_heard = (self.is_found || self.find().await) && self.beat().await;
            if !is_heard {
                self.is_found = false;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if is_ending {
                break;
            }
            match self.random.below(60) {
                0 => self.leave().await,
                1 => {
                    // silent for longer than it may be: others get what it had
                    let silent = Duration::from_millis(SESSION_MS + 500);
                    tokio::time::sleep(silent).await;
                }
                _ => tokio::time::sleep(BEAT).await,
            }
        }
        self.shared.leave(&self.name());
    }

    async fn find(&mut self) -> bool {
        self.is_found = self.connection.find_coordinator(GROUP).await;
        self.is_found
    }

    /// Joins, or says that it lives and what it has; says whether it was heard.
    async fn beat(&mut self) -> bool {
        if self.epoch == 0 {
            self.give_up();
        }
        let topics = [&[BUSY][..], &[IDLE], &[BUSY, IDLE]][self.random.below(3)];
        let is_joining = self.epoch == 0;
        let names = (is_joining || self.random.one_in(30))
            .then(|| topics.iter().map(|topic| (*topic).to_owned()).collect());
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if is_joining { 60_000 } else { -1 },
            subscribed_topic_names: names,
            topic_partitions: Some(self.owned()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let sent_ms = self.shared.with(|world| world.now_ms);
        let Some(answer) = self.connection.ask(1, &request).await else {
            return false;
        };
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => {
                self.learn(&answer, sent_ms);
                true
            }
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::GroupIdNotFound => {
                self.give_up();
                self.epoch = 0;
                self.life += 1;
                false
            }
            _ => false,
        }
    }

    fn owned(&self) -> Vec<OwnedTopicPartitions> {
        let owned = self
            .has
            .iter()
            .map(|(topic, partition)| OwnedTopicPartitions {
                topic_id: *topic,
                partitions: vec![*partition],
            });
        owned.collect()
    }

    fn learn(&mut self, answer: &ConsumerGroupHeartbeatResponse, sent_ms: u64) {
        let (id, epoch) = (self.id(), answer.member_epoch);
        if epoch < self.epoch {
            let before = self.epoch;
            self.shared.violate(format!(
                "EpochWentBack: {id} of {GROUP} was in {before}, and is in {epoch}"
            ));
        }
        self.epoch = epoch;
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            let told =
                topics.flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic_id, *p)));
            self.has = told.collect();
            let has: Vec<i32> = self.has.iter().map(|(_, partition)| *partition).collect();
            self.shared
                .trace(format_args!("{id} of {GROUP} has {has:?} in epoch {epoch}"));
        }
        let has = self.has.clone();
        let told = self.shared.with(|world| {
            let now_ms = world.now_ms;
            world
                .members
                .is_told(&id, has, sent_ms + SESSION_MS, now_ms)
        });
        told.unwrap_or_else(|wrong| self.shared.violate(wrong));
    }

    fn give_up(&mut self) {
        self.has.clear();
        let id = self.id();
        self.shared.with(|world| world.members.gives_up(&id));
    }

    async fn leave(&mut self) {
        self.give_up();
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id(),
            member_epoch: -1,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let _ = self.connection.ask(1, &request).await;
        self.epoch = 0;
        self.life += 1;
    }
}
