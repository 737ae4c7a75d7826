//! Fetch sessions (KIP-227): a client names its partitions once and then only what changes; it is
//! answered only with what has news.
//!
//! Each partition of a session has a key: a small number, used again once the partition is
//! forgotten. Each fetch has a generation. A later fetch overtakes one that is still at work, and
//! the answer of the overtaken one leaves alone what the later one has named.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset};

use crate::acl::Acls;

/// A session that was not used for so many milliseconds may make room for another.
const EVICTION_AGE_MS: u64 = 120_000;

/// The epoch that begins a session.
const EPOCH_INITIAL: i32 = 0;

/// The epoch that ends one, or says that none is wanted.
pub const EPOCH_FINAL: i32 = -1;

/// From where a reader reads one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first offset wanted.
    pub fetch_offset: Offset,
    /// How many bytes of this partition are wanted.
    pub bytes_max: usize,
    /// The first offset of a follower's log.
    pub log_start_offset: Offset,
    /// The leader epoch the reader knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the record before `fetch_offset`, by the reader.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// Which session a fetch wants, by its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None; the one that it names ends.
    None,
    /// A new one; the one that it names ends.
    New,
    /// The one that it names.
    Known,
}

impl Wanted {
    /// What a fetch of this epoch wants; without partitions there is nothing to begin.
    #[must_use]
    pub fn of(epoch: i32, names_partitions: bool) -> Self {
        match epoch {
            EPOCH_INITIAL if names_partitions => Self::New,
            EPOCH_INITIAL | EPOCH_FINAL => Self::None,
            _ => Self::Known,
        }
    }
}

/// A session that a broker holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Its id.
    pub id: i32,
    /// The follower that fetches in it.
    pub follower: Option<NodeId>,
    /// When a fetch last used it.
    pub used_ms: u64,
}

/// Whether there is room for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// There is.
    Free,
    /// This one ends for it.
    InPlaceOf(i32),
    /// All others are in use.
    None,
}

impl Vacancy {
    /// Room for a session of this follower, or of a consumer, among at most `count_max`. A
    /// follower has one session with a leader, and always finds room.
    pub fn among(
        mut held: impl ExactSizeIterator<Item = Held>,
        count_max: usize,
        follower: Option<NodeId>,
        now_ms: u64,
    ) -> Self {
        let count = held.len();
        if follower.is_some() {
            let replaced = held.find(|held| held.follower == follower);
            return replaced.map_or(Self::Free, |held| Self::InPlaceOf(held.id));
        }
        if count < count_max {
            return Self::Free;
        }
        held.filter(|held| held.follower.is_none())
            .map(|held| (held.used_ms, held.id))
            .min()
            .filter(|(used_ms, _)| now_ms.saturating_sub(*used_ms) >= EVICTION_AGE_MS)
            .map_or(Self::None, |(_, id)| Self::InPlaceOf(id))
    }
}

/// What is said of a partition besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// What is committed.
    pub high_watermark: i64,
    /// What no open transaction may still take back.
    pub last_stable_offset: i64,
    /// Where the log begins.
    pub log_start_offset: i64,
}

/// What a fetch found in one partition.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// The partition's key.
    pub key: u32,
    /// What there is to say of it.
    pub said: Said,
    /// Whether it has records for the reader.
    pub has_records: bool,
    /// It may not wait: an error, a diverging log, another replica to read from.
    pub is_urgent: bool,
    /// The reader wants to know of the high watermark at once.
    pub tells_high_watermark: bool,
    /// There is more than fitted, or an error: look again with the next fetch.
    pub look_again: bool,
}

/// How a fetch goes on with what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It answers.
    Answer {
        /// By finding: whether the answer tells of it.
        is_told: Vec<bool>,
        /// The keys to look at again with the next fetch.
        again: Vec<u32>,
    },
    /// It waits for more, and looks at these keys again with what comes next.
    Wait {
        /// The keys.
        again: Vec<u32>,
    },
}

/// One partition of a session, or of a fetch without one: `N` names it, `R` holds it here.
#[derive(Clone, Debug)]
pub struct Entry<N, R> {
    /// The partition.
    pub name: N,
    /// What holds it on this broker.
    pub replica: R,
    /// From where the reader reads.
    pub position: Position,
    /// Whether a request that is not answered yet named it: it tells where a follower is.
    pub is_new: bool,
    /// Which fetch of the session named it last.
    named: u64,
    /// When it was last answered with records, counted in answers.
    answered: u64,
    said: Option<Said>,
}

impl<N, R> Entry<N, R> {
    /// A partition that was just named.
    pub fn new(name: N, replica: R, position: Position) -> Self {
        Self {
            name,
            replica,
            position,
            is_new: true,
            named: 0,
            answered: 0,
            said: None,
        }
    }
}

/// One session.
#[derive(Debug)]
pub struct FetchSession<N, R> {
    epoch: i32,
    generation: u64,
    entries: Vec<Option<Entry<N, R>>>,
    keys: BTreeMap<N, u32>,
    free: Vec<u32>,
    /// The first answer of a session says everything.
    is_full: bool,
    answers: u64,
    /// The ACLs of the last fetch, where an authorizer asked them.
    acls: Option<Arc<Acls>>,
}

