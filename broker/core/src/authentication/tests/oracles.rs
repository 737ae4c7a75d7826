//! What a login that fails, or was overheard, tells: nothing.

use super::*;

/// A user that is not there has a salt that is always the same, and no other user's.
#[test]
fn nobody_can_tell_a_user_that_is_not_there() {
    let first = |user: &str| {
        let answer = say(&mut scram(), &format!("n,,n={user},r=x")).unwrap();
        answer.split(",s=").nth(1).unwrap().to_owned()
    };
    assert_eq!(first("nobody"), first("nobody"));
    assert_ne!(first("nobody"), first("somebody"));
    assert_eq!(first("nobody").len(), first("user").len());
    let failure = |user: &str, proof: &str| {
        let mut session = scram();
        say(&mut session, &format!("n,,n={user},r=x")).unwrap();
        say(&mut session, &format!("c=biws,r=x{NONCE},p={proof}")).unwrap_err()
    };
    let proof = BASE64.encode([7; 32]);
    assert_eq!(failure("nobody", &proof), failure("user", &proof));
    let plain = |token: &str| {
        let mut session = session(None);
        session.handshake(at(0), 1, "PLAIN", String::new());
        say(&mut session, token)
    };
    assert_eq!(plain("\0alice\0secret"), Ok(String::new()));
    assert_eq!(plain("alice\0alice\0secret"), Ok(String::new()));
    assert_eq!(plain("\0alice\0wrong"), plain("\0nobody\0wrong"));
    for wrong in [
        "",
        "\0alice",
        "\0\0secret",
        "\0nobody\0",
        "x\0alice\0secret",
    ] {
        plain(wrong).expect_err(wrong);
    }
}

/// So are salts and iterations of delegation tokens, of which each has its own.
#[test]
fn nobody_can_tell_a_token_that_is_not_there() {
    let first = |id: &str| {
        let answer = say(&mut scram(), &format!("n,,n={id},r=x,tokenauth=true")).unwrap();
        answer.split(",s=").nth(1).unwrap().to_owned()
    };
    assert_eq!(first("none"), first("none"));
    assert_ne!(first("none"), first("other"));
    let shape = |said: &str| {
        let (salt, iterations) = said.split_once(",i=").unwrap();
        (salt.len(), iterations.to_owned())
    };
    assert_eq!(shape(&first("none")), shape(&first("id")));
}

/// Time tells nothing either: what a user who is not there costs, every login costs.
#[test]
fn whoever_comes_costs_as_much_as_somebody_who_is_not_there() {
    let cost = |first: &str| {
        let (mut session, few) = (scram(), Few::new());
        session.authenticate(moment(0), first.as_bytes(), &few);
        few.stand_ins.get()
    };
    for name in ["user", "nobody"] {
        assert_eq!(cost(&format!("n,,n={name},r=x")), 1, "{name}");
    }
    for id in ["id", "none"] {
        assert_eq!(cost(&format!("n,,n={id},r=x,tokenauth=true")), 1, "{id}");
    }
}

/// What somebody overheard lets nobody in again: the broker's nonce is another one.
#[test]
fn a_proof_that_was_overheard_logs_nobody_in() {
    const OTHER: &str = "3rfcNHYJY1ZVvWVs7j";
    for last in [FINAL.to_owned(), FINAL.replace(NONCE, OTHER)] {
        let mut session = session(None);
        session.handshake(at(0), 1, "SCRAM-SHA-256", OTHER.to_owned());
        say(&mut session, FIRST).unwrap();
        say(&mut session, &last).unwrap_err();
        assert!(session.is_over() && session.user().is_none());
    }
    let mut good = scram();
    say(&mut good, FIRST).unwrap();
    say(&mut good, FINAL).unwrap();
}
