//! One pass over all users of a cluster: look, write Secrets, perform in batches, tell.
//!
//! What brokers have of users is asked for at once and changed in batches. Secrets are looked at
//! one by one, and seldom while nothing is known to have changed ([`SECRETS_INTERVAL`]).
//!
//! Invariant: a password is in the Secret before brokers have it, so that none is ever lost; every
//! object given has exactly one [`Outcome`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_core::acl::Acl;
use ottla_protocol::error::ErrorCode;
use tokio::time::Instant;

use super::credentials::{Way, applied, credentials, text};
use super::validate::{ValidatedUser, leaving, principal, validate};
use crate::admin::{Admin, Error, Refusal};
use crate::certificates::authority::Authority;
use crate::certificates::{Data, expires, written};
use crate::condition::{UserReason, Verdict, conditions};
use crate::crd::cluster::AuthenticationType;
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
    /// Whom a change of a principal, or of a name, is told of.
    holders: BTreeMap<String, ObjectKey>,
}

/// Brings the users of one cluster closer to their specs; they are given the oldest first.
///
/// # Errors
/// Those of [`Admin`], when the cluster cannot be asked; nothing is known then of any user.
pub async fn pass(
    admin: &mut Admin,
    secrets: &Secrets,
    known: &mut Known,
    users: &[&User],
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
    };
    work.sort_out(users);
    if work.holders.is_empty() {
        return Ok(work.pass);
    }
    work.keep_secrets(users, access).await;
    work.keep_passwords(admin, users).await?;
    let acls = work.keep_acls(admin, users).await?;
    work.conclude(users, &acls).await;
    Ok(work.pass)
}

/// The status before, with only the verdict new.
#[must_use]
pub fn said(object: &KafkaUser, verdict: &Verdict, now: &str) -> KafkaUserStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = conditions(&status.conditions, verdict, generation, now);
    status
}

