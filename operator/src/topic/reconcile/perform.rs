//! What was planned is carried out, in portions.
//!
//! A pass begins no portion once [`PORTIONS_TIME_MAX`] is over: what it did is told then, and the
//! next one goes on with what is wanted by that time. Where a portion fails, none follows it in
//! this pass; what became of those before is told as ever, and the others say what they wait for.
//!
//! Nothing waits for long: each kind of change begins one portion in each pass. What brokers
//! refused last comes after all else, in each pass in another order, and says so until they are
//! asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use tokio::time::Instant;

use super::super::plan::{self, plan};
use super::super::status::{refused_by_broker, refused_last, still_refused};
use super::Work;
use crate::admin::{Admin, Answers, ConfigChanges, Error, NewTopic};
use crate::condition::{TopicReason, Verdict};
use crate::fingerprint::fingerprint;
use crate::observed::ObservedTopic;

/// For so long a pass begins portions.
const PORTIONS_TIME_MAX: Duration = Duration::from_secs(3);

/// How the portions of a pass ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// All of them were asked for.
    All,
    /// Others are for the next pass.
    InTime,
    /// One of them had no answer, because of this.
    Broken(Error),
}

/// Where brokers refused what is wanted of an object its turn among those, and its place.
type Order = (Option<u64>, usize);

/// What is to be changed, in the order in which it is asked for.
#[derive(Default)]
struct Parts {
    deletes: BTreeMap<Order, ()>,
    creates: BTreeMap<Order, NewTopic>,
    totals: BTreeMap<Order, i32>,
    configs: BTreeMap<Order, ConfigChanges>,
}

impl Parts {
    fn of(changes: &[(usize, plan::Change)], turn: impl Fn(usize) -> Option<u64>) -> Self {
        let mut parts = Self::default();
        for (place, change) in changes {
            let order = (turn(*place), *place);
            match change {
                plan::Change::Delete => drop(parts.deletes.insert(order, ())),
                plan::Change::Create {
                    partitions,
                    replication_factor,
                    config,
                } => {
                    let new = NewTopic {
                        partitions: *partitions,
                        replication_factor: *replication_factor,
                        config: config.clone(),
                    };
                    parts.creates.insert(order, new);
                }
                plan::Change::AddPartitions { total } => drop(parts.totals.insert(order, *total)),
                plan::Change::AlterConfig { set, delete } => {
                    let set = set.iter().map(|(k, v)| (k.clone(), Some(v.clone())));
                    let delete = delete.iter().map(|k| (k.clone(), None));
                    parts.configs.insert(order, set.chain(delete).collect());
                }
            }
        }
        parts
    }

    fn is_empty(&self) -> bool {
        self.deletes.is_empty()
            && self.creates.is_empty()
            && self.totals.is_empty()
            && self.configs.is_empty()
    }
}

/// The portions of one kind: the first one always has its turn.
struct Turn {
    due: Instant,
    has_begun: bool,
}

impl Turn {
    fn until(due: Instant) -> Self {
        let has_begun = false;
        Self { due, has_begun }
    }

    fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.has_begun, true) || Instant::now() < self.due
    }
}

