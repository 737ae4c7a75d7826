//! Delegation tokens: made, renewed, ended, and who may do that.

use super::*;
use crate::metadata::delegation_tokens::SECRET;
use crate::metadata::request::tokens::*;

const DAY: i64 = 86_400_000;

fn cluster() -> Cluster {
    Cluster::with_statics(1, &[(SECRET, "s")])
}

fn create(cluster: &mut Cluster, id: &str, max_lifetime_ms: i64) -> Result<(i64, i64), ErrorCode> {
    let request = CreateDelegationToken {
        token_id: id.to_owned(),
        owner: "User:owner".to_owned(),
        requester: "User:requester".to_owned(),
        renewers: vec!["User:renewer".to_owned()],
        max_lifetime_ms,
    };
    let asked = cluster.ask(Request::CreateDelegationToken(request));
    let Response::CreateDelegationToken(answer) = asked else {
        panic!("CreateDelegationToken has another answer");
    };
    let answer = answer.map(|token| (token.expiry_ms, token.max_ms));
    answer.map_err(|refusal| refusal.error())
}

fn renew(cluster: &mut Cluster, id: &str, who: &str, period_ms: i64) -> Result<i64, ErrorCode> {
    let asked = cluster.ask(Request::RenewDelegationToken(RenewDelegationToken {
        token_id: id.to_owned(),
        requester: format!("User:{who}"),
        period_ms,
    }));
    let Response::RenewDelegationToken(answer) = asked else {
        panic!("RenewDelegationToken has another answer");
    };
    answer.map_err(|refusal| refusal.error())
}

fn expire(cluster: &mut Cluster, id: &str, who: &str, period_ms: i64) -> Result<i64, ErrorCode> {
    let asked = cluster.ask(Request::ExpireDelegationToken(ExpireDelegationToken {
        token_id: id.to_owned(),
        requester: format!("User:{who}"),
        period_ms,
    }));
    let Response::ExpireDelegationToken(answer) = asked else {
        panic!("ExpireDelegationToken has another answer");
    };
    answer.map_err(|refusal| refusal.error())
}

fn ids(cluster: &Cluster) -> Vec<&str> {
    let tokens = &cluster.metadata.image().delegation_tokens;
    tokens.keys().map(String::as_str).collect()
}

#[test]
fn a_token_lives_a_day_unless_it_is_renewed_and_a_week_at_most() {
    let mut cluster = cluster();
    cluster.now_ms = 1000;
    assert_eq!(
        create(&mut cluster, "a", -1),
        Ok((1000 + DAY, 1000 + 7 * DAY))
    );
    assert_eq!(create(&mut cluster, "b", 500), Ok((1500, 1500)));
    assert_eq!(
        create(&mut cluster, "c", i64::MAX),
        Ok((1000 + DAY, 1000 + 7 * DAY))
    );
    for who in ["owner", "renewer"] {
        // for no longer at a time than a token lives without it
        for (asked, period) in [(70, 70), (9 * DAY, DAY), (0, DAY), (-1, DAY)] {
            let ends = renew(&mut cluster, "a", who, asked);
            assert_eq!(ends, Ok(1000 + period), "{who}, {asked}");
        }
    }
    // whoever asked for it may see it, and no more
    let mismatch = Err(ErrorCode::DelegationTokenOwnerMismatch);
    assert_eq!(renew(&mut cluster, "a", "requester", -1), mismatch);
    assert_eq!(
        create(&mut cluster, "d", 0),
        Ok((1000 + DAY, 1000 + 7 * DAY))
    );
    assert_eq!(expire(&mut cluster, "d", "owner", -2), Ok(-2));
    assert_eq!(expire(&mut cluster, "a", "renewer", 10), Ok(1010));
    assert_eq!(ids(&cluster), ["a", "b", "c"]);
    assert_eq!(expire(&mut cluster, "c", "owner", -1), Ok(-1));
    assert_eq!(ids(&cluster), ["a", "b"]);
    // what has ended is there until it is looked for, and comes back no more
    cluster.now_ms = 1010;
    let expired = Err(ErrorCode::DelegationTokenExpired);
    assert_eq!(renew(&mut cluster, "a", "owner", -1), expired);
    for who in ["owner", "stranger"] {
        for period_ms in [5, -1] {
            assert_eq!(expire(&mut cluster, "a", who, period_ms), expired);
        }
    }
    let removed =
        |cluster: &mut Cluster| cluster.ask(Request::RemoveExpiredTokens(RemoveExpiredTokens {}));
    assert_eq!(removed(&mut cluster), Response::RemoveExpiredTokens(Ok(1)));
    assert_eq!(ids(&cluster), ["b"]);
    let log = cluster.log.len();
    assert_eq!(removed(&mut cluster), Response::RemoveExpiredTokens(Ok(0)));
    assert_eq!(cluster.log.len(), log);
}

