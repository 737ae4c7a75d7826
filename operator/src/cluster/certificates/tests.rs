use super::*;
use crate::certificates::DAY;
use crate::cluster::validate::{Observed, validate};
use crate::crd::KafkaCluster;

const NOW: i64 = 1_900_000_000;

#[tokio::test]
async fn the_operators_own_certificate_holds_as_long_as_those_of_brokers() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "metadata: { name: orders, namespace: shop }\nspec: { certificates: { brokers: { \
                validityDays: 10, renewalDays: 3 } } }";
    let cluster: KafkaCluster = serde_yaml::from_str(yaml).unwrap();
    let observed = Observed {
        mutual_tls: Some(true),
        ..Observed::default()
    };
    let mut valid = validate(&cluster, observed).unwrap();
    assert_eq!(valid.lifetimes.brokers, Lifetime::days(10, 3));
    let mut certificates = Certificates::new(Secrets::Folder(folder.path().to_owned()));
    for (after, until) in [(0, 10), (6, 10), (8, 18)] {
        valid.generation += 1; // looks at once
        let (now, states) = (NOW + after * DAY, BTreeMap::new());
        let looked = certificates.look(&valid, &states, Vec::new(), now).await;
        assert!(looked.unwrap().unwrap().identity.is_some());
        let own = certificates.looked.as_ref().unwrap().identity.as_ref();
        assert_eq!(own.unwrap().until, NOW + until * DAY, "after {after} days");
    }
}