impl Work<'_> {
    /// Sets aside what is not to be carried out. Of several objects of one name the oldest that
    /// lives has the user; one that was deleted has it where nobody who lives claims it.
    fn sort_out(&mut self, users: &[&User]) {
        let living = users.iter().filter(|(_, desired)| !desired.deleting);
        let going = users.iter().filter(|(_, desired)| desired.deleting);
        for (key, _) in living.chain(going) {
            let holder = self.holders.entry(key.name.clone());
            holder.or_insert_with(|| key.clone());
        }
        for (key, desired) in users {
            let holder = &self.holders[&key.name];
            let verdict = if is_paused(&desired.object.metadata) {
                let why = format!("The annotation {PAUSED} is set, so the user is left alone.");
                Verdict::new(UserReason::Paused, why)
            } else if holder != key {
                let why = format!(
                    "The user {} belongs to the older KafkaUser {holder}; delete one of the two, \
                     or give this one another name.",
                    key.name
                );
                Verdict::new(UserReason::Conflict, why)
            } else {
                let valid = match desired.deleting {
                    true => Ok(leaving(&desired.object)),
                    false => validate(&desired.object),
                };
                match valid {
                    Ok(valid) => {
                        self.valid.insert(key.clone(), valid);
                        continue;
                    }
                    Err(verdict) => verdict,
                }
            };
            let outcome = match desired.deleting {
                true => Outcome::Gone,
                false => {
                    let status = said(&desired.object, &verdict, self.now.text);
                    Outcome::Stands(Box::new(status))
                }
            };
            self.pass.outcomes.insert(key.clone(), outcome);
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
        let not_yet = |why: NotYet| not_yet(&why);
        let read = self.secrets.read(USER, key).await.map_err(not_yet)?;
        let folder = self.secrets.folder(USER, key);
        let found = read.clone().unwrap_or_default();
        let signer = access.authority.as_ref().map(|one| &one.signer);
        let seconds = self.now.seconds;
        let data = credentials(user, way, signer, &found, folder.as_deref(), seconds)?;
        if read.as_ref() != Some(&data) {
            let owner = owner(key, object);
            let wrote = self.secrets.write(&owner, key, &data).await;
            wrote.map_err(not_yet)?;
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
        let mut gone = BTreeSet::new();
        for (key, desired) in users {
            let Some(user) = self.valid.get(key) else {
                continue;
            };
            let seen = self.known.0.get(key);
            let password = seen.and_then(|seen| text(&seen.data, "password"));
            match password.filter(|_| !desired.deleting) {
                Some(password) => {
                    wanted.insert(user.name.clone(), (key.clone(), password));
                }
                None if logs_in_no_more(desired, user) => {
                    gone.insert(user.name.clone());
                }
                None => {}
            }
        }
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
        match self.secrets.write(&owner, key, &data).await {
            Ok(()) => self
                .pass
                .done
                .push((key.clone(), "brokers know its password".to_owned())),
            Err(why) => self.refuse(key, not_yet(&why)),
        }
    }

    /// Has users have the ACLs of their specs and no other. Returns what they have.
    async fn keep_acls(
        &mut self,
        admin: &mut Admin,
        users: &[&User],
    ) -> Result<BTreeMap<String, BTreeSet<Acl>>, Error> {
        let mut there = admin.acls().await?;
        let (mut create, mut delete) = (Vec::new(), Vec::new());
        let mut whose: BTreeMap<String, ObjectKey> = BTreeMap::new();
        for (key, desired) in users {
            let Some(user) = self.valid.get(key) else {
                continue;
            };
            let own = user.principal();
            let none = BTreeSet::new();
            let wanted = if desired.deleting { &none } else { &user.acls };
            let has = there.get(&own).unwrap_or(&none);
            create.extend(wanted.difference(has).cloned());
            delete.extend(has.difference(wanted).cloned());
            whose.insert(own.clone(), key.clone());
            let before = desired.object.status.as_ref();
            let before = before.map(|status| status.principal.clone());
            if let Some(before) = before.filter(|before| !before.is_empty() && *before != own) {
                delete.extend(there.get(&before).into_iter().flatten().cloned());
                whose.insert(before, key.clone());
            }
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

    async fn conclude(&mut self, users: &[&User], acls: &BTreeMap<String, BTreeSet<Acl>>) {
        for (key, desired) in users {
            let refused = self.refused.remove(key).unwrap_or_default();
            let outcome = match (desired.deleting, self.valid.get(key)) {
                (_, None) => continue,
                (false, Some(user)) => {
                    let seen = self.known.0.get(key).map(|seen| &seen.data);
                    let has = acls.get(&user.principal()).map_or(0, BTreeSet::len);
                    let status = status(&desired.object, user, seen, has, refused, self.now.text);
                    Outcome::Stands(Box::new(status))
                }
                (true, Some(_)) => match self.forget(key, &desired.object, refused).await {
                    Ok(()) => Outcome::Gone,
                    Err(verdict) => {
                        let status = said(&desired.object, &verdict, self.now.text);
                        Outcome::Stands(Box::new(status))
                    }
                },
            };
            self.pass.outcomes.insert(key.clone(), outcome);
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

/// Whether the user may have logged in by a password, and is to no more.
fn logs_in_no_more(desired: &Desired<KafkaUser>, user: &ValidatedUser) -> bool {
    let scram = principal(&user.name, AuthenticationType::Scram);
    let status = desired.object.status.as_ref();
    let did = status.is_some_and(|status| status.principal == scram);
    let does = user.principal() == scram;
    if desired.deleting {
        did || does
    } else {
        did && !does
    }
}

fn owner(key: &ObjectKey, object: &KafkaUser) -> Owner {
    Owner {
        kind: USER,
        name: key.name.clone(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        cluster: object.spec.cluster_ref.name.clone(),
    }
}

fn status(
    object: &KafkaUser,
    user: &ValidatedUser,
    secret: Option<&Data>,
    acls: usize,
    refused: Vec<Verdict>,
    now: &str,
) -> KafkaUserStatus {
    let verdict = Verdict::worst(refused).unwrap_or_else(|| {
        let message = format!("{} may do what its ACLs say.", user.principal());
        Verdict::new(UserReason::UserReady, message)
    });
    let mut status = said(object, &verdict, now);
    status.principal = user.principal();
    status.acls = i32::try_from(acls).ok();
    if let Some(secret) = secret {
        status.secret_name = object.metadata.name.clone().unwrap_or_default();
        status.rotated = text(secret, "rotated").unwrap_or_default();
        let certificate = text(secret, "user.crt");
        let until = certificate.and_then(|certificate| expires(&certificate));
        status.expires_at = until.map(written);
    }
    status
}

fn no_way(authentication: AuthenticationType) -> Verdict {
    let message = format!(
        "No listener of the cluster has authentication of the type {authentication:?}; add one to \
         the KafkaCluster, or change spec.authentication."
    );
    Verdict::new(UserReason::NoListener, message)
}

fn not_yet(why: &NotYet) -> Verdict {
    let reason = match why.is_stuck {
        true => UserReason::CredentialsRefused,
        false => UserReason::Applying,
    };
    Verdict::new(reason, why.message.clone())
}

fn refused_by_broker(refusal: &Refusal) -> Verdict {
    let reason = match refusal.code {
        code if code.is_retriable() => UserReason::Applying,
        ErrorCode::None => UserReason::Applying,
        _ => UserReason::Refused,
    };
    Verdict::new(reason, format!("The cluster says: {}", refusal.message))
}
