//! The template of pods that is in force: the one that the StatefulSet has, with which a pod comes
//! back that somebody deletes.
//!
//! Invariant: while a change is held, the StatefulSet keeps that template, whatever the spec and
//! this version of the operator would make of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::build::pods::{CONFIG_MAP, CONTAINER, TEMPLATE, build_template};
use super::build::{KnownSet, Surroundings};
use super::pool::Pool;
use super::{Pods, apply, state};
use crate::fingerprint::fingerprint;
use crate::platform::{Platform, Properties, Remake};

impl Pods {
    /// What is known of the surroundings, without what is in force.
    pub(super) fn around(&self) -> Surroundings {
        Surroundings {
            image: self.options.image.clone(),
            sets: Pool::ALL.map(|pool| (pool, self.known(pool))).into(),
            config_map: String::new(),
            generation: self.generation_in_force(),
            has_network_policy: self.options.has_network_policy,
            route_version: self.routes.version.clone(),
            metrics_namespaces: self.options.metrics_namespaces.clone(),
        }
    }

    fn known(&self, pool: Pool) -> KnownSet {
        KnownSet {
            volume_size: self.seen.sets.get(&pool).and_then(state::volume_size),
            placed: state::is_placed(&self.seen, pool),
            held: None,
        }
    }

    /// The one that was written last, of which the watch may not have told yet.
    pub(super) fn template_in_force(&self, pool: Pool) -> Option<PodTemplateSpec> {
        let seen = || {
            let spec = self.seen.sets.get(&pool)?.spec.as_ref()?;
            Some(spec.template.clone())
        };
        self.templates.get(&pool).cloned().or_else(seen)
    }

    /// What nodes that exist were made from. Where the StatefulSet is gone and its pods are not, a
    /// pod stands for its template.
    pub(super) fn made_from(&self, pool: Pool) -> Option<PodTemplateSpec> {
        let of_pod = || {
            let (_, pod) = self.seen.pods_of(pool).next()?;
            let metadata = ObjectMeta {
                annotations: pod.metadata.annotations.clone(),
                ..ObjectMeta::default()
            };
            Some(PodTemplateSpec {
                metadata: Some(metadata),
                spec: pod.spec.clone(),
            })
        };
        self.template_in_force(pool).or_else(of_pod)
    }

    /// The templates that stay, whatever the spec says: those of a change that is held, and that
    /// of controllers that are to go.
    pub(super) fn kept(&self) -> BTreeMap<Pool, PodTemplateSpec> {
        let mut kept = self.held.clone();
        let leaves = |pool: &Pool| !self.spec.as_ref().is_some_and(|spec| pool.is_wanted(spec));
        for pool in Pool::ALL.into_iter().filter(leaves) {
            if let Some(template) = self.template_in_force(pool) {
                kept.entry(pool).or_insert(template);
            }
        }
        kept
    }

    /// The settings in the ConfigMap of new pods.
    pub(super) fn files_in_force(&self) -> Option<&BTreeMap<i32, Properties>> {
        self.settings.get(&self.current_config_map()?)
    }

    /// How pods that are made by the spec would differ from those that are made now.
    pub(super) fn remade(&self, pool: Pool) -> Option<Remake> {
        let spec = self.spec.as_ref().filter(|spec| pool.is_wanted(spec))?;
        let before = self.made_from(pool)?;
        let after = build_template(spec, pool, &self.around());
        let (had, has) = (marks(&before), marks(&after));
        if has.iter().all(|(key, value)| had.get(key) == Some(value)) {
            return None;
        }
        let (runs, wanted) = (image(&before), image(&after));
        let what = if runs == wanted {
            "the pod's template changes".to_owned()
        } else {
            format!("the image changes from {runs} to {wanted}")
        };
        let has = has
            .into_iter()
            .map(|(key, value)| format!("{key}={value}\n"));
        let has: String = has.collect();
        let fingerprint = format!("{:016x}", fingerprint(&has));
        Some(Remake {
            nodes: pool.nodes(),
            fingerprint,
            what,
        })
    }

    /// Whether a broker's pod is not as the spec would make it; its settings are not looked at.
    pub(super) fn has_remade_brokers(&self) -> bool {
        let Some(spec) = &self.spec else {
            return false;
        };
        let wanted = build_template(spec, Pool::Brokers, &self.around());
        let wanted = wanted.metadata.and_then(|metadata| metadata.annotations);
        let wanted = wanted.as_ref().and_then(|all| all.get(TEMPLATE));
        let mut pods = self.seen.pods_of(Pool::Brokers);
        pods.any(|(_, pod)| pod.annotations().get(TEMPLATE) != wanted)
    }

    /// The StatefulSets that have not taken up what was written last, one sentence each.
    pub(super) fn sets_pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        let is_needed = |pool: &Pool| {
            let spec = self.spec.as_ref();
            spec.is_none_or(|spec| pool.is_needed(spec))
        };
        for pool in Pool::ALL.into_iter().filter(is_needed) {
            let (set, name) = (self.seen.sets.get(&pool), pool.set(&self.cluster));
            let applied = self.applier.applied("StatefulSet", &name);
            let is_seen = set.is_some_and(|set| applied.is_none_or(|v| *v == apply::version(set)));
            let is_taken_up = set.is_some_and(|set| {
                let status = set.status.as_ref();
                status.and_then(|s| s.observed_generation) == set.metadata.generation
            });
            if !is_seen || !is_taken_up {
                pending.push(format!("The StatefulSet {name} is being changed."));
            }
        }
        pending
    }

    /// The tag of the image in force, or its digest.
    pub(super) fn version_in_force(&self) -> String {
        let template = self.made_from(Pool::Brokers);
        template.map_or(String::new(), |template| version(image(&template)))
    }
}

/// The annotations of a template, one of which stands for the rest of it. Settings have their own
/// way into force.
fn marks(template: &PodTemplateSpec) -> BTreeMap<&String, &String> {
    let metadata = template.metadata.as_ref();
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    let annotations = annotations.into_iter().flatten();
    annotations.filter(|(key, _)| *key != CONFIG_MAP).collect()
}

fn image(template: &PodTemplateSpec) -> &str {
    let mut containers = template.spec.iter().flat_map(|spec| &spec.containers);
    let broker = containers.find(|one| one.name == CONTAINER);
    broker.and_then(|one| one.image.as_deref()).unwrap_or("")
}

fn version(image: &str) -> String {
    const DIGEST_CHARS: usize = 19;
    if let Some((_, digest)) = image.split_once('@') {
        return digest.chars().take(DIGEST_CHARS).collect();
    }
    match image.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag.to_owned(),
        _ => "latest".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_a_tag_or_a_digest() {
        for (image, shown) in [
            ("registry:5000/ottla-broker:1.2.3", "1.2.3"),
            ("registry:5000/ottla-broker", "latest"),
            (
                "ottla-broker:1@sha256:0123456789abcdef",
                "sha256:0123456789ab",
            ),
        ] {
            assert_eq!(version(image), shown, "{image}");
        }
    }
}
