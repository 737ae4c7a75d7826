//! The world: nodes, controller, clients, and messages under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ottla_core::partition::{
    Acks, AlterIsr, AlteredIsr, Assignment, Batch, FetchDecision, FetchFrom, Fetched,
    FollowerFetch, Input, Membership, Origin, Reader, Token,
};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, ProducerEpoch, ProducerId, Sequence,
};

use super::checks::Checks;
use super::controller::Controller;
use super::node::{Entry, Node, Outcome};

/// A fetch, and what the follower said with it.
#[derive(Clone, Debug)]
struct Fetch {
    fetch: FollowerFetch,
    leader_epoch: LeaderEpoch,
    last_fetched_epoch: Option<LeaderEpoch>,
}

#[derive(Clone, Debug)]
struct FetchAnswer {
    leader_epoch: LeaderEpoch,
    fetch_offset: Offset,
    error: Option<ErrorCode>,
    diverging: Option<(LeaderEpoch, Offset)>,
    high_watermark: Offset,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
enum Message {
    Fetch(NodeId, Fetch),
    FetchAnswer(NodeId, FetchAnswer),
    AlterIsr(NodeId, AlterIsr),
    IsrAltered(NodeId, PartitionEpoch, Result<AlteredIsr, ErrorCode>),
    Lose(NodeId, BrokerEpoch),
    Lost(NodeId, BrokerEpoch, LeaderEpoch),
}

/// An idempotent producer with one batch in flight.
#[derive(Debug)]
struct Client {
    producer_id: ProducerId,
    next_sequence: Sequence,
    in_flight: Option<(u64, i32)>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    random: u64,
    now: Duration,
    nodes: Vec<Node>,
    controller: Controller,
    images: Vec<VecDeque<Assignment>>,
    /// The image that each broker applied last.
    applied: Vec<Option<Assignment>>,
    network: Vec<Message>,
    clients: Vec<Client>,
    tokens: BTreeMap<u32, (usize, u64)>,
    next_payload: u64,
    acknowledged: BTreeSet<u64>,
    checks: Checks,
    trace: u64,
    is_healed: bool,
}

impl Cluster {
    pub(super) fn new(seed: u64, count: i32) -> Self {
        let ids: Vec<NodeId> = (0..count).map(NodeId).collect();
        let controller = Controller::new(&ids);
        let mut cluster = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Duration::ZERO,
            nodes: ids.iter().map(|id| Node::new(*id)).collect(),
            images: vec![VecDeque::new(); ids.len()],
            applied: vec![None; ids.len()],
            network: Vec::new(),
            clients: (0..3)
                .map(|n| Client {
                    producer_id: ProducerId(100 + n),
                    next_sequence: Sequence(i32::MAX - 5),
                    in_flight: None,
                })
                .collect(),
            tokens: BTreeMap::new(),
            next_payload: 1,
            acknowledged: BTreeSet::new(),
            checks: Checks::default(),
            trace: 0,
            controller,
            is_healed: false,
        };
        cluster.publish();
        cluster
    }

