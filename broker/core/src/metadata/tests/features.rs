//! UpdateFeatures: which levels can be finalized.

use std::fmt::Write as _;

use expect_test::expect;
use ottla_protocol::messages::cluster::{FeatureUpdateKey, UpdateFeaturesRequest};

use super::{Cluster, outcome};
use crate::metadata::request::{Request, Response};

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

/// Asks for these updates; the outcome and the level of `transaction.version` then.
fn update(cluster: &mut Cluster, updates: &[(&str, i16, i8)], validate_only: bool) -> String {
    let updates = updates.iter().map(|(name, level, kind)| FeatureUpdateKey {
        feature: (*name).to_owned(),
        max_version_level: *level,
        upgrade_type: *kind,
        ..FeatureUpdateKey::default()
    });
    let request = UpdateFeaturesRequest {
        feature_updates: updates.collect(),
        validate_only,
        ..UpdateFeaturesRequest::default()
    };
    let Response::UpdateFeatures(response) = cluster.ask(Request::UpdateFeatures(request)) else {
        panic!("another answer");
    };
    let mut line = outcome(response.error_code, response.error_message.as_deref());
    let level = cluster.metadata.image().feature("transaction.version");
    writeln!(line, " (level {level})").expect("a string takes all");
    line
}

#[test]
fn a_level_goes_up_and_down_within_what_all_brokers_support() {
    let mut cluster = Cluster::of(2);
    let name = "transaction.version";
    let mut text = update(&mut cluster, &[(name, 0, UPGRADE)], false);
    text += &update(&mut cluster, &[(name, 3, UPGRADE)], false);
    text += &update(&mut cluster, &[(name, 1, SAFE_DOWNGRADE)], true);
    text += &update(&mut cluster, &[(name, 1, SAFE_DOWNGRADE)], false);
    text += &update(&mut cluster, &[(name, 2, SAFE_DOWNGRADE)], false);
    // all or nothing
    text += &update(
        &mut cluster,
        &[(name, 2, UPGRADE), ("no.version", 1, UPGRADE)],
        false,
    );
    text += &update(&mut cluster, &[(name, 0, SAFE_DOWNGRADE)], false);
    // a broker of an older version comes, while nothing that it lacks is finalized
    let mut old = cluster.registration(5);
    old.features.retain(|feature| feature.name != name);
    cluster.ask(Request::RegisterBroker(old));
    text += &update(&mut cluster, &[(name, 2, UPGRADE)], false);
    let renewed = cluster.registration(5);
    cluster.ask(Request::RegisterBroker(renewed));
    text += &update(&mut cluster, &[(name, 2, UPGRADE)], false);
    expect![[r#"
        INVALID_UPDATE_VERSION: Invalid update version 0 for feature transac (level 2)
        INVALID_UPDATE_VERSION: Invalid update version 3 for feature transac (level 2)
        ok (level 2)
        ok (level 1)
        INVALID_UPDATE_VERSION: Invalid update version 2 for feature transac (level 1)
        INVALID_UPDATE_VERSION: Invalid update version 1 for feature no.vers (level 1)
        ok (level 0)
        INVALID_UPDATE_VERSION: Invalid update version 2 for feature transac (level 0)
        ok (level 2)
    "#]]
    .assert_eq(&text);
}

/// Kafka's tools and tests know these refusals by their last words.
#[test]
fn what_is_not_supported_is_refused_in_kafkas_words() {
    let mut cluster = Cluster::of(1);
    for (name, level, words) in [
        ("no.version", 1, "does not support this feature."),
        ("transaction.version", 3, "only supports versions 0-2."),
    ] {
        let request = UpdateFeaturesRequest {
            feature_updates: vec![FeatureUpdateKey {
                feature: name.to_owned(),
                max_version_level: level,
                upgrade_type: UPGRADE,
                ..FeatureUpdateKey::default()
            }],
            ..UpdateFeaturesRequest::default()
        };
        let answer = cluster.ask(Request::UpdateFeatures(request));
        let Response::UpdateFeatures(response) = answer else {
            panic!("another answer");
        };
        let message = response.error_message.unwrap();
        assert!(message.ends_with(words), "{message}");
    }
}
