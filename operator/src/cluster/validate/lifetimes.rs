//! How long certificates hold by a spec, and whether that goes together.

use super::invalid;
use crate::certificates::authority::SPREAD;
use crate::certificates::{DAY, Lifetime, Lifetimes};
use crate::condition::Verdict;
use crate::crd::lifetimes::{AUTHORITIES_RULE, CertificateLifetime, Certificates, RENEWAL_RULE};

/// What is given, with what is not. What does not go together is told, and holds as by default:
/// certificates are renewed whatever is said of them.
pub(super) fn check(spec: &Certificates) -> (Lifetimes, Vec<Verdict>) {
    let usual = Lifetimes::default();
    let mut refused = Vec::new();
    let mut of = |what, given, usual, part| {
        lifetime(what, given, usual, part).unwrap_or_else(|verdict| {
            refused.push(verdict);
            usual
        })
    };
    // the next authority would be due as soon as there is one
    let half = |validity: i64| validity / 2;
    let less = |validity: i64| validity - 1;
    let all = Lifetimes {
        authorities: of("authorities", spec.authorities, usual.authorities, half),
        brokers: of("brokers", spec.brokers, usual.brokers, less),
        users: of("users", spec.users, usual.users, less),
    };
    let renewed = all.authorities.renewed;
    for (what, one) in [("brokers", all.brokers), ("users", all.users)] {
        // while the next one is not trusted yet the old one signs
        if one.lifetime + SPREAD > renewed {
            refused.push(invalid(format!(
                "spec.certificates.authorities are renewed {} days before they expire, and those \
                 of {what} hold for {} days: some would outlive who signed them; have \
                 authorities.renewalDays be more. All hold as by default meanwhile.",
                renewed / DAY,
                one.lifetime / DAY
            )));
            return (usual, refused);
        }
    }
    (all, refused)
}

/// `most`: how many days before they expire they may be renewed, by how many they hold.
fn lifetime(
    what: &str,
    given: CertificateLifetime,
    usual: Lifetime,
    most: fn(i64) -> i64,
) -> Result<Lifetime, Verdict> {
    let validity = given.validity_days.map_or(usual.lifetime / DAY, i64::from);
    let renewal = given
        .renewal_days
        .map_or_else(|| (usual.renewed / DAY).min(validity / 2), i64::from);
    let is_possible = (2..=36_500).contains(&validity) && (1..=most(validity)).contains(&renewal);
    match is_possible {
        true => Ok(Lifetime::days(validity, renewal)),
        false => Err(invalid(format!(
            "spec.certificates.{what} hold for {validity} days and are renewed {renewal} days \
             before; validityDays is from 2 to 36500, renewalDays from 1, {RENEWAL_RULE}, and \
             {AUTHORITIES_RULE}. They hold as by default meanwhile."
        ))),
    }
}

#[test]
fn lifetimes_are_the_usual_ones_but_for_what_is_given() {
    let told = |yaml: &str| {
        let (lifetimes, refused) = check(&serde_yaml::from_str(yaml).unwrap());
        match refused.into_iter().next() {
            None => Ok(lifetimes),
            Some(verdict) => Err((lifetimes, verdict)),
        }
    };
    let usual = Lifetimes::default();
    assert_eq!(told("{}"), Ok(usual));
    let short = told("brokers: { validityDays: 7 }").unwrap();
    assert_eq!(short.brokers, Lifetime::days(7, 3));
    let all = told(
        "{ authorities: { validityDays: 400 }, brokers: { renewalDays: 89 }, users: { \
         validityDays: 100, renewalDays: 1 } }",
    );
    let wanted = Lifetimes {
        authorities: Lifetime::days(400, 200),
        brokers: Lifetime::days(90, 89),
        users: Lifetime::days(100, 1),
    };
    assert_eq!(all, Ok(wanted));
    for (yaml, says) in [
        (
            "brokers: { validityDays: 30, renewalDays: 30 }",
            "spec.certificates.brokers hold for 30 days and are renewed 30 days before",
        ),
        (
            "users: { renewalDays: 30 }",
            "must be less than validityDays",
        ),
        (
            "authorities: { validityDays: 200, renewalDays: 199 }",
            "must be at most half of",
        ),
        (
            "authorities: { validityDays: 200, renewalDays: 90 }",
            "renewed 90 days before they expire, and those of brokers hold for 90 days",
        ),
        ("users: { validityDays: 1 }", "validityDays is from 2"),
        (
            "authorities: { validityDays: 100 }",
            "renewed 50 days before they expire, and those of brokers hold for 90 days",
        ),
        (
            "users: { validityDays: 400 }",
            "those of users hold for 400 days",
        ),
    ] {
        let (lifetimes, verdict) = told(yaml).unwrap_err();
        assert_eq!(lifetimes, usual, "{yaml}");
        assert!(verdict.message.contains(says), "{}", verdict.message);
    }
    // what is good of it holds
    let (lifetimes, _) =
        told("{ authorities: { validityDays: 400 }, users: { renewalDays: 30 } }").unwrap_err();
    assert_eq!(lifetimes.authorities, Lifetime::days(400, 200));
    assert_eq!(lifetimes.users, usual.users);
}

/// The API server judges by what holds where nothing is given, too.
#[test]
fn the_rules_in_cel_have_the_usual_lifetimes() {
    let crds = crate::crd::all();
    let (_, crd) = crds
        .iter()
        .find(|(file, _)| file.contains("kafkacluster"))
        .unwrap();
    let usual = Lifetimes::default();
    let most = format!("validityDays : {})", usual.authorities.lifetime / DAY);
    assert!(crd.contains(&most), "{most}");
    for (kind, one) in [("brokers", usual.brokers), ("users", usual.users)] {
        let less = format!("self.{kind}.renewalDays < {} : true", one.lifetime / DAY);
        assert!(crd.contains(&less), "{less}");
    }
    for (kind, one) in [("brokers", usual.brokers), ("users", usual.users)] {
        let holds = format!("self.{kind}.validityDays : {}", one.lifetime / DAY);
        assert!(crd.contains(&holds), "{holds}");
    }
    let renewed = usual.authorities.renewed / DAY;
    let (twice, most) = (renewed * 2, renewed);
    let signs = format!(
        "self.authorities.validityDays < {twice} ? self.authorities.validityDays / 2 : {most}))"
    );
    assert!(crd.contains(&signs), "{signs}");
}