impl Work<'_> {
    /// Deletions first, so that a name is free again for whoever wants it next.
    pub(super) async fn perform(
        &mut self,
        admin: &mut Admin,
        changes: &[(usize, plan::Change)],
    ) -> Ended {
        // by place, those behind many that are refused would never be asked for again
        let turn = |place: usize| {
            let (key, desired) = self.topics[place];
            let is_refused = refused_last(&desired.object).is_some();
            let now = self.now;
            is_refused.then(|| fingerprint(&format!("{now} {key} {now}")))
        };
        let mut parts = Parts::of(changes, turn);
        let due = Instant::now() + PORTIONS_TIME_MAX;
        match self.perform_until(admin, &mut parts, due).await {
            Err(error) => Ended::Broken(error),
            Ok(()) if parts.is_empty() => Ended::All,
            Ok(()) => Ended::InTime,
        }
    }

    async fn perform_until(
        &mut self,
        admin: &mut Admin,
        parts: &mut Parts,
        due: Instant,
    ) -> Result<(), Error> {
        let mut turn = Turn::until(due);
        while let Some(batch) = self.next(&mut parts.deletes, admin.portion(), &mut turn) {
            let names = batch.keys().cloned().collect();
            let answers = admin.delete_topics(&names).await?;
            self.note(&answers, "deleted", ErrorCode::UnknownTopicOrPartition);
        }
        let mut turn = Turn::until(due);
        while let Some(batch) = self.next(&mut parts.creates, admin.portion(), &mut turn) {
            let answers = admin.create_topics(&batch).await?;
            self.note(&answers, "created", ErrorCode::TopicAlreadyExists);
        }
        let mut turn = Turn::until(due);
        while let Some(batch) = self.next(&mut parts.totals, admin.portion(), &mut turn) {
            let answers = admin.create_partitions(&batch).await?;
            self.note(&answers, "partitions added", ErrorCode::None);
        }
        let mut turn = Turn::until(due);
        while let Some(batch) = self.next(&mut parts.configs, admin.portion(), &mut turn) {
            let answers = admin.alter_topic_configs(&batch).await?;
            let keys: BTreeMap<&String, String> = batch
                .iter()
                .map(|(name, changes)| {
                    let keys: Vec<&str> = changes.keys().map(String::as_str).collect();
                    (name, keys.join(", "))
                })
                .collect();
            for (name, answer) in answers {
                let what = format!("config set: {}", keys.get(&name).map_or("", |k| k));
                self.note(&BTreeMap::from([(name, answer)]), &what, ErrorCode::None);
            }
        }
        Ok(())
    }

    /// Takes the first parts, by topic; none where none are left, or no more may begin.
    fn next<T>(
        &self,
        parts: &mut BTreeMap<Order, T>,
        portion: usize,
        turn: &mut Turn,
    ) -> Option<BTreeMap<String, T>> {
        if !turn.begins() {
            return None;
        }
        let first = std::iter::from_fn(|| parts.pop_first()).take(portion);
        let named = first.map(|((_, place), part)| (self.valid[&place].topic.clone(), part));
        let batch: BTreeMap<String, T> = named.collect();
        (!batch.is_empty()).then_some(batch)
    }

    /// Keeps what was done and what was refused; `harmless` means that it was done already.
    fn note(&mut self, answers: &Answers, what: &str, harmless: ErrorCode) {
        let places: BTreeMap<&str, usize> = self
            .valid
            .iter()
            .map(|(place, topic)| (topic.topic.as_str(), *place))
            .collect();
        for (name, answer) in answers {
            let Some(place) = places.get(name.as_str()) else {
                continue;
            };
            match answer {
                Ok(()) => {
                    let key = self.topics[*place].0.clone();
                    self.pass.done.push((key, what.to_owned()));
                }
                Err(refusal) if refusal.code == harmless => {}
                Err(refusal) => {
                    let refused = self.refused.entry(*place).or_default();
                    refused.push(refused_by_broker(refusal));
                }
            }
        }
    }

    /// Has topics that are not as they should be yet say what they wait for: where they exist, they
    /// would be told as ready. What was refused last says so still.
    pub(super) fn tell_waiting(
        &mut self,
        changes: &[(usize, plan::Change)],
        observed: &BTreeMap<String, ObservedTopic>,
        brokers: i32,
        ended: &Ended,
    ) {
        let why = match ended {
            Ended::All => return,
            Ended::InTime => "those of other topics come first".to_owned(),
            Ended::Broken(error) => error.to_string(),
        };
        for (place, _) in changes {
            let topic = &self.valid[place];
            let exists = observed.get(&topic.topic);
            let (reason, what) = match self.topics[*place].1.deleting {
                true if exists.is_none() => continue,
                true => (TopicReason::Deleting, "deletion"),
                false if plan(topic, exists, brokers).changes.is_empty() => continue,
                false => (TopicReason::Applying, "change"),
            };
            let refused = self.refused.entry(*place).or_default();
            if !refused.is_empty() {
                continue;
            }
            let before = refused_last(&self.topics[*place].1.object);
            refused.push(match (before, ended) {
                (Some(before), Ended::Broken(_)) => still_refused(&before, &why),
                (Some(before), _) => before,
                (None, _) => Verdict::new(reason, format!("The {what} waits: {why}.")),
            });
        }
    }
}
