//! Which tests there are, read from the suite's own table, and which are left out and why.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// One test, or one part of a test, that is about a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its name in the suite.
    pub name: String,
    /// The part of it to run alone; all of it where there is none.
    pub part: Option<&'static str>,
    /// Whether it wants a cluster that creates no topics by itself.
    pub without_auto_create: bool,
    /// Why it is not run.
    pub left_out: Option<&'static str>,
}

const MOCK: &str = "talks to a broker inside the library";
const SECURE: &str = "runs over TLS";
const SHARE: &str = "needs share groups";
const UPSTREAM: &str = "fails against Apache Kafka too; the suite lists it as a known issue";
const NOT_A_TEST: &str = "a manual aid of the suite, not a test";
const UNSUPPORTED: &str = "tests what the library itself does not support";

/// Tests that are left out, by how their names begin.
const LEFT_OUT: [(&str, &str); 19] = [
    ("0028_long_topicnames", UPSTREAM),
    ("0047_partial_buf_tmout", UPSTREAM),
    ("0066_plugins", UNSUPPORTED),
    ("0079_fork", UNSUPPORTED),
    ("0139_offset_validation_mock", MOCK),
    ("0150_telemetry_mock", MOCK),
    ("0170_share", SHARE),
    ("0171_share", SHARE),
    ("0172_share", SHARE),
    ("0173_share", SHARE),
    ("0174_share", SHARE),
    ("0175_share", SHARE),
    ("0176_share", SHARE),
    ("0177_share", SHARE),
    ("0178_share", SHARE),
    ("0179_share", SHARE),
    ("0180_share", SHARE),
    ("0181_share", SHARE),
    ("0184_share", SHARE),
];
const LEFT_OUT_TOO: [(&str, &str); 4] = [
    ("0185_share", SHARE),
    ("0190_share", SHARE),
    ("8000_idle", NOT_A_TEST),
    ("8001_fetch_from_follower_mock_manual", NOT_A_TEST),
];

/// Tests of TLS and of logins, with those parts of them that want no share groups; none: all.
const SECURE_PARTS: [(&str, &[&str]); 4] = [
    ("0097_ssl_verify", &[]),
    (
        "0126_oauthbearer_oidc",
        &["do_test_produce_consumer_with_OIDC", "do_test_OIDC"],
    ),
    ("0135_sasl_credentials", &["do_test:"]),
    (
        "0142_reauthentication",
        &[
            "do_test_consumer:",
            "do_test_producer:",
            "do_test_txn_producer:",
        ],
    ),
];

/// The parts of the one test that covers the whole admin API, so that one does not hide the rest.
const ADMIN: &str = "0081_admin";
const ADMIN_PARTS: [&str; 21] = [
    "do_test_unclean_destroy",
    "do_test_CreateTopics",
    "do_test_DeleteTopics",
    "do_test_CreatePartitions",
    "do_test_AlterConfigs",
    "do_test_IncrementalAlterConfigs",
    "do_test_DescribeConfigs",
    "do_test_DeleteRecords",
    "do_test_ListConsumerGroups",
    "do_test_DescribeConsumerGroups",
    "do_test_DescribeTopics",
    "do_test_DescribeCluster",
    "do_test_DeleteGroups",
    "do_test_DeleteConsumerGroupOffsets",
    "do_test_ListOffsets",
    "do_test_AlterConsumerGroupOffsets",
    "do_test_ListConsumerGroupOffsets",
    "do_test_CreateAcls",
    "do_test_DescribeAcls",
    "do_test_DeleteAcls",
    "do_test_UserScramCredentials",
];

/// All tests of the suite in this folder that are about a broker, in its order: for brokers that
/// know who comes, or for those that let in everybody.
///
/// # Errors
/// The suite's source does not look as expected.
pub fn read(suite: &Path, is_secure: bool) -> Result<Vec<Test>> {
    let source = std::fs::read_to_string(suite.join("test.c")).context("the suite's test.c")?;
    let table = source
        .split("struct test tests[] = {")
        .nth(1)
        .and_then(|rest| rest.split("{NULL}").next())
        .context("test.c has a table of tests")?;
    let mut tests = Vec::new();
    for entry in table.split("_TEST(").skip(1) {
        tests.extend(from_entry(entry, is_secure));
    }
    ensure!(
        tests.len() > 80,
        "only {} tests are found in test.c",
        tests.len()
    );
    Ok(tests)
}

/// The tests of one entry of the suite's table; none where it needs no broker.
fn from_entry(entry: &str, is_secure: bool) -> Vec<Test> {
    let end = entry.find([',', ')']).unwrap_or(entry.len());
    let name = entry[..end].trim();
    if entry.contains("TEST_F_LOCAL") {
        return Vec::new();
    }
    let without_auto_create = entry.contains("\"noautocreate\"");
    let test = |part, left_out| Test {
        name: name.to_string(),
        part,
        without_auto_create,
        left_out,
    };
    if name == ADMIN {
        let parts = ADMIN_PARTS.into_iter();
        return parts.map(|part| test(Some(part), None)).collect();
    }
    if let Some((_, parts)) = SECURE_PARTS.iter().find(|(secure, _)| *secure == name) {
        let left_out = (!is_secure).then_some(SECURE);
        return match parts.is_empty() || !is_secure {
            true => vec![test(None, left_out)],
            false => parts.iter().map(|part| test(Some(part), None)).collect(),
        };
    }
    let mut reasons = LEFT_OUT.iter().chain(&LEFT_OUT_TOO);
    let reason = reasons
        .find(|(start, _)| name.starts_with(start))
        .map(|(_, reason)| *reason);
    vec![test(None, reason)]
}

impl Test {
    /// The number that its name begins with.
    #[must_use]
    pub fn number(&self) -> &str {
        self.name.split('_').next().unwrap_or(&self.name)
    }

    /// Whether it shows a certificate instead of a password.
    #[must_use]
    pub fn is_by_certificate(&self) -> bool {
        self.name == "0097_ssl_verify"
    }

    /// Whether it shows tokens of an issuer.
    #[must_use]
    pub fn is_by_token(&self) -> bool {
        self.name == "0126_oauthbearer_oidc"
    }

    /// How the table names it.
    #[must_use]
    pub fn label(&self) -> String {
        match self.part {
            Some(part) => {
                let part = part.trim_start_matches("do_test_").trim_end_matches(':');
                format!("{} {part}", self.name)
            }
            None => self.name.clone(),
        }
    }
}

#[test]
fn entries_are_read() {
    let read = |entry: &str| from_entry(entry, false);
    assert_eq!(read("0004_conf, TEST_F_LOCAL),"), []);
    let test = &read("0107_topic_recreate, 0, BRKVER, .scenario = \"noautocreate\"),")[0];
    assert!(test.without_auto_create && test.left_out.is_none());
    assert_eq!(
        read("0170_share_consumer_subscription, 0),")[0].left_out,
        Some(SHARE)
    );
    assert_eq!(read("0081_admin, 0),").len(), 21);
    let logins = "0142_reauthentication, 0),";
    assert_eq!(read(logins)[0].left_out, Some(SECURE));
    let parts = from_entry(logins, true);
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[0].label(), "0142_reauthentication consumer");
    assert_eq!(parts[0].left_out, None);
}
