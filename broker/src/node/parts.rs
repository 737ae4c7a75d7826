//! What stands on a node's data directory, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_core::metadata::names;
use ottla_core::quota::window::Sampling;
use ottla_storage::Store;
use tokio::sync::mpsc;

use super::audit_topic::AuditTopic;
use super::{Error, LOCK_INTERVAL, LOCK_TIMEOUT, Surroundings};
use crate::api::Context;
use crate::audit::{Audit, LINES_MAX};
use crate::brokers::Brokers;
use crate::config::Settings;
use crate::controller;
use crate::coordinator;
use crate::env::Env;
use crate::metrics::Metrics;
use crate::oauth::Issuers;
use crate::quotas::Quotas;
use crate::replica::Replicas;
use crate::threads;
use crate::tls::Connector;
use crate::tokens::Tokens;

/// What stands on the data directory.
pub(super) struct Parts {
    pub(super) replicas: Replicas,
    pub(super) coordinator: coordinator::Handle,
    pub(super) brokers: Brokers,
    pub(super) metrics: Arc<Metrics>,
    pub(super) storage_id: ottla_protocol::ids::Uuid,
}

impl Parts {
    pub(super) async fn open(
        settings: &Arc<Settings>,
        around: &Surroundings,
        handle: &controller::Handle,
        cluster_id: &str,
        connector: &Connector,
    ) -> Result<Self, Error> {
        let identity = ottla_storage::store::Identity {
            cluster_id: cluster_id.to_owned(),
            node_id: settings.node_id,
            directory_id: around.env.random_uuid(),
        };
        let dir: PathBuf = settings.log_dirs[0].clone();
        let disk = Arc::clone(&around.disk);
        let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
        let opened = loop {
            let store = around.store.clone();
            match Store::open(Arc::clone(&disk), &dir, identity.clone(), store) {
                Err(ottla_storage::Error::InUse { .. })
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(LOCK_INTERVAL).await;
                }
                opened => break opened?,
            }
        };
        let storage_id = opened.store.identity().directory_id;
        let metrics = Arc::new(Metrics::default());
        let replicas = Replicas::start(crate::replica::Components {
            settings: Arc::clone(settings),
            env: around.env.clone(),
            connector: connector.clone(),
            controller: handle.clone(),
            metrics: Arc::clone(&metrics),
            store: opened.store,
            logs: opened.logs,
            inline: around.inline,
            answers_bytes_max: around.queued_bytes_max(settings),
        });
        let brokers = Brokers::new(Arc::clone(settings), handle.clone(), connector.clone());
        let coordinator = coordinator::Handle::new(
            Arc::new(replicas.clone()),
            handle.clone(),
            brokers.clone(),
            coordinator::Settings::from(&**settings),
            around.env.clone(),
        );
        Ok(Self {
            replicas,
            coordinator,
            brokers,
            metrics,
            storage_id,
        })
    }

    /// What API handlers work with.
    pub(super) fn context(
        &self,
        settings: &Arc<Settings>,
        env: &Env,
        controller: &controller::Handle,
        issuers: Issuers,
    ) -> Result<Arc<Context>, Error> {
        Ok(Arc::new(Context {
            settings: Arc::clone(settings),
            controller: controller.clone(),
            replicas: self.replicas.clone(),
            coordinator: self.coordinator.clone(),
            metrics: Arc::clone(&self.metrics),
            audit: audit(settings, env, self, controller)?,
            tokens: Arc::new(Tokens::new(settings.delegation_token_secret.clone())),
            issuers,
            quotas: Arc::new(quotas(settings, env)),
            env: env.clone(),
        }))
    }
}

fn audit(
    settings: &Settings,
    env: &Env,
    parts: &Parts,
    controller: &controller::Handle,
) -> Result<Arc<Audit>, Error> {
    if let Some(name) = &settings.audit_topic {
        let is_own = names::is_internal(name).then(|| format!("{name} is the brokers' own"));
        if let Some(reason) = names::invalid_topic_name(name).or(is_own) {
            return Err(Error::AuditTopic(reason));
        }
    }
    let topic = settings.audit_topic.clone().map(|name| {
        let (lines, taken) = mpsc::channel(LINES_MAX);
        let topic = AuditTopic {
            name,
            brokers: parts.brokers.clone(),
            controller: controller.clone(),
            env: env.clone(),
            metrics: Arc::clone(&parts.metrics),
        };
        threads::spawn(topic.run(taken));
        lines
    });
    let path = &settings.audit_log;
    let started = Audit::start(path, topic, env.clone(), Arc::clone(&parts.metrics));
    started.map(Arc::new).map_err(|error| Error::Audit {
        path: path.clone(),
        error,
    })
}

fn quotas(settings: &Settings, env: &Env) -> Quotas {
    let sampling = Sampling::new(settings.quota_windows, settings.quota_window_seconds);
    Quotas::new(env.clone(), sampling)
}
