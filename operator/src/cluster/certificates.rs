//! The certificates of a cluster: look at its Secrets, plan, write those that are to change.
//!
//! They are looked at every [`INTERVAL`], since a Secret of somebody's that a listener names may
//! change, and is not watched. An authority is written before anything that it signed.

pub mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::plan::{Found, Planned, plan};
use super::settings::security::{OWN_PRINCIPALS, keystore, made_of, signers, truststore};
use crate::admin::Identity;
use crate::certificates::authority;
use crate::certificates::{Data, Lifetime, Use, Wanted, sign};
use crate::condition::{ClusterReason, Verdict};
use crate::object::ObjectKey;
use crate::platform::{BrokerState, NotYet};
use crate::secrets::{self, Owner, Secrets};
use crate::validated::{CERTIFICATES, ValidatedCluster};

/// How often Secrets are looked at.
pub const INTERVAL: Duration = Duration::from_secs(3);

/// The certificates of one cluster.
pub struct Certificates {
    secrets: Secrets,
    looked: Option<Looked>,
}

struct Looked {
    at: Instant,
    generation: i64,
    hosts: Vec<String>,
    planned: Arc<Planned>,
    identity: Option<Own>,
}

/// Who the operator is for brokers, and until when.
#[derive(Clone)]
struct Own {
    identity: Identity,
    signer: String,
    until: i64,
}

/// What came of a look.
#[derive(Clone, Debug)]
pub struct Held {
    /// What there is.
    pub planned: Arc<Planned>,
    /// Who the operator is for brokers that ask.
    pub identity: Option<Identity>,
}

impl Certificates {
    /// Those that are among these Secrets.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            looked: None,
        }
    }

    /// Where Secrets are.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Looks at them, and brings them closer to what the spec wants. None where it wants none.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn look(
        &mut self,
        valid: &ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        mut hosts: Vec<String>,
        now: i64,
    ) -> Result<Option<Held>, Verdict> {
        if !valid.has_certificates() {
            return Ok(None);
        }
        hosts.sort();
        hosts.dedup();
        let is_fresh = |looked: &&Looked| {
            looked.at.elapsed() < INTERVAL
                && looked.generation == valid.generation
                && looked.hosts == hosts
        };
        if let Some(looked) = self.looked.as_ref().filter(is_fresh) {
            return Ok(Some(looked.held()));
        }
        let planned = self.plan(valid, states, &hosts, now).await?;
        let before = self.looked.take().and_then(|looked| looked.identity);
        let at = (now, valid.lifetimes.brokers);
        let identity = valid.mutual_tls.then(|| own(before, &planned, at));
        let looked = Looked {
            at: Instant::now(),
            generation: valid.generation,
            hosts,
            planned: Arc::new(planned),
            identity: identity.transpose()?,
        };
        let held = looked.held();
        self.looked = Some(looked);
        Ok(Some(held))
    }

    async fn plan(
        &self,
        valid: &ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        hosts: &[String],
        now: i64,
    ) -> Result<Planned, Verdict> {
        let key = &valid.key;
        let owner = Owner {
            kind: secrets::CLUSTER,
            name: key.name.clone(),
            uid: valid.uid.clone(),
            cluster: key.name.clone(),
            is_own: |_, key| authority::KEYS.contains(&key),
        };
        let named = valid.listeners.iter().filter_map(|one| one.tls.as_ref());
        let named = named.map(|tls| &tls.secret_name);
        let mut given = BTreeMap::new();
        for name in named.filter(|name| !name.is_empty()) {
            let key = ObjectKey {
                namespace: key.namespace.clone(),
                name: name.clone(),
            };
            given.insert(name.clone(), self.read(&key).await);
        }
        let [authority, users, files] = [
            secrets::beside(key, "ca"),
            secrets::beside(key, "users-ca"),
            secrets::beside(key, CERTIFICATES),
        ];
        let found = Found {
            authority: self.read_own(&owner, &authority).await?,
            users: self.read_own(&owner, &users).await?,
            files: self.read_own(&owner, &files).await?.unwrap_or_default(),
            given,
            running: running(states),
        };
        let planned = plan(valid, hosts, &found, now)?;
        for (planned, key, found) in [
            (&planned.authority, &authority, &found.authority),
            (&planned.users, &users, &found.users),
        ] {
            if let Some(planned) = planned {
                let data = planned.data();
                let kept = self.secrets.keep(&owner, key, found.as_ref(), &data);
                kept.await.map_err(|why| verdict(&why))?;
            }
        }
        let of_files = Owner {
            is_own: is_own_file,
            ..owner
        };
        let before = Some(&found.files);
        let kept = self.secrets.keep(&of_files, &files, before, &planned.files);
        kept.await.map_err(|why| verdict(&why))?;
        Ok(planned)
    }

    async fn read(&self, key: &ObjectKey) -> Result<Option<Data>, Verdict> {
        let read = self.secrets.read(secrets::CLUSTER, key).await;
        read.map_err(|why| verdict(&why))
    }

    async fn read_own(&self, owner: &Owner, key: &ObjectKey) -> Result<Option<Data>, Verdict> {
        let read = self.secrets.read_own(owner, key).await;
        read.map_err(|why| verdict(&why))
    }
}

