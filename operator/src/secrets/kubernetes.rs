//! Secrets of Kubernetes, got one by one by their names.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, Patch};
use kube::{Client, ResourceExt};

use super::Owner;
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
    let found = api(client, key).get_opt(&key.name).await;
    let found = found.map_err(|error| not_taken("question for Secret", &key.name, &error))?;
    Ok(found.map(|secret| {
        let data = secret.data.unwrap_or_default().into_iter();
        data.map(|(key, bytes)| (key, bytes.0)).collect()
    }))
}

pub(super) async fn write(
    client: &Client,
    owner: &Owner,
    key: &ObjectKey,
    data: &Data,
) -> Result<(), NotYet> {
    let secrets = api(client, key);
    let no = |error: kube::Error| not_taken("Secret", &key.name, &error);
    let found = secrets.get_opt(&key.name).await.map_err(no)?;
    if found.is_some_and(|found| !is_owned(&found, owner)) {
        return Err(NotYet {
            is_stuck: true,
            message: format!(
                "The Secret {} is there already and belongs to somebody else, so it is left as it \
                 is; delete or rename it, or give the {} another name.",
                key.name, owner.kind
            ),
        });
    }
    let data = data.iter();
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

/// Those that an earlier object of the same kind and name has left behind are the owner's as well.
fn is_owned(secret: &Secret, owner: &Owner) -> bool {
    let mut owners = secret.owner_references().iter();
    owners.any(|one| one.kind == owner.kind && one.name == owner.name)
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
