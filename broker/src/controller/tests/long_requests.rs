//! Requests with much in them: none makes an entry of the log that is too long for the way to other
//! voters, alone or with others.

use std::collections::BTreeSet;
use std::ops::Range;

use ottla_core::metadata::Request;
use ottla_protocol::messages::access::{AclCreation, CreateAclsRequest};

use super::liveness::Voter;
use super::*;
use crate::controller::active::{ENTRY_BYTES_MAX, Outcome};

/// ACLs on topics of these numbers, with names of that length.
fn acls(topics: Range<usize>, name_bytes: usize) -> CreateAclsRequest {
    let creation = |n: usize| AclCreation {
        resource_type: 2,
        resource_name: format!("{n:0name_bytes$}"),
        resource_pattern_type: 3,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    };
    CreateAclsRequest {
        creations: topics.map(creation).collect(),
    }
}

#[tokio::test]
async fn what_is_decided_together_becomes_as_many_entries_as_it_takes() {
    const REQUESTS: usize = 12;
    let voter = Voter::start().await;
    let mut submitted = tokio::task::JoinSet::new();
    for first in 0..REQUESTS {
        let handle = voter.handle.clone();
        let request = Request::CreateAcls(acls(first * 20..first * 20 + 20, 30_000));
        submitted.spawn(async move { handle.submit_here(request).await });
    }
    // the first is written alone, and the others wait for that
    let mut entries = BTreeSet::new();
    while let Some(outcome) = submitted.join_next().await {
        match outcome {
            Ok(Outcome::Done { applied, .. }) => entries.insert(applied),
            other => panic!("{other:?}"),
        };
    }
    // the request that fills an entry is its last
    let least = REQUESTS * 20 * 30_000 / (ENTRY_BYTES_MAX + 20 * 31_000);
    assert!(entries.len() >= least, "{entries:?}, not {least}");
}

/// On the active controller's own broker as on any other.
#[tokio::test]
async fn what_is_too_long_for_the_way_is_refused_by_whoever_is_asked() {
    let voter = Voter::start().await;
    for (request, why) in [
        (acls(0..300, 32_000), "bytes of at most 8388608"),
        (acls(0..1, 40_000), "40000"),
    ] {
        match voter.handle.submit(request).await {
            Err(error @ Error::TooLong { .. }) => {
                let told = error.to_string();
                assert!(told.contains("CreateAcls") && told.contains(why), "{told}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(voter.handle.submit(acls(0..1, 32_000)).await.is_ok());
}
