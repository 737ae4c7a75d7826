//! Client quotas: set, removed, described.

use ottla_protocol::messages::access::*;

use super::*;
use crate::metadata::client_quotas::describe;

type Parts<'a> = [(&'a str, Option<&'a str>)];

fn quotas(parts: &Parts<'_>, ops: &[(&str, Option<f64>)]) -> AlterQuotas {
    let entity = |(kind, name): &(&str, Option<&str>)| AlterQuotaEntity {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
    };
    let op = |(key, value): &(&str, Option<f64>)| OpData {
        key: (*key).to_owned(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    };
    AlterQuotas {
        entity: parts.iter().map(entity).collect(),
        ops: ops.iter().map(op).collect(),
    }
}

/// The errors, and how many records it took.
fn alter(cluster: &mut Cluster, validate_only: bool, entries: &[AlterQuotas]) -> String {
    let before = cluster.log.len();
    let request = AlterClientQuotasRequest {
        entries: entries.to_vec(),
        validate_only,
    };
    let asked = cluster.ask(Request::AlterClientQuotas(request));
    let Response::AlterClientQuotas(response) = asked else {
        panic!("AlterClientQuotas has another answer");
    };
    let mut text = format!("{} records", cluster.log.len() - before);
    for entry in response.entries {
        let name = ErrorCode::from(entry.error_code).name();
        write!(text, "\n{name} {}", entry.error_message.unwrap_or_default()).unwrap();
    }
    text
}

/// What is described by a filter of parts: match types 0, 1 and 2, and a name.
fn described(cluster: &Cluster, strict: bool, parts: &[(&str, i8, Option<&str>)]) -> String {
    let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| ComponentData {
        entity_type: (*kind).to_owned(),
        match_type: *match_type,
        r#match: name.map(str::to_owned),
    };
    let request = DescribeClientQuotasRequest {
        components: parts.iter().map(component).collect(),
        strict,
    };
    let image = cluster.metadata.image();
    match describe(&image.client_quotas, &request) {
        Err(refusal) => format!("{} {}", refusal.error().name(), refusal.message),
        Ok(entries) => {
            let entry = |entry: &DescribedQuotas| {
                let parts = entry.entity.iter().map(|part| {
                    let name = part.entity_name.as_deref().unwrap_or("<default>");
                    format!("{}={name}", part.entity_type)
                });
                let values = entry
                    .values
                    .iter()
                    .map(|v| format!("{}={}", v.key, v.value));
                let (parts, values): (Vec<_>, Vec<_>) = (parts.collect(), values.collect());
                format!("{}: {}", parts.join(","), values.join(","))
            };
            let entries: Vec<_> = entries.iter().map(entry).collect();
            entries.join("\n")
        }
    }
}

const ALICE: (&str, Option<&str>) = ("user", Some("alice"));

/// A part of a filter: of what, how it matches, and what.
type Part<'a> = (&'a str, i8, Option<&'a str>);

#[test]
fn each_entity_stands_for_itself() {
    let mut cluster = Cluster::of(1);
    let entries = [
        quotas(
            &[ALICE],
            &[
                ("producer_byte_rate", Some(1e6)),
                ("request_percentage", Some(12.5)),
            ],
        ),
        quotas(&[ALICE], &[("consumer_byte_rate", Some(1.0))]),
        quotas(
            &[("client-id", None)],
            &[
                ("consumer_byte_rate", Some(1.0)),
                ("consumer_byte_rate", None),
            ],
        ),
        quotas(
            &[("user", None)],
            &[
                ("consumer_byte_rate", Some(1.0)),
                ("no_such_rate", Some(1.0)),
            ],
        ),
        quotas(
            &[ALICE, ("client-id", None)],
            &[("connection_creation_rate", Some(1.0))],
        ),
        quotas(&[("ip", Some("::1"))], &[("producer_byte_rate", Some(1.0))]),
        quotas(
            &[("ip", Some("::1"))],
            &[("connection_creation_rate", Some(0.0))],
        ),
        quotas(
            &[("ip", Some("::2"))],
            &[("connection_creation_rate", Some(9.0))],
        ),
        quotas(&[], &[]),
    ];
    let long = "entity client-id=<default>";
    expect_test::expect![[r#"
        0 records
        NONE 
        INVALID_REQUEST Ignoring duplicate entity user=alice
        INVALID_REQUEST Duplicate quota key consumer_byte_rate not updating quota for this […]
        INVALID_REQUEST Invalid configuration key no_such_rate
        INVALID_REQUEST Invalid configuration key connection_creation_rate
        INVALID_REQUEST Invalid configuration key producer_byte_rate
        INVALID_REQUEST Quota connection_creation_rate must be greater than 0
        NONE 
        INVALID_REQUEST Invalid empty client quota entity"#]]
    .assert_eq(&alter(&mut cluster, true, &entries).replace(long, "[…]"));
    assert!(cluster.metadata.image().client_quotas.is_empty());
    let done = alter(&mut cluster, false, &entries);
    assert!(done.starts_with("3 records\nNONE"), "{done}");
    assert!(cluster.metadata.take_delta().client_quotas);
    assert_eq!(
        described(&cluster, false, &[]),
        "ip=::2: connection_creation_rate=9\n\
         user=alice: producer_byte_rate=1000000,request_percentage=12.5"
    );
}

#[test]
fn a_quota_is_replaced_kept_in_snapshots_and_removed() {
    let mut cluster = Cluster::of(1);
    let mut set = |value| {
        let asked = quotas(&[ALICE], &[("controller_mutation_rate", value)]);
        alter(&mut cluster, false, &[asked])
    };
    assert_eq!(set(Some(0.25)), "1 records\nNONE ");
    assert_eq!(set(Some(0.25)), "0 records\nNONE ");
    assert_eq!(set(Some(2.0)), "1 records\nNONE ");
    let image = cluster.metadata.image();
    let mut restored = Metadata::default();
    restored.install(&image.to_records());
    assert_eq!(restored.image(), image);
    assert!(restored.take_delta().client_quotas);
    let gone = quotas(
        &[ALICE],
        &[("controller_mutation_rate", None), ("no_such_rate", None)],
    );
    assert_eq!(
        alter(&mut cluster, false, std::slice::from_ref(&gone)),
        "1 records\nNONE "
    );
    assert_eq!(alter(&mut cluster, false, &[gone]), "0 records\nNONE ");
    assert!(cluster.metadata.image().client_quotas.is_empty());
}

#[test]
fn a_filter_tells_names_defaults_and_exact_entities() {
    let mut cluster = Cluster::of(1);
    let rate = [("consumer_byte_rate", Some(1.0))];
    let entities: [&Parts<'_>; 5] = [
        &[ALICE],
        &[("user", None)],
        &[ALICE, ("client-id", Some("c"))],
        &[ALICE, ("client-id", None)],
        &[("client-id", Some("c"))],
    ];
    let entries: Vec<_> = entities.map(|parts| quotas(parts, &rate)).to_vec();
    alter(&mut cluster, false, &entries);
    let alice = ("user", 0, Some("alice"));
    let cases: [(bool, &[Part<'_>], usize); 8] = [
        (false, &[], 5),
        (true, &[], 0),
        (false, &[alice], 3),
        (true, &[alice], 1),
        (false, &[("user", 2, None)], 4),
        (true, &[("user", 2, None)], 2),
        (true, &[("user", 1, None)], 1),
        (true, &[alice, ("client-id", 1, None)], 1),
    ];
    for (strict, parts, count) in cases {
        let found = described(&cluster, strict, parts);
        assert_eq!(found.lines().count(), count, "{parts:?} {strict}: {found}");
    }
    let refused: [(&[Part<'_>], &str); 7] = [
        (
            &[("", 2, None)],
            "INVALID_REQUEST Invalid empty entity type.",
        ),
        (
            &[alice, alice],
            "INVALID_REQUEST Entity type user cannot appear more than once in the filter.",
        ),
        (
            &[("group", 2, None)],
            "UNSUPPORTED_VERSION Unsupported entity type group",
        ),
        (&[("user", 3, None)], "INVALID_REQUEST Unknown match type 3"),
        (
            &[("user", 0, None)],
            "INVALID_REQUEST Request specified MATCH_TYPE_EXACT, but set match string to null.",
        ),
        (
            &[("user", 1, Some("x"))],
            "INVALID_REQUEST Request specified MATCH_TYPE_DEFAULT, but also specified a match \
             string.",
        ),
        (
            &[("ip", 2, None), alice],
            "INVALID_REQUEST Invalid entity filter component combination. IP filter component \
             should not be used with user or clientId filter component.",
        ),
    ];
    for (parts, sentence) in refused {
        assert_eq!(described(&cluster, false, parts), sentence);
    }
}