impl Looked {
    fn held(&self) -> Held {
        Held {
            planned: Arc::clone(&self.planned),
            identity: self.identity.as_ref().map(|own| own.identity.clone()),
        }
    }
}

/// Who the operator is for brokers. Its key is nowhere but in its memory, so each has its own.
fn own(
    before: Option<Own>,
    planned: &Planned,
    (now, lifetime): (i64, Lifetime),
) -> Result<Own, Verdict> {
    let refused = |why: String| Verdict::new(ClusterReason::CertificateRefused, why);
    let Some(authority) = &planned.authority else {
        let why = "Nothing signs the operator's certificate.";
        let spoiled = || Verdict::worst(planned.verdicts.clone());
        return before.ok_or_else(|| spoiled().unwrap_or_else(|| refused(why.to_owned())));
    };
    let signer = authority.trusted();
    if let Some(before) = before
        && before.signer == signer
        && lifetime.stays(before.until, now)
    {
        return Ok(before);
    }
    let subject = OWN_PRINCIPALS[0].rsplit(':').next().unwrap_or_default();
    let wanted = Wanted {
        subject,
        hosts: &[],
        usage: Use::Client,
        lifetime: lifetime.lifetime,
    };
    let shown = sign(&authority.signer, &wanted, now);
    let shown = shown.map_err(|error| refused(format!("{error}.")))?;
    let identity = Identity::new(&shown, &signer).map_err(|why| refused(format!("{why}.")))?;
    Ok(Own {
        identity,
        signer,
        until: now + lifetime.lifetime,
    })
}

/// The listeners that brokers run with, by the names that a spec has for them.
fn running(states: &BTreeMap<i32, BrokerState>) -> BTreeSet<String> {
    let listeners = states.values().filter_map(|state| {
        let listeners = state.running_with.get("listeners")?;
        Some(listeners.split(','))
    });
    let names = listeners.flatten().filter_map(|one| one.split_once("://"));
    names.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// Whether a file of brokers is the operator's: one of a listener that has them all.
fn is_own_file(found: &Data, file: &str) -> bool {
    let name = file.split('.').next().unwrap_or_default();
    let of_listener = [keystore, truststore, signers, made_of].map(|of| of(name));
    of_listener.iter().any(|one| one == file) && found.contains_key(&signers(name))
}

fn verdict(why: &NotYet) -> Verdict {
    let reason = match why.is_stuck {
        true => ClusterReason::ApplyFailed,
        false => ClusterReason::Applying,
    };
    Verdict::new(reason, why.message.clone())
}

#[cfg(test)]
mod tests;
