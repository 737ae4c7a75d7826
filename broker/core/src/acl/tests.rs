//! Decisions as a table: ACLs and questions as text.

use super::*;

fn number<T>(from_wire: fn(i8) -> Option<T>, name: &str) -> T
where
    T: std::fmt::Debug,
{
    let mut all = (0..32).filter_map(from_wire);
    let found = all.find(|one| format!("{one:?}") == name);
    found.unwrap_or_else(|| panic!("no such thing: {name}"))
}

/// `Allow User:a 10.0.0.1 Read Topic Literal orders`.
fn acl(text: &str) -> Acl {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [
        permission,
        principal,
        host,
        operation,
        resource_type,
        pattern_type,
        name,
    ] = words[..]
    else {
        panic!("seven words: {text}");
    };
    Acl {
        resource_type: number(ResourceType::from_wire, resource_type),
        resource_name: name.to_owned(),
        pattern_type: number(PatternType::from_wire, pattern_type),
        entry: Entry {
            principal: principal.to_owned(),
            host: host.to_owned(),
            operation: number(Operation::from_wire, operation),
            permission: number(Permission::from_wire, permission),
        },
    }
}

fn acls(lines: &[&str]) -> Acls {
    let mut acls = Acls::default();
    lines.iter().for_each(|line| acls.insert(acl(line)));
    acls
}

fn ask(acls: &Acls, is_open: bool, question: &str) -> bool {
    let words: Vec<&str> = question.split_whitespace().collect();
    let super_users = ["User:admin".to_owned()].into();
    let rules = Rules {
        super_users: &super_users,
        allow_everyone_if_no_acl_found: is_open,
    };
    let subject = Subject {
        principal: words[0],
        host: words[1].parse().expect("an address"),
    };
    let operation = number(Operation::from_wire, words[2]);
    let resource_type = number(ResourceType::from_wire, words[3]);
    match words.get(4) {
        Some(name) => rules.authorize(acls, subject, operation, resource_type, name),
        None => rules.authorize_by_resource_type(acls, subject, operation, resource_type),
    }
}

/// Each row: the ACLs, then questions with the answer expected.
fn check(lines: &[&str], questions: &[(&str, bool)]) {
    let acls = acls(lines);
    for (question, expected) in questions {
        assert_eq!(
            ask(&acls, false, question),
            *expected,
            "{question} by {lines:?}"
        );
    }
}

#[test]
fn without_acls_only_super_users_may_unless_everyone_may() {
    let none = Acls::default();
    assert!(ask(&none, false, "User:admin 10.0.0.1 Write Topic orders"));
    assert!(!ask(&none, false, "User:a 10.0.0.1 Write Topic orders"));
    assert!(ask(&none, true, "User:a 10.0.0.1 Write Topic orders"));
    // one ACL about the resource, whomever it is about, closes it
    let one = acls(&["Allow User:b * Read Topic Prefixed ord"]);
    assert!(!ask(&one, true, "User:a 10.0.0.1 Write Topic orders"));
    assert!(ask(&one, true, "User:a 10.0.0.1 Write Topic or"));
    assert!(ask(&one, true, "User:a 10.0.0.1 Read Group orders"));
}

#[test]
fn what_is_denied_is_not_allowed_by_another() {
    check(
        &[
            "Allow User:* * All Topic Literal *",
            "Deny User:a * Write Topic Prefixed pay",
            "Deny User:* 10.0.0.9 Read Topic Literal orders",
        ],
        &[
            ("User:a 10.0.0.1 Write Topic orders", true),
            ("User:a 10.0.0.1 Write Topic payments", false),
            ("User:a 10.0.0.1 Read Topic payments", true),
            ("User:b 10.0.0.1 Write Topic payments", true),
            ("User:b 10.0.0.9 Read Topic orders", false),
            ("User:b 10.0.0.8 Read Topic orders", true),
            // super users stand above denials
            ("User:admin 10.0.0.9 Read Topic orders", true),
            // a name that begins with a denied one, and one that the denied one begins with
            ("User:a 10.0.0.1 Write Topic pay", false),
            ("User:a 10.0.0.1 Write Topic pa", true),
        ],
    );
}

