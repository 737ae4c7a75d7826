//! Clusters take turns where all of them would restart at once: when another version of the
//! operator makes their brokers otherwise, and no spec has changed.
//!
//! Invariant: of the clusters of one operator, none begins to restart for that while the brokers of
//! another are being restarted, or before it was looked whether they are: an operator that has just
//! begun may find a cluster in the midst of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::object::ObjectKey;

/// The clusters whose brokers are being restarted, or may be. Cheap to clone: all see the same.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    restarting: Rc<RefCell<BTreeSet<ObjectKey>>>,
    unseen: Rc<RefCell<BTreeSet<ObjectKey>>>,
}

/// One cluster among them. It is none of them any more once this is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    turns: Turns,
    key: Option<ObjectKey>,
}

impl Turns {
    /// That of a cluster.
    #[must_use]
    pub fn of(&self, key: &ObjectKey) -> Turn {
        self.unseen.borrow_mut().insert(key.clone());
        Turn {
            turns: self.clone(),
            key: Some(key.clone()),
        }
    }
}

impl Turn {
    /// The cluster that is to be waited for; none: it is this one's turn now.
    #[must_use]
    pub fn take(&self) -> Option<ObjectKey> {
        let restarting = self.turns.restarting.borrow();
        let unseen = self.turns.unseen.borrow();
        let mut others = restarting.iter().chain(unseen.iter());
        let other = others.find(|key| Some(*key) != self.key.as_ref());
        let other = other.cloned();
        drop((restarting, unseen));
        if other.is_none() {
            self.note(true);
        }
        other
    }

    /// Takes note of whether brokers of this cluster are being restarted.
    pub fn note(&self, is_restarting: bool) {
        let Some(key) = &self.key else {
            return;
        };
        let mut restarting = self.turns.restarting.borrow_mut();
        if is_restarting {
            restarting.insert(key.clone());
        } else {
            restarting.remove(key);
        }
    }

    /// Takes note that this cluster was looked at.
    pub fn look(&self) {
        if let Some(key) = &self.key {
            self.turns.unseen.borrow_mut().remove(key);
        }
    }

    /// Whether brokers of this cluster have not been looked at yet.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        let unseen = self.turns.unseen.borrow();
        self.key.as_ref().is_some_and(|key| unseen.contains(key))
    }

    /// Whether brokers of this cluster were being restarted when it was last looked at.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let restarting = self.turns.restarting.borrow();
        self.key
            .as_ref()
            .is_some_and(|key| restarting.contains(key))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.note(false);
        self.look();
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::object::ObjectKey;

    #[test]
    fn one_cluster_goes_after_the_other() {
        let turns = Turns::default();
        let of = |name: &str| {
            turns.of(&ObjectKey {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            })
        };
        let (first, second) = (of("first"), of("second"));
        assert_eq!(first.take().unwrap().name, "second", "it may be at work");
        first.look();
        second.look();
        assert_eq!(first.take(), None);
        assert_eq!(first.take(), None, "it is still its turn");
        assert_eq!(second.take().unwrap().name, "first");
        first.note(false);
        assert_eq!(second.take(), None);
        drop(second);
        assert_eq!(first.take(), None);
    }
}
