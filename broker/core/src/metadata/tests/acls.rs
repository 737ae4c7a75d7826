//! ACLs that are created, found and deleted.

use ottla_protocol::messages::access::*;

use super::*;
use crate::acl::Filter;

fn creation(name: &str, principal: &str) -> AclCreation {
    AclCreation {
        resource_type: 2,
        resource_name: name.to_owned(),
        resource_pattern_type: 3,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    }
}

/// The errors, and how many records it took.
fn create(cluster: &mut Cluster, creations: Vec<AclCreation>) -> String {
    let before = cluster.log.len();
    let Response::CreateAcls(response) =
        cluster.ask(Request::CreateAcls(CreateAclsRequest { creations }))
    else {
        panic!("CreateAcls has another answer");
    };
    let mut text = format!("{} records", cluster.log.len() - before);
    for result in response.results {
        let message = result
            .error_message
            .map(|m| format!(" {m}"))
            .unwrap_or_default();
        let name = ErrorCode::from(result.error_code).name();
        // the rest says what the sentence means
        let message = message.split(" (").next().unwrap_or_default();
        write!(text, "\n{name}{message}").unwrap();
    }
    text
}

/// The names of what was deleted, by filter.
fn delete(cluster: &mut Cluster, filters: &[(i8, Option<&str>)]) -> Vec<Vec<String>> {
    let filter = |(pattern_type_filter, name): &(i8, Option<&str>)| DeleteAclsFilter {
        resource_type_filter: 1,
        resource_name_filter: name.map(str::to_owned),
        pattern_type_filter: *pattern_type_filter,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let filters = filters.iter().map(filter).collect();
    let Response::DeleteAcls(response) =
        cluster.ask(Request::DeleteAcls(DeleteAclsRequest { filters }))
    else {
        panic!("DeleteAcls has another answer");
    };
    let name = |result: DeleteAclsFilterResult| {
        let acls = result.matching_acls.into_iter();
        match result.error_code {
            0 => acls.map(|acl| acl.resource_name).collect(),
            code => vec![ErrorCode::from(code).name().to_owned()],
        }
    };
    response.filter_results.into_iter().map(name).collect()
}

#[test]
fn each_acl_stands_for_itself() {
    let mut cluster = Cluster::of(1);
    let wrong = |change: fn(&mut AclCreation)| {
        let mut wrong = creation("t", "User:a");
        change(&mut wrong);
        wrong
    };
    let asked = vec![
        creation("t", "User:a"),
        creation("t", "User:a"),
        wrong(|acl| acl.resource_type = 1),
        wrong(|acl| acl.resource_pattern_type = 2),
        wrong(|acl| acl.operation = 0),
        wrong(|acl| acl.permission_type = 1),
        wrong(|acl| acl.resource_name.clear()),
        wrong(|acl| acl.resource_type = 4),
        wrong(|acl| acl.principal = "a".to_owned()),
        wrong(|acl| acl.host = "10.0.0.0/33".to_owned()),
    ];
    expect_test::expect![[r"
        1 records
        NONE
        NONE
        INVALID_REQUEST Invalid resourceType 1
        INVALID_REQUEST Invalid patternType 2
        INVALID_REQUEST Invalid operation 0
        INVALID_REQUEST Invalid permissionType 1
        INVALID_REQUEST Invalid empty resource name
        INVALID_REQUEST The only valid name for the CLUSTER resource is kafka-cluster
        INVALID_REQUEST Could not parse principal from `a`
        INVALID_REQUEST Invalid host 10.0.0.0/33: give an address, a network"]]
    .assert_eq(&create(&mut cluster, asked));
    assert_eq!(
        create(&mut cluster, vec![creation("t", "User:a")]),
        "0 records\nNONE"
    );
    assert!(cluster.metadata.take_delta().acls);
}

#[test]
fn filters_find_what_they_say_and_delete_it() {
    let mut cluster = Cluster::of(1);
    let prefixed = |name: &str| AclCreation {
        resource_pattern_type: 4,
        ..creation(name, "User:a")
    };
    let all = vec![
        creation("orders", "User:a"),
        creation("*", "User:a"),
        prefixed("ord"),
        prefixed("orders-"),
        creation("other", "User:b"),
    ];
    create(&mut cluster, all.clone());
    assert_snapshot_restores(&cluster);
    let (any, matching, literal, unknown) = (1, 2, 3, 0);
    let gone = delete(&mut cluster, &[(unknown, None), (literal, Some("or"))]);
    assert_eq!(gone, [vec!["INVALID_REQUEST".to_owned()], Vec::new()]);
    let gone = delete(
        &mut cluster,
        &[(matching, Some("orders")), (any, Some("ord"))],
    );
    assert_eq!(gone, [vec!["*", "orders", "ord"], vec!["ord"]]);
    let gone = delete(&mut cluster, &[(any, None)]);
    assert_eq!(gone, [["other", "orders-"]]);
    assert_eq!(*cluster.metadata.image().acls, crate::acl::Acls::default());
}

fn assert_snapshot_restores(cluster: &Cluster) {
    let mut restored = Metadata::default();
    restored.install(&cluster.metadata.image().to_records());
    assert_eq!(restored.image(), cluster.metadata.image());
    assert!(restored.take_delta().acls);
}

#[test]
fn a_description_finds_the_principal() {
    let mut cluster = Cluster::of(1);
    create(
        &mut cluster,
        vec![creation("t", "User:a"), creation("t", "User:b")],
    );
    let filter = Filter::from(&DescribeAclsRequest {
        resource_type_filter: 2,
        resource_name_filter: Some("t".to_owned()),
        pattern_type_filter: 3,
        principal_filter: Some("User:b".to_owned()),
        host_filter: None,
        operation: 3,
        permission_type: 1,
    });
    let acls = cluster.metadata.image().acls.iter();
    let found: Vec<_> = acls.filter(|acl| filter.matches(acl)).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].entry.principal, "User:b");
}
