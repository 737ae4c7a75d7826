//! Producers of all versions and their zombies, chance, and a coordinator that fails: what must
//! hold whatever happens.
//!
//! - Every record of a transaction has the outcome that its producer was told, in all partitions.
//! - A producer id and epoch is given to one producer only.
//! - A state is followed only by what Kafka lets follow it.
//! - In the end no transaction is under way, and no partition waits for a marker.

mod judge;

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::ids::ProducerId;
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::transactions::EndTxnRequest;

use self::judge::{Judge, follows};
use super::script::partitions;
use crate::image::MetadataImage;
use crate::image::delta::MetadataDelta;
use crate::shard::{After, Now, Shard as _, Token};
use crate::transaction::request::{
    AddPartitions, Answered, Complete, EndTxn, Expire, InitProducerId,
};
use crate::transaction::soft::Soft;
use crate::transaction::state::{Producer, Status, TRANSACTION_VERSION};
use crate::transaction::{Body, Decision, Ending, Order, Request, Response, Settings, Shard};

const IDS: u64 = 3;
const CLIENTS: usize = 9;
const PARTITIONS: u64 = 3;
const STEPS: usize = 4_000;

/// xorshift64*: chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What a client is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    /// It has no producer id, or lost it.
    #[default]
    Nothing,
    /// It is between transactions, or in one.
    Working,
    /// It wants its transaction to end so, and asks until it is told.
    Ending { is_commit: bool },
}

#[derive(Clone, Debug, Default)]
struct Client {
    doing: Doing,
    producer: Option<Producer>,
    /// The number of its transaction.
    transaction: u64,
    has_added: bool,
    is_second: bool,
}

