//! Who would begin the next transaction of an id while the markers of the last one are being
//! written. That takes a moment, so it is waited out here: whoever is sent away comes again by a
//! timer, which takes longer, and asks more than once. What waits is decided with the end of the
//! transaction before, so that both records share a commit.

use std::collections::BTreeMap;

use super::TransactionalId;
use super::request::AddPartitions;
use crate::shard::{Now, Token};

/// How long markers are waited for; others may wait for the same answer, and a partition may be
/// without a leader for long.
const PATIENCE_MS: u64 = 50;

/// How many requests of one id wait at most: a producer has one under way, and each leader that it
/// sends to asks for itself.
const OF_ONE_ID_MAX: usize = 16;

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) token: Token,
    pub(super) version: i16,
    pub(super) request: AddPartitions,
    until_ms: u64,
}

/// All that wait. Invariant: both maps know the same requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Parked {
    /// In the order in which they came.
    by_id: BTreeMap<TransactionalId, Vec<Waiting>>,
    until: BTreeMap<(u64, Token), TransactionalId>,
}

impl Parked {
    /// Whether one more of that id may wait.
    pub(super) fn has_room(&self, id: &str) -> bool {
        let waiting = self.by_id.get(id).map_or(0, Vec::len);
        waiting < OF_ONE_ID_MAX
    }

    /// A request waits from now on.
    pub(super) fn park(&mut self, now: Now, token: Token, version: i16, request: AddPartitions) {
        let id: TransactionalId = request.transactional_id.as_str().into();
        let until_ms = now.monotonic_ms + PATIENCE_MS;
        self.until.insert((until_ms, token), id.clone());
        self.by_id.entry(id).or_default().push(Waiting {
            token,
            version,
            request,
            until_ms,
        });
    }

    /// The id's transaction is over: what waited for that.
    pub(super) fn take(&mut self, id: &TransactionalId) -> Vec<Waiting> {
        let taken = self.by_id.remove(id).unwrap_or_default();
        for waiting in &taken {
            self.until.remove(&(waiting.until_ms, waiting.token));
        }
        taken
    }

    /// One that has waited for long enough.
    pub(super) fn give_up(&mut self, now: Now) -> Option<Token> {
        let entry = self.until.first_entry()?;
        let (until_ms, token) = *entry.key();
        if until_ms > now.monotonic_ms {
            return None;
        }
        let id = entry.remove();
        if let Some(waiting) = self.by_id.get_mut(&id) {
            waiting.retain(|waiting| waiting.token != token);
            if waiting.is_empty() {
                self.by_id.remove(&id);
            }
        }
        Some(token)
    }

    /// When [`Self::give_up`] is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.until.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }
}