impl<N, R> Default for FetchSession<N, R> {
    fn default() -> Self {
        Self {
            epoch: 1,
            generation: 0,
            entries: Vec::new(),
            keys: BTreeMap::new(),
            free: Vec::new(),
            is_full: true,
            answers: 0,
            acls: None,
        }
    }
}

impl<N: Clone + Ord, R: Default> FetchSession<N, R> {
    /// The fetch that names and forgets now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The next fetch, of this epoch, begins and overtakes those before.
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH: another epoch is next.
    pub fn advance(&mut self, epoch: i32) -> Result<(), ErrorCode> {
        if self.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.generation += 1;
        Ok(())
    }

    /// The keys to look at again because the fetch comes with other ACLs than the last one: all.
    pub fn recheck(&mut self, acls: &Arc<Acls>) -> Vec<u32> {
        let known = self.acls.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(known, acls)) {
            return Vec::new();
        }
        self.acls = Some(Arc::clone(acls));
        self.keys.values().copied().collect()
    }

    /// The fetch names a partition: gives its key, which is due to be looked at.
    pub fn update(&mut self, name: N, position: Position) -> u32 {
        let generation = self.generation;
        let known = self.keys.get(&name).copied();
        if let Some(key) = known
            && let Some(entry) = self.entry(key)
        {
            // what was said in another leader epoch, a follower may have had to drop
            if entry.position.current_leader_epoch != position.current_leader_epoch {
                entry.said = None;
            }
            entry.position = position;
            entry.is_new = true;
            entry.named = generation;
            return key;
        }
        let entry = Entry {
            named: generation,
            ..Entry::new(name.clone(), R::default(), position)
        };
        let key = match self.free.pop() {
            Some(key) => {
                self.entries[key as usize] = Some(entry);
                key
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() as u32 - 1
            }
        };
        self.keys.insert(name, key);
        key
    }

    /// The fetch forgets a partition: gives the key, now free, and what held the partition.
    pub fn forget(&mut self, name: &N) -> Option<(u32, R)> {
        let key = self.keys.remove(name)?;
        let entry = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        Some((key, entry.replica))
    }

    /// The partition of a key.
    pub fn entry(&mut self, key: u32) -> Option<&mut Entry<N, R>> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    /// Whether a later fetch than the one of this generation has begun.
    #[must_use]
    pub fn is_overtaken(&self, generation: u64) -> bool {
        self.generation != generation
    }

    /// Sorts keys into the order in which they are looked at, each once: the partition whose
    /// records were not in an answer for longest comes first.
    pub fn order(&self, keys: &mut Vec<u32>) {
        keys.sort_unstable_by_key(|key| {
            let entry = self.entries.get(*key as usize).and_then(Option::as_ref);
            (entry.map_or(0, |entry| entry.answered), *key)
        });
        keys.dedup();
    }

    /// Decides whether the fetch of this generation answers with what it found, which `is_due`
    /// says where that is enough or the time is over; notes what the answer tells.
    pub fn settle(&mut self, generation: u64, findings: &[Finding], is_due: bool) -> Settled {
        let is_due = is_due
            || self.is_full
            || self.is_overtaken(generation)
            || findings.iter().any(|found| self.is_pressing(found));
        if is_due {
            self.is_full &= findings.is_empty();
            let is_told = findings.iter().map(|f| self.tell(generation, f)).collect();
            let again = findings.iter().filter(|f| f.has_records || f.look_again);
            let again = again.map(|f| f.key).collect();
            return Settled::Answer { is_told, again };
        }
        // the positions were told to the leaders
        for found in findings {
            if let Some(entry) = self.entry(found.key) {
                entry.is_new = false;
            }
        }
        let again = findings.iter().filter(|f| f.has_records || self.is_news(f));
        let again = again.map(|f| f.key).collect();
        Settled::Wait { again }
    }

    /// Notes what an answer says of a partition; gives whether it says anything.
    fn tell(&mut self, generation: u64, found: &Finding) -> bool {
        self.answers += 1;
        let answers = self.answers;
        let is_news = self.is_news(found);
        // what a later fetch named, perhaps under a key used again, stays for that one to tell
        if let Some(entry) = self.entry(found.key)
            && entry.named <= generation
        {
            entry.is_new = false;
            // beside an error or a diverging log nothing else holds for a reader, which drops it
            entry.said = (!found.is_urgent).then_some(found.said);
            if found.has_records {
                entry.answered = answers;
            }
        }
        is_news || found.has_records || found.is_urgent
    }

    fn said(&self, key: u32) -> Option<Option<Said>> {
        let entry = self.entries.get(key as usize)?.as_ref()?;
        Some(entry.said)
    }

    /// Whether this differs from what was last said of the partition.
    fn is_news(&self, found: &Finding) -> bool {
        self.said(found.key)
            .is_some_and(|said| said != Some(found.said))
    }

    /// Whether news of a partition without records are worth an answer of their own: the high
    /// watermark, for who wants to know of it; where the log starts, for a follower follows at
    /// once.
    fn is_pressing(&self, found: &Finding) -> bool {
        let is_start_moved = || {
            let said = self.said(found.key).flatten();
            said.is_some_and(|said| said.log_start_offset != found.said.log_start_offset)
        };
        self.is_news(found) && (found.tells_high_watermark || is_start_moved())
    }
}

#[cfg(test)]
mod tests;
