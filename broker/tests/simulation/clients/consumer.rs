//! A consumer of one partition, from its beginning to the end of the run. Some go by a fetch
//! session (KIP-227), some read from a follower in their rack (KIP-392).

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use ottla_protocol::record;
use ottla_protocol::record_batch::{self, RecordBatch};

use super::PAUSE;
use crate::checks::value_of;
use crate::cluster::brokers;
use crate::connection::{Connection, FETCH_WAIT_MS, Leader};
use crate::node::rack;
use crate::world::{Shared, Slot};

/// A fetch session as its client keeps it.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    id: i32,
    epoch: i32,
    /// From where it reads, by what it was told last.
    told: Option<i64>,
}

/// What a consumer wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    All,
    /// No transaction that is open or aborted.
    Committed,
}

/// One consumer.
pub struct Consumer {
    shared: Shared,
    slot: Slot,
    reads: Reads,
    /// The epoch and the last stable offset that it was told last.
    stable: (i32, i64),
    connection: Connection,
    leader: Option<Leader>,
    /// The follower that the leader has sent it to.
    follower: Option<usize>,
    rack: String,
    session: Option<Session>,
    next: i64,
}

fn name(slot: Slot, reads: Reads) -> String {
    match reads {
        Reads::All => format!("consumer of {slot}"),
        Reads::Committed => format!("consumer of what is committed in {slot}"),
    }
}

impl Consumer {
    pub fn new(shared: &Shared, slot: Slot, reads: Reads) -> Self {
        let part = match reads {
            Reads::All => 300,
            Reads::Committed => 700,
        };
        let mut random = shared.random(part + slot.index() as u64);
        shared.join(&name(slot, reads));
        Self {
            shared: shared.clone(),
            slot,
            reads,
            stable: (-1, 0),
            connection: Connection::new(shared, slot.index() % brokers()),
            leader: None,
            follower: None,
            rack: match random.below(3) {
                0 => rack(random.below(2)),
                _ => String::new(),
            },
            session: random.one_in(2).then(Session::default),
            next: 0,
        }
    }

    /// Reads until the run ends and everything committed is read.
    pub async fn run(mut self) {
        loop {
            let (is_ending, end) = self.shared.with(|world| {
                let end = world.checks.committed_end(self.slot);
                (world.is_ending && world.has_converged(), end)
            });
            if is_ending && self.next >= end {
                break;
            }
            if !self.fetch().await {
                tokio::time::sleep(PAUSE).await;
                self.follower = None;
                self.session = self.session.map(|_| Session::default());
                self.leader = self.connection.leader(self.slot).await;
            }
        }
        self.shared.leave(&name(self.slot, self.reads));
    }

