//! Fetches of clients that have taken more than their quota.

use ottla_core::fetch_session::{EPOCH_FINAL, Wanted};

use super::{FetchQuery, Fetched};
use crate::replica::Replicas;
use crate::replica::place::TopicKey;
use crate::replica::session::{Begun, Claim, FetchItem};

impl Replicas {
    /// The answer to a fetch of which nothing is read: its session goes on, and what it names is
    /// looked at with the next one; one that it would begin does not begin, as in Kafka.
    pub fn fetch_nothing(
        &self,
        query: &FetchQuery,
        items: Vec<FetchItem>,
        forgotten: &[(TopicKey, i32)],
    ) -> Fetched {
        let wanted = Wanted::of(query.session_epoch, true);
        let claim = Claim {
            id: query.session_id,
            epoch: match wanted {
                Wanted::Known => query.session_epoch,
                Wanted::New | Wanted::None => EPOCH_FINAL,
            },
            reader: query.reader,
            access: &query.access,
        };
        let mut fetched = Fetched::default();
        match self.begin_session(&claim, items, forgotten) {
            Begun::Sessionless(_) => {}
            Begun::Session(turn) => fetched.session_id = turn.id(),
            Begun::Refused(error) => fetched.error = Some(error),
        }
        fetched
    }
}
