//! Brokers that make topics slowly or not at all, and what happens beside the operator.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ottla_protocol::api::ApiKey;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::topics::CreatableTopicResult;

use super::{Brokers, Kafka};

/// What goes otherwise than at once.
pub(super) struct Trouble {
    /// How many more requests for topics are answered, and how long each takes.
    creations: Cell<(usize, Duration)>,
    /// How the names of topics begin that are not made; empty: all are.
    refused: RefCell<String>,
    /// The topic that somebody makes once a restart is planned.
    made_between: RefCell<Option<(String, Vec<i32>)>>,
    /// How often somebody asked what is being moved.
    looks: Cell<usize>,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            creations: Cell::new((usize::MAX, Duration::ZERO)),
            refused: RefCell::default(),
            made_between: RefCell::default(),
            looks: Cell::new(0),
        }
    }
}

impl Trouble {
    pub(super) fn looked(&self) {
        self.looks.set(self.looks.get() + 1);
    }

    pub(super) fn refuses(&self, topic: &str) -> bool {
        let refused = self.refused.borrow();
        !refused.is_empty() && topic.starts_with(refused.as_str())
    }
}

/// The answer to whoever wants such a topic.
pub(super) fn refused(topic: String) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic,
        error_code: ErrorCode::PolicyViolation.code(),
        ..CreatableTopicResult::default()
    }
}

impl Brokers {
    /// Has so many more requests for topics be answered, each after that time.
    pub fn create_slowly(&self, requests: usize, each: Duration) {
        self.kafka.trouble.creations.set((requests, each));
    }

    /// Has topics whose names begin so be refused.
    pub fn refuse_topics(&self, prefix: &str) {
        prefix.clone_into(&mut self.kafka.trouble.refused.borrow_mut());
    }

    /// Has somebody make a topic of these replicas between the look at all topics that a restart is
    /// planned by and the restart.
    pub fn create_before_restart(&self, topic: &str, replicas: &[i32]) {
        let new = (topic.to_owned(), replicas.to_vec());
        *self.kafka.trouble.made_between.borrow_mut() = Some(new);
    }

    /// Another step begins, of which nothing may come.
    pub fn prepare(&self) {
        if let Some((topic, _)) = &*self.kafka.trouble.made_between.borrow() {
            self.kafka.topics.borrow_mut().remove(topic);
        }
    }

    /// Somebody asks what a restart would harm.
    pub fn check(&self) {
        if let Some((topic, replicas)) = &*self.kafka.trouble.made_between.borrow() {
            self.create(topic);
            self.set_replicas(topic, replicas);
        }
    }

    /// A broker restarts.
    pub fn restart(&self) {
        self.kafka.trouble.made_between.take();
    }

    /// How often somebody has asked what is being moved.
    pub fn looks(&self) -> usize {
        self.kafka.trouble.looks.get()
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
        let (left, each) = self.trouble.creations.get();
        if left < usize::MAX {
            let left = left.saturating_sub(1);
            self.trouble.creations.set((left, each));
        }
        if !each.is_zero() {
            tokio::time::sleep(each).await;
        }
        left > 0
    }
}
