//! A small language for tests: one line an action, and what came of it below.
//!
//! ```text
//! init [v=N] [as=PID/EPOCH] [timeout=MS] [two-phase]     InitProducerId
//! add PID/EPOCH [v=N] TOPIC-0 …                          AddPartitionsToTxn; v4 is a broker's
//! verify PID/EPOCH TOPIC-0 …
//! commit|abort PID/EPOCH [v=N]                           EndTxn
//! written                                                the markers last ordered are there
//! told-late                                              the same of those ordered before them
//! describe | list [state=…] [pid=N] [longer=MS]
//! level N                                                transaction.version is finalized so
//! refused …                                              the log refuses the records of this
//! wait MS                                                time passes, deadline by deadline
//! reload                                                 another coordinator replays the log
//! ```
//! There is one transactional id. Fresh producer ids are 1, 2, …; below an answer stands the state,
//! where it changed: producer, status, partitions, and what is not as usual. What is parked has no
//! answer yet.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::Expect;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::ProducerId;
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::transactions::{EndTxnRequest, ListTransactionsRequest};

use crate::image::MetadataImage;
use crate::image::delta::MetadataDelta;
use crate::shard::{Now, Shard as _, Token};
use crate::transaction::request::{
    AddPartitions, Answered, Complete, DescribeTransaction, EndTxn, Expire, InitProducerId,
    VerifyPartitions,
};
use crate::transaction::soft::Soft;
use crate::transaction::state::{NO_EPOCH, TRANSACTION_VERSION};
use crate::transaction::{
    Body, Decision, Ending, Order, Partitions, Producer, Record, Request, Response, Settings,
    Shard, Transaction, Undo,
};

const ID: &str = "x";

pub(super) struct Runner {
    shard: Shard,
    soft: Soft,
    image: MetadataImage,
    settings: Settings,
    now: Now,
    is_refusing: bool,
    log: Vec<(Bytes, Option<Bytes>)>,
    ids: i64,
    tokens: u64,
    ending: Option<Ending>,
    /// The one before it.
    ending_before: Option<Ending>,
    seen: String,
}

/// Runs a script and compares what came of it.
pub(super) fn check(script: &str, expected: Expect) {
    let mut runner = Runner::new(Settings::default());
    runner.run(script);
    expected.assert_eq(&runner.seen);
}

pub(super) fn producer(text: &str) -> Producer {
    let (id, epoch) = text.split_once('/').expect("PID/EPOCH");
    Producer::new(
        id.parse().expect("a producer id"),
        epoch.parse().expect("an epoch"),
    )
}

