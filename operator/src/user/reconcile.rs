//! One pass over all users of a cluster: look, write Secrets, perform in batches, tell.
//!
//! What brokers have of users is asked for at once and changed in batches. Secrets are looked at
//! one by one, and seldom while nothing is known to have changed ([`SECRETS_INTERVAL`]).
//!
//! Invariant: a password is in the Secret before brokers have it, so that none is ever lost; every
//! object given has exactly one [`Outcome`].

mod quotas;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::credentials::{Way, applied, credentials, is_own, text};
use super::status::{no_certificate, no_way, not_yet, refused_by_broker, said, status};
use super::validate::{
    ValidatedUser, name_of, own_principal, principals, told_principal, validate,
};
use crate::admin::{Acls, Admin, Error};
use crate::certificates::Data;
use crate::certificates::Lifetime;
use crate::certificates::authority::Authority;
use crate::condition::{UserReason, Verdict};
use crate::crd::{KafkaUser, KafkaUserStatus};
use crate::object::{Desired, ObjectKey, PAUSED, is_paused};
use crate::platform::NotYet;
use crate::secrets::{Owner, Secrets, USER};

/// How often Secrets are looked at though nothing is known to have changed.
const SECRETS_INTERVAL: Duration = Duration::from_secs(30);

/// One object.
pub type User = (ObjectKey, Desired<KafkaUser>);

/// What became of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It stands; this is its status now.
    Stands(Box<KafkaUserStatus>),
    /// It was deleted and nothing is left to do for it.
    Gone,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Pass {
    /// What became of each object.
    pub outcomes: BTreeMap<ObjectKey, Outcome>,
    /// What was done, one sentence each.
    pub done: Vec<(ObjectKey, String)>,
}

/// What users need to know of their cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The authority that signs their certificates; none where the cluster has none.
    pub authority: Option<Authority>,
    /// How long these hold.
    pub lifetime: Lifetime,
    /// The listeners that ask who clients are.
    pub ways: Vec<Way>,
}

/// The Secrets as they were last seen or written, with what they were made for.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<ObjectKey, Seen>);

#[derive(Debug)]
struct Seen {
    data: Data,
    at: Instant,
    /// The user and the cluster that it was made for.
    basis: (ValidatedUser, Access),
}

/// The time of a pass, as conditions write it and in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// As text.
    pub text: &'a str,
    /// In seconds.
    pub seconds: i64,
}

struct Work<'a> {
    secrets: &'a Secrets,
    known: &'a mut Known,
    now: Now<'a>,
    pass: Pass,
    valid: BTreeMap<ObjectKey, ValidatedUser>,
    refused: BTreeMap<ObjectKey, Vec<Verdict>>,
    /// Who has each principal.
    holders: BTreeMap<String, ObjectKey>,
    /// Principals that brokers are to know no more, and whose they were.
    left: BTreeMap<String, ObjectKey>,
    /// Objects of which brokers know such a principal still.
    known_still: BTreeSet<ObjectKey>,
}

/// Brings the users of one cluster closer to their specs; they are given the oldest first. What
/// brokers know of `outsiders`, whom the cluster does not admit any more, is taken.
///
/// # Errors
/// Those of [`Admin`], when the cluster cannot be asked; nothing is known then of any user.
pub async fn pass(
    admin: &mut Admin,
    secrets: &Secrets,
    known: &mut Known,
    (users, outsiders): (&[&User], &[&User]),
    access: &Access,
    now: Now<'_>,
) -> Result<Pass, Error> {
    let mut work = Work {
        secrets,
        known,
        now,
        pass: Pass::default(),
        valid: BTreeMap::new(),
        refused: BTreeMap::new(),
        holders: BTreeMap::new(),
        left: BTreeMap::new(),
        known_still: BTreeSet::new(),
    };
    work.sort_out(users, outsiders);
    work.keep_secrets(users, access).await;
    let acls = if work.valid.is_empty() && work.left.is_empty() {
        Acls::new()
    } else {
        work.keep_passwords(admin, users).await?;
        work.keep_quotas(admin).await?;
        work.keep_acls(admin).await?
    };
    work.conclude(users, &acls).await;
    work.conclude_outsiders(outsiders).await;
    Ok(work.pass)
}