    pub(super) fn trace(&self) -> u64 {
        self.trace
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn any_node(&mut self) -> usize {
        self.below(self.nodes.len() as u64) as usize
    }

    fn publish(&mut self) {
        let assignment = self.controller.assignment();
        for queue in &mut self.images {
            queue.push_back(assignment.clone());
        }
    }

    /// One thing happens.
    pub(super) fn act(&mut self) {
        let elapsed = Duration::from_millis(self.below(8));
        self.now += elapsed;
        match self.below(if self.is_healed { 92 } else { 100 }) {
            0..30 => self.deliver(),
            30..45 => self.fetch(),
            45..60 => self.flush(),
            60..75 => self.produce(),
            75..88 => self.learn(),
            88..92 => self.check_lag(),
            92..94 => self.crash_or_start(),
            94..95 => self.suspect(),
            95..96 => self.move_leadership(),
            96..98 => self.lose(),
            98..99 => self.damage(),
            _ => {
                let at = self.any_node();
                self.nodes[at].checkpoint();
            }
        }
    }

    fn step(&mut self, at: usize, input: Input<'_>, at_hand: &[Entry]) {
        if !self.nodes[at].is_up {
            return;
        }
        let outcomes = self.nodes[at].step(self.now, input, at_hand);
        self.carry_out(at, outcomes);
    }

    fn carry_out(&mut self, at: usize, outcomes: Vec<Outcome>) {
        let id = self.nodes[at].id;
        for outcome in outcomes {
            match outcome {
                Outcome::AlterIsr(alter) => self.network.push(Message::AlterIsr(id, alter)),
                Outcome::Acknowledged { token, is_ok } => self.on_acknowledged(token, is_ok),
            }
        }
        self.checks.after_step(&self.nodes[at]);
        let marks = self.nodes[at].partition.marks();
        for number in [at as i64, marks.high_watermark.0, marks.log_end_offset.0] {
            self.trace = (self.trace ^ number as u64).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn on_acknowledged(&mut self, token: u32, is_ok: bool) {
        let Some((client, payload)) = self.tokens.remove(&token) else {
            return;
        };
        let client = &mut self.clients[client];
        if !is_ok || client.in_flight.is_none_or(|(sent, _)| sent != payload) {
            return;
        }
        Checks::on_acknowledgement(&self.nodes, payload);
        self.acknowledged.insert(payload);
        let count = client.in_flight.take().map_or(0, |(_, count)| count);
        let sequence = client.next_sequence.0.wrapping_add(count) & i32::MAX;
        client.next_sequence = Sequence(sequence);
    }

    /// A client sends its batch, or sends it again, to any broker that takes it.
    fn produce(&mut self) {
        let at = self.any_node();
        let client = self.below(self.clients.len() as u64) as usize;
        if self.clients[client].in_flight.is_none() {
            let count = 1 + self.below(3) as i32;
            self.clients[client].in_flight = Some((self.next_payload, count));
            self.next_payload += 1;
        }
        let Some((payload, count)) = self.clients[client].in_flight else {
            return;
        };
        let batch = Batch {
            base_offset: Offset(0),
            last_offset_delta: count - 1,
            leader_epoch: LeaderEpoch::NONE,
            producer_id: self.clients[client].producer_id,
            producer_epoch: ProducerEpoch(0),
            base_sequence: self.clients[client].next_sequence,
            max_timestamp: 0,
            is_transactional: false,
            is_control: false,
            marker: None,
        };
        let token = self.tokens.last_key_value().map_or(0, |(last, _)| last + 1);
        self.tokens.insert(token, (client, payload));
        let produce = Input::Produce {
            batch,
            origin: Origin::Client(Membership::default()),
            acks: Acks::All,
            token: Token(token),
        };
        self.step(at, produce, &[Entry { batch, payload }]);
    }

    fn flush(&mut self) {
        let at = self.any_node();
        if self.nodes[at].is_up {
            let outcomes = self.nodes[at].flush(self.now);
            self.carry_out(at, outcomes);
        }
    }

    fn fetch(&mut self) {
        let at = self.any_node();
        let node = &mut self.nodes[at];
        if !node.is_up || node.awaits_fetch {
            return;
        }
        let Some(position) = node.partition.fetch_position() else {
            return;
        };
        node.awaits_fetch = true;
        let fetch = Fetch {
            fetch: FollowerFetch {
                node: node.id,
                broker_epoch: Some(node.broker_epoch),
                fetch_offset: position.fetch_offset,
                log_start_offset: position.log_start_offset,
            },
            leader_epoch: position.leader_epoch,
            last_fetched_epoch: position.last_fetched_epoch,
        };
        self.network.push(Message::Fetch(position.leader, fetch));
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let place = self.below(self.network.len() as u64) as usize;
        match self.network.swap_remove(place) {
            Message::Fetch(to, fetch) => self.serve(to.0 as usize, &fetch),
            Message::FetchAnswer(to, answer) => self.take_in(to.0 as usize, &answer),
            Message::AlterIsr(from, alter) => {
                let result = self.controller.alter_isr(from, &alter);
                if result.is_ok() {
                    self.publish();
                }
                let asked = alter.partition_epoch;
                self.network.push(Message::IsrAltered(from, asked, result));
            }
            Message::IsrAltered(to, asked, result) => {
                self.step(to.0 as usize, Input::IsrAltered { asked, result }, &[]);
            }
            Message::Lose(from, broker_epoch) => {
                if let Some(epoch) = self.controller.lose(from, broker_epoch) {
                    self.publish();
                    self.network.push(Message::Lost(from, broker_epoch, epoch));
                }
            }
            Message::Lost(to, broker_epoch, epoch) => self.on_lost(to, broker_epoch, epoch),
        }
    }

    /// A replica is found to be damaged, at first or in the midst of something.
    fn damage(&mut self) {
        let at = self.any_node();
        let node = &self.nodes[at];
        if !node.is_up {
            return;
        }
        self.network.push(Message::Lose(node.id, node.broker_epoch));
        if self.below(2) == 0 {
            self.step(at, Input::Failed, &[]);
        }
    }

    fn on_lost(&mut self, to: NodeId, broker_epoch: BrokerEpoch, epoch: LeaderEpoch) {
        let at = to.0 as usize;
        if self.nodes[at].broker_epoch != broker_epoch {
            return; // the process that asked is gone
        }
        self.step(at, Input::Lost(epoch), &[]);
        self.checks.forget(to);
        if let Some(assignment) = self.applied[at].clone() {
            self.step(at, Input::Assigned(assignment), &[]);
        }
    }

    /// The leader's side of a fetch.
    fn serve(&mut self, at: usize, fetch: &Fetch) {
        if !self.nodes[at].is_up {
            return self.forget_fetch(fetch.fetch.node);
        }
        let fetch_offset = fetch.fetch.fetch_offset;
        let decision = self.nodes[at].partition.fetch_from(&FetchFrom {
            has_lease: true,
            reader: Reader::Follower(fetch.fetch.node),
            fetch_offset,
            current_leader_epoch: Some(fetch.leader_epoch),
            last_fetched_epoch: fetch.last_fetched_epoch,
        });
        if matches!(decision, FetchDecision::Read { .. }) {
            self.step(at, Input::FollowerFetched(fetch.fetch), &[]);
        }
        let node = &self.nodes[at];
        let mut answer = FetchAnswer {
            leader_epoch: fetch.leader_epoch,
            fetch_offset,
            error: None,
            diverging: None,
            high_watermark: node.partition.marks().high_watermark,
            entries: Vec::new(),
        };
        match decision {
            FetchDecision::Read { .. } => {
                let fresh = |entry: &&Entry| entry.batch.next_offset() > fetch_offset;
                answer.entries = node.log.iter().filter(fresh).take(4).copied().collect();
            }
            FetchDecision::Diverging {
                leader_epoch,
                end_offset,
            } => answer.diverging = Some((leader_epoch, end_offset)),
            FetchDecision::Rejected(error) => answer.error = Some(error),
        }
        let answer = Message::FetchAnswer(fetch.fetch.node, answer);
        self.network.push(answer);
    }

    fn take_in(&mut self, at: usize, answer: &FetchAnswer) {
        self.nodes[at].awaits_fetch = false;
        let batches: Vec<Batch> = answer.entries.iter().map(|entry| entry.batch).collect();
        let fetched = Fetched {
            leader_epoch: answer.leader_epoch,
            fetch_offset: answer.fetch_offset,
            error: answer.error,
            diverging: answer.diverging,
            high_watermark: answer.high_watermark,
            log_start_offset: Offset::ZERO,
            batches: &batches,
        };
        self.step(at, Input::Fetched(fetched), &answer.entries);
    }

    fn forget_fetch(&mut self, node: NodeId) {
        self.nodes[node.0 as usize].awaits_fetch = false;
    }

    /// A broker applies the next metadata image.
    fn learn(&mut self) {
        let at = self.any_node();
        if self.nodes[at].is_up
            && let Some(assignment) = self.images[at].pop_front()
        {
            self.applied[at] = Some(assignment.clone());
            self.step(at, Input::Assigned(assignment), &[]);
        }
    }

    fn check_lag(&mut self) {
        let at = self.any_node();
        self.step(at, Input::LagChecked, &[]);
    }

    fn crash_or_start(&mut self) {
        let at = self.any_node();
        let id = self.nodes[at].id;
        if self.nodes[at].is_up {
            self.nodes[at].crash();
            if self.below(2) == 0 {
                self.controller.fence(id);
                self.publish();
            }
            return;
        }
        self.start(at);
    }

    fn start(&mut self, at: usize) {
        let broker_epoch = self.controller.register(self.nodes[at].id);
        self.nodes[at].start(broker_epoch);
        self.checks.forget(self.nodes[at].id);
        self.applied[at] = None;
        self.images[at].clear(); // it starts from the newest image
        self.publish();
    }

    /// A living broker is taken for dead, and told so later.
    fn suspect(&mut self) {
        let at = self.any_node();
        let id = self.nodes[at].id;
        self.controller.fence(id);
        self.publish();
        if self.nodes[at].is_up && self.below(2) == 0 {
            self.nodes[at].broker_epoch = self.controller.register(id);
            self.publish();
        }
    }

    fn move_leadership(&mut self) {
        self.controller.move_leadership();
        self.publish();
    }

    fn lose(&mut self) {
        for _ in 0..self.below(4) {
            if !self.network.is_empty() {
                let place = self.below(self.network.len() as u64) as usize;
                match self.network.swap_remove(place) {
                    Message::Fetch(_, fetch) => self.forget_fetch(fetch.fetch.node),
                    Message::FetchAnswer(to, _) => self.forget_fetch(to),
                    // the driver asks again until it is answered
                    again => self.network.push(again),
                }
            }
        }
    }

    /// Everything is up and nothing is lost any more.
    pub(super) fn heal(&mut self) {
        self.is_healed = true;
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_up {
                self.nodes[at].crash();
            }
            self.start(at);
        }
        for _ in 0..3_000 {
            self.act();
        }
        // the clients fall silent, and what is under way arrives
        for round in 0..10_000 {
            self.now += Duration::from_millis(1);
            match round % 5 {
                0 => self.deliver(),
                1 => self.fetch(),
                2 => self.flush(),
                3 => self.learn(),
                _ => self.check_lag(),
            }
        }
    }

    pub(super) fn check_the_end(&self) {
        Checks::at_the_end(&self.nodes, &self.acknowledged);
    }
}