pub(super) fn partitions<'a>(names: impl IntoIterator<Item = &'a str>) -> Partitions {
    let mut partitions = Partitions::new();
    for name in names {
        let (topic, index) = name.rsplit_once('-').expect("TOPIC-0");
        let index = index.parse().expect("an index");
        partitions.entry(topic.into()).or_default().insert(index);
    }
    partitions
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let mut pairs = words.iter().filter_map(|word| word.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
}

fn number<T: std::str::FromStr>(words: &[&str], name: &str, default: T) -> T {
    let text = option(words, name);
    text.map_or(default, |text| text.parse().ok().expect("a number"))
}

impl Runner {
    pub(super) fn new(settings: Settings) -> Self {
        let now = Now {
            monotonic_ms: 0,
            wall_ms: 1_000_000,
            age_ms: 1_000_000,
        };
        let image = MetadataImage::default();
        let shard = Shard::new(settings.clone());
        let (soft, _) = shard.on_loaded(now, &image);
        Self {
            shard,
            soft,
            image,
            settings,
            now,
            is_refusing: false,
            log: Vec::new(),
            ids: 0,
            tokens: 0,
            ending: None,
            ending_before: None,
            seen: String::new(),
        }
    }

    pub(super) fn run(&mut self, script: &str) {
        let lines = script.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty()) {
            self.tell(line);
            self.line(line);
        }
    }

    /// Puts the id into a state that takes long to reach.
    pub(super) fn put(&mut self, change: impl FnOnce(&mut Transaction)) {
        let mut transaction = self.shard.transactions[ID].clone();
        change(&mut transaction);
        let record = Record {
            transactional_id: ID.into(),
            transaction: Some(transaction),
        };
        self.log.push(record.encode().expect("short"));
        self.shard.replay(record);
    }

    pub(super) fn seen(&self) -> &str {
        &self.seen
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.seen, "{line}").expect("a string takes all");
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.is_refusing = words[0] == "refused";
        let words = &words[usize::from(self.is_refusing)..];
        match words {
            ["wait", ms] => self.wait(ms.parse().expect("milliseconds")),
            ["clock", ms] => self.now.wall_ms += ms.parse::<i64>().expect("milliseconds"),
            ["reload"] => self.reload(),
            ["level", level] => {
                let level = level.parse().expect("a level");
                let features = Arc::make_mut(&mut self.image.features);
                features.insert(TRANSACTION_VERSION.to_owned(), level);
                let delta = MetadataDelta::default();
                let (soft, now, image) = (&mut self.soft, self.now, &self.image);
                let decision = self.shard.on_image(soft, now, image, &delta);
                self.take(decision);
            }
            ["written"] => self.complete(self.ending.clone()),
            ["told-late"] => self.complete(self.ending_before.clone()),
            ["describe"] => self.ask(0, Body::DescribeTransaction(DescribeTransaction(ID.into()))),
            [name, rest @ ..] => self.request(name, rest),
            [] => {}
        }
    }

    fn complete(&mut self, ending: Option<Ending>) {
        let ending = ending.expect("an order");
        let body = Body::Complete(Complete {
            transactional_id: ending.transactional_id,
            producer: ending.producer,
            prepared_ms: ending.prepared_ms,
        });
        self.ask(0, body);
    }

    fn request(&mut self, name: &str, words: &[&str]) {
        let topics = words.iter().filter(|word| !word.contains(['=', '/']));
        let of = words
            .iter()
            .find(|word| word.contains('/') && !word.contains('='));
        let of = || producer(of.expect("PID/EPOCH"));
        let add = || AddPartitions {
            transactional_id: ID.to_owned(),
            producer: of(),
            partitions: partitions(topics.clone().copied()),
        };
        match name {
            "init" => {
                let expected = option(words, "as").map(producer);
                let body = InitProducerIdRequest {
                    transactional_id: Some(ID.to_owned()),
                    transaction_timeout_ms: number(words, "timeout", 60_000),
                    producer_id: expected.map_or(-1, |expected| expected.id.0),
                    producer_epoch: expected.map_or(-1, |expected| expected.epoch.0),
                    enable2_pc: words.contains(&"two-phase"),
                    ..InitProducerIdRequest::default()
                };
                let fresh = None;
                let version = number(words, "v", 5);
                self.ask(
                    version,
                    Body::InitProducerId(InitProducerId { body, fresh }),
                );
            }
            "add" => self.ask(number(words, "v", 3), Body::AddPartitions(add())),
            "verify" => self.ask(4, Body::VerifyPartitions(VerifyPartitions(add()))),
            "commit" | "abort" => {
                let producer = of();
                let body = EndTxnRequest {
                    transactional_id: ID.to_owned(),
                    producer_id: producer.id.0,
                    producer_epoch: producer.epoch.0,
                    committed: name == "commit",
                };
                let fresh = None;
                self.ask(number(words, "v", 4), Body::EndTxn(EndTxn { body, fresh }));
            }
            "list" => {
                let list = |name| option(words, name).map(str::to_owned).into_iter().collect();
                let body = ListTransactionsRequest {
                    state_filters: list("state"),
                    producer_id_filters: option(words, "pid")
                        .map(|id| id.parse().expect("a producer id"))
                        .into_iter()
                        .collect(),
                    duration_filter: number(words, "longer", -1),
                    transactional_id_pattern: None,
                };
                self.ask(0, Body::ListTransactions(body));
            }
            _ => panic!("no such action: {name}"),
        }
    }

    fn ask(&mut self, version: i16, body: Body) {
        let request = Request { version, body };
        let again = request.clone();
        let token = Token(self.tokens);
        self.tokens += 1;
        let decision = self.shard.decide(&mut self.soft, self.now, token, request);
        let needs_id = decision.replies.iter().any(|reply| {
            matches!(
                reply.response,
                Response::InitProducerId(Answered::NeedsProducerId)
                    | Response::EndTxn(Answered::NeedsProducerId)
            )
        });
        if needs_id {
            assert!(decision.records.is_empty() && decision.orders.is_empty());
            let mut body = again.body;
            self.ids += 1;
            match &mut body {
                Body::InitProducerId(body) => body.fresh = Some(ProducerId(self.ids)),
                Body::EndTxn(body) => body.fresh = Some(ProducerId(self.ids)),
                _ => {}
            }
            return self.ask(version, body);
        }
        self.take(decision);
    }

    /// What a decision comes to.
    fn take(&mut self, decision: Decision) {
        let mut undos: Vec<Undo> = Vec::new();
        for record in decision.records {
            self.show_record(&record);
            if !self.is_refusing {
                self.log.push(record.encode().expect("short"));
            }
            undos.push(self.shard.replay(record));
        }
        if self.is_refusing {
            while let Some(undo) = undos.pop() {
                let replies = self.shard.undo(&mut self.soft, self.now, undo);
                assert!(replies.is_empty());
            }
            return self.tell("  refused");
        }
        for reply in decision.replies {
            self.show(&reply.response);
        }
        for order in decision.orders {
            self.order(order);
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Write(ending) => {
                let what = if ending.is_commit { "commit" } else { "abort" };
                let Producer { id, epoch } = ending.producer;
                let partitions = show_partitions(&ending.partitions);
                let level = ending.version.0;
                self.tell(&format!(
                    "  write {what} {id}/{epoch}{partitions} level {level}"
                ));
                self.ending_before = self.ending.replace(ending);
            }
            Order::Expire {
                transactional_id,
                producer,
            } => {
                self.ids += 1;
                let body = Body::Expire(Expire {
                    transactional_id,
                    producer,
                    fresh: ProducerId(self.ids),
                });
                self.ask(0, body);
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        let end_ms = self.now.monotonic_ms + ms;
        loop {
            let next_ms = Shard::next_deadline_ms(&self.soft).filter(|at_ms| *at_ms <= end_ms);
            let to_ms = next_ms.unwrap_or(end_ms).max(self.now.monotonic_ms);
            let passed = i64::try_from(to_ms - self.now.monotonic_ms).expect("not long");
            self.now.monotonic_ms = to_ms;
            self.now.wall_ms += passed;
            self.now.age_ms += passed;
            if next_ms.is_none() {
                return;
            }
            let decision = self.shard.on_deadline(&mut self.soft, self.now);
            let comes_to_nothing = decision == Decision::default();
            if !comes_to_nothing {
                self.take(decision);
                // the log takes the next one
                self.is_refusing = false;
            }
        }
    }

    fn reload(&mut self) {
        self.shard = Shard::new(self.settings.clone());
        for (key, value) in &self.log {
            let record = Shard::decode(key, value.as_deref()).expect("well-formed");
            self.shard.replay(record.expect("known"));
        }
        let (soft, decision) = self.shard.on_loaded(self.now, &self.image);
        self.soft = soft;
        self.take(decision);
    }

    fn show(&mut self, response: &Response) {
        let name = |code: i16| ErrorCode::from(code).name();
        let line = match response {
            Response::InitProducerId(Answered::With(answer)) if answer.error_code == 0 => {
                format!("{}/{}", answer.producer_id, answer.producer_epoch)
            }
            Response::InitProducerId(Answered::With(answer)) => name(answer.error_code).to_owned(),
            Response::EndTxn(Answered::With(answer)) if answer.producer_id >= 0 => {
                format!("{}/{}", answer.producer_id, answer.producer_epoch)
            }
            Response::EndTxn(Answered::With(answer)) => name(answer.error_code).to_owned(),
            Response::AddPartitions(error) => error.name().to_owned(),
            Response::VerifyPartitions(Ok(missing)) => {
                format!("missing:{}", show_partitions(missing))
            }
            Response::VerifyPartitions(Err(error)) => error.name().to_owned(),
            Response::Complete(true) | Response::Expire(true) => return,
            Response::DescribeTransaction(found) if found.error_code != 0 => {
                name(found.error_code).to_owned()
            }
            Response::DescribeTransaction(found) => {
                let topics = found.topics.iter();
                let topics = topics.map(|topic| format!(" {}{:?}", topic.topic, topic.partitions));
                let since = found.transaction_start_time_ms;
                format!(
                    "{} since {since}{}",
                    found.transaction_state,
                    topics.collect::<String>()
                )
            }
            Response::ListTransactions(listed) => format!("{} listed", listed.len()),
            other => format!("{other:?}"),
        };
        self.tell(&format!("  {line}"));
    }

    fn show_record(&mut self, record: &Record) {
        let Some(transaction) = &record.transaction else {
            return self.tell("  [forgotten]");
        };
        let Producer { id, epoch } = transaction.producer;
        let status = transaction.status.name();
        let mut line = format!("  [{id}/{epoch} {status}");
        line.push_str(&show_partitions(&transaction.partitions));
        if transaction.previous_id != id && transaction.previous_id != ProducerId::NONE {
            write!(line, " was {}", transaction.previous_id).expect("a string");
        }
        if transaction.next_id != ProducerId::NONE {
            write!(line, " then {}", transaction.next_id).expect("a string");
        }
        if transaction.last_epoch != NO_EPOCH {
            write!(line, " last epoch {}", transaction.last_epoch).expect("a string");
        }
        line.push(']');
        self.tell(&line);
    }
}

fn show_partitions(partitions: &Partitions) -> String {
    let mut text = String::new();
    for (topic, indexes) in partitions {
        for index in indexes {
            write!(text, " {topic}-{index}").expect("a string takes all");
        }
    }
    text
}
