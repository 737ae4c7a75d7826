//! How much users may take.

use std::collections::BTreeMap;

use super::super::status::refused_by_broker;
use super::super::validate::user_of;
use super::Work;
use crate::admin::{Admin, Error, Rates};
use crate::object::ObjectKey;

impl Work<'_> {
    /// Has users have the quotas of their specs and no other, and those who are gone none.
    pub(super) async fn keep_quotas(&mut self, admin: &mut Admin) -> Result<(), Error> {
        let none = Rates::new();
        let valid = self.valid.iter();
        let wanted = valid.map(|(key, user)| (user.principal(), (key.clone(), &user.quotas)));
        let left = self.left.iter();
        let left = left.map(|(principal, key)| (principal.clone(), (key.clone(), &none)));
        let wanted: BTreeMap<String, (ObjectKey, &Rates)> = left.chain(wanted).collect();
        let there = admin.user_quotas().await?;
        let mut changes = BTreeMap::new();
        let mut whose = BTreeMap::new();
        for (principal, (key, rates)) in wanted {
            let user = user_of(&principal);
            let has = there.get(user).unwrap_or(&none);
            let gone = has.keys().filter(|one| !rates.contains_key(one));
            let mut change: BTreeMap<_, _> = gone.map(|one| (*one, None)).collect();
            let new = rates
                .iter()
                .filter(|(one, rate)| has.get(one) != Some(rate));
            change.extend(new.map(|(one, rate)| (*one, Some(*rate))));
            if !change.is_empty() {
                changes.insert(user.to_owned(), change);
                whose.insert(user.to_owned(), (key, principal));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        for (user, refusal) in admin.alter_user_quotas(&changes).await? {
            if let Some((key, principal)) = whose.remove(&user) {
                self.refuse(&key, refused_by_broker(&refusal));
                if self.left.contains_key(&principal) {
                    self.known_still.insert(key);
                }
            }
        }
        for (key, _) in whose.into_values() {
            self.pass.done.push((key, "its quotas changed".to_owned()));
        }
        Ok(())
    }
}
