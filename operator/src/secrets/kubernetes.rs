//! Secrets of Kubernetes, got one by one by their names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};

use super::{Owner, USER, surplus};
use crate::certificates::Data;
use crate::crd::API_VERSION;
use crate::object::{ObjectKey, secret_name};
use crate::platform::NotYet;
use crate::platform::kubernetes::apply::{self, not_taken};
use crate::platform::kubernetes::pool::Pool;
use crate::platform::kubernetes::refusals::Refusals;
use crate::platform::kubernetes::{apply_params, build};

fn api(client: &Client, key: &ObjectKey) -> Api<Secret> {
    Api::namespaced(client.clone(), &key.namespace)
}

pub(super) async fn read(client: &Client, key: &ObjectKey) -> Result<Option<Data>, NotYet> {
    Ok(get(client, key).await?.map(data))
}

pub(super) async fn read_own(
    client: &Client,
    owner: &Owner,
    key: &ObjectKey,
) -> Result<Option<Data>, NotYet> {
    let found = get(client, key).await?;
    match found.as_ref().and_then(|found| stranger(found, owner)) {
        Some(whose) => Err(foreign(owner, key, &whose)),
        None => Ok(found.map(data)),
    }
}

async fn get(client: &Client, key: &ObjectKey) -> Result<Option<Secret>, NotYet> {
    let found = api(client, key).get_opt(&key.name).await;
    found.map_err(|error| not_taken("question for Secret", &key.name, &error))
}

fn data(secret: Secret) -> Data {
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, bytes)| (key, bytes.0)).collect()
}

fn foreign(owner: &Owner, key: &ObjectKey, whose: &str) -> NotYet {
    NotYet {
        is_stuck: true,
        message: format!(
            "The Secret {} is there already and belongs to {whose}, so it is left as it is; delete \
             or rename it, or give the {} another name.",
            key.name, owner.kind
        ),
    }
}

pub(super) async fn write(
    client: &Client,
    owner: &Owner,
    key: &ObjectKey,
    wanted: &Data,
) -> Result<(), NotYet> {
    let secrets = api(client, key);
    let no = |error: kube::Error| not_taken("Secret", &key.name, &error);
    let found = get(client, key).await?;
    if let Some(whose) = found.and_then(|found| stranger(&found, owner)) {
        return Err(foreign(owner, key, &whose));
    }
    let data = wanted.iter();
    let secret = Secret {
        metadata: metadata(owner, key),
        type_: Some("Opaque".to_owned()),
        data: Some(
            data.map(|(key, bytes)| (key.clone(), ByteString(bytes.clone())))
                .collect(),
        ),
        ..Secret::default()
    };
    let patch = Patch::Apply(&secret);
    let written = secrets.patch(&key.name, &apply_params(), &patch).await;
    // An apply leaves what somebody else has put there as well.
    let surplus = surplus(&self::data(written.map_err(no)?), wanted, owner.is_own);
    if surplus.is_empty() {
        return Ok(());
    }
    let gone: BTreeMap<String, Option<()>> = surplus.into_iter().map(|key| (key, None)).collect();
    let params = PatchParams {
        force: false,
        ..apply_params()
    };
    let patch = Patch::Merge(serde_json::json!({ "data": gone }));
    let written = secrets.patch(&key.name, &params, &patch).await;
    written.map(drop).map_err(no)
}

pub(super) async fn delete(client: &Client, owner: &Owner, key: &ObjectKey) -> Result<(), NotYet> {
    let secrets = api(client, key);
    let no = |error: kube::Error| not_taken("deletion of Secret", &key.name, &error);
    let found = secrets.get_opt(&key.name).await.map_err(no)?;
    if found.is_none_or(|found| stranger(&found, owner).is_some()) {
        return Ok(());
    }
    match secrets.delete(&key.name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop).map_err(no),
    }
}

/// Makes a change, or says why it was refused: that is tried again after a pause that doubles.
pub(super) async fn paced(
    refusals: &Mutex<Refusals>,
    what: &str,
    key: &ObjectKey,
    change: impl Future<Output = Result<(), NotYet>>,
) -> Result<(), NotYet> {
    let locked = || refusals.lock().unwrap_or_else(PoisonError::into_inner);
    let target = (what.to_owned(), key.to_string());
    if let Some(why) = locked().waits(&target, "") {
        return Err(why.clone());
    }
    let done = change.await;
    locked().note(&target, "", done.as_ref().copied());
    done
}

/// Whose a Secret is that is not this owner's. By its labels none is a user's whose name is like
/// those of its cluster's.
fn stranger(secret: &Secret, owner: &Owner) -> Option<String> {
    let (name, cluster) = (secret.name_any(), &owner.cluster);
    let is_like_theirs = name.starts_with(&secret_name(cluster, ""));
    let of_labels = if owner.kind == USER && is_like_theirs {
        ""
    } else {
        cluster
    };
    apply::stranger(&secret.metadata, owner.kind, &owner.name, of_labels)
}

fn metadata(owner: &Owner, key: &ObjectKey) -> ObjectMeta {
    ObjectMeta {
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()),
        labels: Some(build::labels(&owner.cluster, Pool::Brokers)),
        owner_references: Some(vec![OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: owner.kind.to_owned(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_owners_by_group_kind_and_name() {
        let owner = Owner {
            kind: USER,
            name: "alice".to_owned(),
            uid: "1".to_owned(),
            cluster: "orders".to_owned(),
            is_own: |_, _| true,
        };
        let key = ObjectKey {
            namespace: "shop".to_owned(),
            name: "alice".to_owned(),
        };
        let secret = |api_version: &str| {
            let mut metadata = metadata(&owner, &key);
            let owners = metadata.owner_references.as_mut().unwrap();
            owners[0].api_version = api_version.to_owned();
            owners[0].uid = "2".to_owned();
            Secret {
                metadata,
                ..Secret::default()
            }
        };
        assert_eq!(stranger(&secret(API_VERSION), &owner), None);
        assert_eq!(stranger(&secret("ottla.io/v1"), &owner), None);
        assert_ne!(stranger(&secret("kafka.strimzi.io/v1beta2"), &owner), None);
        assert_ne!(stranger(&secret("v1"), &owner), None);

        // A backup may bring it back without its owner.
        let mut restored = secret(API_VERSION);
        restored.metadata.owner_references = None;
        assert_eq!(stranger(&restored, &owner), None);
        let of_another = Owner {
            cluster: "billing".to_owned(),
            ..owner.clone()
        };
        assert_ne!(stranger(&restored, &of_another), None);
        // Whose name is that of one of its cluster's Secrets has that no more than before.
        restored.metadata.name = Some("orders.ca".to_owned());
        let user = Owner {
            name: "orders.ca".to_owned(),
            ..owner
        };
        assert_ne!(stranger(&restored, &user), None);
    }
}
