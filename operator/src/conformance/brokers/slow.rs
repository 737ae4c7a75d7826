//! Brokers that make topics slowly, or not at all.

use std::time::Duration;

use ottla_protocol::api::ApiKey;

use super::{Brokers, Kafka};

impl Brokers {
    /// Has so many more requests for topics be answered, each after that time.
    pub fn create_slowly(&self, requests: usize, each: Duration) {
        self.kafka.creations.set((requests, each));
    }
}

impl Kafka {
    /// Waits for as long as a request takes; says whether it is answered at all.
    pub(super) async fn is_answered(&self, request: &[u8]) -> bool {
        let key = request
            .get(..2)
            .map(|key| i16::from_be_bytes([key[0], key[1]]));
        if key != Some(ApiKey::CreateTopics.key()) {
            return true;
        }
        let (left, each) = self.creations.get();
        if left < usize::MAX {
            self.creations.set((left.saturating_sub(1), each));
        }
        if !each.is_zero() {
            tokio::time::sleep(each).await;
        }
        left > 0
    }
}
