//! The objects of a cluster, applied one by one.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use super::build::pods::build_template;
use super::build::routes::TLS_ROUTE;
use super::build::{self, Surroundings};
use super::pool::Pool;
use super::{NotYet, Pods};

/// What became of the objects.
#[derive(Default)]
pub(super) struct Applied {
    /// What was refused, by its kind.
    pub(super) refused: Vec<(String, NotYet)>,
    /// Whether StatefulSets stay as they are, because a Service was refused that brokers would tell
    /// of.
    pub(super) is_withheld: bool,
}

impl Pods {
    /// Applies all objects, each for itself; what is refused is told with its kind. Without a
    /// ConfigMap there is no StatefulSet.
    pub(super) async fn apply_objects(&mut self, config_map: String) -> Applied {
        let Some(spec) = &self.spec else {
            return Applied::default();
        };
        let mut around = Surroundings {
            config_map,
            ..self.around()
        };
        let kept = self.kept();
        for (pool, set) in &mut around.sets {
            set.held = kept.get(pool).cloned();
        }
        let is_in_force = self.current_config_map().as_ref() == Some(&around.config_map);
        let (mut is_way_refused, mut is_withheld) = (false, false);
        let (mut refused, mut written) = (Vec::new(), Vec::new());
        for object in build::build(spec, &around) {
            let kind = object
                .types
                .as_ref()
                .map_or(String::new(), |types| types.kind.clone());
            let key = (kind, object.name_any());
            let set = |pool: &Pool| key.0 == "StatefulSet" && key.1 == pool.set(&self.cluster);
            let set = Pool::ALL.into_iter().find(set);
            // Pods of a StatefulSet that is gone go on; another template would be in force at once.
            if self.is_held && set.is_some_and(|pool| !self.held.contains_key(&pool)) {
                continue;
            }
            // Brokers would tell clients of a way that is not there.
            if set.is_some() && is_way_refused && !is_in_force {
                is_withheld = true;
                continue;
            }
            let version = self.seen.versions.get(&key).cloned();
            match self.applier.apply(object, version).await {
                // Its node ports are needed before the watch tells of them.
                Ok(Some(applied)) if key.0 == "Service" => {
                    if let Ok(service) = applied.try_parse::<Service>() {
                        self.seen.services.insert(key.1, service);
                    }
                }
                Ok(Some(applied)) if key.0 == TLS_ROUTE => written.push(applied),
                Ok(_) => {
                    if let Some(pool) = set.filter(|pool| !kept.contains_key(pool)) {
                        let template = build_template(spec, pool, &around);
                        self.templates.insert(pool, template);
                    }
                }
                Err(not_taken) => {
                    is_way_refused |= key.0 == "Service";
                    refused.push((key.0, not_taken));
                }
            }
        }
        written.iter().for_each(|route| self.note_route(route));
        Applied {
            refused,
            is_withheld,
        }
    }
}