#[test]
fn a_token_is_changed_by_who_has_to_do_with_it() {
    let mut cluster = cluster();
    create(&mut cluster, "a", -1).unwrap();
    let mismatch = Err(ErrorCode::DelegationTokenOwnerMismatch);
    assert_eq!(renew(&mut cluster, "a", "other", -1), mismatch);
    assert_eq!(expire(&mut cluster, "a", "other", -1), mismatch);
    let unknown = Err(ErrorCode::DelegationTokenNotFound);
    assert_eq!(renew(&mut cluster, "b", "owner", -1), unknown);
    assert_eq!(expire(&mut cluster, "b", "owner", -1), unknown);
    assert_eq!(ids(&cluster), ["a"]);
    let mut without = Cluster::of(1);
    let disabled = ErrorCode::DelegationTokenAuthDisabled;
    assert_eq!(create(&mut without, "a", -1), Err(disabled));
    assert_eq!(renew(&mut without, "a", "owner", -1), Err(disabled));
    assert_eq!(expire(&mut without, "a", "owner", -1), Err(disabled));
    assert_eq!(ids(&without), [""; 0]);
}

#[test]
fn tokens_are_kept_in_snapshots() {
    let mut cluster = cluster();
    for id in ["a", "b"] {
        create(&mut cluster, id, -1).unwrap();
    }
    assert!(cluster.metadata.take_delta().delegation_tokens);
    let mut restored = Metadata::default();
    restored.install(&cluster.metadata.image().to_records());
    assert_eq!(restored.image(), cluster.metadata.image());
    assert!(restored.take_delta().delegation_tokens);
}

#[test]
fn nobody_asks_for_tokens_without_end() {
    let mut cluster = cluster();
    let made = (0..2000).take_while(|n| create(&mut cluster, &n.to_string(), -1).is_ok());
    assert_eq!(made.count(), 1000);
    let refused = create(&mut cluster, "one more", -1);
    assert_eq!(refused, Err(ErrorCode::PolicyViolation));
    expire(&mut cluster, "7", "owner", -1).unwrap();
    create(&mut cluster, "one more", -1).unwrap();
    // nor for names that fill the metadata
    let long = "n".repeat(8000);
    for renewers in [
        vec![String::new(); 101],
        vec![long.clone(); 2],
        vec!["n".repeat(32_000); 100],
    ] {
        let request = CreateDelegationToken {
            renewers,
            ..CreateDelegationToken::default()
        };
        let asked = cluster.ask(Request::CreateDelegationToken(request));
        let Response::CreateDelegationToken(Err(refusal)) = asked else {
            panic!("{asked:?}");
        };
        assert_eq!(refusal.error(), ErrorCode::InvalidRequest);
    }
    let request = CreateDelegationToken {
        renewers: vec![long],
        ..CreateDelegationToken::default()
    };
    let asked = cluster.ask(Request::CreateDelegationToken(request));
    assert!(matches!(asked, Response::CreateDelegationToken(Ok(_))));
}