impl Work<'_> {
    /// Sets aside what is not to be carried out. Of several objects of one principal the oldest
    /// that lives has the user; one that is left alone has its old principal too.
    fn sort_out(&mut self, users: &[&User], outsiders: &[&User]) {
        let living = || users.iter().filter(|(_, desired)| !desired.deleting);
        for (key, desired) in living() {
            let holder = self.holders.entry(own_principal(&desired.object));
            holder.or_insert_with(|| key.clone());
        }
        for (key, desired) in users {
            let verdict = match self.judge(key, desired) {
                Ok(valid) => {
                    self.valid.extend(valid.map(|valid| (key.clone(), valid)));
                    continue;
                }
                Err(verdict) => verdict,
            };
            if verdict.reason != UserReason::Conflict.into() {
                for principal in principals(&desired.object) {
                    let holder = self.holders.entry(principal);
                    holder.or_insert_with(|| key.clone());
                }
            }
            let status = said(&desired.object, &verdict, self.now.text);
            let outcome = Outcome::Stands(Box::new(status));
            self.pass.outcomes.insert(key.clone(), outcome);
        }
        for (key, desired) in users {
            let mut old = principals(&desired.object);
            old.retain(|one| desired.deleting || *one != own_principal(&desired.object));
            self.leave(key, old);
        }
        for (key, desired) in outsiders {
            self.leave(key, told_principal(&desired.object).into_iter().collect());
        }
    }

    /// What is to be carried out of an object: nothing of one that was deleted.
    fn judge(
        &self,
        key: &ObjectKey,
        desired: &Desired<KafkaUser>,
    ) -> Result<Option<ValidatedUser>, Verdict> {
        if is_paused(&desired.object.metadata) {
            let then = match desired.deleting {
                true => ": the object, its credentials and its ACLs stay until it is removed",
                false => "",
            };
            let why = format!("The annotation {PAUSED} is set, so the user is left alone{then}.");
            return Err(Verdict::new(UserReason::Paused, why));
        }
        if desired.deleting {
            return Ok(None);
        }
        match self.holders.get(&own_principal(&desired.object)) {
            Some(holder) if holder != key => Err(Verdict::new(
                UserReason::Conflict,
                format!(
                    "The user {} belongs to the older KafkaUser {holder}; delete one of the two, \
                     or give this one another name.",
                    key.name
                ),
            )),
            _ => validate(&desired.object).map(Some),
        }
    }

    /// Has brokers forget those of these principals that nobody has any more.
    fn leave(&mut self, key: &ObjectKey, principals: Vec<String>) {
        for principal in principals {
            if !self.holders.contains_key(&principal) {
                self.left.insert(principal, key.clone());
            }
        }
    }

    fn refuse(&mut self, key: &ObjectKey, verdict: Verdict) {
        self.refused.entry(key.clone()).or_default().push(verdict);
    }

    /// Has each user's Secret as it is to be.
    async fn keep_secrets(&mut self, users: &[&User], access: &Access) {
        let living = users.iter().filter(|(_, desired)| !desired.deleting);
        for (key, desired) in living {
            let Some(user) = self.valid.get(key).cloned() else {
                continue;
            };
            let kept = self.keep_secret(key, &desired.object, &user, access).await;
            if let Err(verdict) = kept {
                self.refuse(key, verdict);
            }
        }
        let exist: BTreeSet<&ObjectKey> = users.iter().map(|(key, _)| key).collect();
        self.known.0.retain(|key, _| exist.contains(key));
    }

    async fn keep_secret(
        &mut self,
        key: &ObjectKey,
        object: &KafkaUser,
        user: &ValidatedUser,
        access: &Access,
    ) -> Result<(), Verdict> {
        let basis = (user.clone(), access.clone());
        let is_fresh = |seen: &&Seen| seen.basis == basis && seen.at.elapsed() < SECRETS_INTERVAL;
        if self.known.0.get(key).filter(is_fresh).is_some() {
            return Ok(());
        }
        self.known.0.remove(key);
        let mut ways = access.ways.iter();
        let way = ways.find(|way| way.authentication == user.authentication);
        let way = way.ok_or_else(|| no_way(user.authentication))?;
        if way.is_encrypted && way.trusted.is_none() {
            return Err(no_certificate(&way.listener));
        }
        let not_yet = |why: NotYet| not_yet(&why);
        let owner = owner(key, object);
        let read = self.secrets.read_own(&owner, key).await;
        let read = read.map_err(not_yet)?;
        let folder = self.secrets.folder(USER, key);
        let found = read.clone().unwrap_or_default();
        let signer = access.authority.as_ref();
        let signer = signer.map(|one| (&one.signer, access.lifetime));
        let seconds = self.now.seconds;
        let data = credentials(user, way, signer, &found, folder.as_deref(), seconds)?;
        let kept = self.secrets.keep(&owner, key, read.as_ref(), &data).await;
        if kept.map_err(not_yet)? {
            let what = match read {
                None => "its credentials are in the Secret of its name",
                Some(_) => "its Secret changed",
            };
            self.pass.done.push((key.clone(), what.to_owned()));
        }
        let at = Instant::now();
        self.known.0.insert(key.clone(), Seen { data, at, basis });
        Ok(())
    }

    /// Has brokers know the passwords of users, and no more those of who is gone.
    async fn keep_passwords(&mut self, admin: &mut Admin, users: &[&User]) -> Result<(), Error> {
        let mut wanted: BTreeMap<String, (ObjectKey, String)> = BTreeMap::new();
        for (key, user) in &self.valid {
            let seen = self.known.0.get(key);
            if let Some(password) = seen.and_then(|seen| text(&seen.data, "password")) {
                wanted.insert(user.name.clone(), (key.clone(), password));
            }
        }
        let left = self.left.iter();
        let left = left.filter_map(|(principal, key)| Some((name_of(principal)?, key.clone())));
        let left: BTreeMap<String, ObjectKey> = left.collect();
        let mut gone: BTreeSet<String> = left.keys().cloned().collect();
        let asked: BTreeSet<String> = wanted.keys().chain(&gone).cloned().collect();
        if asked.is_empty() {
            return Ok(());
        }
        let there = admin.scram_users(&asked).await?;
        let is_there = |name: &str, key: &ObjectKey, password: &str| {
            let seen = self.known.0.get(key);
            let has = seen.and_then(|seen| text(&seen.data, "applied"));
            there.get(name) == Some(&true) && has == Some(applied(password))
        };
        wanted.retain(|name, (key, password)| !is_there(name, key, password));
        gone.retain(|name| there.contains_key(name));
        if wanted.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let passwords = wanted.iter();
        let passwords = passwords.map(|(name, (_, password))| (name.clone(), password.clone()));
        let answers = admin.alter_scram_users(&passwords.collect(), &gone).await?;
        for (name, (key, password)) in wanted {
            match answers.get(&name) {
                Some(Ok(())) => self.note_applied(&key, &password, users).await,
                Some(Err(refusal)) => self.refuse(&key, refused_by_broker(refusal)),
                None => {}
            }
        }
        for name in gone {
            let refusal = match answers.get(&name) {
                Some(Ok(())) => continue,
                Some(Err(refusal)) => refused_by_broker(refusal),
                None => Verdict::new(UserReason::Applying, "The cluster has yet to answer."),
            };
            self.refuse(&left[&name], refusal);
            self.known_still.insert(left[&name].clone());
        }
        Ok(())
    }

    /// Keeps in the Secret which password brokers have.
    async fn note_applied(&mut self, key: &ObjectKey, password: &str, users: &[&User]) {
        let object = users.iter().find(|(known, _)| known == key);
        let (Some((_, desired)), Some(seen)) = (object, self.known.0.get_mut(key)) else {
            return;
        };
        let mark = applied(password).into_bytes();
        seen.data.insert("applied".to_owned(), mark);
        let owner = owner(key, &desired.object);
        let data = seen.data.clone();
        match self.secrets.keep(&owner, key, None, &data).await {
            Ok(_) => self
                .pass
                .done
                .push((key.clone(), "brokers know its password".to_owned())),
            Err(why) => self.refuse(key, not_yet(&why)),
        }
    }

    /// Has users have the ACLs of their specs and no other. Returns what they have.
    async fn keep_acls(&mut self, admin: &mut Admin) -> Result<Acls, Error> {
        let Some(mut there) = admin.acls().await? else {
            self.wait_for_acls();
            return Ok(Acls::new());
        };
        let (mut create, mut delete) = (Vec::new(), Vec::new());
        let mut whose = self.left.clone();
        for principal in self.left.keys() {
            delete.extend(there.get(principal).into_iter().flatten().cloned());
        }
        for (key, user) in &self.valid {
            let own = user.principal();
            let none = BTreeSet::new();
            let has = there.get(&own).unwrap_or(&none);
            create.extend(user.acls.difference(has).cloned());
            delete.extend(has.difference(&user.acls).cloned());
            whose.insert(own, key.clone());
        }
        if create.is_empty() && delete.is_empty() {
            return Ok(there);
        }
        // What is taken goes first: nobody has more meanwhile than he had or is to have.
        let mut refused = admin.delete_acls(&delete).await?;
        refused.extend(admin.create_acls(&create).await?);
        for (principal, refusal) in refused {
            if let Some(key) = whose.get(&principal) {
                let key = key.clone();
                self.refuse(&key, refused_by_broker(&refusal));
                if self.left.contains_key(&principal) {
                    self.known_still.insert(key);
                }
            }
        }
        let all = create.iter().chain(&delete);
        let principals: BTreeSet<&String> = all.map(|acl| &acl.entry.principal).collect();
        for key in principals.iter().filter_map(|one| whose.get(*one)) {
            self.pass
                .done
                .push((key.clone(), "its ACLs changed".to_owned()));
        }
        for acl in delete {
            if let Some(acls) = there.get_mut(&acl.entry.principal) {
                acls.remove(&acl);
            }
        }
        for acl in create {
            let acls = there.entry(acl.entry.principal.clone()).or_default();
            acls.insert(acl);
        }
        Ok(there)
    }

    /// Brokers without a listener that asks who clients are keep no ACLs. Where the spec has one,
    /// they are yet to restart with it.
    fn wait_for_acls(&mut self) {
        let message = "The brokers keep no ACLs yet; they do once they restarted with a listener \
                       that asks who clients are.";
        let with_a_way = self
            .valid
            .keys()
            .filter(|key| !self.refused.contains_key(*key));
        for key in with_a_way.cloned().collect::<Vec<_>>() {
            self.refuse(&key, Verdict::new(UserReason::Applying, message));
        }
    }

    async fn conclude(&mut self, users: &[&User], acls: &Acls) {
        for (key, desired) in users {
            if self.pass.outcomes.contains_key(key) {
                continue;
            }
            let refused = self.refused.remove(key).unwrap_or_default();
            let outcome = match self.valid.get(key) {
                Some(user) => {
                    let seen = self.known.0.get(key).map(|seen| &seen.data);
                    let has = acls.get(&user.principal()).map_or(0, BTreeSet::len);
                    let is_known = self.known_still.contains(key);
                    let found = (seen, has);
                    let status = status(
                        &desired.object,
                        user,
                        found,
                        refused,
                        is_known,
                        self.now.text,
                    );
                    Outcome::Stands(Box::new(status))
                }
                None => self.forgotten(key, &desired.object, refused).await,
            };
            self.pass.outcomes.insert(key.clone(), outcome);
        }
    }

    /// Who is not admitted says so elsewhere, without a principal once brokers know of none.
    async fn conclude_outsiders(&mut self, outsiders: &[&User]) {
        for (key, desired) in outsiders {
            let refused = self.refused.remove(key).unwrap_or_default();
            let outcome = if desired.deleting {
                self.forgotten(key, &desired.object, refused).await
            } else {
                let mut status = desired.object.status.clone().unwrap_or_default();
                if !self.known_still.contains(key) {
                    status.principal.clear();
                    status.acls = None;
                }
                Outcome::Stands(Box::new(status))
            };
            self.pass.outcomes.insert(key.clone(), outcome);
        }
    }

    async fn forgotten(
        &mut self,
        key: &ObjectKey,
        object: &KafkaUser,
        refused: Vec<Verdict>,
    ) -> Outcome {
        match self.forget(key, object, refused).await {
            Ok(()) => Outcome::Gone,
            Err(verdict) => Outcome::Stands(Box::new(said(object, &verdict, self.now.text))),
        }
    }

    /// Deletes the Secret of a user whom brokers know no more.
    async fn forget(
        &mut self,
        key: &ObjectKey,
        object: &KafkaUser,
        refused: Vec<Verdict>,
    ) -> Result<(), Verdict> {
        if let Some(verdict) = Verdict::worst(refused) {
            let message = format!("The user is being deleted. {}", verdict.message);
            return Err(Verdict::new(UserReason::Deleting, message));
        }
        let deleted = self.secrets.delete(&owner(key, object), key).await;
        deleted.map_err(|why| Verdict::new(UserReason::Deleting, why.message))
    }
}

fn owner(key: &ObjectKey, object: &KafkaUser) -> Owner {
    Owner {
        kind: USER,
        name: key.name.clone(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        cluster: object.spec.cluster_ref.name.clone(),
        is_own,
    }
}
