//! What goes wrong at the API server, by the kind of a call and its number among those of its kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Place;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    List,
    Watch,
    Get,
    Create,
    Patch,
    Status,
    Evict,
    Delete,
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    pub verb: Verb,
    pub place: Place,
    /// The version from which a watch goes on.
    pub since: u64,
    /// Whether a patch is merged with what is there, rather than applied.
    pub is_merge: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is carried out and answered.
    Done,
    /// It is refused.
    Code(u16),
    /// It is not answered.
    Silence { is_done: bool },
    /// Whoever made it is killed.
    Death { is_done: bool },
}

/// Calls of one kind that take another course.
#[derive(Clone, Debug)]
pub struct Fault {
    pub resource: String,
    pub verb: Verb,
    /// The first of them, counted from 1 among all calls of the kind; none: the next one.
    pub first: Option<usize>,
    pub count: usize,
    pub course: Course,
}

impl Fault {
    /// The next calls of a kind.
    pub fn next(resource: &str, verb: Verb, count: usize, course: Course) -> Self {
        Self {
            resource: resource.to_owned(),
            verb,
            first: None,
            count,
            course,
        }
    }

    /// Calls of a kind from the n-th on.
    pub fn at(resource: &str, verb: Verb, first: usize, count: usize, course: Course) -> Self {
        Self {
            first: Some(first),
            ..Self::next(resource, verb, count, course)
        }
    }
}

/// The faults of one server, and what was asked of it.
#[derive(Default)]
pub struct Faults {
    faults: Vec<Fault>,
    journal: BTreeMap<(String, Verb), Vec<(Place, Instant)>>,
    calls: usize,
    kill_at: Option<(usize, bool)>,
    pub killed: Arc<Notify>,
}

impl Faults {
    pub fn add(&mut self, mut fault: Fault) {
        let key = (fault.resource.clone(), fault.verb);
        let so_far = self.journal.get(&key).map_or(0, Vec::len);
        fault.first.get_or_insert(so_far + 1);
        self.faults.push(fault);
    }

    pub fn clear(&mut self) {
        self.faults.clear();
    }

    pub fn kill_at(&mut self, call: usize, is_done: bool) {
        self.kill_at = Some((call, is_done));
    }

    pub fn calls(&self) -> usize {
        self.calls
    }

    pub fn kinds(&self) -> Vec<(String, Verb)> {
        self.journal.keys().cloned().collect()
    }

    pub fn times(&self, resource: &str, verb: Verb) -> Vec<(Place, Instant)> {
        let key = (resource.to_owned(), verb);
        self.journal.get(&key).cloned().unwrap_or_default()
    }

    /// Takes note of a call and says what becomes of it.
    pub fn next(&mut self, call: &Call) -> Course {
        self.calls += 1;
        let key = (call.place.0.clone(), call.verb);
        let calls = self.journal.entry(key).or_default();
        calls.push((call.place.clone(), Instant::now()));
        let number = calls.len();
        if let Some((at, is_done)) = self.kill_at
            && at == self.calls
        {
            self.kill_at = None;
            return Course::Death { is_done };
        }
        let hits = |fault: &&Fault| {
            let first = fault.first.unwrap_or(1);
            fault.resource == call.place.0
                && fault.verb == call.verb
                && (first..first.saturating_add(fault.count)).contains(&number)
        };
        let fault = self.faults.iter().find(hits);
        fault.map_or(Course::Done, |fault| fault.course)
    }
}