    fn request(&self, leader: Leader) -> FetchRequest {
        let partition = FetchPartition {
            partition: self.slot.partition(),
            current_leader_epoch: leader.epoch,
            fetch_offset: self.next,
            partition_max_bytes: 16 << 10,
            ..FetchPartition::default()
        };
        let is_told = self
            .session
            .is_some_and(|session| session.told == Some(self.next));
        let topic = FetchTopic {
            topic: self.slot.topic().name.to_owned(),
            partitions: vec![partition],
            ..FetchTopic::default()
        };
        FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT_MS as i32,
            min_bytes: 1,
            max_bytes: 1 << 20,
            isolation_level: i8::from(self.reads == Reads::Committed),
            session_id: self.session.map_or(0, |session| session.id),
            session_epoch: self.session.map_or(-1, |session| session.epoch),
            topics: if is_told { Vec::new() } else { vec![topic] },
            rack_id: self.rack.clone(),
            ..FetchRequest::default()
        }
    }

    /// Says whether whoever was asked is worth asking again.
    async fn fetch(&mut self) -> bool {
        let Some(leader) = self.leader else {
            return false;
        };
        let asked = self.follower.unwrap_or(leader.node);
        if self.connection.node() != asked {
            self.connection.turn_to(asked);
            self.session = self.session.map(|_| Session::default());
        }
        let slot = self.slot;
        let committed_epoch = self.shared.with(|world| world.checks.committed_epoch(slot));
        let Some(answer) = self.connection.ask(12, &self.request(leader)).await else {
            return false;
        };
        if !self.goes_on(&answer) {
            return false;
        }
        let topic = answer.responses.into_iter().next();
        let Some(data) = topic.and_then(|topic| topic.partitions.into_iter().next()) else {
            return self.session.is_some(); // no news
        };
        match ErrorCode::from(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => return self.find_start(&data),
            _ => return false,
        }
        if self.follower.is_none() && leader.epoch < committed_epoch {
            self.shared.violate(format!(
                "StaleRead: broker {} serves {slot} in epoch {}, and {committed_epoch} had \
                 committed",
                leader.node, leader.epoch
            ));
        }
        let preferred = usize::try_from(data.preferred_read_replica).ok();
        if preferred.is_some() && self.follower.is_none() {
            self.follower = preferred;
        }
        self.take_in(data);
        true
    }

    /// Takes note of the session; says whether it stands.
    fn goes_on(&mut self, answer: &FetchResponse) -> bool {
        if answer.error_code != 0 {
            return false;
        }
        let next = self.next;
        if let Some(session) = &mut self.session {
            session.id = answer.session_id;
            session.told = Some(next);
            if answer.session_id == 0 {
                *session = Session::default(); // there is no room for it
            } else {
                session.epoch += 1;
            }
        }
        true
    }

    /// A follower may not have what the leader has. A leader has all but what was deleted.
    fn find_start(&mut self, data: &PartitionData) -> bool {
        let (slot, next) = (self.slot, self.next);
        if self.follower.take().is_some() {
            return true;
        }
        let deleted = self.shared.with(|world| world.checks.of(slot).deleted_end);
        let start = data.log_start_offset;
        if next >= deleted || start > deleted {
            let what = format!(
                "NonmonotonicPoll: {slot}@{next} is out of range, the log starts at {start}, \
                 deleted was up to {deleted}"
            );
            self.shared.violate(what);
            return false;
        }
        self.next = self.next.max(start);
        true
    }

    fn take_in(&mut self, data: PartitionData) {
        if self.reads == Reads::Committed {
            return self.take_in_committed(data);
        }
        let slot = self.slot;
        let bytes = data.records.unwrap_or_default().into_bytes();
        for batch in record_batch::iterate(&bytes).flatten() {
            for (offset, value) in values(&batch) {
                if offset < self.next {
                    continue; // a batch is read from its beginning
                }
                if offset > self.next {
                    let what = format!("PollSkip: {slot} skips {} to {offset}", self.next);
                    self.shared.violate(what);
                }
                self.shared
                    .with(|world| world.consumed(slot, offset, &value));
                self.next = offset + 1;
            }
        }
    }

    /// As clients do it: by the markers in what came, and by the transactions of which the broker
    /// says that they were aborted, and from where on.
    fn take_in_committed(&mut self, data: PartitionData) {
        self.check_stable(&data);
        let by = (self.connection.node(), self.slot);
        let mut ahead = data.aborted_transactions.unwrap_or_default();
        ahead.sort_by_key(|aborted| aborted.first_offset);
        let mut ahead = ahead.into_iter().peekable();
        let mut aborted = BTreeSet::new();
        let bytes = data.records.unwrap_or_default().into_bytes();
        for batch in record_batch::iterate(&bytes).flatten() {
            let header = &batch.header;
            let last = header.last_offset().0;
            while let Some(next) = ahead.next_if(|next| next.first_offset <= last) {
                aborted.insert(next.producer_id);
            }
            let id = header.producer_id.0;
            if header.is_control() {
                aborted.remove(&id); // a commit ends no aborted transaction: there is none then
            } else if !(header.is_transactional() && aborted.contains(&id)) {
                let first = self.next;
                for (offset, value) in values(&batch).filter(|(offset, _)| *offset >= first) {
                    let from = self.next;
                    self.shared
                        .with(|world| world.consumed_committed(by, (from, offset), Some(&value)));
                    self.next = offset + 1;
                }
            }
            let (from, end) = (self.next, header.next_offset().0.max(self.next));
            self.shared
                .with(|world| world.consumed_committed(by, (from, end), None));
            self.next = end;
        }
    }

    /// Within an epoch what is stable stays so, and all of it is committed.
    fn check_stable(&mut self, data: &PartitionData) {
        let (stable, committed) = (data.last_stable_offset, data.high_watermark);
        let Some(leader) = self.leader.filter(|_| self.follower.is_none()) else {
            return;
        };
        let (epoch, before) = self.stable;
        self.stable = (leader.epoch, stable);
        if stable > committed || epoch == leader.epoch && stable < before {
            let slot = self.slot;
            self.shared.violate(format!(
                "NonmonotonicStable: {slot} was stable up to {before} in epoch {epoch}, and is up \
                 to {stable} of {committed} in {}",
                leader.epoch
            ));
        }
    }
}

/// The records of a batch: their offsets, and what they say.
fn values<'a>(batch: &RecordBatch<'a>) -> impl Iterator<Item = (i64, String)> + use<'a> {
    let base = batch.header.base_offset.0;
    let records = record::iterate(batch.body(), batch.header.records_count).flatten();
    records.map(move |found| {
        let offset = base + i64::from(found.offset_delta);
        (offset, value_of(found.value.unwrap_or_default()))
    })
}
