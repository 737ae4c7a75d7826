//! What must hold at each call that an operator makes.

use serde_json::Value;

use super::super::api::faults::{Call, Verb};
use super::super::api::{Objects, Place};

/// What a call would break.
pub fn broken(objects: &Objects, call: &Call, body: &Value) -> Vec<String> {
    let found = match (call.place.0.as_str(), call.verb) {
        ("persistentvolumeclaims", Verb::Delete) => lost(objects, &call.place),
        ("pods", Verb::Delete | Verb::Evict) => away(objects, &call.place),
        ("kafkaclusters", Verb::Status) => {
            let before = &objects.get(&call.place).unwrap_or(&Value::Null)["status"];
            let had = before["bootstrapServers"].as_str().unwrap_or_default();
            let has = body["status"]["bootstrapServers"].as_str();
            let is_cleared = !had.is_empty() && has.unwrap_or_default().is_empty();
            is_cleared
                .then(|| format!("the address {had} is cleared"))
                .or_else(|| is_said_too_early(objects, &call.place, &body["status"]))
        }
        _ => None,
    };
    found.into_iter().collect()
}

fn get<'a>(objects: &'a Objects, resource: &str, name: &str) -> &'a Value {
    let place = (resource.to_owned(), "shop".to_owned(), name.to_owned());
    objects.get(&place).unwrap_or(&Value::Null)
}

fn serves(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && pod["status"]["conditions"][0]["status"] == "True"
}

/// A volume goes only where the status says so before, and every other broker serves.
fn lost(objects: &Objects, going: &Place) -> Option<String> {
    let uid = &objects.get(going)?["metadata"]["uid"];
    let replacement = &get(objects, "kafkaclusters", "orders")["status"]["replacement"];
    if replacement["phase"] != "Replacing" || replacement["volume"] != *uid {
        return Some(format!("the volume {} is deleted", going.2));
    }
    let pod = going.2.trim_start_matches("data-").to_owned();
    away(objects, &("pods".to_owned(), going.1.clone(), pod))
}

/// At most one node is away, and so at most one voter.
fn away(objects: &Objects, going: &Place) -> Option<String> {
    let names = ["orders", "orders-controllers"]
        .into_iter()
        .flat_map(|set| {
            let replicas = &get(objects, "statefulsets", set)["spec"]["replicas"];
            let ordinals = 0..replicas.as_i64().unwrap_or_default();
            ordinals.map(move |ordinal| format!("{set}-{ordinal}"))
        });
    let mut others = names.filter(|name| *name != going.2);
    let other = others.find(|name| !serves(get(objects, "pods", name)))?;
    Some(format!("{} goes while {other} is away", going.2))
}

/// Ready for a generation means that everything of that generation is there.
fn is_said_too_early(objects: &Objects, place: &Place, status: &Value) -> Option<String> {
    let cluster = objects.get(place)?;
    let ready = status["conditions"].as_array()?;
    let ready = ready.iter().find(|one| one["type"] == "Ready")?;
    let generation = &cluster["metadata"]["generation"];
    if ready["status"] != "True" || status["observedGeneration"] != *generation {
        return None;
    }
    let spec = &cluster["spec"];
    let lacks = |what: &str| Some(format!("it is Ready for {generation} without {what}"));
    let set = get(objects, "statefulsets", "orders");
    if set["status"]["observedGeneration"] != set["metadata"]["generation"] {
        return lacks("its StatefulSet");
    }
    for ordinal in 0..spec["replicas"].as_i64()? {
        let name = format!("orders-{ordinal}");
        let pod = get(objects, "pods", &name);
        if !serves(pod) {
            return lacks(&name);
        }
        let containers = pod["spec"]["containers"].as_array()?;
        let broker = containers.iter().find(|one| one["name"] == "broker")?;
        let image = spec["image"].as_str().unwrap_or("ottla-broker:test");
        if broker["image"] != image {
            return lacks(&format!("the image of {name}"));
        }
        let config_map = pod["metadata"]["annotations"]["ottla.io/config-map"].as_str()?;
        let settings = &get(objects, "configmaps", config_map)["data"];
        let settings = settings[format!("{name}.properties")].as_str();
        let settings = settings.unwrap_or_default();
        let partitions = format!("num.partitions={}\n", spec["config"]["num.partitions"]);
        if !settings.contains(&partitions) {
            return lacks(&format!("the settings of {name}"));
        }
        for listener in spec["listeners"].as_array()? {
            let port = format!(":{}", listener["port"]);
            if !settings.contains(&port) {
                return lacks(&format!("a listener of {name}"));
            }
        }
        let claim = get(objects, "persistentvolumeclaims", &format!("data-{name}"));
        if claim["status"]["capacity"]["storage"] != spec["storage"]["size"] {
            return lacks(&format!("the volume of {name}"));
        }
    }
    None
}
