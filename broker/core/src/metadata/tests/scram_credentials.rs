//! Users that may log in by SCRAM: set, replaced and deleted.

use bytes::Bytes;
use ottla_protocol::messages::access::*;

use super::*;
use crate::authentication::{Credential, Mechanism};

const SHA_256: i8 = 1;
const SHA_512: i8 = 2;

fn upsertion(name: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion {
        name: name.to_owned(),
        mechanism,
        iterations,
        salt: Bytes::from_static(b"salt"),
        salted_password: Bytes::from_static(b"a password, salted and hashed"),
    }
}

fn deletion(name: &str, mechanism: i8) -> ScramCredentialDeletion {
    let name = name.to_owned();
    ScramCredentialDeletion { name, mechanism }
}

/// The errors, and how many records it took.
fn alter(
    cluster: &mut Cluster,
    upsertions: &[ScramCredentialUpsertion],
    deletions: &[ScramCredentialDeletion],
) -> String {
    let before = cluster.log.len();
    let request = AlterUserScramCredentialsRequest {
        deletions: deletions.to_vec(),
        upsertions: upsertions.to_vec(),
    };
    let asked = cluster.ask(Request::AlterUserScramCredentials(request));
    let Response::AlterUserScramCredentials(response) = asked else {
        panic!("AlterUserScramCredentials has another answer");
    };
    let mut text = format!("{} records", cluster.log.len() - before);
    for result in response.results {
        let name = ErrorCode::from(result.error_code).name();
        let message = result.error_message.unwrap_or_default();
        write!(text, "\n{:?} {name} {message}", result.user).unwrap();
    }
    text
}

fn users(cluster: &Cluster) -> Vec<(String, Mechanism)> {
    let credentials = &cluster.metadata.image().scram_credentials;
    credentials.keys().cloned().collect()
}

#[test]
fn each_user_stands_for_itself() {
    let mut cluster = Cluster::of(1);
    let upsertions = [
        upsertion("alice", SHA_256, 4096),
        upsertion("alice", SHA_512, 16_384),
        upsertion("bob", SHA_256, 4095),
        upsertion("carol", SHA_256, 16_385),
        upsertion("dave", 3, 4096),
        upsertion("", SHA_256, 4096),
        upsertion("eve", SHA_256, 4096),
        upsertion("eve", SHA_256, 4096),
        upsertion("frank", SHA_256, 4096),
    ];
    let deletions = [deletion("frank", SHA_512)];
    expect_test::expect![[r#"
        2 records
        "" UNACCEPTABLE_CREDENTIAL Username must not be empty
        "alice" NONE 
        "bob" UNACCEPTABLE_CREDENTIAL Too few iterations
        "carol" UNACCEPTABLE_CREDENTIAL Too many iterations
        "dave" UNSUPPORTED_SASL_MECHANISM Unknown SCRAM mechanism
        "eve" DUPLICATE_RESOURCE A user credential cannot be altered twice in the same request
        "frank" RESOURCE_NOT_FOUND Attempt to delete a user credential that does not exist"#]]
    .assert_eq(&alter(&mut cluster, &upsertions, &deletions));
    assert_eq!(users(&cluster).len(), 2);
    assert!(cluster.metadata.take_delta().scram_credentials);
}

#[test]
fn a_credential_is_replaced_kept_in_snapshots_and_deleted() {
    let mut cluster = Cluster::of(1);
    alter(&mut cluster, &[upsertion("alice", SHA_256, 4096)], &[]);
    alter(&mut cluster, &[upsertion("alice", SHA_256, 8192)], &[]);
    let key = ("alice".to_owned(), Mechanism::ScramSha256);
    let upsertion = upsertion("alice", SHA_256, 8192);
    let made = Credential::of(key.1, upsertion.salt, 8192, &upsertion.salted_password);
    let image = cluster.metadata.image();
    assert_eq!(image.scram_credentials[&key], made);
    let mut restored = Metadata::default();
    restored.install(&image.to_records());
    assert_eq!(restored.image(), image);
    assert!(restored.take_delta().scram_credentials);
    let log = format!("{:?}", cluster.log);
    let secrets = [&made.stored_key, &made.server_key].map(|key| format!("{key:?}"));
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
    let gone = alter(&mut cluster, &[], &[deletion("alice", SHA_256)]);
    assert_eq!(gone, "1 records\n\"alice\" NONE ");
    assert_eq!(users(&cluster), []);
}