#[test]
fn to_allow_implies_to_describe_and_to_deny_does_not() {
    for allowed in ["Read", "Write", "Delete", "Alter", "Describe", "All"] {
        check(
            &[&format!("Allow User:a * {allowed} Topic Literal t")],
            &[
                ("User:a 10.0.0.1 Describe Topic t", true),
                ("User:a 10.0.0.1 DescribeConfigs Topic t", allowed == "All"),
            ],
        );
    }
    for allowed in ["Create", "AlterConfigs", "ClusterAction"] {
        check(
            &[&format!("Allow User:a * {allowed} Topic Literal t")],
            &[
                ("User:a 10.0.0.1 Describe Topic t", false),
                (
                    "User:a 10.0.0.1 DescribeConfigs Topic t",
                    allowed == "AlterConfigs",
                ),
            ],
        );
    }
    check(
        &[
            "Allow User:a * Describe Topic Literal t",
            "Deny User:a * Read Topic Literal t",
        ],
        &[
            ("User:a 10.0.0.1 Describe Topic t", true),
            ("User:a 10.0.0.1 Read Topic t", false),
        ],
    );
}

#[test]
fn principals_and_hosts_are_compared_whole() {
    check(
        &[
            "Allow User:a ::1 Read Group Literal g",
            "Allow User:b 10.0.0.1 Read Group Literal g",
        ],
        &[
            ("User:a 0:0:0:0:0:0:0:1 Read Group g", true),
            ("User:a 10.0.0.1 Read Group g", false),
            ("User:b 10.0.0.1 Read Group g", true),
            ("User:b 10.0.0.11 Read Group g", false),
            ("User:bb 10.0.0.1 Read Group g", false),
            ("Service:b 10.0.0.1 Read Group g", false),
        ],
    );
}

/// Every prefix is found, whatever lies between: against the plain definition.
#[test]
fn prefixes_are_found_among_their_neighbours() {
    let letters = ["a", "b", "é", "è", "ab", ""];
    let mut names = Vec::new();
    for x in letters {
        for y in letters {
            names.extend(letters.map(|z| format!("{x}{y}{z}")));
        }
    }
    names.sort();
    names.dedup();
    names.retain(|name| !name.is_empty());
    for (at, name) in names.iter().enumerate() {
        // every third name is a prefix that is allowed
        let prefixes = names.iter().enumerate().filter(|(i, _)| (i + at) % 3 == 0);
        let prefixes: Vec<&String> = prefixes.map(|(_, name)| name).collect();
        let mut all = Acls::default();
        for prefix in &prefixes {
            all.insert(acl(&format!("Allow User:a * Read Topic Prefixed {prefix}")));
        }
        let mut seen = 0;
        all.covering(ResourceType::Topic, name, |_| {
            seen += 1;
            false
        });
        let expected = prefixes.iter().filter(|p| name.starts_with(**p)).count();
        assert_eq!(seen, expected, "{name} by {prefixes:?}");
    }
}

#[test]
fn any_resource_of_a_type() {
    let question = "User:a 10.0.0.1 Write Topic";
    check(
        &[],
        &[(question, false), ("User:admin 10.0.0.1 Write Topic", true)],
    );
    check(
        &["Allow User:a * Write Topic Literal t"],
        &[(question, true)],
    );
    check(
        &["Allow User:a * Describe Topic Literal t"],
        &[(question, false)],
    );
    check(
        &["Allow User:a 10.0.0.2 Write Topic Literal t"],
        &[(question, false)],
    );
    check(
        &["Allow User:* * All Topic Prefixed t"],
        &[(question, true)],
    );
    let denials = [
        ("Deny User:a * Write Topic Literal t", false),
        ("Deny User:a * Write Topic Prefixed t", false),
        ("Deny User:a * Write Topic Literal *", false),
        ("Deny User:a * Write Topic Prefixed tt", true),
        ("Deny User:a * Read Topic Literal t", true),
        ("Deny User:b * Write Topic Literal t", true),
    ];
    for (denial, expected) in denials {
        check(
            &["Allow User:a * Write Topic Literal t", denial],
            &[(question, expected)],
        );
    }
    check(
        &[
            "Allow User:a * Write Topic Literal *",
            "Deny User:a * Write Topic Literal t",
        ],
        &[(question, true)],
    );
}