struct World {
    chance: Chance,
    shard: Shard,
    soft: Soft,
    image: MetadataImage,
    now: Now,
    log: Vec<(Bytes, Option<Bytes>)>,
    committed: usize,
    /// Replies and orders that wait for the log to be committed up to a position.
    replies: Vec<(usize, Token, Response)>,
    orders: Vec<(usize, Order)>,
    /// Who asked, and of which transaction.
    asked: BTreeMap<Token, (usize, u64, Body)>,
    /// Requests on their way twice.
    doubles: Vec<Request>,
    endings: Vec<Ending>,
    clients: Vec<Client>,
    tokens: u64,
    ids: i64,
    transactions: u64,
    judge: Judge,
    is_calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Now {
            monotonic_ms: 0,
            wall_ms: 1_000_000,
            age_ms: 1_000_000,
        };
        let image = MetadataImage::default();
        let shard = Shard::new(Settings::default());
        let (soft, _) = shard.on_loaded(now, &image);
        Self {
            chance: Chance(seed),
            shard,
            soft,
            image,
            now,
            log: Vec::new(),
            committed: 0,
            replies: Vec::new(),
            orders: Vec::new(),
            asked: BTreeMap::new(),
            doubles: Vec::new(),
            endings: Vec::new(),
            clients: vec![Client::default(); CLIENTS],
            tokens: 0,
            ids: 0,
            transactions: 0,
            judge: Judge::default(),
            is_calm: false,
        }
    }

    fn id_of(client: usize) -> String {
        format!("id-{}", client as u64 % IDS)
    }

    fn fresh(&mut self) -> Option<ProducerId> {
        self.ids += 1;
        Some(ProducerId(self.ids))
    }

    fn ask(&mut self, who: usize, version: i16, body: Body) {
        let token = Token(self.tokens);
        self.tokens += 1;
        let transaction = self.clients.get(who).map_or(0, |client| client.transaction);
        self.asked.insert(token, (who, transaction, body.clone()));
        let request = Request { version, body };
        // a request of the second rules may come again at any time
        if version >= 5 && matches!(request.body, Body::EndTxn(_)) && self.chance.below(4) == 0 {
            self.doubles.push(request.clone());
        }
        let decision = self.shard.decide(&mut self.soft, self.now, token, request);
        self.take(decision);
    }

    fn take(&mut self, decision: Decision) {
        let is_refused = !self.is_calm && self.chance.below(20) == 0;
        let mut undos = Vec::new();
        for record in decision.records {
            let id = &record.transactional_id;
            let before = self.shard.transactions.get(id);
            assert!(
                follows(before, record.transaction.as_ref()),
                "{before:?} {record:?}"
            );
            if !is_refused {
                self.log.push(record.encode().expect("short"));
            }
            undos.push(self.shard.replay(record));
        }
        if is_refused && !undos.is_empty() {
            for undo in undos.into_iter().rev() {
                let replies = self.shard.undo(&mut self.soft, self.now, undo);
                assert!(replies.is_empty());
            }
            return;
        }
        let end = self.log.len();
        for reply in decision.replies {
            assert_eq!(reply.after, After::Commit);
            self.replies.push((end, reply.token, reply.response));
        }
        self.orders
            .extend(decision.orders.into_iter().map(|order| (end, order)));
    }

    fn commit(&mut self) {
        self.committed = self.log.len();
        for (_, token, response) in std::mem::take(&mut self.replies) {
            self.answer(token, response);
        }
        for (_, order) in std::mem::take(&mut self.orders) {
            match order {
                Order::Write(ending) => self.endings.push(ending),
                Order::Expire {
                    transactional_id,
                    producer,
                } => {
                    let fresh = self.fresh().expect("always one");
                    let body = Expire {
                        transactional_id,
                        producer,
                        fresh,
                    };
                    self.ask(usize::MAX, 0, Body::Expire(body));
                }
            }
        }
    }

    /// Another coordinator: what was not committed may be lost, and answers are.
    fn fail_over(&mut self) {
        let kept = self
            .chance
            .below((self.log.len() - self.committed + 1) as u64);
        self.log.truncate(self.committed + kept as usize);
        self.replies.clear();
        self.orders.clear();
        self.asked.clear();
        // markers that are on their way are fenced by the new coordinator's
        self.endings.clear();
        self.shard = Shard::new(Settings::default());
        for (key, value) in &self.log {
            let record = Shard::decode(key, value.as_deref()).expect("well-formed");
            self.shard.replay(record.expect("known"));
        }
        let (soft, decision) = self.shard.on_loaded(self.now, &self.image);
        self.soft = soft;
        self.take(decision);
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms.cast_signed();
        self.now.age_ms += ms.cast_signed();
        let next_ms = Shard::next_deadline_ms(&self.soft).expect("expiry at least");
        if next_ms <= self.now.monotonic_ms {
            let decision = self.shard.on_deadline(&mut self.soft, self.now);
            self.take(decision);
        }
    }

    /// A marker reaches its partitions; then the coordinator hears of it.
    fn write_markers(&mut self) {
        if self.endings.is_empty() {
            return;
        }
        let which = self.chance.below(self.endings.len() as u64) as usize;
        let ending = self.endings.swap_remove(which);
        self.judge.marker(&ending);
        let body = Complete {
            transactional_id: ending.transactional_id.clone(),
            producer: ending.producer,
            prepared_ms: ending.prepared_ms,
        };
        // the answer may be lost: then the log has the record, or the marker is written again
        self.endings.push(ending.clone());
        self.ask(usize::MAX, 0, Body::Complete(body));
        let state = self.shard.transactions.get(&ending.transactional_id);
        let is_done = state.is_none_or(|state| !state.status.is_prepared());
        if is_done {
            self.endings.retain(|other| *other != ending);
        }
    }

    fn client_step(&mut self, who: usize) {
        let client = self.clients[who].clone();
        let Some(producer) = client.producer else {
            // a start fences the others of the id: too many, and none gets anywhere
            if self.chance.below(12) == 0 {
                self.init(who, None);
            }
            return;
        };
        match client.doing {
            Doing::Nothing => self.init(who, None),
            Doing::Ending { is_commit } => self.end(who, producer, is_commit),
            Doing::Working => match self.chance.below(24) {
                0 => self.init(who, Some(producer)),
                1 => self.clients[who].producer = None,
                2..=11 if client.has_added || client.is_second => {
                    let is_commit = self.chance.below(2) == 0 && client.has_added;
                    self.clients[who].doing = Doing::Ending { is_commit };
                    self.end(who, producer, is_commit);
                }
                _ => self.write(who, producer),
            },
        }
    }

    fn init(&mut self, who: usize, expected: Option<Producer>) {
        let body = InitProducerIdRequest {
            transactional_id: Some(Self::id_of(who)),
            transaction_timeout_ms: 2_000,
            producer_id: expected.map_or(-1, |expected| expected.id.0),
            producer_epoch: expected.map_or(-1, |expected| expected.epoch.0),
            ..InitProducerIdRequest::default()
        };
        let fresh = self.fresh();
        self.ask(who, 5, Body::InitProducerId(InitProducerId { body, fresh }));
    }

    /// Adds a partition and, once the coordinator has it, writes there, as the leader would verify.
    fn write(&mut self, who: usize, producer: Producer) {
        let name = format!("t-{}", self.chance.below(PARTITIONS));
        let body = AddPartitions {
            transactional_id: Self::id_of(who),
            producer,
            partitions: partitions([name.as_str()]),
        };
        let version = if self.clients[who].is_second { 5 } else { 3 };
        self.ask(who, version, Body::AddPartitions(body));
    }

    fn end(&mut self, who: usize, producer: Producer, is_commit: bool) {
        let body = EndTxnRequest {
            transactional_id: Self::id_of(who),
            producer_id: producer.id.0,
            producer_epoch: producer.epoch.0,
            committed: is_commit,
        };
        let fresh = self.fresh();
        let version = if self.clients[who].is_second { 5 } else { 4 };
        self.ask(who, version, Body::EndTxn(EndTxn { body, fresh }));
    }

    fn answer(&mut self, token: Token, response: Response) {
        let Some((who, transaction, body)) = self.asked.remove(&token) else {
            return;
        };
        let Some(client) = self.clients.get(who) else {
            return;
        };
        if client.transaction != transaction {
            return;
        }
        match (response, body) {
            (Response::InitProducerId(Answered::With(answer)), _) => {
                let producer = Producer::new(answer.producer_id, answer.producer_epoch);
                let found = (answer.error_code == 0).then_some(producer);
                self.begin(who, found, true);
            }
            (Response::AddPartitions(error), Body::AddPartitions(body)) => {
                if error.is_none() {
                    self.clients[who].has_added = true;
                    self.judge_write(transaction, &body);
                } else if error != ottla_protocol::error::ErrorCode::ConcurrentTransactions {
                    self.begin(who, None, false);
                }
            }
            (Response::EndTxn(Answered::With(answer)), Body::EndTxn(body)) => {
                self.ended(who, transaction, &answer, &body.body);
            }
            _ => {}
        }
    }

    /// The leader takes a record only where the coordinator has the partition in the transaction.
    fn judge_write(&mut self, transaction: u64, body: &AddPartitions) {
        let state = self.shard.transactions.get(body.transactional_id.as_str());
        let is_open = state.is_some_and(|state| {
            let is_ongoing = state.status == Status::Ongoing;
            is_ongoing && state.producer == body.producer && state.has(&body.partitions)
        });
        if is_open {
            self.judge.write(transaction, body);
        }
    }

    fn ended(
        &mut self,
        who: usize,
        transaction: u64,
        answer: &ottla_protocol::messages::transactions::EndTxnResponse,
        request: &EndTxnRequest,
    ) {
        use ottla_protocol::error::ErrorCode;
        let client = &self.clients[who];
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => {
                self.judge.told(transaction, request.committed);
                let next = match client.is_second {
                    true => Some(Producer::new(answer.producer_id, answer.producer_epoch)),
                    false => client.producer,
                };
                let is_new = client.is_second;
                self.begin(who, next, is_new);
            }
            ErrorCode::ConcurrentTransactions => {}
            _ => self.begin(who, None, false),
        }
    }

    /// A client begins its next transaction, with what it has now.
    fn begin(&mut self, who: usize, producer: Option<Producer>, is_new: bool) {
        self.transactions += 1;
        if let Some(producer) = producer.filter(|_| is_new) {
            self.judge.given(producer, who);
        }
        self.clients[who] = Client {
            doing: Doing::Working,
            producer,
            transaction: self.transactions,
            has_added: false,
            is_second: self.chance.below(2) == 0,
        };
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            0..=9 => {
                let who = self.chance.below(CLIENTS as u64) as usize;
                let is_waiting = self.asked.values().any(|(asker, ..)| *asker == who);
                if !is_waiting {
                    self.client_step(who);
                }
            }
            10..=12 => self.commit(),
            13..=15 => self.write_markers(),
            16 => {
                let ms = self.chance.below(500);
                self.pass(ms);
            }
            17 if !self.doubles.is_empty() => {
                let which = self.chance.below(self.doubles.len() as u64) as usize;
                let request = self.doubles.swap_remove(which);
                self.ask(usize::MAX, request.version, request.body);
            }
            18 if self.chance.below(8) == 0 => self.fail_over(),
            19 if self.chance.below(8) == 0 => {
                let level = if self.chance.below(2) == 0 { 0 } else { 2 };
                let features = std::sync::Arc::make_mut(&mut self.image.features);
                features.insert(TRANSACTION_VERSION.to_owned(), level);
                let (now, delta) = (self.now, MetadataDelta::default());
                let decision = self
                    .shard
                    .on_image(&mut self.soft, now, &self.image, &delta);
                self.take(decision);
            }
            _ => {}
        }
    }

    /// Nothing fails any more, and no client asks: all that was begun ends.
    fn calm(&mut self) {
        self.is_calm = true;
        for _ in 0..200 {
            self.commit();
            self.write_markers();
            self.pass(200);
        }
        for (id, state) in &self.shard.transactions {
            assert!(state.status.may_expire(), "{id}: {state:?}");
        }
        self.judge.at_rest();
    }
}

#[test]
fn whatever_happens_every_transaction_has_one_outcome() {
    let mut told = 0;
    for seed in 1..=20 {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.calm();
        told += world.judge.told_count();
    }
    assert!(told > 1_000, "{told} outcomes were told");
}
