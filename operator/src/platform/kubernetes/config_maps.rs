//! The ConfigMaps with the brokers' settings: read, written, and deleted when no pod takes its
//! settings from them any more.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::build::pods::CONFIG_MAP;
use super::pool::Pool;
use super::settings::{Files, Place, place};
use super::{Pods, apply, build, pool};
use crate::platform::{NotYet, Properties};

impl Pods {
    pub(super) fn read(&self, config_map: &ConfigMap) -> BTreeMap<i32, Properties> {
        let data = config_map.data.iter().flatten();
        let brokers = data.filter_map(|(file, text)| {
            let pod = file.strip_suffix(".properties")?;
            Some((pool::node(&self.cluster, pod)?, parse(text)))
        });
        brokers.collect()
    }

    /// In which ConfigMap the settings of new pods lie.
    pub(super) fn place(&self, desired: &Files, is_dynamic: fn(&str) -> bool) -> Place {
        let current = self.current_config_map();
        let known = |name: &str| self.settings.get(name);
        place(
            &self.cluster,
            current.as_deref(),
            known,
            desired,
            is_dynamic,
        )
    }

    /// The ConfigMap that new pods take their settings from.
    pub(super) fn current_config_map(&self) -> Option<String> {
        let metadata = self.made_from(Pool::Brokers)?.metadata?;
        metadata.annotations?.get(CONFIG_MAP).cloned()
    }

    /// Writes one ConfigMap with the settings that are known for it.
    pub(super) async fn write_settings(&mut self, name: &str) -> Result<(), NotYet> {
        let Some(spec) = &self.spec else {
            return Ok(());
        };
        let settings = self.settings.get(name).into_iter().flatten();
        let files = settings.map(|(broker, settings)| {
            (
                format!("{}.properties", self.pod(*broker)),
                render(settings),
            )
        });
        let config_map = ConfigMap {
            metadata: build::metadata(spec, Pool::Brokers, name.to_owned()),
            data: Some(files.collect()),
            ..ConfigMap::default()
        };
        let object = apply::dynamic("v1", "ConfigMap", &config_map);
        let seen = self.seen.config_maps.get(name).map(apply::version);
        self.applier.apply(object, seen).await.map(drop)
    }
}

fn render(settings: &Properties) -> String {
    let lines = settings
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"));
    lines.collect()
}

fn parse(text: &str) -> Properties {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
