//! What is known of groups: each partition has one owner, in a generation of a classic group, and
//! at any time in a group whose coordinator assigns.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ids::Uuid;

/// A partition that a coordinator assigns.
pub type Partition = (Uuid, i32);

/// Who owns what, as the members were told.
#[derive(Debug, Default)]
pub struct Members {
    /// In which generation of the classic group.
    owners: BTreeMap<(i32, u8), String>,
    /// What members have in the other one, and until when they are in it whatever happens.
    assigned: BTreeMap<String, (BTreeSet<Partition>, u64)>,
}

impl Members {
    /// A member of the classic group was told what it owns.
    pub fn owns(&mut self, generation: i32, owner: &str, partitions: &[u8]) -> Result<(), String> {
        for partition in partitions {
            let known = self.owners.entry((generation, *partition));
            let known = known.or_insert_with(|| owner.to_owned());
            if known != owner {
                return Err(format!(
                    "TwoOwners: {known} and {owner} own partition {partition} in generation \
                     {generation}"
                ));
            }
        }
        Ok(())
    }

    /// A member was told at `now_ms` what it has; it is in the group until `until_ms` at least.
    /// Where that is over, the answer took so long that it is silent for its coordinator: others
    /// may have been given what it had when it was decided, and told of it before.
    pub fn is_told(
        &mut self,
        member: &str,
        has: BTreeSet<Partition>,
        until_ms: u64,
        now_ms: u64,
    ) -> Result<(), String> {
        let own_until_ms = until_ms;
        let others = self.assigned.iter().filter(|(other, _)| *other != member);
        for (other, (theirs, until_ms)) in others {
            if let Some((_, partition)) = theirs.intersection(&has).next()
                && now_ms < own_until_ms.min(*until_ms)
            {
                return Err(format!(
                    "TwoOwners: {member} was given partition {partition}, which {other} has"
                ));
            }
        }
        self.assigned.insert(member.to_owned(), (has, until_ms));
        Ok(())
    }

    /// A member has nothing any more.
    pub fn gives_up(&mut self, member: &str) {
        self.assigned.remove(member);
    }
}
