//! What clients may change of the metadata (KIP-599): partitions that they create and delete are
//! paid for in tokens, which come back at the rate of the client's quota.
//!
//! The active controller keeps the tokens, so that the quota is one for the whole cluster; in
//! memory, as Kafka does: a new active controller begins with all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;

use super::request::{Metered, MeteredAnswer, Refusal, Request, Response};
use super::{Decision, Metadata, Moment};
use crate::image::MetadataImage;
use crate::image::record::Record;
use crate::quota::window::{Bucket, Sampling};
use crate::quota::{Key, Rate};

/// How many clients' tokens are kept at a time.
const CLIENTS_MAX: usize = 4096;

/// What a client has to spend on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Thousandths of tokens; below zero where some are owed.
    left_millis: i64,
    rate: Rate,
    is_strict: bool,
    has_refused: bool,
}

impl Purse {
    /// Pays for so many partitions. Whoever owes nothing may spend more than there is.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED.
    fn spend(&mut self, partitions: usize) -> Result<(), Refusal> {
        if self.is_strict && self.left_millis < 0 {
            self.has_refused = true;
            return Err(Refusal::new(
                ErrorCode::ThrottlingQuotaExceeded,
                "The throttling quota has been exceeded.",
            ));
        }
        let millis = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.left_millis = self.left_millis.saturating_sub(millis.saturating_mul(1000));
        Ok(())
    }

    /// For how long the client is to wait: until it owes nothing. Who understands refusals need not
    /// before it has met one.
    fn throttle_time_ms(self) -> i32 {
        match self.left_millis < 0 && (!self.is_strict || self.has_refused) {
            true => (-self.left_millis as f64 / self.rate.value()).round() as i32,
            false => 0,
        }
    }
}

/// See [`Purse::spend`]; who has no quota pays nothing.
pub(super) fn spend(purse: &mut Option<Purse>, partitions: usize) -> Result<(), Refusal> {
    purse
        .as_mut()
        .map_or(Ok(()), |purse| purse.spend(partitions))
}

/// See [`Purse::throttle_time_ms`].
pub(super) fn throttle_time_ms(purse: Option<Purse>) -> i32 {
    purse.map_or(0, Purse::throttle_time_ms)
}

impl Metadata {
    pub(super) fn metered(&self, moment: Moment, metered: &Metered) -> Decision {
        let asked = Request::decode(metered.request.clone()).ok();
        let asked = asked.filter(|asked| {
            use Request::{CreatePartitions, CreateTopics, DeleteTopics};
            matches!(
                asked,
                CreateTopics(_) | CreatePartitions(_) | DeleteTopics(_)
            )
        });
        let decided = asked.and_then(|asked| {
            let decision = self.decide(moment, &asked);
            let response = decision.response.encode().ok()?;
            Some((decision.records, response))
        });
        let refusal = || Refusal::new(ErrorCode::InvalidRequest, "No client is metered for that.");
        let (records, answer) = match decided {
            Some((records, response)) => (records, Ok(MeteredAnswer { response })),
            None => (Vec::new(), Err(refusal())),
        };
        Decision {
            records,
            response: Response::Metered(answer),
        }
    }
}

/// The tokens of those who have changed something lately: whoever has all of them is not kept.
#[derive(Debug)]
pub struct Mutations {
    sampling: Sampling,
    buckets: BTreeMap<Who, (Bucket, Rate)>,
}

/// Those who are counted together: of a user, of a client id, or of both.
type Who = (Option<String>, Option<String>);

impl Mutations {
    /// Everybody has all tokens; what is spent comes back in windows like these.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            buckets: BTreeMap::new(),
        }
    }

    /// What the client that asks has to spend; none where nobody bounds it.
    pub fn purse(&self, now: Duration, image: &MetadataImage, request: &Request) -> Option<Purse> {
        let Request::Metered(asked) = request else {
            return None;
        };
        let (rate, who) = whose(image, asked)?;
        let kept = self.buckets.get(&who).map(|(bucket, _)| *bucket);
        let tokens = kept.unwrap_or_default().tokens(now, self.sampling, rate);
        Some(Purse {
            left_millis: (tokens * 1000.0) as i64,
            rate,
            is_strict: asked.is_strict,
            has_refused: false,
        })
    }

    /// The client spends what `records` change of `image`.
    pub fn charge(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        request: &Request,
        records: &[Record],
    ) {
        let partitions: usize = records.iter().map(|record| changed(image, record)).sum();
        if partitions > 0
            && let Request::Metered(asked) = request
            && let Some((rate, who)) = whose(image, asked)
        {
            if self.buckets.len() >= CLIENTS_MAX && !self.buckets.contains_key(&who) {
                self.make_room(now);
            }
            let kept = self.buckets.entry(who);
            let (bucket, known) = kept.or_insert_with(|| (Bucket::default(), rate));
            *known = rate;
            bucket.take(now, self.sampling, rate, partitions as f64);
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.buckets.len()
    }

    /// Forgets those who have all tokens, and then the half that lacks the least.
    fn make_room(&mut self, now: Duration) {
        let sampling = self.sampling;
        let lack = |(mut bucket, rate): (Bucket, Rate)| bucket.lack(now, sampling, rate);
        self.buckets.retain(|_, kept| lack(*kept) > 0.0);
        if self.buckets.len() >= CLIENTS_MAX {
            let mut all: Vec<_> = std::mem::take(&mut self.buckets).into_iter().collect();
            all.sort_by(|(_, a), (_, b)| lack(*b).total_cmp(&lack(*a)));
            all.truncate(CLIENTS_MAX / 2);
            self.buckets.extend(all);
        }
    }
}

/// The rate that holds for the client that asks, and those it is counted with.
fn whose(image: &MetadataImage, asked: &Metered) -> Option<(Rate, Who)> {
    let (user, client_id) = (&asked.user, &asked.client_id);
    let quotas = &image.client_quotas;
    let found = quotas.find(Key::ControllerMutationRate, user, client_id)?;
    let who = (
        found.by_user.then(|| user.clone()),
        found.by_client_id.then(|| client_id.clone()),
    );
    Some((found.rate, who))
}

/// How many partitions a record creates or deletes.
fn changed(image: &MetadataImage, record: &Record) -> usize {
    match record {
        Record::Partition(r) => usize::from(image.partition(r.id()).is_none()),
        Record::RemoveTopic(r) => {
            let topic = image.topic_by_id(ottla_protocol::ids::TopicId(r.topic_id));
            topic.map_or(0, |topic| topic.partitions.len())
        }
        _ => 0,
    }
}
