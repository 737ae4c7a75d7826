//! Secrets of Kubernetes, got one by one by their names.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};

use super::{Owner, surplus};
use crate::certificates::Data;
use crate::crd::API_VERSION;
use crate::object::ObjectKey;
use crate::platform::NotYet;
use crate::platform::kubernetes::apply::not_taken;
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
    match &found {
        Some(found) if !is_owned(found, owner) => Err(foreign(owner, key)),
        _ => Ok(found.map(data)),
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

fn foreign(owner: &Owner, key: &ObjectKey) -> NotYet {
    NotYet {
        is_stuck: true,
        message: format!(
            "The Secret {} is there already and belongs to somebody else, so it is left as it is; \
             delete or rename it, or give the {} another name.",
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
    if found.is_some_and(|found| !is_owned(&found, owner)) {
        return Err(foreign(owner, key));
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
    if !found.is_some_and(|found| is_owned(&found, owner)) {
        return Ok(());
    }
    match secrets.delete(&key.name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop).map_err(no),
    }
}

/// Those that an earlier object of the same kind and name has left behind are the owner's as well;
/// not so those of another API group, which may have a kind of the same name.
fn is_owned(secret: &Secret, owner: &Owner) -> bool {
    let group = |version: &str| version.rsplit_once('/').map(|(group, _)| group.to_owned());
    let mut owners = secret.owner_references().iter();
    owners.any(|one| {
        one.kind == owner.kind
            && one.name == owner.name
            && group(&one.api_version) == group(API_VERSION)
    })
}

fn metadata(owner: &Owner, key: &ObjectKey) -> ObjectMeta {
    ObjectMeta {
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()),
        labels: Some(build::labels(&owner.cluster)),
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
            kind: super::super::USER,
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
        assert!(is_owned(&secret(API_VERSION), &owner));
        assert!(is_owned(&secret("ottla.io/v1"), &owner));
        assert!(!is_owned(&secret("kafka.strimzi.io/v1beta2"), &owner));
        assert!(!is_owned(&secret("v1"), &owner));
    }
}
