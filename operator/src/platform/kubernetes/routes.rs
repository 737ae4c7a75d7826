//! The TLSRoutes of a cluster: a kind that the API server may not have, so they are not watched but
//! looked at now and then, and only where a cluster has a listener for them.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use tokio::time::Instant;

use super::apply::{self, INSTANCE, MANAGED_BY, not_taken, stranger};
use super::build::routes::{GATEWAY_GROUP, TLS_ROUTE, has_routes};
use super::{NotYet, Pods};
use crate::crd::FIELD_MANAGER;
use crate::crd::cluster::{Listener, ListenerType};

/// How long what was seen is good for: what somebody else deletes is made again then.
const LOOKED_FOR: Duration = Duration::from_secs(30);

/// The versions of TLSRoute, those first that stay longest.
const VERSIONS: [&str; 3] = ["v1", "v1alpha3", "v1alpha2"];

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// The version that the API server has; empty while nobody has needed it.
    pub(super) version: String,
    looked: Option<Instant>,
    missing: Option<NotYet>,
    /// Whether the last look failed, so that there may be others.
    is_unsure: bool,
    names: BTreeMap<String, String>,
}

impl Pods {
    /// Finds out what version of TLSRoute there is, and which are there, where they are needed or
    /// were.
    pub(super) async fn look_for_routes(&mut self) -> Result<(), NotYet> {
        let needs = self.spec.as_ref().is_some_and(has_routes);
        let is_route = |one: &Listener| one.type_ == ListenerType::TlsRoute;
        if !needs && !self.told_by_services().values().any(is_route) {
            (self.routes.missing, self.routes.is_unsure) = (None, false);
            return Ok(());
        }
        let is_fresh = |at: &Instant| at.elapsed() < LOOKED_FOR;
        if !self.routes.looked.as_ref().is_some_and(is_fresh) {
            // also where it fails: what is missing is looked for as rarely
            self.routes.looked = Some(Instant::now());
            self.routes.missing = self.list_routes().await.err();
        }
        if let Some(missing) = &self.routes.missing {
            return Err(missing.clone());
        }
        for (name, version) in &self.routes.names {
            let key = (TLS_ROUTE.to_owned(), name.clone());
            self.seen.versions.insert(key, version.clone());
        }
        Ok(())
    }

    async fn list_routes(&mut self) -> Result<(), NotYet> {
        let ours = format!("{INSTANCE}={},{MANAGED_BY}={FIELD_MANAGER}", self.cluster);
        let of_cluster = ListParams::default().labels(&ours);
        let known = self.routes.version.clone();
        let mut versions = VERSIONS;
        versions.sort_by_key(|one| *one != known);
        self.routes.is_unsure = false;
        for version in versions {
            self.routes.version = version.to_owned();
            match self.routes_api().list(&of_cluster).await {
                Ok(listed) => {
                    let is_ours = |one: &&DynamicObject| {
                        let (kind, cluster) = ("KafkaCluster", &self.cluster);
                        stranger(&one.metadata, kind, cluster, cluster).is_none()
                    };
                    let named = listed.items.iter().filter(is_ours);
                    let named = named.map(|one| (one.name_any(), apply::version(one)));
                    self.routes.names = named.collect();
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    self.routes.version = String::new();
                }
                Err(error) => {
                    self.routes.version = known;
                    self.routes.is_unsure = true;
                    return Err(not_taken("list of the", "TLSRoutes", &error));
                }
            }
        }
        // whoever took the kind away took them with it
        self.routes.names.clear();
        Err(NotYet {
            is_stuck: true,
            message: format!(
                "A listener is of type TLSRoute, and this Kubernetes cluster does not have that \
                 kind: install the Gateway API's CRDs ({GATEWAY_GROUP}), or choose another type."
            ),
        })
    }

    fn routes_api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(GATEWAY_GROUP, &self.routes.version, TLS_ROUTE);
        let resource = ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Notes one that was written.
    pub(super) fn note_route(&mut self, written: &DynamicObject) {
        let key = written.name_any();
        self.routes.names.insert(key, apply::version(written));
    }

    /// Deletes those that lead to no listener any more; says whether they are gone. While
    /// they cannot be looked for nobody knows.
    pub(super) async fn prune_routes(&mut self, wanted: impl Fn(&str) -> bool) -> bool {
        let idle = self.routes.names.keys().filter(|name| !wanted(name));
        let idle: Vec<String> = idle.cloned().collect();
        let mut are_gone = !self.routes.is_unsure;
        let all = self.routes_api();
        for name in idle {
            if self.delete(TLS_ROUTE, &name, &all).await {
                self.applier.forget(TLS_ROUTE, &name);
                self.routes.names.remove(&name);
            } else {
                are_gone = false;
            }
        }
        are_gone
    }
}
