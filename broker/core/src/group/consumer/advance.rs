//! A member takes its next step, whichever protocol it speaks: what it says of itself is noted, the
//! group's target is made where it is due, and the member is brought on its way to its own.

use std::sync::Arc;

use super::Draft;
use super::reconcile::reconcile;
use super::request::Visible;
use super::sessions::Sessions;
use super::state::{Current, Entry, Member, MemberId, Partitions};
use crate::group::Client;
use crate::image::MetadataImage;
use crate::shard::Now;

/// By what a member's request is decided.
pub struct Terms<'a> {
    /// Who asks.
    pub client: &'a Client,
    /// By which topics and partitions.
    pub image: &'a MetadataImage,
    /// By which time.
    pub now: Now,
    /// How many members a group may have.
    pub size_max: usize,
    /// How long lies between two targets of a large group.
    pub assignment_interval_ms: i32,
    /// Which topics the member's regular expression may match.
    pub visible: &'a Visible,
}

/// A member, from what it was to what it says now.
pub struct Moves<'a> {
    /// Which.
    pub id: &'a MemberId,
    /// What it was.
    pub before: Option<&'a Arc<Member>>,
    /// What it is.
    pub member: &'a Arc<Member>,
    /// What it was told.
    pub current: &'a Current,
    /// What it says that it has; none where that is as it was told.
    pub owned: Option<&'a Partitions>,
}

impl Draft<'_> {
    /// The member's next step; gives what it has from its next answer on.
    pub(super) fn advance(
        &mut self,
        terms: &Terms<'_>,
        sessions: &mut Sessions,
        moves: &Moves<'_>,
    ) -> Current {
        self.subscribe(terms, sessions, moves);
        let (members, interval_ms) = (self.group.members.len(), terms.assignment_interval_ms);
        let is_due = self.group.assignment_epoch() < self.group.group_epoch();
        if is_due && sessions.may_assign(members, interval_ms, terms.now) {
            self.make_target(terms.image);
        }
        let next = reconcile(&self.group, moves.id, moves.current, moves.owned);
        let before = self.group.current.get(moves.id);
        if before.is_none_or(|before| **before != next) {
            let entry = Entry::Current(moves.id.clone(), Some(Arc::new(next.clone())));
            self.put(entry);
        }
        next
    }

    /// Notes what has changed, and whether the group's epoch has to.
    fn subscribe(&mut self, terms: &Terms<'_>, sessions: &mut Sessions, moves: &Moves<'_>) {
        let (id, before, member) = (moves.id, moves.before, moves.member);
        let is_there = self.group.members.contains_key(id);
        let is_same = before.is_some_and(|before| Arc::ptr_eq(before, member));
        let mut is_news = match before {
            Some(before) => before.topics != member.topics,
            None => !member.topics.is_empty(),
        };
        let regex_before = before.and_then(|before| before.regex.as_ref());
        let is_other_regex = regex_before != member.regex.as_ref();
        let matched_before = match is_other_regex {
            true => self.group.matched(regex_before).cloned(),
            false => None,
        };
        if !is_there || (!is_same && before != Some(member)) {
            self.put(Entry::Member(id.clone(), Some(Arc::clone(member))));
        }
        if let Some(regex) = &member.regex {
            let is_known = self.group.regexes.contains_key(regex);
            if sessions.is_to_be_resolved(regex, is_known, terms.now) {
                is_news |= self.resolve(regex, terms.image, terms.visible, terms.now);
            }
        }
        if is_other_regex {
            is_news |= matched_before.as_ref() != self.group.matched(member.regex.as_ref());
            self.forget_regexes();
            sessions.forget_regexes(&self.group);
        }
        if std::mem::take(&mut sessions.are_topics_news) && !is_news {
            is_news = self.group.has_other_topics(terms.image);
        }
        if is_news {
            self.bump(terms.image);
        }
    }

    /// Another member takes the place of one: its target, and what it has.
    pub(super) fn replace(&mut self, old: &MemberId, id: &MemberId) {
        let member = self.group.members.get(old).cloned();
        let target = self.group.target.get(old).cloned();
        let current = self.group.current.get(old);
        let assigned = current.map(|current| current.assigned.clone());
        self.remove(old);
        self.put(Entry::Member(id.clone(), member));
        self.put(Entry::Target(id.clone(), target));
        let joining = Arc::new(Current::joining(assigned.unwrap_or_default()));
        self.put(Entry::Current(id.clone(), Some(joining)));
    }

    /// A member is in the group no more.
    pub(super) fn remove(&mut self, member_id: &MemberId) {
        self.put(Entry::Current(member_id.clone(), None));
        self.put(Entry::Target(member_id.clone(), None));
        self.put(Entry::Member(member_id.clone(), None));
    }
}
