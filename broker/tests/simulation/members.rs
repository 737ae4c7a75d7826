//! What is known of a classic group: each partition of a generation has one owner.

use std::collections::BTreeMap;

/// Who owns what in which generation, as the members were told.
#[derive(Debug, Default)]
pub struct Members {
    owners: BTreeMap<(i32, u8), String>,
}

impl Members {
    /// A member was told what it owns.
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
}
